"""A fine-tuning that is stopped at any step, however often, comes to the weights of one that was not."""

import os
import random
import signal
import time

import pytest
import torch
from conftest import JobFolder

import modelwright_trainer.finetune as finetune_module
from modelwright_trainer.checkpoint import STALL_BUDGET, WRITER_BUDGET, WRITER_BUDGET_WITHOUT_CORE, Checkpoints
from modelwright_trainer.errors import JobError
from modelwright_trainer.finetune import batches_of_epoch
from modelwright_trainer.learning import check_loss

OPTIONS = {"method": "full", "epochs": 2, "batchSize": 8}
#: 72 training rows in batches of 8, twice.
STEPS = 18


class StopsAt:
    """Asks the job to stop at a step, as SIGTERM does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[int] = []
        whole = finetune_module.check_loss

        def watched(loss: float, step: int) -> None:
            whole(loss, step)
            if step in self.steps:
                self.steps.remove(step)
                os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(finetune_module, "check_loss", watched)


@pytest.mark.parametrize("options", [{}, {"trainedShare": 0.5}, {"method": "lora"}])
def test_stopped_at_every_step_in_turn(job: JobFolder, another: JobFolder, monkeypatch: pytest.MonkeyPatch, options: dict) -> None:
    another.specify(options=OPTIONS | options)
    assert another.run_here()[0] == 0
    stops = StopsAt(monkeypatch)
    stops.steps = list(range(1, STEPS + 1))
    job.specify(options=OPTIONS | options)
    for step in range(1, STEPS + 1):
        status, result, _ = job.run_here()
        assert (status, result["class"], len(stops.steps)) == (143, "preempted", STEPS - step)
    assert job.run_here()[0] == 0
    assert job.weights() == another.weights()


def test_a_damaged_checkpoint_costs_steps_and_not_the_result(job: JobFolder, another: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    another.specify(options=OPTIONS)
    assert another.run_here()[0] == 0
    stops = StopsAt(monkeypatch)
    job.specify(options=OPTIONS)
    chance = random.Random(4)
    for steps, damage in (([3, 9], "newest"), ([12], "newest"), ([16], "both")):
        stops.steps = list(steps)
        for _ in steps:
            assert job.run_here()[0] == 143
        kept = sorted((job.folder / "checkpoints").glob("step-*.ckpt"))
        assert len(kept) == 2
        for path in kept if damage == "both" else kept[-1:]:
            data = bytearray(path.read_bytes())
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
    assert job.run_here()[0] == 0
    assert job.weights() == another.weights()


@pytest.mark.parametrize("cores", [1, 2])
def test_checkpoints_are_as_rare_as_their_cost_demands(job: JobFolder, monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    job.folder.joinpath("checkpoints").mkdir()
    now = time.monotonic()
    for cost, budget in (("_stall_s", STALL_BUDGET), ("_writer_s", WRITER_BUDGET if cores == 2 else WRITER_BUDGET_WITHOUT_CORE)):
        checkpoints = Checkpoints(job.folder / "checkpoints", "one")
        setattr(checkpoints, cost, 0.5)
        checkpoints._saved_at = now - 0.5 / budget + 0.5
        assert not checkpoints.due()
        checkpoints._saved_at = now - 0.5 / budget - 0.1
        assert checkpoints.due()


def test_an_epoch_has_every_row_once_and_its_batches_have_like_lengths() -> None:
    lengths = [random.Random(i).randrange(3, 60) for i in range(1000)]
    batches = batches_of_epoch(lengths, 16, 7, 0)
    assert sorted(row for batch in batches for row in batch) == list(range(1000))
    padding = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches) / sum(lengths)
    assert padding < 1.15
    assert batches != batches_of_epoch(lengths, 16, 7, 1)
    assert batches == batches_of_epoch(lengths, 16, 7, 0)


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    with pytest.raises(JobError) as caught:
        check_loss(float("nan"), 3)
    assert (caught.value.kind, "step 3" in caught.value.message) == ("diverged", True)
