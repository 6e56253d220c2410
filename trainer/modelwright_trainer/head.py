"""A linear head on fixed embeddings."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from .device import device
from .job import Job, Progress
from .learning import check_loss, rate_at, zero_linear

#: Keeps the head from trusting single rows too much: measured on BANKING77.
WEIGHT_DECAY = 0.03
#: Many rows need fewer passes, a handful needs more: outside of these numbers of steps nothing is gained.
DEFAULT_EPOCHS, LEAST_DEFAULT_STEPS, MOST_DEFAULT_STEPS = 30, 150, 3000

#: (what the head says of some rows, their numbers) -> the loss of each
RowLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class HeadSettings:
    epochs: int
    rate: float
    batch: int
    #: The batch is worked on in so many parts, whose gradients add up.
    parts: int
    seed: int


def default_epochs(rows: int, batch: int) -> int:
    per_epoch = math.ceil(rows / batch)
    return max(3, min(max(DEFAULT_EPOCHS, math.ceil(LEAST_DEFAULT_STEPS / per_epoch)), MOST_DEFAULT_STEPS // per_epoch))


def train_head(
    features: torch.Tensor, outputs: int, weights: torch.Tensor, loss_of: RowLoss, settings: HeadSettings, job: Job, progress: Progress, phase: str = "train"
) -> tuple[nn.Linear, int]:
    """Trains in seconds, so a killed job does it again from its kept embeddings: same steps, same weights."""
    rows = features.shape[0]
    features, head = features.to(device()), zero_linear(features.shape[1], outputs).to(device())
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.rate, weight_decay=WEIGHT_DECAY, fused=True)
    generator = torch.Generator().manual_seed(settings.seed)
    part_rows = max(1, settings.batch // settings.parts)
    step_rows = part_rows * settings.parts
    steps, step = settings.epochs * math.ceil(rows / step_rows), 0
    for epoch in range(settings.epochs):
        order = torch.randperm(rows, generator=generator)
        for at in range(0, rows, step_rows):
            chosen = order[at : at + step_rows]
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, steps, settings.rate)
            optimizer.zero_grad()
            total, whole = 0.0, weights[chosen].sum()
            for part in chosen.split(part_rows):
                # What the head says is little: losses are computed where the targets are.
                loss = (loss_of(head(features[part.to(features.device)]).cpu(), part) * weights[part]).sum() / whole
                loss.backward()
                total += loss.item()
            step += 1
            check_loss(total, step)
            optimizer.step()
            progress.tell(phase, step, steps, epoch=epoch + 1, loss=total, samples=step * step_rows)
        job.check_stop()
    return head.cpu(), steps


def out_of_fold(
    features: torch.Tensor, outputs: int, weights: torch.Tensor, loss_of: RowLoss, settings: HeadSettings, folds: list[int], job: Job, progress: Progress
) -> torch.Tensor:
    """What heads that did not see a row say of it: f32 [rows, outputs], NaN for rows of no fold (-1)."""
    said = torch.full((features.shape[0], outputs), math.nan)
    fold = torch.tensor(folds)
    for one in sorted(set(folds) - {-1}):
        seen, held = (fold != one).nonzero().squeeze(1), (fold == one).nonzero().squeeze(1)
        head, _ = train_head(features[seen], outputs, weights[seen], _of_rows(loss_of, seen), settings, job, progress, phase="calibrate")
        with torch.no_grad():
            said[held] = head(features[held])
    return said


def _of_rows(loss_of: RowLoss, rows: torch.Tensor) -> RowLoss:
    return lambda said, part: loss_of(said, rows[part])
