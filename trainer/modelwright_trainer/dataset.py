"""The rows of a dataset, from its bucket files."""

import json
from dataclasses import dataclass

import zstandard

from .errors import JobError
from .spec import Spec
from .transfer import fetch

MAX_NAMED = 20


@dataclass(frozen=True)
class Row:
    id: str
    text: str
    label: str
    weight: float


@dataclass(frozen=True)
class Dataset:
    """Rows by id, whatever the buckets: equal rows train equally."""

    train: list[Row]
    evaluation: list[Row]

    @property
    def labels(self) -> list[str]:
        return sorted({row.label for row in self.train})


def load_dataset(spec: Spec, tell) -> Dataset:  # type: ignore[no-untyped-def]
    sides: dict[str, list[Row]] = {"train": [], "evaluation": []}
    bad: list[str] = []
    for done, bucket in enumerate(spec.buckets, start=1):
        text = zstandard.ZstdDecompressor().decompressobj().decompress(fetch(bucket.url, bucket.sha256)).decode("utf-8")
        # Not splitlines: a text may hold separators that JSON does not escape.
        for line in filter(None, text.split("\n")):
            raw = json.loads(line)
            row, side = _row(raw), raw.get("split")
            if row is None or side not in sides:
                bad.append(str(raw.get("id")))
            else:
                sides[side].append(row)
        tell("load", done, len(spec.buckets))
    if bad:
        raise JobError("invalid_data", f"{len(bad)} rows have no usable text, label or split", bad[:MAX_NAMED])
    for rows in sides.values():
        rows.sort(key=lambda row: row.id)
    dataset = Dataset(sides["train"], sides["evaluation"])
    if len(dataset.labels) < 2:
        raise JobError("invalid_data", f"the training rows have {len(dataset.labels)} label(s): at least 2 are needed")
    return dataset


def _row(raw: dict[str, object]) -> Row | None:
    text, label, weight = raw.get("text"), raw.get("label"), raw.get("weight", 1.0)
    if not isinstance(text, str) or not text.strip() or not isinstance(label, str) or not label:
        return None
    if not isinstance(weight, (int, float)) or not 0 < weight < float("inf"):
        return None
    return Row(str(raw["id"]), text, label, float(weight))
