"""How a job ends that does not end well. Exit statuses and classes are the contract with the platform."""

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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether host or device memory was too small; torch raises plain RuntimeError for both."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(
        part in text for part in ("out of memory", "can't allocate memory", "not enough memory", "defaultcpuallocator")
    )
