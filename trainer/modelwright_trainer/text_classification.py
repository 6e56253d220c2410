"""Business model text-classification: one label for each text, by a linear head on a sentence encoder."""

import hashlib
import json
import time
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from .dataset import load_dataset
from .embed import CHUNK_TEXTS, embed, embed_tokens
from .encoder import TextTokens, load_encoder
from .errors import JobError
from .evaluate import answer_lines, probabilities
from .full import train_full
from .head import train_head
from .job import Job, Progress, write_atomically
from .spec import Spec
from .transfer import upload


def run(spec: Spec, job: Job, progress: Progress) -> dict[str, Any]:
    """Trains, evaluates, uploads; returns the result file's content. Equal data, options, seed and threads give equal bytes."""
    method = spec.options.get("method", "head")
    if method not in ("head", "full"):
        raise JobError("bad_options", f"method must be head or full, not {method}")
    started, cpu = time.monotonic(), time.process_time()
    torch.set_num_threads(spec.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(spec.seed)
    dataset = load_dataset(spec, progress.tell)
    job.check_stop()
    encoder = load_encoder(spec.base_path)
    tokens_of = TextTokens(spec.base_path, spec.integer("maxTokens", 256))
    labels = dataset.labels
    evaluation_texts = [row.text for row in dataset.evaluation]
    if method == "full":
        encoder, head, steps = train_full(spec, dataset, encoder, tokens_of, job, progress)
        changed = {name: tensor for name, tensor in encoder.state_dict().items() if name != "embeddings.word_embeddings.weight"}
        evaluated = _embed_fresh(encoder, tokens_of, evaluation_texts, progress)
    else:
        texts = [row.text for row in dataset.train] + evaluation_texts
        embedded = embed(encoder, tokens_of, texts, job, progress)
        head, steps = train_head(spec, dataset, torch.from_numpy(embedded[: len(dataset.train)]), job, progress)
        changed = {}
        evaluated = embedded[len(dataset.train) :]
    weight, bias = head.weight.detach(), head.bias.detach()
    scores = probabilities(evaluated @ weight.numpy().T + bias.numpy()) if dataset.evaluation else np.zeros((0, len(labels)))
    progress.tell("evaluate", 1, 1)

    tensors = changed | {"classifier.weight": weight.contiguous(), "classifier.bias": bias.contiguous()}
    files = {
        "model.safetensors": save({name: tensors[name] for name in sorted(tensors)}, metadata={"format": "pt"}),
        "eval.jsonl": answer_lines(dataset.evaluation, scores, labels).encode(),
        "answering.json": json.dumps({"labels": labels}, ensure_ascii=False).encode(),
    }
    if method == "full":
        # Imported here: exporting needs libraries that a head does without.
        from .export_onnx import export_encoder

        progress.tell("export", 0, 1)
        files["encoder.onnx"] = export_encoder(encoder)
        progress.tell("export", 1, 1)
    result: dict[str, Any] = {
        "class": "ok",
        "exit": 0,
        "specDigest": spec.digest,
        "rows": {"train": len(dataset.train), "evaluation": len(dataset.evaluation)},
        "labels": labels,
        "trainMs": round((time.monotonic() - started) * 1000),
        "cpuMs": round((time.process_time() - cpu) * 1000),
        "steps": steps,
        "embeddingDim": int(weight.shape[1]),
        "encoder": "own" if method == "full" else "base",
        "maxTokens": tokens_of.max_tokens,
    }
    return publish(spec, job, progress, files, result)


def publish(spec: Spec, job: Job, progress: Progress, files: dict[str, bytes], result: dict[str, Any]) -> dict[str, Any]:
    """Uploads what was made, the result last, and names each file with its digest."""
    result["files"] = []
    uploaded = dict(files)
    # The staged copy cannot name its own digest; the one in the job's folder does.
    uploaded["result.json"] = json.dumps(result, sort_keys=True).encode()
    for done, (name, data) in enumerate(uploaded.items(), start=1):
        path = job.work_dir / f"out.{name}"
        write_atomically(path, data)
        upload(spec.outputs[name], path)
        path.unlink()
        result["files"].append({"name": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
        progress.tell("upload", done, len(uploaded))
    return result


def _embed_fresh(encoder, tokens_of: TextTokens, texts: list[str], progress: Progress) -> np.ndarray:  # type: ignore[no-untyped-def]
    """With an encoder that was just trained, whose embeddings nobody has kept."""
    tokens = tokens_of(texts)
    order = sorted(range(len(texts)), key=lambda i: (len(tokens[i]), tokens[i]))
    result = np.zeros((len(texts), encoder.embeddings["LayerNorm"].weight.shape[0]), dtype=np.float32)
    for start in range(0, len(order), CHUNK_TEXTS):
        chunk = order[start : start + CHUNK_TEXTS]
        result[chunk] = embed_tokens(encoder, [tokens[i] for i in chunk])
        progress.tell("evaluate", start + len(chunk), len(order))
    return result
