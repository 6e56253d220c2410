"""What the model answers on the evaluation rows. Never quotes a text."""

import json

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
        answer = {"id": row.id, "expected": {"label": row.label}, "predicted": top[0] | {"labels": top}}
        lines.append(json.dumps(answer, ensure_ascii=False) + "\n")
    return "".join(lines)

