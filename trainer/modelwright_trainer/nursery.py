"""A process that has loaded the libraries, and forks one child for each job: `python -m modelwright_trainer.nursery`

Standard input has a JSON line for each job, {"id", "folder", "env"}; standard output answers {"id", "pid"} or {"id", "error"}, after a first
line {"ready": true}. It ends when its input does, that is with whoever started it, however that died; its jobs go on.

Nothing is computed here, only imported: threads of the matrix libraries do not survive a fork.
"""

import gc
import importlib
import json
import os
import pkgutil
import random
import signal
import sys
from pathlib import Path
from typing import Any

#: Imported by torch where it is used first, that is in every job: half of the time that a job needs to start.
USED_LATER = ("torch._dynamo", "torch._inductor", "torch.onnx", "torch.onnx._internal.exporter._core", "onnxscript")
#: Not loaded here, since it starts a thread when it is: onnxruntime.


def load() -> None:
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{__package__}.{module.name}")
    for name in USED_LATER:
        importlib.import_module(name)


def serve() -> Path | None:
    """Returns None when no more jobs can come, and in each child the folder of its job."""
    for line in sys.stdin:
        request = json.loads(line)
        answer, job = _fork(Path(request["folder"]), request["env"])
        if job is not None:
            return job
        _say({"id": request["id"]} | answer)
    return None


def _fork(folder: Path, env: dict[str, str]) -> tuple[dict[str, Any], Path | None]:
    done, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _become(folder, env, told)
        except BaseException as error:
            os.write(told, f"{type(error).__name__} while the job was set up".encode())
            os._exit(1)
        return {}, folder
    os.close(told)
    with open(done, "rb") as file:
        said = file.read()
    # Killed before it could say anything: whoever asked finds no such process.
    return ({"error": said.decode()} if said else {"pid": pid}), None


def _become(folder: Path, env: dict[str, str], told: int) -> None:
    """Makes this process what a new one would be; answering is closing `told`, and comes last."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(folder)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for at, path, flags in ((0, os.devnull, os.O_RDONLY), (1, "progress.jsonl", append), (2, "trainer.log", append)):
        file = os.open(path, flags, 0o666)
        os.dup2(file, at)
        os.close(file)
    os.environ.clear()
    os.environ.update(env)
    # The package may have its own to add.
    importlib.reload(sys.modules[__package__])
    sys.path[0] = str(folder)
    random.seed()
    importlib.import_module("numpy").random.seed()
    # What is left: the answer's own pipe, and whatever the libraries opened.
    os.closerange(3, told)
    os.closerange(told + 1, os.sysconf("SC_OPEN_MAX"))
    os.close(told)


def _say(value: dict[str, Any]) -> None:
    # Not print: the buffer of a child must be empty.
    os.write(1, (json.dumps(value) + "\n").encode())


def main() -> int:
    load()
    # Nobody waits for the jobs: the kernel buries them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    # The collector writes into what it looks at, which would copy every page of it for every job.
    gc.freeze()
    _say({"ready": True})
    folder = serve()
    if folder is None:
        return 0
    from .__main__ import main as run_job

    return run_job(["--spec", str(folder / "spec.json")])


if __name__ == "__main__":
    sys.exit(main())
