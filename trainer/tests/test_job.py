"""The contract with the platform, on the trainer as a process."""

import json
import os
import signal
import time

import pytest
from conftest import JobFolder, rows


def test_a_job_leaves_weights_answers_and_a_result(job: JobFolder) -> None:
    job.specify()
    status, result, lines = job.run()
    assert (status, result["class"]) == (0, "ok")
    assert result["labels"] == ["food", "money", "sport"]
    assert result["rows"] == {"train": 72, "evaluation": 18}
    assert {file["name"] for file in result["files"]} == {"model.safetensors", "eval.jsonl", "answering.json", "result.json"}
    answers = job.answers()
    assert [a["id"] for a in answers] == sorted(a["id"] for a in answers)
    assert set(answers[0]) == {"id", "expected", "predicted"}
    assert "story" not in json.dumps(answers)
    assert [line["phase"] for line in lines if line["type"] == "progress"][-1] == "upload"
    assert not (job.folder / "staged.encoder.onnx").exists()


def test_no_line_and_no_result_quotes_a_row(job: JobFolder) -> None:
    job.specify([*rows(), {"id": "bad", "split": "train", "text": "confidential words", "label": 5}])
    status, result, lines = job.run_here()
    assert (status, result["class"], result["rows"]) == (65, "invalid_data", ["bad"])
    assert "confidential" not in json.dumps([result, lines])


@pytest.mark.parametrize("method", ["head", "full", "lora"])
def test_equal_specifications_give_equal_bytes_and_another_seed_others(job: JobFolder, another: JobFolder, method: str) -> None:
    for folder in (job, another):
        folder.specify(options={"method": method, "epochs": 2})
        assert folder.run_here()[0] == 0
    assert job.weights() == another.weights()
    another.specify(options={"method": method, "epochs": 2}, seed=8)
    assert another.run_here()[0] == 0
    assert job.weights() != another.weights()


@pytest.mark.parametrize("options", [{"epochs": 3}, {"learningRate": 0.01}, {"batchSize": 16}, {"classWeights": "balanced"}, {"maxTokens": 3}])
def test_every_option_changes_what_is_learned(job: JobFolder, another: JobFolder, options: dict) -> None:
    uneven = [row for row in rows() if row["label"] != "food" or row["id"] < "r030"]
    job.specify(uneven)
    another.specify(uneven, options=options)
    assert (job.run_here()[0], another.run_here()[0]) == (0, 0)
    assert job.weights() != another.weights()


def test_a_rows_weight_and_a_smaller_learning_rate_count(job: JobFolder, another: JobFolder) -> None:
    job.specify()
    another.specify([row | {"weight": 3.0 if row["label"] == "food" else 1.0} for row in rows()])
    assert (job.run_here()[0], another.run_here()[0]) == (0, 0)
    assert job.weights() != another.weights()
    another.specify(overrides={"batchDivisor": 1, "learningRateDivisor": 2})
    assert another.run_here()[0] == 0
    assert job.weights() != another.weights()


def test_a_smaller_batch_with_accumulation_learns_nearly_the_same(job: JobFolder, another: JobFolder) -> None:
    from safetensors.numpy import load

    weights = []
    for changes in ({}, {"overrides": {"batchDivisor": 2, "learningRateDivisor": 1}}, {"options": {"batchSize": 64}}):
        job.specify(**changes)
        assert job.run_here()[0] == 0
        weights.append(load(job.weights())["classifier.weight"])
    whole, accumulated, half = weights
    # Rounding is all that differs; another batch is another training.
    assert 0 < abs(whole - accumulated).mean() < abs(whole - half).mean() / 5


def test_a_job_that_has_ended_is_not_done_again(job: JobFolder) -> None:
    job.specify()
    assert job.run_here()[0] == 0
    before = (job.folder / "result.json").stat().st_mtime_ns
    status, _, lines = job.run()
    assert status == 0
    assert [line["message"] for line in lines] == ["already finished"]
    assert (job.folder / "result.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_fine_tuning_goes_on_and_comes_to_the_same_weights(job: JobFolder, another: JobFolder, how: signal.Signals) -> None:
    options = {"method": "full", "epochs": 50, "batchSize": 8}
    another.specify(options=options)
    assert another.run_here()[0] == 0
    job.specify(options=options)
    process = job.start()
    assert process.stdout is not None
    for line in process.stdout:
        if '"train"' in line and json.loads(line)["step"] > 20:
            break
    process.send_signal(how)
    process.communicate()
    if how == signal.SIGTERM:
        assert process.returncode == 143
        assert json.loads((job.folder / "result.json").read_text())["class"] == "preempted"
        assert list((job.folder / "checkpoints").glob("step-*.ckpt"))
    assert job.run_here()[0] == 0
    assert job.weights() == another.weights()


def test_two_starts_of_one_job_train_once(job: JobFolder) -> None:
    job.specify(options={"method": "full", "epochs": 20, "batchSize": 8})
    first = job.start()
    deadline = time.time() + 60
    while not (job.folder / "pid").exists() and time.time() < deadline:
        time.sleep(0.05)
    status, _, lines = job.run()
    assert status == 0
    assert [line["message"] for line in lines] == ["already running"]
    first.communicate()
    assert first.returncode == 0
    assert json.loads((job.folder / "pid").read_text())["pid"] == first.pid
    assert os.path.exists(job.folder / "result.json")


@pytest.mark.parametrize(
    ("changes", "status", "kind"),
    [
        ({"options": {"method": "magic"}}, 64, "bad_options"),
        ({"options": {"tier": "splendid"}}, 64, "bad_options"),
        ({"businessModel": {"id": "x", "version": "1", "trainerFile": "/no/such/trainer.py"}}, 64, "bad_options"),
        ({"options": {"learningRate": 1e39, "method": "full"}}, 70, "diverged"),
        ({"dataset": {"digest": "d", "buckets": [{"index": 0, "url": "http://127.0.0.1:9/x", "sha256": "0", "rows": 1}]}}, 75, "storage"),
    ],
)
def test_each_kind_of_failure_has_its_status(
    job: JobFolder, changes: dict, status: int, kind: str
) -> None:
    job.specify(**changes)
    got, result, _ = job.run_here()
    assert (got, result["class"]) == (status, kind)
    assert result["message"]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_fine_tuning_leaves_its_own_encoder_for_serving(job: JobFolder, method: str) -> None:
    job.specify(options={"method": method, "epochs": 1})
    status, result, _ = job.run_here()
    assert (status, result["encoder"]) == (0, "own")
    assert (job.folder / "staged.encoder.onnx").stat().st_size > 1_000


def test_a_tier_stands_for_options_and_explicit_options_win(job: JobFolder, another: JobFolder) -> None:
    job.specify(options={"tier": "balanced"})
    another.specify(options={"method": "full", "epochs": 3, "trainedShare": 0.5})
    assert (job.run_here()[0], another.run_here()[0]) == (0, 0)
    assert job.weights() == another.weights()
    another.specify(options={"tier": "balanced", "epochs": 1})
    assert another.run_here()[1]["steps"] == job.run_here()[1]["steps"] // 3
    job.specify(options={"tier": "balanced", "method": "head"})
    assert job.run_here()[1]["encoder"] == "base"
