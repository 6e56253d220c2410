"""Checkpoints of a fine-tuning: the last two, each with its checksum, written while the training goes on.

A checkpoint is safetensors with a SHA-256 behind it: no pickle is ever read back. A file that is torn or flipped counts as absent,
and the one before stands in for it.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load

from .checkpoint_file import CHECKSUM_BYTES

KEPT = 2
#: Copying stops the training, for this share of the time at most.
STALL_BUDGET = 0.03
#: Checksum and file are made beside it, and may take this share of a core; with a core less than threads it is the training's own time.
WRITER_BUDGET, WRITER_BUDGET_WITHOUT_CORE = 0.1, 0.02
LEAST_WAIT_S = 1.0

State = dict[str, torch.Tensor]
DTYPES = {torch.float32: "F32", torch.uint8: "U8", torch.int64: "I64"}


def writer_budget() -> float:
    """The share of a core that work beside the training may take."""
    spare = len(os.sched_getaffinity(0)) > torch.get_num_threads()
    return WRITER_BUDGET if spare else WRITER_BUDGET_WITHOUT_CORE


class Checkpoints:
    def __init__(self, folder: Path, training: str, written: Callable[[Path], None] | None = None) -> None:
        """`training` names what decides the weights: a checkpoint of another training is not gone on from. `written` hears of each that is on the disk."""
        self.folder, self.training, self._written = folder, training, written
        self._writer: threading.Thread | None = None
        self._failure: OSError | None = None
        self._copy: State = {}
        self._stall_s = self._writer_s = 0.0
        self._writer_budget = writer_budget()
        self._saved_at = time.monotonic()
        #: How many were written here, and how long the training stopped for them.
        self.count, self.stopped_s = 0, 0.0

    def restore(self) -> tuple[int, State] | None:
        """The newest whole one: its step and tensors."""
        for path in sorted(self.folder.glob("step-*.ckpt"), reverse=True):
            data = path.read_bytes()
            body = data[:-CHECKSUM_BYTES]
            if hashlib.sha256(body).digest() == data[-CHECKSUM_BYTES:]:
                state = load(body)
                about = json.loads(bytes(state.pop("about").numpy()).decode())
                if about["training"] == self.training:
                    return int(about["step"]), state
            path.unlink()
        return None

    def due(self) -> bool:
        """Rarely enough that copying and writing stay within their budgets."""
        if self._writer is not None and self._writer.is_alive():
            return False
        pause = max(LEAST_WAIT_S, self._stall_s / STALL_BUDGET, self._writer_s / self._writer_budget)
        return time.monotonic() - self._saved_at > pause

    def save(self, step: int, state: State, *, wait: bool = False) -> None:
        """Copies the tensors at once and writes them beside the training; `wait` returns when they are on the disk."""
        asked = time.monotonic()
        self.flush()
        began = time.monotonic()
        about = json.dumps({"training": self.training, "step": step}).encode()
        # Always into the same memory: new pages would take longer than the copying.
        for name, tensor in state.items():
            if name not in self._copy:
                self._copy[name] = torch.empty_like(tensor, device="cpu", memory_format=torch.contiguous_format)
            self._copy[name].copy_(tensor.detach())
        self._stall_s = time.monotonic() - began
        copy = {name: self._copy[name] for name in state} | {"about": torch.frombuffer(bytearray(about), dtype=torch.uint8)}

        def write() -> None:
            started = time.thread_time()
            try:
                self._write(step, copy)
            except OSError as error:
                self._failure = error
            self._writer_s = time.thread_time() - started

        self._writer = threading.Thread(target=write)
        self._writer.start()
        self._saved_at = time.monotonic()
        if wait:
            self.flush()
        self.count, self.stopped_s = self.count + 1, self.stopped_s + time.monotonic() - asked

    def flush(self) -> None:
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if self._failure is not None:
            raise self._failure

    def _write(self, step: int, state: State) -> None:
        temporary = self.folder / f".step.{os.getpid()}"
        checksum = hashlib.sha256()
        with open(temporary, "wb") as file:
            for part in _safetensors(state):
                checksum.update(part)
                file.write(part)
            file.write(checksum.digest())
            file.flush()
            os.fsync(file.fileno())
        path = self.folder / f"step-{step:09}.ckpt"
        os.rename(temporary, path)
        if self._written is not None:
            self._written(path)
        for old in sorted(self.folder.glob("step-*.ckpt"))[:-KEPT]:
            old.unlink(missing_ok=True)


def _safetensors(state: State) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, tensor after tensor: the library's own `save` copies all of them twice, and the training waits meanwhile."""
    # The widest first, so that each lies at a multiple of its size.
    tensors = sorted(state.items(), key=lambda entry: -entry[1].element_size())
    header: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors:
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for _, tensor in tensors:
        yield memoryview(tensor.reshape(-1).numpy()).cast("B")
