"""The rows of a dataset, from its bucket files: dicts with the fields of the business model's examples."""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import zstandard

from .errors import JobError
from .spec import Spec
from .transfer import fetch

MAX_NAMED = 20
#: More is almost always an id where a label should be, and a head of that size learns nothing.
MAX_LABELS = 10_000

Row = dict[str, Any]


@dataclass(frozen=True)
class Dataset:
    """Rows by id, whatever the buckets: equal rows train equally."""

    train: list[Row]
    evaluation: list[Row]


def load_dataset(spec: Spec, tell: Callable[[str, int, int], None], check: Callable[[Row], str | None], text_field: str | None = "text") -> Dataset:
    """`check` says what is wrong with a row of this business model (without quoting it), or None. `text_field`: None where `check` looks at the texts."""
    sides: dict[str, list[Row]] = {"train": [], "evaluation": []}
    bad: dict[str, list[str]] = {}
    for done, bucket in enumerate(spec.buckets, start=1):
        text = zstandard.ZstdDecompressor().decompressobj().decompress(fetch(bucket.urls, bucket.sha256)).decode("utf-8")
        # Not splitlines: a text may hold separators that JSON does not escape.
        for line in text.split("\n"):
            if not line:
                continue
            row = json.loads(line)
            problem = _common_problem(row, text_field) or check(row)
            if problem is None:
                sides[row["split"]].append(row)
            else:
                bad.setdefault(problem, []).append(str(row.get("id")))
        tell("load", done, len(spec.buckets))
    raise_for(bad)
    for rows in sides.values():
        rows.sort(key=lambda row: str(row["id"]))
    if not sides["train"]:
        raise JobError("invalid_data", "there are no training rows")
    return Dataset(sides["train"], sides["evaluation"])


def raise_for(bad: dict[str, list[str]]) -> None:
    """One error for all bad rows: what is wrong, how often, and the first ids."""
    if bad:
        parts = [f"{len(ids)} row{'s' if len(ids) > 1 else ''}: {problem}" for problem, ids in sorted(bad.items())]
        raise JobError("invalid_data", "; ".join(parts), sorted(row for ids in bad.values() for row in ids)[:MAX_NAMED])


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _common_problem(row: Row, text_field: str | None) -> str | None:
    text, weight = row.get(text_field) if text_field else None, row.get("weight", 1.0)
    if row.get("split") not in ("train", "evaluation"):
        return "the split is neither train nor evaluation"
    if text_field and (not isinstance(text, str) or not text.strip()):
        return f"the {text_field} is empty or no text"
    if not is_number(weight) or weight <= 0:
        return "the weight is not a finite number above 0"
    return None


def label_set(labels: set[str], at_least: int = 2) -> list[str]:
    """The labels in their order, checked against what can be trained."""
    if len(labels) < at_least:
        raise JobError("invalid_data", f"the training rows have {len(labels)} label{'s' if len(labels) != 1 else ''}: at least {at_least} are needed")
    if len(labels) > MAX_LABELS:
        raise JobError("invalid_data", f"the training rows have {len(labels)} labels: at most {MAX_LABELS} can be trained")
    return sorted(labels)


def folds_of(rows: list[Row], count: int, kind: Callable[[Row], str]) -> list[int]:
    """A fold for each row: spread evenly within each kind of row, rows of one group together, whatever the order of the rows."""
    folds = [0] * len(rows)
    seen: dict[str, int] = {}
    for i in sorted(range(len(rows)), key=lambda i: hashlib.sha256(str(rows[i]["id"]).encode()).digest()):
        group = rows[i].get("group")
        if group:
            folds[i] = hashlib.sha256(str(group).encode()).digest()[0] % count
        else:
            at = seen.get(kind(rows[i]), 0)
            seen[kind(rows[i])] = at + 1
            folds[i] = at % count
    return folds
