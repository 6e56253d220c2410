"""Checkpoints of a fine-tuning: the last two, each with its checksum, written while the training goes on.

A checkpoint is safetensors with a SHA-256 behind it: no pickle is ever read back. A file that is torn or flipped counts as absent,
and the one before stands in for it.
"""

import hashlib
import json
import os
import threading
import time
from pathlib import Path

import torch
from safetensors.torch import load, save

KEPT = 2
CHECKSUM_BYTES = 32
#: Writing may take this share of the time.
BUDGET = 0.04
LEAST_WAIT_S = 1.0

State = dict[str, torch.Tensor]


class Checkpoints:
    def __init__(self, folder: Path, training: str) -> None:
        """`training` names what decides the weights: a checkpoint of another training is not gone on from."""
        self.folder, self.training = folder, training
        self._writer: threading.Thread | None = None
        self._failure: OSError | None = None
        self._cost_s = 0.0
        self._saved_at = time.monotonic()

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
        """Rarely enough that writing stays within its budget."""
        if self._writer is not None and self._writer.is_alive():
            return False
        return time.monotonic() - self._saved_at > max(LEAST_WAIT_S, self._cost_s / BUDGET)

    def save(self, step: int, state: State, *, wait: bool = False) -> None:
        """Copies the tensors at once and writes them beside the training; `wait` returns when they are on the disk."""
        self.flush()
        began = time.monotonic()
        about = json.dumps({"training": self.training, "step": step}).encode()
        copy = {name: tensor.detach().clone() for name, tensor in state.items()} | {"about": torch.frombuffer(bytearray(about), dtype=torch.uint8)}
        stall = time.monotonic() - began

        def write() -> None:
            started = time.thread_time()
            try:
                self._write(step, copy)
            except OSError as error:
                self._failure = error
            self._cost_s = stall + time.thread_time() - started

        self._writer = threading.Thread(target=write)
        self._writer.start()
        self._saved_at = time.monotonic()
        if wait:
            self.flush()

    def flush(self) -> None:
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if self._failure is not None:
            raise self._failure

    def _write(self, step: int, state: State) -> None:
        body = save(state)
        temporary = self.folder / f".step.{os.getpid()}"
        with open(temporary, "wb") as file:
            file.write(body)
            file.write(hashlib.sha256(body).digest())
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, self.folder / f"step-{step:09}.ckpt")
        for old in sorted(self.folder.glob("step-*.ckpt"))[:-KEPT]:
            old.unlink(missing_ok=True)
