"""What is known of a checkpoint's file without loading what reads it."""

import hashlib
from pathlib import Path

from .transfer import CHUNK_BYTES

CHECKSUM_BYTES = 32


def is_whole(path: Path) -> bool:
    """Whether the file ends with the checksum of what is before, read piece by piece."""
    checksum, left = hashlib.sha256(), path.stat().st_size - CHECKSUM_BYTES
    with open(path, "rb") as file:
        while left > 0 and (data := file.read(min(left, CHUNK_BYTES))):
            checksum.update(data)
            left -= len(data)
        return left == 0 and file.read() == checksum.digest()
