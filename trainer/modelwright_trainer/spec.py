"""The job's specification: one JSON file, checked before anything heavy is imported."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import JobError


@dataclass(frozen=True)
class Bucket:
    index: int
    #: More than one where the store lies on two sites; so with all addresses.
    urls: tuple[str, ...]
    sha256: str
    rows: int


@dataclass(frozen=True)
class BaseFile:
    """`path` is its place in the base model's folder."""

    path: str
    urls: tuple[str, ...]
    sha256: str
    size: int


@dataclass(frozen=True)
class RemoteFolders:
    """Addresses for a job without a lasting disk."""

    base_model: tuple[BaseFile, ...]
    checkpoint_put: str
    #: The own one first, then those of attempts before.
    checkpoint_get: tuple[str, ...]
    cache_put: str
    cache_get: str


@dataclass(frozen=True)
class Spec:
    job_name: str
    #: catalog/<business model>/trainer.py
    trainer_file: Path
    dataset_digest: str
    buckets: tuple[Bucket, ...]
    base_name: str
    base_path: Path
    #: What the base model really is; empty where the platform did not say.
    base_digest: str
    options: dict[str, Any]
    batch_divisor: int
    learning_rate_divisor: int
    seed: int
    threads: int
    outputs: dict[str, tuple[str, ...]]
    work_dir: Path
    #: Outlives the job; None keeps embeddings in the job's own folder.
    cache_dir: Path | None
    #: None where the job's folders outlive it.
    remote: RemoteFolders | None
    #: How many processes train together.
    workers: int
    digest: str


def load_spec(path: Path) -> Spec:
    """Raises JobError bad_options for a file that is no specification, naming the field."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        overrides = raw.get("overrides", {})
        spec = Spec(
            job_name=raw["jobName"],
            trainer_file=Path(raw["businessModel"]["trainerFile"]),
            dataset_digest=raw["dataset"]["digest"],
            buckets=tuple(Bucket(b["index"], _addresses(b), b["sha256"], b["rows"]) for b in raw["dataset"]["buckets"]),
            base_name=raw["baseModel"]["name"],
            base_path=Path(raw["baseModel"]["path"]),
            base_digest=str(raw["baseModel"].get("digest", "")),
            options=raw["options"],
            batch_divisor=int(overrides.get("batchDivisor", 1)),
            learning_rate_divisor=int(overrides.get("learningRateDivisor", 1)),
            seed=int(raw["seed"]),
            threads=int(raw.get("threads", 1)),
            outputs={name: (url, *raw.get("otherOutputs", {}).get(name, [])) for name, url in raw["outputs"].items()},
            work_dir=Path(raw["workDir"]),
            cache_dir=Path(raw["cacheDir"]) if raw.get("cacheDir") else None,
            remote=_remote(raw["remote"]) if raw.get("remote") else None,
            workers=int(raw.get("workers", 1)),
            digest=digest_of(raw),
        )
    except KeyError as error:
        raise JobError("bad_options", f"the job's specification lacks {error}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise JobError("bad_options", f"the job's specification cannot be read: {type(error).__name__}") from error
    if spec.batch_divisor < 1 or spec.learning_rate_divisor < 1 or spec.threads < 1 or spec.workers < 1:
        raise JobError("bad_options", "batchDivisor, learningRateDivisor, threads and workers must be at least 1")
    return spec


def _addresses(raw: dict[str, Any]) -> tuple[str, ...]:
    return (raw["url"], *raw.get("otherUrls", []))


def _remote(raw: dict[str, Any]) -> RemoteFolders:
    return RemoteFolders(
        base_model=tuple(BaseFile(str(f["path"]), _addresses(f), f["sha256"], int(f["bytes"])) for f in raw["baseModel"]),
        checkpoint_put=raw["checkpoint"]["put"],
        checkpoint_get=tuple(raw["checkpoint"]["get"]),
        cache_put=raw["cache"]["put"],
        cache_get=raw["cache"]["get"],
    )


def digest_of(raw: dict[str, Any]) -> str:
    """What decides the weights. Addresses, attempt and folders do not."""
    model = {name: raw["businessModel"].get(name) for name in ("id", "version")}
    base = [raw["baseModel"]["name"], raw["baseModel"].get("digest", "")]
    parts = [raw["dataset"]["digest"], base, raw["options"], raw.get("overrides", {}), raw["seed"], model]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
