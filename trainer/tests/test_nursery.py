"""Jobs that are forked from the nursery are jobs like others."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TRAINER, JobFolder


class Nursery:
    def __init__(self) -> None:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(TRAINER)}
        self.process = subprocess.Popen([sys.executable, "-m", "modelwright_trainer.nursery"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.read() == {"ready": True}

    def read(self) -> dict:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, folder: Path, **env: str) -> dict:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": 5, "folder": str(folder), "env": env}) + "\n")
        self.process.stdin.flush()
        return self.read()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    one = Nursery()
    yield one
    one.process.communicate()
    assert one.process.returncode == 0


def wait(answer: dict) -> None:
    deadline = time.time() + 120
    while Path(f"/proc/{answer['pid']}").exists():
        assert time.time() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("method", ["head", "full"])
def test_a_forked_job_comes_to_the_same_bytes_as_one_that_starts_cold(nursery: Nursery, job: JobFolder, another: JobFolder, method: str) -> None:
    # Two threads, whatever there are: none was started before the fork.
    for folder in (job, another):
        folder.specify(options={"method": method, "epochs": 2}, threads=2)
    assert another.run()[0] == 0
    wait(nursery.ask(job.folder, HOME=str(job.folder)))
    assert (job.folder / "trainer.log").read_text() == ""
    for file in ("model.safetensors", "eval.jsonl", "answering.json") + (("encoder.onnx",) if method == "full" else ()):
        assert (job.folder / f"staged.{file}").read_bytes() == (another.folder / f"staged.{file}").read_bytes(), file


def test_nothing_that_a_fork_would_lose_runs_in_the_nursery(nursery: Nursery) -> None:
    alone = "import os, numpy; print(len(os.listdir('/proc/self/task')))"
    numpys = int(subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=True).stdout)
    assert len(os.listdir(f"/proc/{nursery.process.pid}/task")) <= numpys


def test_a_job_that_cannot_be_set_up_is_named_and_the_next_one_runs(nursery: Nursery, job: JobFolder) -> None:
    assert nursery.ask(job.folder / "missing") == {"id": 5, "error": "FileNotFoundError while the job was set up"}
    job.specify(options={"method": "magic"})
    wait(nursery.ask(job.folder))
    assert json.loads((job.folder / "result.json").read_text())["class"] == "bad_options"

