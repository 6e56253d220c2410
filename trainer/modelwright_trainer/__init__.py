"""Trains one model of one tenant: one job, one process, one result file."""

import os

# Threads of a job that wait must sleep: spinning ones take the cores away from each other and from all else on the machine. Measured with two
# threads on two busy cores: a fifth of the time, of the clock and of the processor. Read when torch is loaded, which is after this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# ONNX Runtime reports models and errors to its maker unless it is told not to before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# CUDA's matrix library gives equal results for equal work only with a work space of fixed size. Read when it is first used.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
