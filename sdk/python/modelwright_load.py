"""Loads a published version of a model into PyTorch tensors: each shard is fetched, checked and used where it lands in memory.

    from modelwright_load import load
    model = load("http://127.0.0.1:8080", key, "news@production")
    model.tensors["classifier.weight"]        # a torch.Tensor; nothing was written to disk

A tensor is handed out only after the signature of the manifest and the SHA-256 of its whole shard were found right. Signatures must be of a key in
`trusted_keys` or MW_TRUSTED_KEYS; without either, of one that the API named at the first use, which is kept in ~/.modelwright/trusted-keys (or below MW_HOME).
Needs PyTorch and the standard library, which has no Ed25519: it is verified here, in one way wherever this runs, from nothing that is secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.client
import json
import math
import mmap
import os
import re
import struct
import threading
import time
import urllib.parse
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

# Names of safetensors, and what PyTorch calls them.
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "BOOL": "bool",
}
# What is hashed at once: it is still in the processor's cache then.
CHUNK_BYTES = 1 << 20
# Each hashes what it fetches: more than there are processors are no faster.
PARALLEL = min(max(os.cpu_count() or 2, 2), 8)
TRIES = 4
PAUSE_SECONDS = 0.5
TIMEOUT_SECONDS = 60
# Large models take long, and addresses are asked for once.
ADDRESS_SECONDS = 86_400
# The largest header that the reference library of safetensors reads.
HEADER_BYTES = 100_000_000
# Manifests of base models are some 300 bytes a tensor.
BASE_MANIFEST_BYTES = 128 * 1024 * 1024
# First bytes of what people rename to .safetensors.
OTHER_FORMATS = {
    b"PK\x03\x04": "a zip file, as PyTorch saves pickles",
    b"\x80\x02": "a Python pickle",
    b"\x80\x03": "a Python pickle",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"\x1f\x8b": "a gzip file",
    b"GGUF": "a GGUF file",
    b"\x89HDF": "an HDF5 file",
}


class LoadError(Exception):
    """The version does not exist, cannot be reached, or is damaged: says which, and where."""


class UntrustedError(LoadError):
    """The manifest has no signature, a wrong one, one of a key that is not trusted, or is that of another version: says which, and what to do."""


@dataclass(frozen=True)
class Model:
    """`manifest` as the API answers it, what the version has from its base model included; `tensors` by name, on the CPU."""

    manifest: dict[str, Any]
    tensors: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Part:
    sha256: str
    bytes: int
    url: str
    kind: str = "shard"
    #: The same bytes on another site of the store.
    other_urls: tuple[str, ...] = ()


def load(
    url: str, key: str, reference: str, parallel: int = PARALLEL, *, trusted_keys: Sequence[str] | None = None, allow_unsigned: bool = False
) -> Model:
    """`reference`: `news`, `news@production` or `news@v3`. `parallel`: shards on the way at once. `trusted_keys`: public keys in base64.
    `allow_unsigned`: also versions from before versions were signed. Raises LoadError, and UntrustedError before any tensor is fetched."""
    url = url.rstrip("/")
    name, _, wanted = reference.partition("@")
    versions = f"{url}/v1/customizations/{urllib.parse.quote(name, safe='')}/models"
    version = _version(versions, key, name, wanted or "production")
    files = _ask(f"{versions}/{version}/files?expiresIn={ADDRESS_SECONDS}", key)
    told = files["manifest"]
    # As it is stored: the API's own answer could write numbers in another way.
    text = bytes(_fetch(Part(told["sha256"], told["bytes"], told["url"], "manifest", tuple(told.get("otherUrls", ()))), threading.local()))
    manifest = _trusted_manifest(text, name, version, _Trust(url, key, trusted_keys, allow_unsigned))
    addresses: dict[str, tuple[str, ...]] = {item["sha256"]: (item["url"], *item.get("otherUrls", ())) for item in files["items"]}
    base = manifest.get("base")
    if base is not None:
        if base["sha256"] not in addresses:
            raise LoadError(f"the API names no address for the manifest of the base model {base['sha256']}")
        if base["bytes"] > BASE_MANIFEST_BYTES:
            raise LoadError(f"the manifest of the base model would have {base['bytes']} bytes: none has more than {BASE_MANIFEST_BYTES}")
        first, *others = addresses[base["sha256"]]
        part = Part(base["sha256"], base["bytes"], first, "manifest of the base model", tuple(others))
        manifest = with_base(manifest, bytes(_fetch(part, threading.local())))
    missing = [shard["sha256"] for shard in manifest["shards"] if shard["sha256"] not in addresses]
    if missing:
        raise LoadError(f"the API names no address for shard {missing[0]}")
    parts = [
        Part(shard["sha256"], shard["bytes"], urls[0], other_urls=urls[1:])
        for shard in manifest["shards"]
        for urls in [addresses[shard["sha256"]]]
    ]
    return Model(manifest, load_parts(manifest["tensors"], parts, parallel))


def load_parts(tensors: dict[str, Any], parts: list[Part], parallel: int = PARALLEL) -> dict[str, torch.Tensor]:
    """The tensors that a manifest names, out of shards wherever they lie."""
    used = {tensor["shard"] for tensor in tensors.values()}
    kept = threading.local()
    with ThreadPoolExecutor(max_workers=parallel) as threads:
        wanted = [part for part in parts if part.sha256 in used]
        fetched = threads.map(lambda part: _fetch(part, kept), wanted)
        # Not before: loading PyTorch takes as long as a gigabyte.
        import torch

        shards = {part.sha256: _tensors(part.sha256, torch.frombuffer(shard, dtype=torch.uint8)) for part, shard in zip(wanted, fetched, strict=True)}
    found: dict[str, torch.Tensor] = {}
    for name, told in tensors.items():
        tensor = shards.get(told["shard"], {}).get(name)
        if tensor is None:
            raise LoadError(f"shard {told['shard']} does not hold tensor {name}")
        if tensor.dtype != _dtype(told["dtype"]) or list(tensor.shape) != told["shape"]:
            raise LoadError(f"tensor {name} is {tensor.dtype} {list(tensor.shape)}, the manifest says {told['dtype']} {told['shape']}")
        found[name] = tensor
    return found


def with_base(manifest: dict[str, Any], text: bytes) -> dict[str, Any]:
    """A manifest of format 3 together with what the version has from its base model, whose manifest is `text`; its SHA-256 was compared. What the version
    names stands in for what its base names alike: tensors by name, shards by digest, files by path. Raises LoadError for what is no such manifest."""
    name = manifest["encoder"]["name"]
    try:
        base = json.loads(text)
        if base["format"] != "modelwright-base/1":
            raise LoadError(f"the manifest of the base model {name} has format {base['format']}, which this program does not know: use a newer one")
        if base["name"] != name:
            raise LoadError(f"the version is on the base model {name}, and names the manifest of {base['name']}: tell the operator")
        tensors = {**base["tensors"], **manifest["tensors"]}
        own_shards = {shard["sha256"] for shard in manifest["shards"]}
        used = {tensor["shard"] for tensor in tensors.values()}
        shards = [shard for shard in base["shards"] if shard["sha256"] in used and shard["sha256"] not in own_shards]
        paths = {file["path"] for file in manifest["files"]}
        files = [file for file in base["files"] if file["path"] not in paths]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise LoadError(f"what is stored as the manifest of the base model {name} is none: tell the operator") from error
    for shard in shards:
        unused = sorted(one for one, told in base["tensors"].items() if told["shard"] == shard["sha256"] and tensors[one]["shard"] != shard["sha256"])
        if unused:
            shard["unused"] = unused
    return {**manifest, "tensors": tensors, "shards": shards + manifest["shards"], "files": manifest["files"] + files}


class _Number(str):
    """A number as it is written: reading and writing it again could change its digits, and the signature is over them."""


def _canonical(value: Any) -> str:
    """JSON without white space, names sorted by their UTF-16 code units: what is signed."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{_canonical(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _keys(texts: Sequence[str], where: str) -> dict[str, bytes]:
    """Public keys by their identifiers."""
    found = {}
    for number, text in enumerate(texts, 1):
        try:
            raw = base64.b64decode(text.strip(), validate=True)
        except binascii.Error:
            raw = b""
        if len(raw) != 32:
            raise LoadError(f"{where} has a key (number {number}) that is not the base64 of 32 bytes")
        found[hashlib.sha256(raw).hexdigest()[:16]] = raw
    return found


class _Trust:
    """Whose versions are loaded."""

    def __init__(self, url: str, key: str, given: Sequence[str] | None, allow_unsigned: bool) -> None:
        self.allow_unsigned = allow_unsigned
        named = [text for text in os.environ.get("MW_TRUSTED_KEYS", "").split(",") if text.strip()]
        if given is not None:
            self.keys, self.remedy = _keys(given, "trusted_keys"), "if you trust it, add its public key to trusted_keys"
        elif named:
            self.keys, self.remedy = _keys(named, "MW_TRUSTED_KEYS"), "if you trust it, add its public key to MW_TRUSTED_KEYS"
        else:
            home = os.environ.get("MW_HOME")
            folder = (Path(home) if home else Path.home() / ".modelwright") / "trusted-keys"
            file = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"
            self.keys = _keys(_pinned(file, url, key), str(file))
            self.remedy = (
                f"{file} has the keys that {url} had at the first use. If its operator says that they have changed, delete that file, or name the new one in trusted_keys"
            )


def _pinned(file: Path, url: str, key: str) -> list[str]:
    """The keys that the API had at the first use. Of several at once the first decides."""
    try:
        if not file.exists():
            keys = [item["publicKey"] for item in _ask(f"{url}/v1/signing-keys", key)["items"]]
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = file.with_name(f"{file.name}.{uuid.uuid4()}")
            temporary.write_text(json.dumps({"url": url, "keys": keys}))
            try:
                os.link(temporary, file)
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
        keys = json.loads(file.read_text())["keys"]
    except OSError as error:
        raise LoadError(f"the signing keys of {url} cannot be kept in {file} ({error}): name them in trusted_keys or MW_TRUSTED_KEYS") from error
    except (ValueError, LookupError, TypeError) as error:
        raise LoadError(f"{file} is no list of trusted keys: mend it, or delete it to ask for them anew") from error
    if not isinstance(keys, list) or not all(isinstance(one, str) for one in keys):
        raise LoadError(f"{file} is no list of trusted keys: mend it, or delete it to ask for them anew")
    return keys


def _trusted_manifest(text: bytes, name: str, version: int, trust: _Trust) -> dict[str, Any]:
    def refused(why: str) -> UntrustedError:
        return UntrustedError(f"v{version} of {name} is not trusted: {why}")

    try:
        signed = json.loads(text, parse_int=_Number, parse_float=_Number)
        manifest = json.loads(text)
        form = manifest["format"]
        signature = signed.pop("signature", None)
        key_id, value = ("", "") if signature is None else (str(signature["keyId"]), str(signature["value"]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise LoadError(f"the manifest of v{version} of {name} is not one of a model") from error
    if form not in ("modelwright-model/1", "modelwright-model/2", "modelwright-model/3"):
        raise LoadError(f"v{version} of {name} has format {form}, which this program does not know: use a newer one")
    if signature is None and form != "modelwright-model/1":
        raise refused("its manifest has no signature: somebody has taken it away, or another program has written it")
    if signature is None and not trust.allow_unsigned:
        raise refused("it is from before versions were signed: retrain it, or load it with allow_unsigned=True if you trust whoever keeps the store")
    if signature is not None:
        if key_id not in trust.keys:
            raise refused(f"it is signed with the key {key_id}, which is not trusted here: {trust.remedy}")
        try:
            good = verify_ed25519(trust.keys[key_id], base64.b64decode(value), _canonical(signed).encode())
        except (ValueError, RecursionError):
            good = False
        if not good:
            raise refused(f"its signature is not that of the key {key_id}: the manifest was changed after it was signed")
    if (form == "modelwright-model/3") != ("base" in manifest):
        raise LoadError(f"the manifest of v{version} of {name} is not one of format {form}: only those of format 3 have their base model's apart")
    # A good signature does not say that it is what was asked for.
    if manifest.get("version") != version or manifest.get("customizationId") != name:
        raise refused(f"its manifest is that of v{manifest.get('version')} of {manifest.get('customizationId')}: tell the operator")
    return manifest


# Ed25519 (RFC 8032, 5.1): the curve -x^2 + y^2 = 1 + d x^2 y^2 over the integers modulo P; points as (X, Y, Z, T) with x = X/Z, y = Y/Z, T = XY/Z.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]


def _point(encoded: bytes) -> Point | None:
    """The point of 32 bytes; none where they are not the one encoding of a point."""
    number = int.from_bytes(encoded, "little")
    odd, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    above, below = (y * y - 1) % P, (D * y * y + 1) % P
    x = above * pow(below, 3, P) * pow(above * pow(below, 7, P), (P - 5) // 8, P) % P
    if below * x * x % P != above:
        x = x * ROOT_OF_MINUS_ONE % P
    if below * x * x % P != above or (x == 0 and odd):
        return None
    if x % 2 != odd:
        x = P - x
    return (x, y, 1, x * y % P)


def _add(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0])
    b = (one[1] + one[0]) * (other[1] + other[0])
    c = 2 * one[3] * other[3] * D
    d = 2 * one[2] * other[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _times(scalar: int, point: Point) -> Point:
    product: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            product = _add(product, point)
        point = _add(point, point)
        scalar >>= 1
    return product


BASE: Point = _point((4 * pow(5, -1, P) % P).to_bytes(32, "little")) or (0, 1, 1, 0)


def verify_ed25519(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (64 bytes) is that of the message by the key (32 bytes). Takes milliseconds."""
    if len(signature) != 64 or len(public_key) != 32:
        return False
    point, scalar = _point(public_key), int.from_bytes(signature[32:], "little")
    # A second signature of the same text could be made of one by adding the order.
    if point is None or scalar >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % ORDER
    x, y, z, _ = _add(_times(scalar, BASE), _times(challenge, (P - point[0], point[1], 1, P - point[3])))
    inverse = pow(z, -1, P)
    encoded = (y * inverse % P) | (x * inverse % P % 2) << 255
    return encoded.to_bytes(32, "little") == signature[:32]


def _dtype(name: str) -> torch.dtype | None:
    import torch

    return getattr(torch, DTYPES[name]) if name in DTYPES else None


def _memory(size: int) -> mmap.mmap:
    """Memory that is not touched before bytes come, and this process's alone where that can be said: pages that could be shared cost half as much again."""
    if hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return mmap.mmap(-1, max(size, 1))


def _version(versions: str, key: str, name: str, wanted: str) -> int:
    number = re.fullmatch(r"v?([0-9]+)", wanted)
    if number:
        return int(number[1])
    cursor = ""
    while True:
        page = _ask(f"{versions}?limit=1000{cursor}", key)
        for item in page["items"]:
            if wanted in item["aliases"]:
                return int(item["version"])
        if not page["nextCursor"]:
            raise LoadError(f"{name} has no version that is {wanted}")
        cursor = f"&cursor={urllib.parse.quote(page['nextCursor'])}"


def _connect(url: urllib.parse.SplitResult) -> http.client.HTTPConnection:
    connection = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    return connection(url.netloc, timeout=TIMEOUT_SECONDS)


def _ask(address: str, key: str) -> Any:
    url = urllib.parse.urlsplit(address)
    connection = _connect(url)
    try:
        connection.request("GET", f"{url.path}?{url.query}", headers={"authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        body = answer.read()
    except OSError as error:
        raise LoadError(f"{url.netloc} cannot be reached: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise LoadError(f"{url.path} was answered with {answer.status}: {body[:500].decode(errors='replace')}")
    return json.loads(body)


class _Download:
    """A shard on its way: goes on where it broke off."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.named = f"{part.kind} {part.sha256}"
        self.urls = [urllib.parse.urlsplit(url) for url in (part.url, *part.other_urls)]
        self.bytes = _memory(part.bytes)
        self.view = memoryview(self.bytes)
        self.again()

    @property
    def url(self) -> urllib.parse.SplitResult:
        return self.urls[0]

    def turn(self) -> None:
        """The next site's address comes first."""
        self.urls.append(self.urls.pop(0))

    def again(self) -> None:
        self.digest = hashlib.sha256()
        self.at = 0

    def read_on(self, connection: http.client.HTTPConnection) -> None:
        connection.request("GET", f"{self.url.path}?{self.url.query}", headers={"range": f"bytes={self.at}-"} if self.at else {})
        answer = connection.getresponse()
        if answer.status != (206 if self.at else 200):
            said = answer.read()[:200].decode(errors="replace")
            if answer.status >= 500:
                raise ConnectionError(f"the store answered {answer.status}")
            if answer.status == 404:
                raise LoadError(f"{self.named} is missing in the store: tell the operator, who can repair it")
            why = "; its address has expired, the API's key may not read the bucket, or clocks differ" if answer.status == 403 else ""
            raise LoadError(f"{self.named}: the store answered {answer.status} {said}{why}")
        while self.at < self.part.bytes:
            taken = answer.readinto(self.view[self.at : self.at + CHUNK_BYTES])
            if taken == 0:
                raise ConnectionError("the store closed the connection")
            self.digest.update(self.view[self.at : self.at + taken])
            self.at += taken
        if answer.read(1):
            raise LoadError(f"{self.named} is longer than the {self.part.bytes} bytes that the manifest names")


def _fetch(part: Part, kept: threading.local) -> mmap.mmap:
    """The bytes of a shard, checked, from whichever site has them right. `kept`: the thread's connection, which the next shard uses too."""
    download = _Download(part)
    for sites_left in reversed(range(len(download.urls))):
        try:
            _fetch_once(download, kept)
            return download.bytes
        except LoadError:
            if sites_left == 0:
                raise
            if getattr(kept, "connection", None) is not None:
                # An answer that was not read to its end is in the way of the next.
                kept.connection.close()
            kept.place = None
            download.turn()
            download.again()
    raise AssertionError("not reached")


def _fetch_once(download: _Download, kept: threading.local) -> None:
    part = download.part
    for left in reversed(range(TRIES)):
        place = (download.url.scheme, download.url.netloc)
        if getattr(kept, "place", None) != place:
            kept.place, kept.connection = place, _connect(download.url)
        try:
            download.read_on(kept.connection)
            break
        except (OSError, http.client.HTTPException) as error:
            kept.connection.close()
            kept.place = None
            if left > 0:
                download.turn()
                time.sleep(PAUSE_SECONDS)
                continue
            raise LoadError(f"{download.named} broke off at byte {download.at} of {part.bytes}: {error}") from error
    if download.digest.hexdigest() != part.sha256:
        raise LoadError(f"{download.named} is damaged: its bytes have the SHA-256 {download.digest.hexdigest()}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for name, value in pairs:
        if name in names:
            raise LoadError(f"its header names {name} twice")
        names[name] = value
    return names


def _header(shard: torch.Tensor) -> tuple[dict[str, Any], int]:
    """What a safetensors file says of its tensors, and where they begin. Raises LoadError, which does not name the file."""
    start = bytes(shard[:8].numpy())
    likeness = next((f": it begins like {name}, which is not read" for magic, name in OTHER_FORMATS.items() if start.startswith(magic)), "")
    if len(start) < 8:
        raise LoadError("it is shorter than the 8 bytes of the header's length")
    length = struct.unpack("<Q", start)[0]
    if length > HEADER_BYTES or 8 + length > len(shard):
        raise LoadError(f"its header would be {length} bytes long{likeness}")
    try:
        header = json.loads(bytes(shard[8 : 8 + length].numpy()).decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise LoadError(f"its header is not JSON{likeness}") from error
    if not isinstance(header, dict):
        raise LoadError("its header is not an object")
    header.pop("__metadata__", None)
    return header, 8 + length


def _tensors(sha256: str, shard: torch.Tensor) -> dict[str, torch.Tensor]:
    """Views into a shard, which is a safetensors file without gaps and overlaps."""
    try:
        header, start = _header(shard)
    except LoadError as error:
        raise LoadError(f"shard {sha256} is no safetensors file: {error}") from error
    data = shard[start:]
    found = {}
    places = []
    for name, told in header.items():
        try:
            begin, end = told["data_offsets"]
            kind, shape = told["dtype"], told["shape"]
            # True is a number of Python, not of JSON.
            natural = all(type(number) is int and number >= 0 for number in (begin, end, *shape))
            dtype = _dtype(kind)
        except (LookupError, TypeError, ValueError) as error:
            raise LoadError(f"tensor {name} of shard {sha256} has no type, shape and offsets") from error
        if not natural or dtype is None or not begin <= end <= len(data) or end - begin != math.prod(shape) * dtype.itemsize:
            raise LoadError(f"tensor {name} of shard {sha256}: {kind} {shape} is not what lies at {begin} to {end}")
        places.append((begin, end, name))
        part = data[begin:end]
        # Only a copy starts where its numbers may.
        aligned = part.storage_offset() % dtype.itemsize == 0
        found[name] = (part if aligned else part.clone()).view(dtype).reshape(shape)
    at = 0
    for begin, end, name in sorted(places):
        if begin != at:
            raise LoadError(f"tensor {name} of shard {sha256} starts at {begin}, the one before ends at {at}")
        at = end
    if at != len(data):
        raise LoadError(f"shard {sha256} has {len(data)} bytes of tensors, its header describes {at}")
    return found
