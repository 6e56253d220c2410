"""Reads a pulled model without Modelwright, as docs/store/format.md describes it: python read_model.py FOLDER [PUBLIC_KEY_IN_BASE64 ...]

Checks every digest and the signature, and prints one line of JSON: tensors with their shape, type and sum. Standard library and numpy only; the signature
is checked where the package `cryptography` is installed.
"""

import base64
import hashlib
import json
import struct
import sys
from pathlib import Path

import numpy

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "?"}


class Number(str):
    """A number as it is written: reading and writing it again could change its digits, and the signature is over them."""


def canonical(value) -> str:
    """JSON without white space, names sorted by their UTF-16 code units."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{canonical(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def refuse(why: str):
    raise SystemExit(f"refused: {why}")


def check_signature(manifest: dict, public_keys: list) -> str:
    signature = manifest.pop("signature", None)
    if signature is None:
        return "none" if manifest["format"] == "modelwright-model/1" else refuse("the manifest has no signature")
    if not public_keys:
        return "not checked: no key was given"
    raw_keys = {hashlib.sha256(raw).hexdigest()[:16]: raw for raw in map(base64.b64decode, public_keys)}
    if signature["keyId"] not in raw_keys:
        refuse(f"it is signed with the key {signature['keyId']}, which was not given")
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return "not checked: the package cryptography is not installed"
    try:
        key = Ed25519PublicKey.from_public_bytes(raw_keys[signature["keyId"]])
        key.verify(base64.b64decode(signature["value"]), canonical(manifest).encode("utf-8"))
    except InvalidSignature:
        refuse("the signature is wrong: the manifest was changed after it was signed")
    return "good"


def add_base(manifest: dict, folder: Path) -> None:
    """Format 3: what the version has from its base model is in a manifest of that, which its own names by digest."""
    reference = manifest["base"]
    text = (folder / f"base-{reference['sha256']}.json").read_bytes()
    base = json.loads(text) if hashlib.sha256(text).hexdigest() == reference["sha256"] else refuse("the manifest of the base model does not have its SHA-256")
    if (base["format"], base["name"]) != ("modelwright-base/1", manifest["encoder"]["name"]):
        refuse("the manifest of the base model is that of another one")
    manifest["tensors"] = base["tensors"] | manifest["tensors"]
    used = {tensor["shard"] for tensor in manifest["tensors"].values()} - {shard["sha256"] for shard in manifest["shards"]}
    manifest["shards"] = [shard for shard in base["shards"] if shard["sha256"] in used] + manifest["shards"]
    paths = {file["path"] for file in manifest["files"]}
    manifest["files"] += [file for file in base["files"] if file["path"] not in paths]


def read(folder: Path, public_keys: list) -> dict:
    text = (folder / "manifest.json").read_text("utf-8")
    signature = check_signature(json.loads(text, parse_int=Number, parse_float=Number), public_keys)
    manifest = json.loads(text)
    if manifest["format"] == "modelwright-model/3":
        add_base(manifest, folder)
    count = len(manifest["shards"])
    shards = {}
    for at, shard in enumerate(manifest["shards"], 1):
        path = folder / f"model-{at:05}-of-{count:05}.safetensors"
        shards[shard["sha256"]] = path.read_bytes()
        if hashlib.sha256(shards[shard["sha256"]]).hexdigest() != shard["sha256"]:
            refuse(f"{path.name} does not have the SHA-256 of its shard")
    for file in manifest["files"]:
        if hashlib.sha256((folder / file["path"]).read_bytes()).hexdigest() != file["sha256"]:
            refuse(f"{file['path']} does not have its SHA-256")
    tensors = {}
    for name, tensor in manifest["tensors"].items():
        data = shards[tensor["shard"]]
        length = struct.unpack("<Q", data[:8])[0]
        entry = json.loads(data[8 : 8 + length])[name]
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        if (begin, end - begin) != (tensor.get("offset", begin), tensor["bytes"]) or entry["shape"] != tensor["shape"]:
            refuse(f"the shard has {name} elsewhere than the manifest says")
        if hashlib.sha256(data[begin:end]).hexdigest() != tensor.get("sha256", hashlib.sha256(data[begin:end]).hexdigest()):
            refuse(f"the tensor {name} does not have its SHA-256")
        if tensor["dtype"] == "BF16":  # the upper half of a 32-bit float
            values = (numpy.frombuffer(data[begin:end], "<u2").astype("<u4") << 16).view("<f4")
        else:
            values = numpy.frombuffer(data[begin:end], TYPES[tensor["dtype"]])
        values = values.reshape(tensor["shape"])
        tensors[name] = {"shape": list(values.shape), "dtype": tensor["dtype"], "sum": float(values.astype("f8").sum())}
    return {"version": manifest["version"], "signature": signature, "tensors": tensors}


if __name__ == "__main__":
    print(json.dumps(read(Path(sys.argv[1]), sys.argv[2:])))
