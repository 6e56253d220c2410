"""How the job ended, in the few bytes that a pod can leave behind: its folder goes with it."""

import json
import os
import traceback
from typing import Any

from .errors import JobError

#: Names the pod's termination message file. A node keeps 4,096 bytes of it.
VARIABLE = "MW_TERMINATION_FILE"
MOST_BYTES = 4_000


def leave_word(error: JobError | None) -> None:
    """`None` is a good end. What cannot be written is told to nobody but the log: the job's status says the class too."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    try:
        # Not by a rename: the file is a mount of its own.
        with open(path, "wb") as file:
            file.write(word_of(error))
    except OSError:
        traceback.print_exc()


def word_of(error: JobError | None) -> bytes:
    if error is None:
        return b'{"class":"ok"}'
    value: dict[str, Any] = {"class": error.kind, "message": error.message}
    if error.rows:
        value["rows"] = list(error.rows)
    while len(said := json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")) > MOST_BYTES:
        if value.get("rows"):
            # Half of them name the mistake as well as all.
            value["rows"] = value["rows"][: len(value["rows"]) // 2]
        else:
            value["message"] = value["message"][: len(value["message"]) * 3 // 4]
    return said
