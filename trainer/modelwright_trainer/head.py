"""A linear head on fixed embeddings, and the settings that both methods share."""

import math
from collections import Counter

import torch
from torch import nn

from .dataset import Dataset, Row
from .errors import JobError
from .job import Job, Progress
from .spec import Spec

HEAD_EPOCHS, HEAD_RATE, HEAD_BATCH = 30, 0.05, 128
#: Both keep the head from trusting single rows too much: measured on BANKING77, +0.5 points together.
WEIGHT_DECAY, LABEL_SMOOTHING = 0.03, 0.1


def new_head(labels: int, dim: int) -> nn.Linear:
    """All zero: every label is equally likely before the first step, and nothing is left to chance."""
    head = nn.Linear(dim, labels)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def row_weights(rows: list[Row], labels: list[str], class_weights: str) -> torch.Tensor:
    """Weight of each row's loss; `balanced` lets every label count the same in sum."""
    weights = torch.tensor([row.weight for row in rows])
    if class_weights == "balanced":
        counts = Counter(row.label for row in rows)
        weights = weights * torch.tensor([len(rows) / (len(labels) * counts[row.label]) for row in rows])
    return weights


def targets_of(rows: list[Row], labels: list[str]) -> torch.Tensor:
    index = {label: i for i, label in enumerate(labels)}
    return torch.tensor([index[row.label] for row in rows])


def rate_at(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over a twentieth of the steps, then a cosine to zero."""
    warm = max(1, steps // 20)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def check_loss(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise JobError("diverged", f"the loss became {loss} at step {step}: a smaller learningRate may help")


def train_head(spec: Spec, dataset: Dataset, embeddings: torch.Tensor, job: Job, progress: Progress) -> tuple[nn.Linear, int]:
    """Trains in seconds, so a killed job does it again from its kept embeddings: same steps, same weights."""
    rows, labels = dataset.train, dataset.labels
    targets = targets_of(rows, labels)
    weights = row_weights(rows, labels, str(spec.options.get("classWeights", "none")))
    epochs = spec.integer("epochs", HEAD_EPOCHS)
    peak = spec.number("learningRate", HEAD_RATE) / spec.learning_rate_divisor
    batch = max(1, spec.integer("batchSize", HEAD_BATCH) // spec.batch_divisor)
    parts = spec.batch_divisor
    head = new_head(len(labels), embeddings.shape[1])
    optimizer = torch.optim.AdamW(head.parameters(), lr=peak, weight_decay=WEIGHT_DECAY)
    generator = torch.Generator().manual_seed(spec.seed)
    step_rows = batch * parts
    steps_per_epoch = math.ceil(len(rows) / step_rows)
    steps, step = epochs * steps_per_epoch, 0
    for epoch in range(epochs):
        order = torch.randperm(len(rows), generator=generator)
        for at in range(0, len(rows), step_rows):
            chosen = order[at : at + step_rows]
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, steps, peak)
            optimizer.zero_grad()
            total = 0.0
            for part in chosen.split(batch):
                losses = nn.functional.cross_entropy(head(embeddings[part]), targets[part], reduction="none", label_smoothing=LABEL_SMOOTHING)
                loss = (losses * weights[part]).sum() / weights[chosen].sum()
                loss.backward()
                total += loss.item()
            step += 1
            check_loss(total, step)
            optimizer.step()
            progress.tell("train", step, steps, epoch=epoch + 1, loss=total, samples=step * step_rows)
        job.check_stop()
    return head, steps
