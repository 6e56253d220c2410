"""python -m modelwright_trainer --spec SPEC.json"""

import argparse
import importlib.util
import sys
import traceback
from pathlib import Path

from .errors import EXIT_OF, JobError, is_out_of_memory
from .job import Job, Progress
from .spec import load_spec


def main() -> int:
    parser = argparse.ArgumentParser(prog="modelwright_trainer", description=__doc__)
    parser.add_argument("--spec", type=Path, required=True)
    path: Path = parser.parse_args().spec
    progress = Progress()
    try:
        spec = load_spec(path)
    except JobError as error:
        progress.log("error", error.message)
        return Job(path.parent).fail(error)
    job = Job(spec.work_dir)
    if not job.take():
        progress.log("info", "already running")
        return 0
    if job.finished(spec.digest):
        progress.log("info", "already finished")
        return 0
    try:
        # What is heavy is imported here, after everything that can end the job without it.
        progress.tell("load", 0, 1)
        module_spec = importlib.util.spec_from_file_location("modelwright_business_model", spec.trainer_file)
        if module_spec is None or module_spec.loader is None or not spec.trainer_file.is_file():
            raise JobError("bad_options", "the business model has no trainer.py")
        module = importlib.util.module_from_spec(module_spec)
        module_spec.loader.exec_module(module)
        job.write_result(module.run(spec, job, progress))
        return EXIT_OF["ok"]
    except JobError as error:
        progress.log("error", error.message)
        return job.fail(error)
    except ModuleNotFoundError as error:
        return job.fail(JobError("bad_options", f"this trainer has no module {error.name}"))
    except Exception as error:
        if is_out_of_memory(error):
            return job.fail(JobError("out_of_memory", "the job needs more memory than there is"))
        traceback.print_exc()
        # The kind of error and its place say what went wrong; its text could quote a row.
        place = traceback.extract_tb(error.__traceback__)[-1]
        return job.fail(JobError("error", f"{type(error).__name__} in {Path(place.filename).name} line {place.lineno}: see the job's log"))


if __name__ == "__main__":
    sys.exit(main())
