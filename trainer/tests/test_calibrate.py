"""Thresholds against an exhaustive search, and a temperature against a known one."""

import numpy as np

from modelwright_trainer.calibrate import answer_threshold, f1_threshold, separating_threshold, softmax, temperature_for
from modelwright_trainer.dataset import folds_of


def f1(scores: np.ndarray, truth: np.ndarray, threshold: float) -> float:
    given = scores >= threshold
    return 2 * float((given & truth).sum()) / float(given.sum() + truth.sum())


def test_the_f1_threshold_is_as_good_as_any_other() -> None:
    chance = np.random.default_rng(5)
    truth = chance.random((200, 6)) < 0.3
    scores = np.clip(chance.normal(0.35 + 0.3 * truth, 0.2), 0, 1)
    best = max(f1(scores, truth, one) for one in np.linspace(0, 1, 2001))
    assert f1(scores, truth, f1_threshold(scores, truth)) >= best - 1e-9
    assert f1_threshold(scores, np.zeros_like(truth)) == 0.5


def test_overconfident_logits_get_the_temperature_that_they_were_multiplied_by() -> None:
    chance = np.random.default_rng(6)
    logits = chance.normal(0, 2, (20_000, 4))
    targets = np.array([chance.choice(4, p=row) for row in softmax(logits)])
    assert abs(temperature_for(logits * 3, targets) - 3) < 0.15
    assert temperature_for(logits[:5], targets[:5]) == 1.0


def test_a_separating_threshold_separates() -> None:
    inside, outside = np.array([0.9, 0.8, 0.85, 0.4]), np.array([0.3, 0.5, 0.2])
    threshold = separating_threshold(inside, outside, 0.1)
    assert 0.5 < threshold < 0.8
    assert separating_threshold(inside, outside[:0], 0.1) == 0.1


def test_answering_stops_where_it_is_more_often_wrong_than_right() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    right = np.array([True, True, False, True, False, False])
    assert 0.7 < answer_threshold(scores, right, 0.0) < 0.8
    assert answer_threshold(scores, np.zeros(6, dtype=bool), 0.25) == 0.25


def test_folds_spread_each_kind_and_keep_groups_together() -> None:
    rows = [{"id": str(i), "label": "ab"[i % 2]} for i in range(60)]
    folds = folds_of(rows, 3, lambda row: row["label"])
    for label in "ab":
        assert [sum(fold == one for fold, row in zip(folds, rows, strict=True) if row["label"] == label) for one in range(3)] == [10, 10, 10]
    order = list(range(59, -1, -1))
    assert [folds_of([rows[i] for i in order], 3, lambda row: row["label"])[order.index(i)] for i in range(60)] == folds
    grouped = folds_of([row | {"group": f"g{i // 10}"} for i, row in enumerate(rows)], 3, lambda row: row["label"])
    assert all(len(set(grouped[at : at + 10])) == 1 for at in range(0, 60, 10))
