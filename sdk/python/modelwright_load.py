"""Loads a published version of a model into PyTorch tensors: each shard is fetched, checked and used where it lands in memory.

    from modelwright_load import load
    model = load("http://127.0.0.1:8080", key, "news@production")
    model.tensors["classifier.weight"]        # a torch.Tensor; nothing was written to disk

A tensor is handed out only after the SHA-256 of its whole shard was found right. Needs PyTorch and the standard library.
"""

from __future__ import annotations

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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


class LoadError(Exception):
    """The version does not exist, cannot be reached, or is damaged: says which, and where."""


@dataclass(frozen=True)
class Model:
    """`manifest` as the API answers it; `tensors` by name, on the CPU."""

    manifest: dict[str, Any]
    tensors: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Part:
    sha256: str
    bytes: int
    url: str
    #: The same bytes on another site of the store.
    other_urls: tuple[str, ...] = ()


def load(url: str, key: str, reference: str, parallel: int = PARALLEL) -> Model:
    """`reference`: `news`, `news@production` or `news@v3`. `parallel`: shards on the way at once. Raises LoadError."""
    name, _, wanted = reference.partition("@")
    versions = f"{url.rstrip('/')}/v1/customizations/{urllib.parse.quote(name, safe='')}/models"
    version = _version(versions, key, name, wanted or "production")
    manifest = _ask(f"{versions}/{version}/manifest", key)
    addresses = {item["sha256"]: (item["url"], *item.get("otherUrls", [])) for item in _ask(f"{versions}/{version}/files", key)["items"]}
    parts = [Part(shard["sha256"], shard["bytes"], urls[0], urls[1:]) for shard in manifest["shards"] for urls in [addresses[shard["sha256"]]]]
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


def _dtype(name: str) -> torch.dtype | None:
    import torch

    return getattr(torch, DTYPES[name]) if name in DTYPES else None


def _memory(size: int) -> mmap.mmap:
    """Memory that is not touched before bytes come, in large pages where there are any: it takes a quarter of the time then."""
    memory = mmap.mmap(-1, max(size, 1))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


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
            raise LoadError(f"shard {self.part.sha256}: the store answered {answer.status} {said}")
        while self.at < self.part.bytes:
            taken = answer.readinto(self.view[self.at : self.at + CHUNK_BYTES])
            if taken == 0:
                raise ConnectionError("the store closed the connection")
            self.digest.update(self.view[self.at : self.at + taken])
            self.at += taken
        if answer.read(1):
            raise LoadError(f"shard {self.part.sha256} is longer than the {self.part.bytes} bytes that the manifest names")


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
            raise LoadError(f"shard {part.sha256} broke off at byte {download.at} of {part.bytes}: {error}") from error
    if download.digest.hexdigest() != part.sha256:
        raise LoadError(f"shard {part.sha256} is damaged: its bytes have the SHA-256 {download.digest.hexdigest()}")


def _tensors(sha256: str, shard: torch.Tensor) -> dict[str, torch.Tensor]:
    """Views into a shard, which is a safetensors file."""
    length = struct.unpack("<Q", bytes(shard[:8].numpy()))[0] if len(shard) >= 8 else len(shard)
    if 8 + length > len(shard):
        raise LoadError(f"shard {sha256} is no safetensors file: its header would be {length} bytes long")
    try:
        header = json.loads(bytes(shard[8 : 8 + length].numpy()))
    except ValueError as error:
        raise LoadError(f"shard {sha256} is no safetensors file: its header is not JSON") from error
    data = shard[8 + length :]
    found = {}
    for name, told in header.items():
        if name == "__metadata__":
            continue
        begin, end = told["data_offsets"]
        dtype = _dtype(told["dtype"])
        if dtype is None or not 0 <= begin <= end <= len(data) or end - begin != math.prod(told["shape"]) * dtype.itemsize:
            raise LoadError(f"tensor {name} of shard {sha256}: {told['dtype']} {told['shape']} is not what lies at {begin} to {end}")
        part = data[begin:end]
        # Only a copy starts where its numbers may.
        aligned = part.storage_offset() % dtype.itemsize == 0
        found[name] = (part if aligned else part.clone()).view(dtype).reshape(told["shape"])
    return found
