"""What every training shares: rate, row weights, and the watch over the loss."""

import math
from collections import Counter

import torch
from torch import nn

from .dataset import Row
from .errors import JobError


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """All zero: every answer is equally likely before the first step, and nothing is left to chance."""
    linear = nn.Linear(inputs, outputs)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def row_weights(rows: list[Row], labels_of: list[list[str]], class_weights: str) -> torch.Tensor:
    """Weight of each row's loss; `balanced` lets every label count the same in sum (a row of several labels counts as its rarest)."""
    weights = torch.tensor([float(row.get("weight", 1.0)) for row in rows])
    if class_weights == "balanced":
        counts = Counter(label for labels in labels_of for label in labels)
        share = [len(rows) / (len(counts) * min(counts[label] for label in labels)) if labels else 1.0 for labels in labels_of]
        weights = weights * torch.tensor(share)
    return weights


def rate_at(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over a twentieth of the steps, then a cosine to zero."""
    warm = max(1, steps // 20)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def check_loss(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise JobError("diverged", f"the loss became {loss} at step {step}: a smaller learningRate may help")
