"""What a job without a lasting disk fetches when it starts and leaves in the store: base model, newest checkpoint, kept embeddings."""

import dataclasses
import hashlib
import math
import re
import time
import urllib.parse
from pathlib import Path, PurePosixPath
from typing import IO

from .cache_object import Names, names_in, packed, size_of, unpack
from .checkpoint_file import is_whole
from .checkpoint_upload import CheckpointUpload
from .errors import JobError
from .job import Job, Progress
from .spec import BaseFile, RemoteFolders, Spec
from .transfer import Counted, Missing, chunks, counted, read, send

#: Sorts before every checkpoint that this job writes itself: which step it has, its content says.
FETCHED_CHECKPOINT = "step-000000000.ckpt"
#: Of a base model's folder.
ABOUT_BASE = "modelwright.json"
#: A job that is asked to stop uploads embeddings up to this size, and begins no attempt after this time.
CHEAP_CACHE_BYTES, LAST_CACHE_S = 256 * 1024**2, 15.0


class Remote:
    def __init__(self, folders: RemoteFolders, job: Job, progress: Progress) -> None:
        self._folders, self._job, self._progress = folders, job, progress
        self._checkpoints = CheckpointUpload(folders.checkpoint_put, progress.log)
        #: Where kept embeddings are, once they were asked for, and what is in the store of them.
        self._cache: Path | None = None
        self._stored: Names = frozenset()

    def with_base(self, spec: Spec) -> Spec:
        """With a base model that is there: the folder of the specification, if it is that very model, or one that is filled now."""
        if spec.base_path.is_dir() and self._describes(spec.base_path):
            return spec
        folder = self._job.work_dir / "base" / (re.sub(r"[^\w.-]", "-", spec.base_name).strip(".") or "model")
        files = self._folders.base_model
        targets = [(file, inside(folder, file.path)) for file in files]
        whole, done, started = sum(file.size for file in files), 0, time.monotonic()
        self._progress.tell("load", 0, whole)
        for file, target in targets:
            if not _has(target, file):
                self._fetch_file(file, target, done, whole)
            done += file.size
        self._progress.log("info", f"fetched the base model, {whole} bytes, in {time.monotonic() - started:.1f} s")
        return dataclasses.replace(spec, base_path=folder)

    def _describes(self, folder: Path) -> bool:
        """An image may be older than the installation: the file that names every other file's digest says whether the folder is meant."""
        about = next((file for file in self._folders.base_model if file.path == ABOUT_BASE), None)
        return about is None or _has(folder / ABOUT_BASE, about)

    def _fetch_file(self, file: BaseFile, target: Path, before: int, whole: int) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".new.{target.name}")
        name = f"the base model's file {file.path}"

        def write(body: IO[bytes]) -> str:
            digest, done = hashlib.sha256(), before
            with open(partial, "wb") as out:
                for data in chunks(Counted(body, file.size, name), self._job.check_stop):
                    digest.update(data)
                    out.write(data)
                    done += len(data)
                    self._progress.tell("load", done, whole)
            return digest.hexdigest()

        try:
            found = read(file.urls, write, self._job.check_stop)
        except Missing as error:
            raise JobError("storage", f"{name} cannot be had: {error.message}") from error
        if found != file.sha256:
            raise JobError("storage", f"{name} does not have the SHA-256 of its description")
        partial.rename(target)

    def fetch_checkpoint(self) -> None:
        """The newest one that is whole, unless this folder has its own. Of two sites of the store, the one that answers is enough: what only the other has costs time."""
        folder = self._job.checkpoints
        if any(folder.glob("step-*.ckpt")):
            return
        target = folder / FETCHED_CHECKPOINT
        here: set[str] = set()
        away: dict[str, JobError] = {}
        for url in self._folders.checkpoint_get:
            site = urllib.parse.urlsplit(url).netloc
            if site in away:
                continue

            def write(body: IO[bytes]) -> None:
                with open(target, "wb") as out:
                    for data in chunks(counted(body, "a checkpoint"), self._job.check_stop):
                        out.write(data)

            try:
                read(url, write, self._job.check_stop)
            except Missing:
                here.add(site)
                continue
            except JobError as error:
                if error.kind != "storage":
                    raise
                target.unlink(missing_ok=True)
                away[site] = error
                continue
            here.add(site)
            if is_whole(target):
                self._progress.log("info", "goes on from a checkpoint of the store")
                return
            self._progress.log("warn", "a checkpoint of the store is damaged: looking for an earlier one")
            target.unlink()
        for site, error in away.items():
            if not here - away.keys():
                raise error
            self._progress.log("warn", f"a site of the store ({site}) was not asked for checkpoints, the training begins without: {error}")

    def fetch_cache(self, root: Path) -> None:
        """Called where embeddings are needed: a fine-tuning never asks. What cannot be read is computed again."""
        if self._cache is not None:
            return
        self._cache = root
        try:
            read(self._folders.cache_get, lambda body: unpack(counted(body, "the object of kept embeddings"), root, self._fetching), self._fetching)
            self._stored = names_in(root)
        except Missing:
            pass
        except ValueError as error:
            self._progress.log("warn", f"the kept embeddings in the store are not used: {error}")
        except JobError as error:
            if error.kind != "storage":
                raise
            self._progress.log("warn", f"the kept embeddings are not fetched, they are computed again: {error}")

    def keep_cache(self, *, hurry: bool = False) -> None:
        """Uploads the embeddings if there are others than in the store. No reason to fail: they can be computed again."""
        if self._cache is None or (names := names_in(self._cache)) == self._stored:
            return
        root = self._cache
        try:
            size = size_of(root, names)
            if hurry and size > CHEAP_CACHE_BYTES:
                return
            body = (lambda: packed(root, names)) if hurry else (lambda: packed(root, names, self._uploading))
            send(self._folders.cache_put, body, size, patience_s=LAST_CACHE_S if hurry else math.inf)
            self._stored = names
        except (JobError, OSError) as error:
            self._progress.log("warn", f"the embeddings are not kept for the next training: {error}")

    def offer(self, checkpoint: Path) -> None:
        self._checkpoints.offer(checkpoint)

    def leave(self) -> None:
        """The job was asked to stop: what the next attempt can go on from must be in the store when this returns."""
        try:
            self._checkpoints.finish()
        except (JobError, OSError) as error:
            self._progress.log("warn", f"the last checkpoint was not uploaded, the next attempt does more again: {error}")
        self.keep_cache(hurry=True)

    def _fetching(self) -> None:
        """Between pieces: heard by who asks whether the job is alive, and by who asks it to stop."""
        self._progress.tell("embed", 0, 1)
        self._job.check_stop()

    def _uploading(self) -> None:
        self._progress.tell("upload", 0, 1)
        if self._job.stop_asked:
            # The result, which is nearly there, is worth more.
            raise JobError("storage", "the job is asked to stop")


def inside(folder: Path, path: str) -> Path:
    """Where a file of the folder lies. A path that leads out of it is refused."""
    pure = PurePosixPath(path)
    if not path or "\0" in path or "\\" in path or pure.is_absolute() or ".." in pure.parts or pure.name.startswith(".new.") or pure == PurePosixPath("."):
        raise JobError("bad_options", f"the base model's description names a file outside of its folder: {path[:80]!r}")
    return folder / pure


def _has(target: Path, file: BaseFile) -> bool:
    """Whether an earlier start in this folder has fetched it."""
    if not target.is_file() or target.stat().st_size != file.size:
        return False
    with open(target, "rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest() == file.sha256
