"""Business model text-scoring: one number for each text, such as how content a customer is."""

from typing import Any

import numpy as np
import torch

from modelwright_trainer.base_model import open_base
from modelwright_trainer.dataset import Row, folds_of, is_number, load_dataset
from modelwright_trainer.embed import embed
from modelwright_trainer.errors import JobError
from modelwright_trainer.job import Job, Progress
from modelwright_trainer.learning import row_weights
from modelwright_trainer.sentence_model import train_sentences
from modelwright_trainer.session import METHODS, Options, Session
from modelwright_trainer.spec import Spec

TIERS = {"fast": {"method": "head"}, "balanced": {"method": "full", "epochs": 2}, "accurate": {"method": "full", "epochs": 4}}
#: How strongly weights are held back, as parts of the rows' total weight. The folds choose.
RIDGES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
FOLDS = 5


def check(row: Row) -> str | None:
    return None if is_number(row.get("score")) else "the score is no finite number"


def run(spec: Spec, job: Job, progress: Progress) -> dict[str, Any]:
    session = Session(spec, job, progress)
    options = Options(spec.options, TIERS, METHODS)
    dataset = load_dataset(spec, progress.tell, check)
    rows = dataset.train
    scores = np.array([float(row["score"]) for row in rows])
    mean, scale = float(scores.mean()), float(scores.std())
    if not scale > 0:
        raise JobError("invalid_data", "the training rows all have one score: at least 2 different scores are needed")
    base = open_base(spec, options.integer("maxTokens", 256))
    tokens, asked = base.tokens_of(rows), base.tokens_of(dataset.evaluation)
    targets = (scores - mean) / scale
    weights = row_weights(rows, [], "none")

    encoder = None
    if options.method == "head":
        embedded = embed(spec, base, tokens + asked, job, progress).astype(np.float64)
        weight, bias = ridge(embedded[: len(rows)], targets, weights.double().numpy(), folds_of(rows, FOLDS, lambda row: ""))
        said, steps = embedded[len(rows) :] @ weight + bias, 1
        tensors = {"regressor.weight": torch.tensor(weight[None], dtype=torch.float32), "regressor.bias": torch.tensor([bias], dtype=torch.float32)}
    else:
        goal = torch.tensor(targets, dtype=torch.float32)
        model = train_sentences(
            session, base, options, rows, tokens, 1, weights, lambda out, chosen: (out[:, 0] - goal[chosen]) ** 2, lambda row: "", asked
        )
        said, steps, encoder = model.answer(asked)[:, 0], model.steps, model.encoder
        tensors = {"regressor.weight": model.weight, "regressor.bias": model.bias}
    # Nothing outside of what people gave is ever answered.
    minimum, maximum = float(scores.min()), float(scores.max())
    answers = np.clip(mean + scale * said, minimum, maximum)
    return session.publish(
        base=base,
        tensors=tensors,
        labels=[],
        answering={"mean": mean, "scale": scale, "minimum": minimum, "maximum": maximum},
        evaluation=dataset.evaluation,
        expected=[{"score": float(row["score"])} for row in dataset.evaluation],
        predicted=[{"score": round(float(answer), 6)} for answer in answers],
        train_rows=len(rows),
        steps=steps,
        encoder=encoder,
    )


def ridge(features: np.ndarray, targets: np.ndarray, weights: np.ndarray, folds: list[int]) -> tuple[np.ndarray, float]:
    """The weighted least squares solution with the ridge that does best on the folds; exact, so nothing is left to chance."""
    fold = np.array(folds)

    def solve(chosen: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
        x, y, w = features[chosen], targets[chosen], weights[chosen] / weights[chosen].sum()
        middle, level = w @ x, float(w @ y)
        centred = x - middle
        matrix = centred.T @ (centred * w[:, None]) + strength * np.eye(x.shape[1])
        weight = np.linalg.solve(matrix, centred.T @ (w * (y - level)))
        return weight, level - float(middle @ weight)

    def error(strength: float) -> float:
        total = 0.0
        for one in sorted(set(folds)):
            held = fold == one
            # With few rows or groups, one fold may hold everything.
            if held.all():
                return 0.0
            weight, bias = solve(~held, strength)
            total += float((weights[held] * (features[held] @ weight + bias - targets[held]) ** 2).sum())
        return total

    best = min(RIDGES, key=lambda strength: (error(strength), -strength))
    return solve(np.ones(len(targets), dtype=bool), best)
