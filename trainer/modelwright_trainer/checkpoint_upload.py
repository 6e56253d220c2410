"""Carries checkpoints to the store while the training goes on: the newest, one at a time, as rarely as their cost demands."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from .errors import JobError
from .transfer import upload

#: Between two uploads at least; after one that failed, the store is left alone for longer.
LEAST_WAIT_S, WAIT_AFTER_FAILURE_S = 5.0, 30.0
#: At the end, so long for an upload that is no longer wanted to let go, and for the newest: a pod is killed 60 s after it was asked to stop.
LET_GO_S, LAST_UPLOAD_S = 3.0, 40.0


class Superseded(Exception):
    """The upload that runs is not the newest any more, and the end is near."""


class CheckpointUpload:
    def __init__(self, url: str, log: Callable[[str, str], None]) -> None:
        self._url, self._log = url, log
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._newest: Path | None = None
        self._uploaded: Path | None = None
        self._closed = False

    def offer(self, path: Path) -> None:
        """A checkpoint has been written, whole."""
        with self._changed:
            self._newest = path
            if self._thread is None:
                # Ends with the process: what is not uploaded by then was not worth waiting for, or `finish` has been asked.
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify()

    def finish(self) -> None:
        """Returns when the newest checkpoint is in the store. Raises JobError storage when that fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(LET_GO_S)
        if self._newest is not None and self._newest != self._uploaded:
            upload(self._url, self._newest, patience_s=LAST_UPLOAD_S)
            self._uploaded = self._newest

    def _work(self) -> None:
        next_at = 0.0
        while True:
            with self._changed:
                while not self._closed and (self._newest == self._uploaded or time.monotonic() < next_at):
                    self._changed.wait(None if self._newest == self._uploaded else next_at - time.monotonic())
                if self._closed:
                    return
                path = self._newest
            assert path is not None
            started, pause = time.thread_time(), LEAST_WAIT_S
            try:
                upload(self._url, path, check=self._go_on)
                self._uploaded = path
            except Superseded:
                return
            except FileNotFoundError:
                # Newer ones have taken its place before it was opened.
                continue
            except (JobError, OSError) as error:
                pause = WAIT_AFTER_FAILURE_S
                self._log("warn", f"a checkpoint was not uploaded, the training goes on: {error}")
            # Imported here: a pod that fetches and ends needs no PyTorch, and who uploads has loaded it.
            from .checkpoint import writer_budget

            next_at = time.monotonic() + max(pause, (time.thread_time() - started) / writer_budget())

    def _go_on(self) -> None:
        if self._closed:
            raise Superseded
