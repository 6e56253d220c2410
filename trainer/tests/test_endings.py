"""Whatever the way a job ends, its pod's termination message says how."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from conftest import JobFolder, rows
from object_server import ObjectServer
from pods import as_pod

import modelwright_trainer.finetune as finetune_module
from modelwright_trainer.device import why_no_gpu
from modelwright_trainer.errors import JobError, job_error_of
from modelwright_trainer.last_word import MOST_BYTES, word_of


@pytest.fixture
def word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As the kubelet makes it: it is there, empty, and cannot be replaced."""
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setenv("MW_TERMINATION_FILE", str(path))
    return path


def test_a_good_end(job: JobFolder, word: Path) -> None:
    job.specify()
    assert job.run_here()[0] == 0
    assert json.loads(word.read_text()) == {"class": "ok"}
    word.write_text("")
    assert job.run()[0] == 0
    assert json.loads(word.read_text()) == {"class": "ok"}


def test_a_failure_with_its_rows(job: JobFolder, word: Path) -> None:
    inode = word.stat().st_ino
    job.specify([*rows(12), {"id": "bad", "split": "train", "text": "confidential", "label": 5}])
    status, result, _ = job.run_here()
    said = json.loads(word.read_text())
    assert (status, said) == (65, {key: result[key] for key in ("class", "message", "rows")})
    assert said["rows"] == ["bad"] and word.stat().st_ino == inode


def test_a_broken_specification_beside_which_nothing_can_be_written(job: JobFolder, word: Path) -> None:
    (job.folder / "spec.json").write_text('{"jobName": "x"}')
    (job.folder / "result.json").mkdir()
    process = job.start()
    out, _ = process.communicate()
    assert process.returncode == 64
    assert json.loads(word.read_text())["class"] == "bad_options"
    assert all(json.loads(line) for line in out.splitlines())


def test_a_work_folder_that_cannot_be_written(job: JobFolder, word: Path) -> None:
    (job.folder / "file").touch()
    job.specify(workDir=str(job.folder / "file" / "job"))
    process = job.start()
    out, _ = process.communicate()
    assert process.returncode == 75
    said = json.loads(word.read_text())
    assert said["class"] == "storage" and "work folder cannot be written" in said["message"]
    assert all(json.loads(line) for line in out.splitlines())


def test_a_mistake_of_the_program(job: JobFolder, word: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("confidential")

    monkeypatch.setattr(finetune_module, "check_loss", broken)
    job.specify(options={"method": "full", "epochs": 1})
    assert job.run_here()[0] == 1
    said = json.loads(word.read_text())
    assert said["class"] == "error" and "KeyError" in said["message"] and "confidential" not in said["message"]


def test_a_full_disk_is_its_own_sentence(job: JobFolder, word: Path) -> None:
    job.specify(options={"method": "full", "epochs": 1})
    (job.folder / "checkpoints").mkdir()
    (job.folder / "checkpoints" / f".step.{os.getpid()}").symlink_to("/dev/full")
    status, result, _ = job.run_here()
    assert (status, result["class"]) == (75, "storage")
    assert "no space left in the job's work folder" in json.loads(word.read_text())["message"]


def test_a_disk_that_is_too_small_for_the_base_model(job: JobFolder, word: Path, store: ObjectServer) -> None:
    as_pod(job, store)
    folder = job.folder / "base" / "tiny"
    folder.mkdir(parents=True)
    (folder / ".new.model.safetensors").symlink_to("/dev/full")
    assert job.run_here()[0] == 75
    assert "no space left" in json.loads(word.read_text())["message"]


def test_a_word_that_cannot_be_written_changes_nothing(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MW_TERMINATION_FILE", str(job.folder / "none" / "log"))
    job.specify()
    assert job.run_here()[0] == 0


@pytest.mark.parametrize(
    "error",
    [
        JobError("invalid_data", "x" * 100, [f"row-{i:030}" for i in range(500)]),
        JobError("invalid_data", "行" * 5000, ["r" * 10_000]),
        JobError("bad_options", '"\\' * 5000),
        JobError("error", "\ud800 half a pair"),
    ],
)
def test_a_long_word_is_cut_and_stays_json(error: JobError) -> None:
    said = word_of(error)
    assert len(said) <= MOST_BYTES
    value = json.loads(said.decode("utf-8"))
    assert value["class"] == error.kind and value["message"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "preempted"),
        (RuntimeError("CUDA error: the launch timed out and was terminated"), "preempted"),
        (RuntimeError("NCCL Error 1: unhandled cuda error"), "preempted"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out_of_memory"),
        (RuntimeError("CUDA error: out of memory"), "out_of_memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), "out_of_memory"),
        (RuntimeError("CUDA error: device-side assert triggered"), None),
        (RuntimeError("CUDA error: no kernel image is available for execution on the device"), None),
        (ValueError("CUDA error"), None),
        (OSError(errno.ENOSPC, "No space left on device"), "storage"),
        (OSError(errno.EACCES, "Permission denied"), None),
    ],
)
def test_what_an_exception_says_of_the_surroundings(error: Exception, kind: str | None) -> None:
    known = job_error_of(error)
    assert (known.kind if known else None) == kind


@pytest.mark.parametrize(
    ("visible", "built_for", "says"),
    [("", None, None), ("void", "13.2", None), ("none", None, None), ("all", None, "built without CUDA"), ("GPU-1", "13.2", "driver")],
)
def test_why_a_job_with_gpus_trains_on_the_processor(visible: str, built_for: str | None, says: str | None) -> None:
    why = why_no_gpu(visible, built_for)
    assert why is None if says is None else why is not None and says in why


def test_the_log_says_that_a_job_with_gpus_trains_on_the_processor(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    job.specify()
    assert not any(line.get("level") == "warn" for line in job.run_here()[2])
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "all")
    assert any("trains on the processor" in line.get("message", "") for line in job.run_here()[2])
