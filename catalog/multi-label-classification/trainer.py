"""Business model multi-label-classification: any number of labels for each text, each by its own yes or no."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from modelwright_trainer.base_model import open_base
from modelwright_trainer.calibrate import f1_threshold, sigmoid
from modelwright_trainer.dataset import Row, label_set, load_dataset
from modelwright_trainer.job import Job, Progress
from modelwright_trainer.learning import row_weights
from modelwright_trainer.sentence_model import train_sentences
from modelwright_trainer.session import METHODS, Options, Session
from modelwright_trainer.spec import Spec

TIERS = {"fast": {"method": "head"}, "balanced": {"method": "full", "epochs": 3}, "accurate": {"method": "full", "epochs": 6}}


def check(row: Row) -> str | None:
    labels = row.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        return "the labels are no list of texts"
    return "a label is given twice" if len(set(labels)) < len(labels) else None


def run(spec: Spec, job: Job, progress: Progress) -> dict[str, Any]:
    session = Session(spec, job, progress)
    options = Options(spec.options, TIERS, METHODS)
    dataset = load_dataset(spec, progress.tell, check)
    rows = dataset.train
    # A single label is a question too: whether it applies.
    labels = label_set({label for row in rows for label in row["labels"]}, at_least=1)
    base = open_base(spec, options.integer("maxTokens", 256))
    tokens, asked = base.tokens_of(rows), base.tokens_of(dataset.evaluation)

    index = {label: i for i, label in enumerate(labels)}
    truth = torch.zeros(len(rows), len(labels))
    for i, row in enumerate(rows):
        truth[i, [index[label] for label in row["labels"]]] = 1.0
    weights = row_weights(rows, [row["labels"] for row in rows], options.text("classWeights", "none"))

    def loss_of(said: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        # Summed over the labels: a mean would leave each of many labels next to nothing.
        return F.binary_cross_entropy_with_logits(said, truth[chosen], reduction="none").sum(1)

    model = train_sentences(session, base, options, rows, tokens, len(labels), weights, loss_of, lambda row: "\0".join(sorted(row["labels"])), asked)
    threshold = f1_threshold(sigmoid(model.calibration), truth.numpy()[model.calibration_rows])
    return session.publish(
        base=base,
        tensors={"classifier.weight": model.weight, "classifier.bias": model.bias},
        labels=labels,
        answering={"labels": labels, "threshold": threshold},
        evaluation=dataset.evaluation,
        expected=[{"labels": sorted(row["labels"])} for row in dataset.evaluation],
        predicted=[_answer(one, labels, threshold) for one in sigmoid(model.answer(asked))],
        train_rows=len(rows),
        steps=model.steps,
        encoder=model.encoder,
    )


def _answer(scores: np.ndarray, labels: list[str], threshold: float) -> dict[str, Any]:
    """Falling by score; equal scores keep the order of the labels, as serving does."""
    given = [i for i in np.argsort(-scores, kind="stable") if scores[i] >= threshold]
    return {"labels": [{"label": labels[i], "score": round(float(scores[i]), 6)} for i in given]}
