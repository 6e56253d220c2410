"""Thresholds and confidence, chosen on rows that the model was not trained on."""

import numpy as np

Array = np.ndarray


def softmax(logits: Array) -> Array:
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


def sigmoid(logits: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(logits, -60, 60)))


def temperature_for(logits: Array, targets: Array, fallback: float = 1.0, least_rows: int = 30) -> float:
    """What logits are divided by, so that the mean log probability of the right label is highest. Few rows say nothing."""
    if len(targets) < least_rows:
        return fallback

    def loss(exponent: float) -> float:
        scaled = logits / np.exp(exponent)
        best = scaled.max(axis=1)
        return float((np.log(np.exp(scaled - best[:, None]).sum(axis=1)) + best - scaled[np.arange(len(targets)), targets]).mean())

    low, high = np.log(0.05), np.log(20.0)
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(40):
        # Golden section: the loss has one lowest point.
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return round(float(np.exp((low + high) / 2)), 4)


def f1_threshold(scores: Array, truth: Array, fallback: float = 0.5) -> float:
    """The score from which a label is given, so that micro F1 over all (row, label) pairs is highest."""
    flat, right = scores.ravel(), truth.ravel().astype(bool)
    if not right.any():
        return fallback
    order = np.argsort(-flat, kind="stable")
    hits = np.cumsum(right[order])
    f1 = 2 * hits / (np.arange(1, len(flat) + 1) + right.sum())
    return _between(flat[order], int(f1.argmax()))


def separating_threshold(inside: Array, outside: Array, fallback: float) -> float:
    """The score that best tells the two kinds apart, both kinds counting the same: at or above it is inside."""
    if len(inside) == 0 or len(outside) == 0:
        return fallback
    scores = np.concatenate([inside, outside])
    gains = np.concatenate([np.full(len(inside), 1 / len(inside)), np.full(len(outside), -1 / len(outside))])
    order = np.argsort(-scores, kind="stable")
    return _between(scores[order], int(np.cumsum(gains[order]).argmax()))


def answer_threshold(scores: Array, right: Array, fallback: float) -> float:
    """The score from which answering gains more right answers than wrong ones."""
    if len(scores) == 0 or not right.any():
        return fallback
    order = np.argsort(-scores, kind="stable")
    return _between(scores[order], int(np.cumsum(np.where(right[order], 1, -1)).argmax()))


def _between(falling: Array, last: int) -> float:
    """Half-way between the last score inside and the next one outside: rounding in serving changes no answer."""
    following = falling[last + 1] if last + 1 < len(falling) else falling[last] - 1e-3
    return round(float((falling[last] + following) / 2), 6)
