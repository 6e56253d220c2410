"""The job's folder: who works in it, what it has come to, and the wish to stop."""

import errno
import fcntl
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from .errors import EXIT_OF, JobError
from .last_word import leave_word

if TYPE_CHECKING:
    from .remote import Remote
    from .workers import Workers


def write_atomically(path: Path, data: bytes) -> None:
    """Either the old bytes or the new ones, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)


class Job:
    """Holds the folder's lock while it lives, so that two starts never train twice."""

    def __init__(self, work_dir: Path) -> None:
        self.work_dir = work_dir
        self.checkpoints = work_dir / "checkpoints"
        self.stop_asked = False
        #: What the job has instead of a lasting disk.
        self.remote: Remote | None = None
        #: Set before anything is trained.
        self.workers: Workers
        self._lock: TextIO | None = None

    def take(self) -> bool:
        """False when another process works here."""
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.work_dir / "lock", "w")  # noqa: SIM115 - held until the process ends
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise JobError("storage", f"the job's work folder cannot be written ({type(error).__name__})") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        stat = Path("/proc/self/stat")
        # The name in parentheses may hold spaces: field 22 is the 20th after it.
        ticks = stat.read_text().rpartition(")")[2].split()[19] if stat.exists() else ""
        write_atomically(self.work_dir / "pid", json.dumps({"pid": os.getpid(), "startTicks": ticks}).encode())
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        signal.signal(signal.SIGINT, self._ask_to_stop)
        return True

    def _ask_to_stop(self, *_: object) -> None:
        self.stop_asked = True

    def check_stop(self) -> None:
        """Called where a checkpoint has just been written, or costs nothing to lose."""
        if self.stop_asked:
            raise stopped()

    def finished(self, digest: str) -> bool:
        """Whether this very job has ended well before."""
        try:
            result = json.loads((self.work_dir / "result.json").read_text())
        except (OSError, ValueError):
            return False
        return result.get("class") == "ok" and result.get("specDigest") == digest

    def write_result(self, result: dict[str, Any]) -> None:
        write_atomically(self.work_dir / "result.json", json.dumps(result, sort_keys=True, allow_nan=False).encode())

    def fail(self, error: JobError) -> int:
        result: dict[str, Any] = {"class": error.kind, "exit": EXIT_OF[error.kind], "message": error.message}
        if error.rows:
            result["rows"] = error.rows
        leave_word(error)
        try:
            self.write_result(result)
        except OSError:
            # A full or closed folder must not hide why the job ends: its status and its last word tell it.
            traceback.print_exc()
        return EXIT_OF[error.kind]


def stopped() -> JobError:
    return JobError("preempted", "stopped on request; what was done so far is kept")


class Progress:
    """JSON lines on standard output, a few a second; the last of a phase is always printed."""

    EVERY_S = 0.2

    def __init__(self) -> None:
        self._last = 0.0
        self._phase = ""
        self._phase_started = 0.0
        # What works beside the training logs too.
        self._printing = threading.Lock()

    def tell(self, phase: str, step: int, steps: int, *, epoch: float = 0, loss: float | None = None, share: float | None = None, samples: int = 0) -> None:
        """`share` is how much of the phase's work is done where steps are not equal."""
        now = time.time()
        if phase != self._phase:
            self._phase, self._phase_started, self._last = phase, now, 0.0
        if now - self._last < self.EVERY_S and step < steps:
            return
        self._last = now
        elapsed = now - self._phase_started
        done = step / max(steps, 1) if share is None else share
        self._print(
            {
                "type": "progress",
                "at": round(now * 1000),
                "phase": phase,
                "step": step,
                "steps": steps,
                "epoch": round(epoch, 3),
                "loss": loss,
                "etaMs": round(elapsed / done * (1 - done) * 1000) if done > 0 and elapsed > 0.5 else None,
                "samplesPerSecond": round(samples / elapsed, 1) if elapsed > 0 and samples else None,
            }
        )

    def log(self, level: str, message: str) -> None:
        self._print({"type": "log", "at": round(time.time() * 1000), "level": level, "message": message})

    def _print(self, value: dict[str, Any]) -> None:
        with self._printing:
            sys.stdout.write(json.dumps(value) + "\n")
            sys.stdout.flush()
