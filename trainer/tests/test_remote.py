"""A job without a lasting disk: what it fetches, what it leaves in the store, and how another goes on from there."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TRAINER, JobFolder
from object_server import DENIED, ObjectServer
from pods import as_pod, messages, remote
from test_finetune import StopsAt

from modelwright_trainer import checkpoint_upload, transfer
from modelwright_trainer.checkpoint_upload import CheckpointUpload
from modelwright_trainer.errors import JobError
from modelwright_trainer.remote import FETCHED_CHECKPOINT, inside

LONG = {"method": "full", "epochs": 60, "batchSize": 8}
SHORT = {"method": "full", "epochs": 2, "batchSize": 8}


@pytest.mark.parametrize("method", ["head", "full"])
def test_a_fetched_base_model_comes_to_the_same_weights(job: JobFolder, another: JobFolder, store: ObjectServer, method: str) -> None:
    another.specify(options={"method": method, "epochs": 2})
    assert another.run_here()[0] == 0
    as_pod(job, store, options={"method": method, "epochs": 2})
    store.fault = lambda method, path: "cut" if path == "base/model.safetensors" and store.asked.count(f"GET {path}") < 3 else None
    assert job.run_here()[0] == 0
    assert job.weights() == another.weights()


def test_a_base_model_that_is_there_is_not_fetched(job: JobFolder, store: ObjectServer) -> None:
    as_pod(job, store, baseModel={"name": "tiny", "path": str(job.base)})
    assert job.run_here()[0] == 0
    assert not [one for one in store.asked if "base/" in one]


@pytest.mark.parametrize(
    ("breaks", "status", "says"),
    [
        (lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:], 75, "model.safetensors does not have the SHA-256"),
        (lambda data: data + b"more", 75, "model.safetensors is longer"),
        (lambda data: data[:-4], 75, "does not answer"),
        (lambda data: None, 75, "model.safetensors cannot be had"),
    ],
)
def test_a_broken_file_of_the_base_model_is_named(job: JobFolder, store: ObjectServer, breaks, status: int, says: str) -> None:  # type: ignore[no-untyped-def]
    as_pod(job, store)
    data = breaks(store.objects.pop("base/model.safetensors"))
    if data is not None:
        store.objects["base/model.safetensors"] = data
    got, result, _ = job.run_here()
    assert (got, result["class"]) == (status, "storage")
    assert says in result["message"]


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", ".", "a\\..\\x", "a\0", ".new.model", "a/.."])
def test_a_path_out_of_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(JobError) as caught:
        inside(tmp_path, path)
    assert caught.value.kind == "bad_options"


def test_nothing_is_written_outside_of_the_folder(job: JobFolder, store: ObjectServer) -> None:
    as_pod(job, store)
    spec = json.loads((job.folder / "spec.json").read_text())
    spec["remote"]["baseModel"][0]["path"] = "../../outside.json"
    (job.folder / "spec.json").write_text(json.dumps(spec))
    assert job.run_here()[0] == 64
    assert not list(job.folder.rglob("outside.json")) and not [one for one in store.asked if "base/" in one]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_new_pod_goes_on_from_the_checkpoint_of_a_killed_one(job: JobFolder, another: JobFolder, store: ObjectServer, how: signal.Signals) -> None:
    another.specify(options=LONG)
    assert another.run_here()[0] == 0
    as_pod(job, store, options=LONG)
    process = job.start()
    assert process.stdout is not None
    for line in process.stdout:
        told = json.loads(line)
        if told.get("phase") == "train" and told["step"] > 20 and (how == signal.SIGTERM or "checkpoint-1" in store.objects):
            break
    process.send_signal(how)
    process.communicate()
    assert process.returncode == (143 if how == signal.SIGTERM else -9)
    assert "checkpoint-1" in store.objects
    as_pod(job, store, attempt=2, options=LONG)
    status, _, lines = job.run_here()
    assert status == 0
    assert "goes on from a checkpoint of the store" in messages(lines)
    assert next(line["step"] for line in lines if line.get("phase") == "train") > 1
    assert job.weights() == another.weights()


def test_a_stopped_job_leaves_its_very_last_step_in_the_store(job: JobFolder, another: JobFolder, store: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    another.specify(options=SHORT)
    assert another.run_here()[0] == 0
    stops = StopsAt(monkeypatch)
    stops.steps = [3, 9, 17]
    for attempt, before in ((1, 0), (2, 3), (3, 9)):
        as_pod(job, store, attempt, options=SHORT)
        status, result, lines = job.run_here()
        assert (status, result["class"]) == (143, "preempted")
        assert next(line["step"] for line in lines if line.get("phase") == "train") == before + 1
    as_pod(job, store, 4, options=SHORT)
    assert job.run_here()[0] == 0
    assert job.weights() == another.weights()


def test_a_damaged_or_denied_checkpoint_gives_way_to_the_one_before(job: JobFolder, store: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    stops = StopsAt(monkeypatch)
    stops.steps = [3, 9]
    for attempt in (1, 2):
        as_pod(job, store, attempt, options=SHORT)
        assert job.run_here()[0] == 143
    data = bytearray(store.objects["checkpoint-2"])
    data[200] ^= 1
    store.objects["checkpoint-2"] = bytes(data)
    store.fault = lambda method, path: (403, DENIED) if path == "checkpoint-3" and method == "GET" else None
    as_pod(job, store, 3, options=SHORT)
    status, _, lines = job.run_here()
    assert (status, next(line["step"] for line in lines if line.get("phase") == "train")) == (0, 4)
    assert "damaged" in messages(lines)


def test_a_site_of_the_store_that_is_away_costs_its_checkpoint_and_no_training(job: JobFolder, store: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "FIRST_WAIT_S", 0.01)
    StopsAt(monkeypatch).steps = [3]
    as_pod(job, store, options=SHORT)
    assert job.run_here()[0] == 143
    nobody = "http://127.0.0.1:1"

    def with_gets(attempt: int, gets: list[str]) -> None:
        folders = remote(store, job.base, attempt)
        folders["checkpoint"]["get"] = gets
        as_pod(job, store, attempt, options=SHORT, remote=folders)

    def first_step(lines: list[dict]) -> int:
        return next(line["step"] for line in lines if line.get("phase") == "train")

    # The site that answers has it.
    with_gets(2, [f"{nobody}/checkpoint-2", store.url("checkpoint-2"), f"{nobody}/checkpoint-1", store.url("checkpoint-1")])
    status, _, lines = job.run_here()
    assert (status, first_step(lines)) == (0, 4)
    # Only the other one had it.
    with_gets(2, [store.url("checkpoint-9"), f"{nobody}/checkpoint-9"])
    status, _, lines = job.run_here()
    assert (status, first_step(lines)) == (0, 1)
    assert "a site of the store (127.0.0.1:1) was not asked for checkpoints" in messages(lines)
    # None answers: it is tried again later, for its checkpoint is there still.
    with_gets(2, [f"{nobody}/checkpoint-1"])
    status, result, _ = job.run_here()
    assert (status, result["class"]) == (75, "storage")


def test_a_checkpoint_of_another_training_is_no_start(job: JobFolder, store: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    StopsAt(monkeypatch).steps = [3]
    as_pod(job, store, options=SHORT)
    assert job.run_here()[0] == 143
    as_pod(job, store, options=SHORT, seed=9)
    status, _, lines = job.run_here()
    assert (status, next(line["step"] for line in lines if line.get("phase") == "train")) == (0, 1)


def test_a_store_that_takes_no_checkpoint_does_not_fail_the_training(job: JobFolder, store: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    StopsAt(monkeypatch).steps = [3]
    store.fault = lambda method, path: (503, b"") if method == "PUT" else None
    as_pod(job, store, options=SHORT)
    status, result, lines = job.run_here()
    assert (status, result["class"]) == (143, "preempted")
    assert "the last checkpoint was not uploaded" in messages(lines)
    as_pod(job, store, options=SHORT)
    assert job.run_here()[0] == 0


def test_uploads_are_the_newest_one_at_a_time_and_rare(store: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_upload, "LEAST_WAIT_S", 0.3)
    running, most = [0], [0]

    def slow(method: str, path: str) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.02)
        running[0] -= 1

    store.fault = slow
    carried = CheckpointUpload(store.url("checkpoint"), lambda *_: None)
    began = time.monotonic()
    for step in range(40):
        path = tmp_path / f"step-{step}"
        path.write_bytes(b"%d" % step)
        carried.offer(path)
        time.sleep(0.02)
    carried.finish()
    took = time.monotonic() - began
    assert store.objects["checkpoint"] == b"39"
    assert most[0] == 1
    assert 2 <= len(store.asked) <= took / 0.3 + 2


def test_an_upload_that_is_superseded_lets_go_for_the_last_one(store: ObjectServer, tmp_path: Path) -> None:
    old, new = tmp_path / "step-1", tmp_path / "step-2"
    old.write_bytes(b"old" * 10_000_000)
    new.write_bytes(b"new")
    # Refused again and again, it would be tried for 15 seconds.
    store.fault = lambda method, path: (503, b"") if len(store.asked) < 3 else None
    carried = CheckpointUpload(store.url("checkpoint"), lambda *_: None)
    carried.offer(old)
    while not store.asked:
        time.sleep(0.01)
    carried.offer(new)
    carried.finish()
    assert store.objects["checkpoint"] == b"new"


def test_a_checkpoint_file_of_the_store_sorts_before_all_own_ones() -> None:
    assert FETCHED_CHECKPOINT < "step-000000001.ckpt"


def test_a_pod_that_fetches_needs_no_pytorch() -> None:
    code = "import sys, modelwright_trainer.__main__, modelwright_trainer.remote; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=TRAINER, check=False).returncode == 0


def test_a_base_model_of_the_same_name_that_is_another_is_not_used(job: JobFolder, store: ObjectServer, tmp_path: Path) -> None:
    image = tmp_path / "image"
    shutil.copytree(job.base, image)
    (image / "modelwright.json").write_text('{"of": "another version"}')
    as_pod(job, store, baseModel={"name": "tiny", "path": str(image)})
    assert job.run_here()[0] == 0
    assert [one for one in store.asked if "base/" in one]
