"""Embeddings that outlive a job: segment files that are written once, whole, and found by digest.

No locks: a segment appears by a rename with its checksum inside, so a kill leaves at most a temporary file, writers side by side
write segments of their own, and a reader to whom a file vanishes computes again. Which of equal entries wins does not matter:
the embedding of a text is the same bits whatever it was computed beside.
"""

import contextlib
import hashlib
import os
import secrets
import struct
import time
from pathlib import Path

import numpy as np

KEY_BYTES = 16
MAGIC = b"mwemb/1\n"
CHECKSUM_BYTES = 32
#: Small segments are merged beyond this many: each retrain leaves one.
MOST_SEGMENTS = 16
#: Of the whole folder, all encoders together. The longest unused segments go first.
LIMIT_BYTES = 2 * 1024**3
#: What a killed writer left.
STALE_TEMPORARY_S = 3600.0

Entries = dict[bytes, np.ndarray]


def key_of(tokens: list[int]) -> bytes:
    return hashlib.blake2b(np.asarray(tokens, dtype=np.int32).tobytes(), digest_size=KEY_BYTES).digest()


class EmbeddingCache:
    """f32 [n, dim] by key, for one encoder and one kind of embedding."""

    def __init__(self, root: Path, name: str, limit_bytes: int = LIMIT_BYTES) -> None:
        self.root, self.folder, self.limit_bytes = root, root / name, limit_bytes
        self.folder.mkdir(parents=True, exist_ok=True)

    def find(self, keys: set[bytes]) -> Entries:
        """Those of the keys that are kept."""
        found: Entries = {}
        for path in self._segments():
            entries = _read(path)
            if entries is None:
                # Torn or flipped: worth nothing, and in the way of nobody.
                path.unlink(missing_ok=True)
                continue
            wanted = entries.keys() & keys
            if wanted:
                found |= {key: entries[key] for key in wanted}
                with contextlib.suppress(OSError):
                    os.utime(path)
        return found

    def add(self, entries: Entries) -> None:
        if entries:
            self._write(entries)

    def tidy(self) -> None:
        """Merges small segments and drops the longest unused ones above the limit."""
        small = [path for path in self._segments() if _size(path) < self.limit_bytes // 8]
        if len(small) > MOST_SEGMENTS:
            merged: Entries = {}
            for path in small:
                merged |= _read(path) or {}
            self.add(merged)
            for path in small:
                path.unlink(missing_ok=True)
        now = time.time()
        for path in self.root.glob("*/.new.*"):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > STALE_TEMPORARY_S:
                    path.unlink()
        segments = []
        for path in self.root.glob("*/*.seg"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                segments.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in segments)
        for _, size, path in sorted(segments):
            if total <= self.limit_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.seg"))

    def _write(self, entries: Entries) -> None:
        keys = sorted(entries)
        vectors = np.concatenate([entries[key] for key in keys]).astype(np.float32, copy=False)
        lengths = np.array([len(entries[key]) for key in keys], dtype=np.uint32)
        parts = [MAGIC, struct.pack("<QQ", len(keys), vectors.shape[1]), b"".join(keys), lengths.tobytes(), vectors.tobytes()]
        digest = hashlib.sha256()
        temporary = self.folder / f".new.{secrets.token_hex(8)}"
        with open(temporary, "wb") as file:
            for part in parts:
                digest.update(part)
                file.write(part)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, self.folder / f"{secrets.token_hex(8)}.seg")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read(path: Path) -> Entries | None:
    """None for a file that is not whole; nothing for one that has just gone."""
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    body = memoryview(data)[:-CHECKSUM_BYTES]
    if not data.startswith(MAGIC) or hashlib.sha256(body).digest() != data[-CHECKSUM_BYTES:]:
        return None
    count, dim = struct.unpack_from("<QQ", data, len(MAGIC))
    at = len(MAGIC) + 16
    keys = [data[at + i * KEY_BYTES : at + (i + 1) * KEY_BYTES] for i in range(count)]
    at += count * KEY_BYTES
    ends = np.cumsum(np.frombuffer(data, np.uint32, count, at), dtype=np.int64)
    vectors = np.frombuffer(body, np.float32, -1, at + 4 * count).reshape(-1, dim)
    starts = [0, *ends[:-1].tolist()]
    return {key: vectors[start:end] for key, start, end in zip(keys, starts, ends.tolist(), strict=True)}
