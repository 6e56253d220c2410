"""Business model text-similarity: the answer of the nearest known question."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from modelwright_trainer.base_model import open_base
from modelwright_trainer.calibrate import answer_threshold
from modelwright_trainer.dataset import Row, label_set, load_dataset
from modelwright_trainer.embed import embed
from modelwright_trainer.job import Job, Progress
from modelwright_trainer.learning import row_weights
from modelwright_trainer.sentence_model import train_sentences
from modelwright_trainer.session import METHODS, Options, Session
from modelwright_trainer.spec import Spec

TIERS = {"fast": {"method": "head"}, "balanced": {"method": "full", "epochs": 2}, "accurate": {"method": "full", "epochs": 4}}
TOP = 5
#: Rows that are compared with all others at a time.
BLOCK = 512
#: Where no question has a sibling: as near as the nearest question of another answer is for so many of a hundred.
STRANGER_PERCENT = 95


def check(row: Row) -> str | None:
    if not isinstance(row.get("answerId"), str) or not row["answerId"]:
        return "the answerId is empty or no text"
    return None if row.get("answer") is None or isinstance(row["answer"], str) else "the answer is no text"


def run(spec: Spec, job: Job, progress: Progress) -> dict[str, Any]:
    session = Session(spec, job, progress)
    options = Options(spec.options, TIERS, METHODS)
    dataset = load_dataset(spec, progress.tell, check, "question")
    rows = dataset.train
    ids = label_set({row["answerId"] for row in rows})
    base = open_base(spec, options.integer("maxTokens", 256))
    tokens, asked = base.tokens_of(rows, "question"), base.tokens_of(dataset.evaluation, "question")
    number = {one: i for i, one in enumerate(ids)}
    answer_of = np.array([number[row["answerId"]] for row in rows])

    encoder, steps = None, 0
    if options.method == "head":
        embedded = embed(spec, base, tokens + asked, job, progress)
        index, questions = embedded[: len(rows)], embedded[len(rows) :]
    else:
        # One prototype for each answer, thrown away afterwards: questions of one answer gather around it.
        goal = torch.tensor(answer_of)
        model = train_sentences(
            session,
            base,
            options,
            rows,
            tokens,
            len(ids),
            row_weights(rows, [[row["answerId"]] for row in rows], options.text("classWeights", "none")),
            lambda said, chosen: F.cross_entropy(said, goal[chosen], reduction="none", label_smoothing=0.1),
            lambda row: row["answerId"],
            asked,
        )
        index, questions, encoder, steps = model.embed(tokens), model.embed(asked), model.encoder, model.steps
        held = np.array(model.calibration_rows, dtype=int)
    compared = np.arange(len(rows)) if encoder is None or len(held) == 0 else held
    threshold = threshold_for(index, answer_of, compared)
    answers = {row["answerId"]: row["answer"] for row in rows if row.get("answer")}
    return session.publish(
        base=base,
        tensors={"index.embeddings": torch.from_numpy(np.ascontiguousarray(index))},
        labels=ids,
        answering={"answerIds": [row["answerId"] for row in rows], "answers": answers, "threshold": threshold},
        evaluation=dataset.evaluation,
        expected=[{"answerId": row["answerId"]} for row in dataset.evaluation],
        predicted=[_answer(one @ index.T, answer_of, ids, threshold) for one in questions],
        train_rows=len(rows),
        steps=steps,
        encoder=encoder,
    )


def threshold_for(index: np.ndarray, answer_of: np.ndarray, compared: np.ndarray) -> float:
    """Each of these questions is asked of all the others: from which score on is the nearest one more often right than wrong?"""
    best, right, strangers = [], [], []
    siblings = np.bincount(answer_of)
    for start in range(0, len(compared), BLOCK):
        chosen = compared[start : start + BLOCK]
        near = index[chosen] @ index.T
        near[np.arange(len(chosen)), chosen] = -np.inf
        nearest = near.argmax(axis=1)
        with_siblings = siblings[answer_of[chosen]] > 1
        best += near.max(axis=1)[with_siblings].tolist()
        right += (answer_of[nearest] == answer_of[chosen])[with_siblings].tolist()
        near[answer_of[None, :] == answer_of[chosen][:, None]] = -np.inf
        strangers += near.max(axis=1).tolist()
    usual = min(1.0, float(np.percentile(strangers, STRANGER_PERCENT)))
    return answer_threshold(np.array(best), np.array(right, dtype=bool), round(usual, 6))


def _answer(scores: np.ndarray, answer_of: np.ndarray, ids: list[str], threshold: float) -> dict[str, Any]:
    """The best question of each answer; equal scores keep the order of the rows, as serving does."""
    found: dict[int, float] = {}
    for i in np.argsort(-scores, kind="stable"):
        if scores[i] < threshold or len(found) == TOP:
            break
        found.setdefault(int(answer_of[i]), float(scores[i]))
    return {"answers": [{"answerId": ids[answer], "score": round(score, 6)} for answer, score in found.items()]}
