"""Jobs as pods see them: everything by address, and nothing left in their folder by another."""

import hashlib
import shutil
from pathlib import Path

from conftest import JobFolder
from object_server import ObjectServer


def remote(store: ObjectServer, base: Path, attempt: int = 1) -> dict:
    """What a specification has for attempt n; the base model's files become objects."""
    files = []
    for path in sorted(base.iterdir()):
        data = store.objects[f"base/{path.name}"] = path.read_bytes()
        files.append({"path": path.name, "url": store.url(f"base/{path.name}"), "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
    return {
        "baseModel": files,
        "checkpoint": {"put": store.url(f"checkpoint-{attempt}"), "get": [store.url(f"checkpoint-{n}") for n in range(attempt, 0, -1)]},
        "cache": {"put": store.url("cache"), "get": store.url("cache")},
    }


def as_pod(folder: JobFolder, store: ObjectServer, attempt: int = 1, **changes: object) -> None:
    """As a new pod finds it: nothing in the work folder, and no folder of the base model."""
    base = folder.base
    shutil.rmtree(folder.folder)
    folder.folder.mkdir()
    parts = {"baseModel": {"name": "tiny", "path": str(folder.folder / "none")}, "remote": remote(store, base, attempt)}
    folder.specify(**(parts | changes))


def messages(lines: list[dict]) -> str:
    return "\n".join(line["message"] for line in lines if line["type"] == "log")
