"""The frame of every trainer.py: options by tier, settings of the libraries, and what a job leaves when it ends well."""

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from .base_model import BaseModel
from .dataset import Row
from .device import computing_on, device
from .encoder import Encoder
from .errors import JobError
from .job import Job, Progress, write_atomically
from .packed import PackedEncoder
from .spec import Spec
from .transfer import upload

if TYPE_CHECKING:
    from .causal_base import CausalBase

#: Options that a tier, or else the method, decides; explicit options win.
Tiers = dict[str, dict[str, Any]]

METHODS = ("head", "full", "lora")


class Options:
    """The job's options over the defaults of its tier."""

    def __init__(self, given: dict[str, Any], tiers: Tiers, methods: tuple[str, ...]) -> None:
        tier = given.get("tier", "fast")
        if tier not in tiers:
            raise JobError("bad_options", f"tier must be one of {', '.join(tiers)}, not {tier}")
        self._given = {name: value for name, value in given.items() if value is not None}
        # A tier's other settings are meant for its own method.
        fits = self._given.get("method", tiers[tier]["method"]) == tiers[tier]["method"]
        self._tier = tiers[tier] if fits else {}
        self.method = str(self.text("method", "head"))
        if self.method not in methods:
            raise JobError("bad_options", f"method must be one of {', '.join(methods)}, not {self.method}")

    def text(self, name: str, default: str) -> str:
        return str(self._given.get(name, self._tier.get(name, default)))

    def number(self, name: str, default: float) -> float:
        return float(self._given.get(name, self._tier.get(name, default)))

    def integer(self, name: str, default: int) -> int:
        return int(self.number(name, default))


class Session:
    """One training, from its start to its published files. Equal data, options, seed and threads give equal bytes."""

    def __init__(self, spec: Spec, job: Job, progress: Progress) -> None:
        self.spec, self.job, self.progress = spec, job, progress
        self._started, self._cpu = time.monotonic(), time.process_time()
        torch.set_num_threads(spec.threads)
        # On a GPU, what has no such algorithm is done by another rather than not at all.
        torch.use_deterministic_algorithms(True, warn_only=device().type == "cuda")
        # Nothing here reads what it has not written: filling new memory costs a fortieth of a training.
        torch.utils.deterministic.fill_uninitialized_memory = False
        torch.manual_seed(spec.seed)
        if (said := computing_on()) is not None:
            progress.log("info" if device().type == "cuda" else "warn", said)

    def publish(
        self,
        *,
        base: "BaseModel | CausalBase",
        tensors: dict[str, torch.Tensor],
        labels: list[str],
        answering: dict[str, Any],
        expected: list[dict[str, Any]],
        predicted: list[dict[str, Any]],
        evaluation: list[Row],
        train_rows: int,
        steps: int,
        encoder: PackedEncoder | None = None,
    ) -> dict[str, Any]:
        """Uploads what was made, the result last; returns the result file's content. `encoder` is one that was trained itself."""
        self.progress.tell("evaluate", 1, 1)
        whole = tensors | (encoder.changed() if encoder else {})
        files = {
            "model.safetensors": save({name: whole[name].detach().cpu().contiguous() for name in sorted(whole)}, metadata={"format": "pt"}),
            "eval.jsonl": answer_lines(evaluation, expected, predicted),
            "answering.json": json.dumps(answering, ensure_ascii=False, sort_keys=True, allow_nan=False).encode(),
        }
        if encoder and isinstance(base, BaseModel):
            # Imported here: exporting needs libraries that a head does without.
            from .export_onnx import export_encoder

            self.progress.tell("export", 0, 1)
            files["encoder.onnx"] = export_encoder(trained_encoder(base, encoder))
            self.progress.tell("export", 1, 1)
        result: dict[str, Any] = {
            "class": "ok",
            "exit": 0,
            "specDigest": self.spec.digest,
            "labels": labels,
            "rows": {"train": train_rows, "evaluation": len(evaluation)},
            "trainMs": round((time.monotonic() - self._started) * 1000),
            "cpuMs": round((time.process_time() - self._cpu) * 1000),
            "steps": steps,
            "embeddingDim": base.dim,
            "encoder": "own" if encoder else "base",
            "maxTokens": base.max_tokens,
        }
        return self._upload(files, result)

    def _upload(self, files: dict[str, bytes], result: dict[str, Any]) -> dict[str, Any]:
        """Names each file with its digest."""
        if self.job.remote is not None:
            # Before the result: whoever sees it may remove the job.
            self.job.remote.keep_cache()
        def entry(name: str, data: bytes) -> dict[str, Any]:
            return {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

        result["files"] = [entry(name, data) for name, data in files.items()]
        # The staged copy, which stands for the result where the job's folder is gone, cannot name its own digest; the one in the folder does.
        staged = json.dumps(result, sort_keys=True).encode()
        uploaded = files | {"result.json": staged}
        for done, (name, data) in enumerate(uploaded.items(), start=1):
            path = self.job.work_dir / f"out.{name}"
            write_atomically(path, data)
            upload(self.spec.outputs[name], path)
            path.unlink()
            self.progress.tell("upload", done, len(uploaded))
        result["files"].append(entry("result.json", staged))
        return result


def trained_encoder(base: BaseModel, packed: PackedEncoder) -> Encoder:
    base.encoder.load_state_dict(base.encoder.state_dict() | packed.changed())
    return base.encoder.eval()


def answer_lines(rows: list[Row], expected: list[dict[str, Any]], predicted: list[dict[str, Any]]) -> bytes:
    """eval.jsonl: one line a row, by id, and never a text."""
    lines = [
        json.dumps({"id": str(row["id"]), "expected": right, "predicted": answer}, ensure_ascii=False, allow_nan=False) + "\n"
        for row, right, answer in zip(rows, expected, predicted, strict=True)
    ]
    return "".join(lines).encode()
