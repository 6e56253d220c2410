"""python measured.py FILE ARGUMENTS...: runs this Python with the arguments, and writes what that took to FILE as JSON."""

import json
import resource
import subprocess
import sys
import time

started = time.monotonic()
code = subprocess.run([sys.executable, *sys.argv[2:]], check=False).returncode
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump({"wallS": time.monotonic() - started, "cpuS": usage.ru_utime + usage.ru_stime, "peakMiB": usage.ru_maxrss / 1024}, file)
sys.exit(code)
