"""Business model text-classification: one label for each text, by a linear head on a sentence encoder."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from modelwright_trainer.base_model import open_base
from modelwright_trainer.calibrate import separating_threshold, softmax, temperature_for
from modelwright_trainer.dataset import Row, label_set, load_dataset
from modelwright_trainer.job import Job, Progress
from modelwright_trainer.learning import row_weights
from modelwright_trainer.sentence_model import train_sentences
from modelwright_trainer.session import METHODS, Options, Session
from modelwright_trainer.spec import Spec

#: Three epochs of half the layers take less time than two of all, and come to more: docs/05-models.md.
TIERS = {"fast": {"method": "head"}, "balanced": {"method": "full", "epochs": 3, "trainedShare": 0.5}, "accurate": {"method": "full", "epochs": 4}}
TOP = 3
#: Keeps the model from trusting single rows too much: measured on BANKING77.
LABEL_SMOOTHING = 0.1
#: Whether a text is strange shows better in flat scores than in calibrated ones, which are nearly all near 1: measured on CLINC150, where
#: 95 of 100 texts in scope are kept, 84 of 100 others are found instead of 73. Beyond this factor nothing is gained.
SCOPE_FLATNESS = 4
#: Without rows that are out of scope: so many of a hundred texts in scope are taken for strange ones.
STRANGE_PERCENT = 5


def check(row: Row) -> str | None:
    return None if isinstance(row.get("label"), str) and row["label"] else "the label is empty or no text"


def run(spec: Spec, job: Job, progress: Progress) -> dict[str, Any]:
    session = Session(spec, job, progress)
    options = Options(spec.options, TIERS, METHODS)
    outside_label = spec.options.get("outOfScopeLabel")
    dataset = load_dataset(spec, progress.tell, check)
    # What is out of scope is no class: such texts have nothing in common.
    rows = [row for row in dataset.train if row["label"] != outside_label]
    outside = [row for row in dataset.train if row["label"] == outside_label]
    labels = label_set({row["label"] for row in rows})
    base = open_base(spec, options.integer("maxTokens", 256))
    tokens, outside_tokens, asked = (base.tokens_of(some) for some in (rows, outside, dataset.evaluation))

    index = {label: i for i, label in enumerate(labels)}
    targets = torch.tensor([index[row["label"]] for row in rows])
    weights = row_weights(rows, [[row["label"]] for row in rows], options.text("classWeights", "none"))

    def loss_of(said: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(said, targets[chosen], reduction="none", label_smoothing=LABEL_SMOOTHING)

    model = train_sentences(
        session, base, options, rows, tokens, len(labels), weights, loss_of, lambda row: row["label"], outside_tokens + asked
    )
    right = targets.numpy()[model.calibration_rows]
    temperature = temperature_for(model.calibration, right)
    answering: dict[str, Any] = {"labels": labels, "temperature": temperature}
    scope_temperature = SCOPE_FLATNESS * temperature
    if outside_label is not None:
        inside_scores = softmax(model.calibration / scope_temperature).max(axis=1) if len(right) else np.zeros(0)
        outside_scores = softmax(model.answer(outside_tokens) / scope_temperature).max(axis=1) if outside else np.zeros(0)
        usual = float(np.percentile(inside_scores, STRANGE_PERCENT)) if len(right) else 0.0
        threshold = separating_threshold(inside_scores, outside_scores, usual)
        answering |= {"outOfScopeLabel": outside_label, "scopeTemperature": round(scope_temperature, 4), "threshold": threshold}

    logits = model.answer(asked)
    in_scope = softmax(logits / answering["scopeTemperature"]).max(axis=1) >= answering["threshold"] if outside_label is not None else None
    scores = softmax(logits / temperature)
    return session.publish(
        base=base,
        tensors={"classifier.weight": model.weight, "classifier.bias": model.bias},
        labels=labels,
        answering=answering,
        evaluation=dataset.evaluation,
        # A row that is out of scope is right when the model says so, whatever label it finds nearest.
        expected=[{"label": row["label"]} | ({"inScope": False} if row["label"] == outside_label else {}) for row in dataset.evaluation],
        predicted=[_answer(one, labels, None if in_scope is None else bool(in_scope[i])) for i, one in enumerate(scores)],
        train_rows=len(dataset.train),
        steps=model.steps,
        encoder=model.encoder,
    )


def _answer(scores: np.ndarray, labels: list[str], in_scope: bool | None) -> dict[str, Any]:
    """Equal scores keep the order of the labels, as serving does."""
    best = np.argsort(-scores, kind="stable")[:TOP]
    top = [{"label": labels[i], "score": round(float(scores[i]), 6)} for i in best]
    answer: dict[str, Any] = {"label": top[0]["label"], "score": top[0]["score"], "labels": top}
    return answer if in_scope is None else answer | {"inScope": in_scope}
