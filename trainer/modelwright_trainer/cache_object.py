"""A folder of kept embeddings as one object: a tar of its segment files, by name. Both ways it streams: no second copy lies on the disk."""

import os
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path

from .embedding_cache import LIMIT_BYTES
from .transfer import Check, Counted, chunks

#: FOLDER/SEGMENT.seg, as `EmbeddingCache` names them; nothing else is written, whatever an object says.
NAME = re.compile(r"[A-Za-z0-9-]{1,80}/[0-9a-f]{1,64}\.seg")
BLOCK = tarfile.BLOCKSIZE

#: Segments never change once they are written: their names say what a folder holds.
Names = frozenset[str]


def names_in(root: Path) -> Names:
    return frozenset(path.relative_to(root).as_posix() for path in root.glob("*/*.seg"))


def size_of(root: Path, names: Names) -> int:
    """Of the object, in bytes."""
    sizes = [(root / name).stat().st_size for name in names]
    return sum(BLOCK + size + -size % BLOCK for size in sizes) + 2 * BLOCK


def packed(root: Path, names: Names, check: Check = lambda: None) -> Iterable[bytes]:
    """Equal folders give equal bytes: when a segment was last used is kept, for the longest unused go first."""
    for name in sorted(names):
        with open(root / name, "rb") as file:
            about = tarfile.TarInfo(name)
            stat = (root / name).stat()
            about.size, about.mtime = stat.st_size, int(stat.st_mtime)
            yield about.tobuf(tarfile.USTAR_FORMAT)
            yield from chunks(file, check)
            yield b"\0" * (-about.size % BLOCK)
    yield b"\0" * (2 * BLOCK)


def unpack(body: Counted, root: Path, check: Check = lambda: None) -> None:
    """Writes the segments that are not there. Raises ValueError for an object that is none of these; each segment has a checksum of its own."""
    room = LIMIT_BYTES
    try:
        with tarfile.open(fileobj=body, mode="r|") as tar:
            for about in tar:
                if about.type != tarfile.REGTYPE or not NAME.fullmatch(about.name):
                    raise ValueError("it names a file that is no segment of embeddings")
                room -= about.size
                if room < 0:
                    raise ValueError(f"it holds more than {LIMIT_BYTES} bytes")
                target, source = root / about.name, tar.extractfile(about)
                if source is None or target.exists():
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary = target.with_name(f".new.{target.name}")
                with open(temporary, "wb") as file:
                    for data in chunks(source, check):
                        file.write(data)
                os.utime(temporary, (about.mtime, about.mtime))
                os.rename(temporary, target)
    except tarfile.TarError as error:
        raise ValueError("it is no whole tar file") from error
