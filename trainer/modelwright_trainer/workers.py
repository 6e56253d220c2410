"""The processes that train together, as pods of one Indexed Job: how they meet, add up their gradients, and part."""

import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from .errors import JobError, job_error_of
from .heartbeat import Heartbeat
from .share import Share, share_of

#: A worker's number, and where worker 0 is found: HOST:PORT.
RANK_VARIABLE, RENDEZVOUS_VARIABLE = "JOB_COMPLETION_INDEX", "MW_RENDEZVOUS"
#: Pods start one after another, and the name of one resolves only when it runs.
MEET_S = 120.0
#: A worker may wait so long for a slower one; for one that is gone the heartbeat does not.
STEP_S = 1800.0
POLL_S = 0.5
#: Worker 0 keeps the store so long for those who have not yet seen that it is done.
PART_S = 30.0

Check = Callable[[], None]


class Spared(Exception):
    """This worker has nothing more to do: the first one goes on alone."""


class Workers:
    """One alone, until `meet`."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count
        self._store: dist.Store | None = None
        self._heartbeat: Heartbeat | None = None
        self._flat: torch.Tensor | None = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, rows: list[int]) -> Share:
        return share_of(rows, self.rank, self.count)

    def meet(self, device: torch.device, check: Check, lost: Callable[[JobError], None]) -> None:
        """Returns when all are there. `check` raises where this job is to stop; `lost` ends the process for a worker that is silent."""
        host, port = _rendezvous()
        ends = time.monotonic() + MEET_S
        try:
            if self.first:
                host = "127.0.0.1"
                self._store = _listen(host, port)
            else:
                _reach(host, port, ends, check)
                self._store = dist.TCPStore(host, port, is_master=False, timeout=timedelta(seconds=MEET_S))
            self._store.set(f"beat/{self.rank}", "0")
            self._store.add("here", 1)
            while (here := self._store.add("here", 0)) < self.count:
                check()
                if time.monotonic() > ends:
                    raise JobError("storage", f"only {here} of {self.count} workers came together within {MEET_S:.0f} s")
                time.sleep(POLL_S / 5)
            own = dist.TCPStore(host, port, is_master=False, timeout=timedelta(seconds=MEET_S))
            self._heartbeat = Heartbeat(own, self.rank, self.count, lambda: lost(worker_lost()))
            dist.init_process_group(
                "nccl" if device.type == "cuda" else "gloo",
                store=dist.PrefixStore("group", self._store),
                rank=self.rank,
                world_size=self.count,
                timeout=timedelta(seconds=STEP_S),
            )
        except RuntimeError as error:
            raise _gone(error) from error

    def agree_on(self, step: int, device: torch.device) -> None:
        """All must go on from the same checkpoint."""
        if self.count == 1:
            return
        ends = torch.tensor([step, -step], device=device)
        self._all_reduce(ends, dist.ReduceOp.MAX)
        latest, earliest = int(ends[0]), -int(ends[1])
        if latest != earliest:
            raise JobError("storage", f"the workers found different checkpoints, of step {earliest} and of step {latest}")

    def add_up(self, trained: list[nn.Parameter], loss: float, stop: bool) -> tuple[float, bool]:
        """Every worker gets the sum of all gradients, the same bits; returns the whole loss, and whether anyone is asked to stop."""
        if self.count == 1:
            return loss, stop
        if self._flat is None:
            self._flat = torch.zeros(sum(p.numel() for p in trained) + 2, device=trained[0].device)
        parts = self._flat[:-2].split([p.numel() for p in trained])
        for part, parameter in zip(parts, trained, strict=True):
            if parameter.grad is None:
                part.zero_()
            else:
                part.copy_(parameter.grad.reshape(-1))
        self._flat[-2:] = torch.tensor([loss, float(stop)])
        self._all_reduce(self._flat, dist.ReduceOp.SUM)
        for part, parameter in zip(parts, trained, strict=True):
            parameter.grad = part.view_as(parameter)
        whole, stops = self._flat[-2:].tolist()
        return whole, stops > 0

    def leave_to_first(self) -> None:
        """What follows is not divided. Raises Spared in all but the first, which needs the others no more."""
        if not self.first:
            raise Spared
        self.ignore_the_others()

    def wait_for_first(self, check: Check) -> None:
        """Returns when the first one has done the rest."""
        assert self._store is not None
        try:
            while not self._store.check(["done"]):
                check()
                time.sleep(POLL_S)
            self.ignore_the_others()
            self._store.add("left", 1)
        except RuntimeError as error:
            raise _gone(error) from error

    def dismiss(self) -> None:
        """The first one is done, and its store goes with it."""
        if self._store is None:
            return
        self._store.set("done", "1")
        ends = time.monotonic() + PART_S
        while self._store.add("left", 0) < self.count - 1 and time.monotonic() < ends:
            time.sleep(POLL_S / 5)

    def ignore_the_others(self) -> None:
        """They may end now: this one ends too, or needs them no more."""
        if self._heartbeat is not None:
            self._heartbeat.watching = False

    def _all_reduce(self, tensor: torch.Tensor, how: dist.ReduceOp.RedOpType) -> None:
        try:
            dist.all_reduce(tensor, how)
        except RuntimeError as error:
            raise _gone(error) from error


def _gone(error: RuntimeError) -> Exception:
    """What an error between workers means, unless it is this one's own."""
    own = job_error_of(error)
    return own if own is not None and own.kind == "out_of_memory" else worker_lost()


def worker_lost() -> JobError:
    return JobError("preempted", "another worker of this training ended or cannot be reached")


def _rendezvous() -> tuple[str, int]:
    host, _, port = os.environ.get(RENDEZVOUS_VARIABLE, "").rpartition(":")
    if not host or not port.isdigit():
        raise JobError("bad_options", f"a training by several workers needs {RENDEZVOUS_VARIABLE}, HOST:PORT of the first one")
    return host.strip("[]"), int(port)


def rank_of(count: int) -> int:
    rank = os.environ.get(RANK_VARIABLE, "")
    if not rank.isdigit() or int(rank) >= count:
        raise JobError("bad_options", f"a training by {count} workers needs {RANK_VARIABLE}, a number below {count}")
    return int(rank)


def _listen(host: str, port: int) -> dist.Store:
    """The store that all meet at, in the first worker's process and on all its addresses."""
    try:
        return dist.TCPStore(host, port, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=MEET_S))
    except RuntimeError as error:
        raise JobError("storage", f"the first worker cannot listen on port {port}, where the others look for it") from error


def _reach(host: str, port: int, ends: float, check: Check) -> None:
    """Returns when the first worker's store answers."""
    while True:
        check()
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > ends:
                raise JobError("storage", f"the first worker was not reached within {MEET_S:.0f} s ({type(error).__name__})") from error
        time.sleep(POLL_S)
