"""Checks a lineage file with SHA-256 and nothing of ours: what docs/04-sensing.md describes, in a few lines."""
import hashlib
import json
import sys

lineage = json.load(open(sys.argv[1], encoding="utf-8"))
assert lineage["format"] == "modelwright-lineage/1"
for item in lineage["items"]:
    digest = bytes.fromhex(item["leaf"]["digest"])
    for step in item["proof"]:
        neighbour = bytes.fromhex(step["digest"])
        pair = neighbour + digest if step["side"] == "left" else digest + neighbour
        digest = hashlib.sha256(b"\x01" + pair).digest()
    if digest.hex() != item["dataset"]["digest"]:
        sys.exit(1)
print("ok", len(lineage["items"]))
