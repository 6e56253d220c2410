"""A business model that learns nothing: it says what surroundings its job finds, or waits to be stopped."""

import os
import resource
import signal
import sys
import threading
import time


def run(spec, job, progress):  # type: ignore[no-untyped-def]
    progress.tell("look", 1, 1)
    while spec.options["do"] == "wait":
        job.check_stop()
        progress.tell("train", 1, 1)
        time.sleep(0.05)
    handles = {int(name): os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}
    umask = os.umask(0)
    os.umask(umask)
    found = {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "leads its session and its group": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
        "standard files": [handles[at] for at in (0, 1, 2)],
        "other files": sorted(path for at, path in handles.items() if at > 2 and path.startswith("/") and not path.startswith(("/dev/", "/proc/"))),
        "signals": {one.name: str(signal.getsignal(one)).partition(" at ")[0] for one in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE)},
        "niceness": os.nice(0),
        "umask": umask,
        "limits": [resource.getrlimit(one) for one in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_AS)],
        "threads": threading.active_count(),
        "modules are found in": sys.path,
        "processors": list(os.sched_getaffinity(0)),
    }
    return {"class": "ok", "exit": 0, "specDigest": spec.digest, "labels": [], "files": [], "found": found, "pid": os.getpid()}
