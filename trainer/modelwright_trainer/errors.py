"""How a job ends that does not end well. Exit statuses and classes are the contract with the platform."""

import errno

EXIT_OF = {
    "ok": 0,
    "error": 1,
    "bad_options": 64,
    "invalid_data": 65,
    "diverged": 70,
    "out_of_memory": 71,
    "storage": 75,
    "preempted": 143,
}


class JobError(Exception):
    """`message` is a sentence for a stranger and never quotes a row; `rows` are example ids."""

    def __init__(self, kind: str, message: str, rows: list[str] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.rows = rows or []


def job_error_of(error: Exception) -> JobError | None:
    """What an exception says of the job's surroundings; None where it is a mistake of the program."""
    if isinstance(error, JobError):
        return error
    if is_out_of_memory(error):
        return JobError("out_of_memory", "the job needs more memory than there is")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return JobError("storage", "there is no space left in the job's work folder")
    if is_device_gone(error):
        return JobError("preempted", "the GPU failed or was taken away while the job used it")
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether host or device memory was too small; torch raises plain RuntimeError for both."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(
        part in text for part in ("out of memory", "can't allocate memory", "not enough memory", "defaultcpuallocator", "status_alloc_failed")
    )


#: Mistakes of program or build, which come again on every device.
NOT_THE_DEVICE = ("device-side assert", "no kernel image", "invalid device function", "invalid argument", "invalid configuration")


def is_device_gone(error: BaseException) -> bool:
    """Whether the device failed, not what was asked of it."""
    text = str(error).lower()
    named = any(part in text for part in ("cuda error", "cuda driver error", "cublas_status_", "cudnn_status_", "nccl error"))
    return isinstance(error, RuntimeError) and named and not any(part in text for part in NOT_THE_DEVICE)
