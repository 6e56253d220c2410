"""Several processes that train one model, as pods of an Indexed Job do: over loopback, each with a folder of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TRAINER, JobFolder, rows
from object_server import ObjectServer
from pods import remote
from safetensors.numpy import load
from test_causal import MODEL as CAUSAL
from test_causal import talks
from tiny_causal import make_causal

import modelwright_trainer.finetune as finetune_module
from modelwright_trainer.share import dropout, share_of

#: In f32. Sums have another order, and that is all.
ATOL = 1e-5
#: No gradient comes to it in theory: what Adam makes of its rounding errors is noise, at any number of workers.
NOISE = "attention.self.key.bias"
IN_F32 = "import sys, modelwright_trainer.device as d; d.bf16_is_fast = lambda: False; from modelwright_trainer.__main__ import main; sys.exit(main())"
#: 72 training rows, in batches that three workers cannot divide evenly, the last of four rows.
OPTIONS = {"method": "full", "epochs": 2, "batchSize": 17}
TAGGED = [
    row | {"entities": [{"start": row["text"].rindex(" ") + 1, "end": len(row["text"]), "label": row["label"]}] if i % 4 else []}
    for i, row in enumerate(rows())
]


class Group:
    """One job of several workers."""

    def __init__(self, folder: Path, base: Path, count: int) -> None:
        self.folders = [JobFolder(folder / str(rank), base) for rank in range(count)]
        self.processes: list[subprocess.Popen[str]] = []

    def specify(self, data: list[dict] | None = None, model: str = "text-classification", **changes: object) -> None:
        for folder in self.folders:
            folder.specify(data, model, workers=len(self.folders), **changes)

    def start(self, ranks: list[int] | None = None, port: int | None = None) -> None:
        port = port or free_port()
        for rank in range(len(self.folders)) if ranks is None else ranks:
            env = os.environ | {"JOB_COMPLETION_INDEX": str(rank), "MW_RENDEZVOUS": f"localhost:{port}", "MW_TERMINATION_FILE": str(self.word(rank))}
            command = [sys.executable, "-c", IN_F32, "--spec", str(self.folders[rank].folder / "spec.json")]
            out = open(self.folders[rank].folder / "progress", "w")  # noqa: SIM115 - the process has it
            self.processes.append(subprocess.Popen(command, cwd=TRAINER, stdout=out, stderr=subprocess.PIPE, text=True, env=env))

    def word(self, rank: int) -> Path:
        return self.folders[rank].folder / "word"

    def wait(self, timeout: float = 300) -> list[int]:
        ends = time.monotonic() + timeout
        for process in self.processes:
            process.communicate(timeout=max(1.0, ends - time.monotonic()))
        return [process.returncode for process in self.processes]

    def words(self) -> list[dict]:
        return [json.loads(self.word(rank).read_text()) for rank in range(len(self.folders))]

    def lines(self, rank: int = 0) -> list[dict]:
        return [json.loads(line) for line in (self.folders[rank].folder / "progress").read_text().splitlines()]

    def wait_for_step(self, step: int, rank: int = 0) -> None:
        ends = time.monotonic() + 180
        while not any(line.get("phase") == "train" and line["step"] >= step for line in self.lines(rank)):
            assert time.monotonic() < ends and all(process.poll() is None for process in self.processes)
            time.sleep(0.02)

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.processes.clear()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def group(tmp_path: Path, base: Path) -> Iterator[Group]:
    two = Group(tmp_path / "group", base, 2)
    yield two
    two.end()


def differs(one: bytes, other: bytes) -> float:
    a, b = load(one), load(other)
    assert a.keys() == b.keys()
    return max(float(np.abs(a[name] - b[name]).max()) for name in a if NOISE not in name)


@pytest.fixture(autouse=True)
def f32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune_module, "bf16_is_fast", lambda: False)


@pytest.mark.parametrize(
    ("count", "times", "data", "model", "options"),
    [
        (2, 2, None, "text-classification", OPTIONS),
        (3, 1, None, "text-classification", OPTIONS | {"method": "lora"}),
        (3, 1, TAGGED, "entity-extraction", OPTIONS | {"trainedShare": 0.5}),
    ],
)
def test_several_workers_come_to_what_one_does(job: JobFolder, tmp_path: Path, base: Path, count: int, times: int, data, model: str, options: dict) -> None:  # type: ignore[no-untyped-def]
    overrides = {"batchDivisor": 2, "learningRateDivisor": 1}
    job.specify(data, model, options=options, overrides=overrides)
    assert job.run_here()[0] == 0
    found = []
    for again in range(times):
        group = Group(tmp_path / str(again), base, count)
        group.specify(data, model, options=options, overrides=overrides)
        group.start()
        assert group.wait() == [0] * count
        assert group.words() == [{"class": "ok"}] * count
        found.append(group.folders[0].weights())
        # The others leave nothing.
        assert not any((folder.folder / "staged.model.safetensors").exists() for folder in group.folders[1:])
        assert not any(list((folder.folder / "checkpoints").iterdir()) for folder in group.folders[1:])
    assert len(set(found)) == 1
    assert differs(found[0], job.weights()) < ATOL
    # Another training is far from that.
    job.specify(data, model, options=options | {"epochs": 1}, overrides=overrides)
    assert job.run_here()[0] == 0
    assert differs(found[0], job.weights()) > 100 * ATOL


def test_a_causal_model_is_divided_too(job: JobFolder, tmp_path: Path, group: Group) -> None:
    folder = tmp_path / "causal"
    folder.mkdir()
    make_causal(folder)
    changes = {"options": {"epochs": 1, "learningRate": 0.01, "maxTokens": 128}, "baseModel": {"name": "causal", "path": str(folder)}}
    job.specify(talks(), CAUSAL, **changes)
    assert job.run_here()[0] == 0
    group.specify(talks(), CAUSAL, **changes)
    # The first one comes last: the other waits for it.
    port = free_port()
    group.start([1], port)
    time.sleep(6)
    group.start([0], port)
    assert group.wait() == [0, 0]
    assert differs(group.folders[0].weights(), job.weights()) < ATOL


def test_a_head_is_trained_by_the_first_worker_alone(job: JobFolder, group: Group) -> None:
    job.specify()
    assert job.run_here()[0] == 0
    group.specify()
    group.start()
    assert group.wait() == [0, 0]
    assert group.words() == [{"class": "ok"}] * 2
    assert group.folders[0].weights() == job.weights()


@pytest.mark.parametrize(("who", "survivor"), [(1, 0), (0, 1)])
def test_who_is_left_fails_soon_and_is_taken_up_again(group: Group, who: int, survivor: int) -> None:
    options = {"method": "full", "epochs": 400, "batchSize": 8}
    group.specify(options=options)
    group.start()
    group.wait_for_step(20)
    group.processes[who].kill()
    began = time.monotonic()
    assert group.processes[survivor].wait(timeout=60) == 143
    assert time.monotonic() - began < 60
    assert json.loads(group.word(survivor).read_text())["class"] == "preempted"


def test_one_that_says_nothing_is_noticed(group: Group) -> None:
    """As when its node is lost: its connections stay, and nobody answers."""
    group.specify(options={"method": "full", "epochs": 4000, "batchSize": 8})
    group.start()
    group.wait_for_step(20)
    group.processes[1].send_signal(signal.SIGSTOP)
    assert group.processes[0].wait(timeout=60) == 143
    said = json.loads(group.word(0).read_text())
    assert said["class"] == "preempted" and "worker" in said["message"]


def test_all_stop_at_one_step_and_a_new_group_goes_on_from_there(group: Group, tmp_path: Path, base: Path, store: ObjectServer) -> None:
    options = {"method": "full", "epochs": 40, "batchSize": 8}
    group.specify(options=options)
    group.start()
    assert group.wait() == [0, 0]
    wanted = group.folders[0].weights()
    stopped, going_on = Group(tmp_path / "stopped", base, 2), Group(tmp_path / "going on", base, 2)
    stopped.specify(options=options, remote=remote(store, base))
    stopped.start()
    stopped.wait_for_step(20)
    # Not the first one, which has the checkpoint to write.
    stopped.processes[1].send_signal(signal.SIGTERM)
    assert stopped.wait() == [143, 143]
    assert [word["class"] for word in stopped.words()] == ["preempted"] * 2
    assert store.asked.count("PUT checkpoint-1") >= 1
    going_on.specify(options=options, remote=remote(store, base, attempt=2))
    going_on.start()
    assert going_on.wait() == [0, 0]
    assert all("goes on from a checkpoint" in json.dumps(going_on.lines(rank)) for rank in (0, 1))
    assert next(line["step"] for line in going_on.lines() if line.get("phase") == "train") > 20
    assert going_on.folders[0].weights() == wanted


def test_a_first_worker_whose_port_is_taken_says_so(group: Group) -> None:
    group.specify()
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        group.start([0], int(taken.getsockname()[1]))
        assert group.wait() == [75]
    assert "cannot listen on port" in json.loads(group.word(0).read_text())["message"]


def test_workers_that_find_different_checkpoints_do_not_train(group: Group) -> None:
    options = {"method": "full", "epochs": 100, "batchSize": 8}
    group.specify(options=options)
    group.start()
    group.wait_for_step(20)
    group.processes[0].send_signal(signal.SIGTERM)
    assert group.wait() == [143, 143]
    group.processes.clear()
    # The first one's folder has its checkpoint, the other's has none.
    group.start()
    assert group.wait() == [75, 75]
    assert all(word["class"] == "storage" and "different checkpoints" in word["message"] for word in group.words())


def test_a_worker_that_is_told_too_little_says_so(group: Group) -> None:
    group.specify()
    for variable, value in (("JOB_COMPLETION_INDEX", "2"), ("MW_RENDEZVOUS", "nowhere")):
        env = os.environ | {"JOB_COMPLETION_INDEX": "1", "MW_RENDEZVOUS": "localhost:1"} | {variable: value}
        command = [sys.executable, "-m", "modelwright_trainer", "--spec", str(group.folders[0].folder / "spec.json")]
        assert subprocess.run(command, cwd=TRAINER, env=env, capture_output=True, check=False).returncode == 64
        assert variable in json.loads((group.folders[0].folder / "result.json").read_text())["message"]


@pytest.mark.parametrize(("rows_of_batch", "workers"), [(1, 3), (2, 3), (5, 3), (17, 4), (3, 5), (0, 2)])
def test_shares_are_the_whole_and_whoever_has_none_has_none_of_less(rows_of_batch: int, workers: int) -> None:
    whole = list(range(100, 100 + rows_of_batch))
    shares = [share_of(whole, rank, workers) for rank in range(workers)]
    assert [row for share in shares for row in share.rows] == whole
    assert max(share.count for share in shares) - min(share.count for share in shares) <= 1
    for less in range(rows_of_batch):
        assert all(share.count or not share_of(whole[:less], rank, workers).count for rank, share in enumerate(shares))


def test_what_is_dropped_does_not_depend_on_the_division() -> None:
    x = torch.randn(7, 5)
    torch.manual_seed(3)
    whole = dropout(x, 0.4, 0, 7)
    after = torch.rand(1)
    for first, count in ((0, 3), (3, 4), (6, 1)):
        torch.manual_seed(3)
        assert torch.equal(dropout(x[first : first + count], 0.4, first, 7), whole[first : first + count])
        assert torch.equal(torch.rand(1), after)
    assert 0 < int((whole == 0).sum()) < whole.numel()
