"""What the model answers on the evaluation rows, and how good that is. Never quotes a text."""

import json
from collections import Counter
from typing import Any

import numpy as np

from .dataset import Row

TOP = 3


def probabilities(logits: np.ndarray) -> np.ndarray:
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


def answer_lines(rows: list[Row], scores: np.ndarray, labels: list[str]) -> str:
    """eval.jsonl: one line a row, by id. Equal scores keep the order of the labels, as serving does."""
    lines = []
    for row, score in zip(rows, scores, strict=True):
        best = np.argsort(-score, kind="stable")[:TOP]
        top = [{"label": labels[i], "score": round(float(score[i]), 6)} for i in best]
        answer = {"id": row.id, "label": row.label, "predicted": top[0]["label"], "score": top[0]["score"], "probabilities": top}
        lines.append(json.dumps(answer, ensure_ascii=False) + "\n")
    return "".join(lines)


def metrics_of(rows: list[Row], predicted: list[str], train_rows: int) -> dict[str, Any]:
    """Accuracy, macro F1 over the labels of the evaluation rows, and each label's own figures; zeros where there is no row."""
    right = Counter(row.label for row, label in zip(rows, predicted, strict=True) if row.label == label)
    actual, answered = Counter(row.label for row in rows), Counter(predicted)
    per_label = {}
    for label in sorted(actual):
        precision = right[label] / answered[label] if answered[label] else 0.0
        recall = right[label] / actual[label]
        f1 = 2 * precision * recall / (precision + recall) if right[label] else 0.0
        per_label[label] = {"precision": precision, "recall": recall, "f1": f1, "support": actual[label]}
    return {
        "accuracy": sum(right.values()) / len(rows) if rows else 0.0,
        "macroF1": sum(one["f1"] for one in per_label.values()) / len(per_label) if per_label else 0.0,
        "rows": {"train": train_rows, "evaluation": len(rows)},
        "perLabel": per_label,
    }
