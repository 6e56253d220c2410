"""Fine-tunes the encoder together with the head. Word embeddings stay as they are: they are most of the weights and gain little."""

import math
import os
import random
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .dataset import Dataset
from .encoder import Encoder, TextTokens, padded
from .head import check_loss, new_head, rate_at, row_weights, targets_of
from .job import Job, Progress
from .spec import Spec

FULL_EPOCHS, FULL_RATE, FULL_BATCH = 3, 2e-4, 32
#: The head starts from nothing and learns faster than the encoder, which only adapts.
HEAD_RATE_FACTOR = 10
WEIGHT_DECAY = 0.01
CHECKPOINT_EVERY_S = 20.0
#: Batches are made of texts of like length, drawn from so many batches' worth of shuffled texts.
POOL_BATCHES = 50
#: Cosine logits of unit embeddings are within [-1, 1]: the head needs room.
HEAD_SCALE = 20.0


def batches_of_epoch(lengths: list[int], batch: int, seed: int, epoch: int) -> list[list[int]]:
    """Row numbers of every batch: shuffled, then sorted by length within pools, then the batches shuffled. A function of its arguments."""
    chance = random.Random(seed * 1_000_003 + epoch)
    order = list(range(len(lengths)))
    chance.shuffle(order)
    batches: list[list[int]] = []
    pool = batch * POOL_BATCHES
    for at in range(0, len(order), pool):
        some = sorted(order[at : at + pool], key=lambda i: lengths[i])
        batches += [some[i : i + batch] for i in range(0, len(some), batch)]
    chance.shuffle(batches)
    return batches


def train_full(
    spec: Spec, dataset: Dataset, encoder: Encoder, tokens_of: TextTokens, job: Job, progress: Progress
) -> tuple[Encoder, nn.Linear, int]:
    rows, labels = dataset.train, dataset.labels
    tokens = tokens_of([row.text for row in rows])
    targets = targets_of(rows, labels)
    weights = row_weights(rows, labels, str(spec.options.get("classWeights", "none")))
    epochs = spec.integer("epochs", FULL_EPOCHS)
    peak = spec.number("learningRate", FULL_RATE) / spec.learning_rate_divisor
    parts = spec.batch_divisor
    batch = max(1, spec.integer("batchSize", FULL_BATCH) // parts)
    head = new_head(len(labels), encoder.embeddings["LayerNorm"].weight.shape[0])
    encoder.embeddings["word_embeddings"].weight.requires_grad_(False)
    trained = [p for p in encoder.parameters() if p.requires_grad]
    groups = [{"params": trained, "factor": 1.0}, {"params": list(head.parameters()), "factor": float(HEAD_RATE_FACTOR)}]
    optimizer = torch.optim.AdamW(groups, lr=peak, weight_decay=WEIGHT_DECAY, fused=True)
    lengths = [len(ids) for ids in tokens]
    per_epoch = math.ceil(len(rows) / (batch * parts))
    steps = epochs * per_epoch

    path = job.checkpoints / "full.pt"
    step = _restore(path, spec, encoder, head, optimizer)
    saved_at = time.monotonic()
    while step < steps:
        epoch, at = divmod(step, per_epoch)
        chosen = batches_of_epoch(lengths, batch * parts, spec.seed, epoch)[at]
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps, peak) * group["factor"]
        optimizer.zero_grad()
        total = 0.0
        whole = weights[chosen].sum()
        for first in range(0, len(chosen), batch):
            part = chosen[first : first + batch]
            logits = head(encoder(*padded([tokens[i] for i in part])) * HEAD_SCALE)
            losses = nn.functional.cross_entropy(logits, targets[part], reduction="none")
            loss = (losses * weights[part]).sum() / whole
            loss.backward()
            total += loss.item()
        check_loss(total, step + 1)
        nn.utils.clip_grad_norm_([*trained, *head.parameters()], 1.0)
        optimizer.step()
        step += 1
        progress.tell("train", step, steps, epoch=step / per_epoch, loss=total, samples=step * batch * parts)
        if job.stop_asked or time.monotonic() - saved_at > CHECKPOINT_EVERY_S:
            _save(path, spec, encoder, head, optimizer, step)
            saved_at = time.monotonic()
        job.check_stop()
    with torch.no_grad():
        # Serving multiplies nothing: the scale becomes part of the head.
        head.weight.mul_(HEAD_SCALE)
    return encoder.eval(), head, steps


def _save(path: Path, spec: Spec, encoder: Encoder, head: nn.Linear, optimizer: torch.optim.Optimizer, step: int) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    state: dict[str, Any] = {"spec": _resumable(spec), "step": step, "encoder": encoder.state_dict(), "head": head.state_dict()}
    torch.save(state | {"optimizer": optimizer.state_dict()}, temporary)
    os.rename(temporary, path)


def _restore(path: Path, spec: Spec, encoder: Encoder, head: nn.Linear, optimizer: torch.optim.Optimizer) -> int:
    """The step to go on from; 0 without a checkpoint of the same training. A smaller rate or batch goes on from it too."""
    try:
        state = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError):
        return 0
    if state["spec"] != _resumable(spec):
        return 0
    encoder.load_state_dict(state["encoder"])
    head.load_state_dict(state["head"])
    factors = [group["factor"] for group in optimizer.param_groups]
    optimizer.load_state_dict(state["optimizer"])
    for group, factor in zip(optimizer.param_groups, factors, strict=True):
        group["factor"] = factor
    return int(state["step"])


def _resumable(spec: Spec) -> str:
    return f"{spec.dataset_digest} {spec.base_name} {sorted(spec.options.items())} {spec.seed}"
