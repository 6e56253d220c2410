"""python -m modelwright_trainer --spec SPEC.json"""

import argparse
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

from .errors import EXIT_OF, JobError, job_error_of
from .job import Job, Progress
from .last_word import leave_word
from .spec import Spec, load_spec


def load_trainer(path: Path) -> ModuleType:
    """The business model's trainer.py. It is read from where it is, so that adding a model changes nothing here."""
    module_spec = importlib.util.spec_from_file_location(f"modelwright_trainer_of_{path.parent.name.replace('-', '_')}", path)
    if module_spec is None or module_spec.loader is None or not path.is_file():
        raise JobError("bad_options", f"the business model has no trainer at {path.parent.name}/{path.name}")
    module = importlib.util.module_from_spec(module_spec)
    # Known by its name before it runs: dataclasses look their module up.
    sys.modules[module_spec.name] = module
    module_spec.loader.exec_module(module)
    if not callable(getattr(module, "run", None)):
        raise JobError("bad_options", f"{path.parent.name}/{path.name} has no function run(spec, job, progress)")
    return module


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="modelwright_trainer", description=__doc__)
    parser.add_argument("--spec", type=Path, required=True)
    path: Path = parser.parse_args(arguments).spec
    progress = Progress()
    try:
        spec = load_spec(path)
    except JobError as error:
        progress.log("error", error.message)
        return Job(path.parent).fail(error)
    job = Job(spec.work_dir)
    try:
        if not job.take():
            progress.log("info", "already running")
            return 0
        if job.finished(spec.digest):
            progress.log("info", "already finished")
        else:
            train(spec, job, progress)
        leave_word(None)
        return EXIT_OF["ok"]
    except Exception as error:
        status = end(error, job, progress)
        if spec.workers > 1:
            leave_at_once(status)
        return status


def train(spec: Spec, job: Job, progress: Progress) -> None:
    progress.tell("load", 0, 1)
    # What is heavy is imported here, after everything that can end the job without it.
    from .workers import Spared, Workers, rank_of

    job.workers = Workers() if spec.workers == 1 else Workers(rank_of(spec.workers), spec.workers)
    try:
        if spec.workers > 1:
            from .device import device

            job.workers.meet(device(), job.check_stop, lambda error: leave_at_once(end(error, job, progress)))
        if spec.remote is not None:
            from .remote import Remote

            job.remote = Remote(spec.remote, job, progress)
            spec = job.remote.with_base(spec)
            job.remote.fetch_checkpoint()
        job.write_result(load_trainer(spec.trainer_file).run(spec, job, progress))
        job.workers.dismiss()
    except Spared:
        progress.log("info", "the first worker does the rest")
        job.workers.wait_for_first(job.check_stop)
    finally:
        job.workers.ignore_the_others()


def end(error: Exception, job: Job, progress: Progress) -> int:
    """Leaves behind why the job ends; returns its status."""
    known = job_error_of(error)
    if known is None or known is not error:
        traceback.print_exception(error)
    if known is None:
        # The kind of error and its place say what went wrong; its text could quote a row.
        place = traceback.extract_tb(error.__traceback__)[-1]
        return job.fail(JobError("error", f"{type(error).__name__} in {Path(place.filename).name} line {place.lineno}: see the job's log"))
    progress.log("error", known.message)
    if known.kind == "preempted" and job.remote is not None:
        job.remote.leave()
    return job.fail(known)


def leave_at_once(status: int) -> None:
    """Without waiting for what waits for a worker that is gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
