"""Each business model learns what a small data set of our own teaches, and answers in the catalogue's form."""

import numpy as np
import pytest
from conftest import WORDS, JobFolder
from safetensors.numpy import load

PLACES = ["soup", "bread", "cheese"]


def split(i: int) -> str:
    return "evaluation" if i % 5 == 0 else "train"


def story(i: int) -> str:
    return f"a story about {WORDS[i % 9]} {WORDS[(i * 7 + i // 9) % 9]}"


def several(count: int = 150) -> list[dict]:
    """The labels are the topics that the text's words belong to; every eleventh text has none."""
    made = []
    for i in range(count):
        text = "a story about a" if i % 11 == 0 else story(i)
        topics = {("food", "sport", "money")[WORDS.index(word) // 3] for word in text.split() if word in WORDS[:9]}
        made.append({"id": f"r{i:03}", "split": split(i), "text": text, "labels": sorted(topics)})
    return made


def spans(count: int = 150) -> list[dict]:
    """A food is one entity, also where two of them follow each other; the text has an emoji and an ideograph to count over."""
    made = []
    for i in range(count):
        text = f"🍳 a {WORDS[i % 9]} about {WORDS[(i * 5 + 1) % 9]} 店"
        entities = [{"start": text.index(word), "end": text.index(word) + len(word), "label": "dish"} for word in PLACES if word in text]
        made.append({"id": f"r{i:03}", "split": split(i), "text": text, "entities": entities})
    return made


def questions(count: int = 90) -> list[dict]:
    made = []
    for i in range(count):
        topic = i % 3
        text = f"about {WORDS[3 * topic + i % 2]} {WORDS[3 * topic + (i + 1) % 3]}"
        made.append({"id": f"r{i:03}", "split": split(i), "question": text, "answerId": f"a{topic}", "answer": f"the answer {topic}"})
    return made


def scored(count: int = 150) -> list[dict]:
    """The score is the number of foods less that of banks."""
    value = {"soup": 1.0, "bread": 2.0, "bank": -1.0, "share": -2.0}
    return [
        {"id": f"r{i:03}", "split": split(i), "text": story(i), "score": 10 + sum(value.get(word, 0.0) for word in story(i).split())}
        for i in range(count)
    ]


#: A frozen encoder of random weights tells little: a head on it need only be far better than chance.
METHODS = [{"method": "head"}, {"method": "full", "epochs": 30, "learningRate": 0.003, "batchSize": 16}]


@pytest.mark.parametrize("options", METHODS, ids=lambda options: options["method"])
def test_multi_label_classification(job: JobFolder, options: dict) -> None:
    job.specify(several(), "multi-label-classification", options=options)
    status, result, _ = job.run_here()
    assert (status, result["labels"]) == (0, ["food", "money", "sport"])
    answers = job.answers()
    right = given = both = 0
    for answer in answers:
        expected, predicted = set(answer["expected"]["labels"]), [one["label"] for one in answer["predicted"]["labels"]]
        assert len(set(predicted)) == len(predicted)
        scores = [one["score"] for one in answer["predicted"]["labels"]]
        assert scores == sorted(scores, reverse=True) and all(score >= job.answering()["threshold"] for score in scores)
        right, given, both = right + len(expected), given + len(predicted), both + len(expected & set(predicted))
    assert 2 * both / (right + given) > (0.9 if options["method"] == "full" else 0.7)
    assert any(not answer["predicted"]["labels"] for answer in answers)


@pytest.mark.parametrize("options", METHODS, ids=lambda options: options["method"])
def test_entity_extraction(job: JobFolder, options: dict) -> None:
    job.specify(spans(), "entity-extraction", options=options)
    status, result, _ = job.run_here()
    assert (status, result["labels"], job.answering()["tags"]) == (0, ["dish"], ["O", "B-dish", "I-dish"])
    found = {"expected": set(), "predicted": set()}
    for answer in job.answers():
        for side, entities in found.items():
            entities |= {(answer["id"], one["start"], one["end"], one["label"]) for one in answer[side]["entities"]}
    assert 2 * len(found["expected"] & found["predicted"]) / (len(found["expected"]) + len(found["predicted"])) > (0.95 if options["method"] == "full" else 0.8)
    assert load(job.weights())["tagger.weight"].shape == (3, 16)


@pytest.mark.parametrize("options", METHODS, ids=lambda options: options["method"])
def test_text_similarity(job: JobFolder, options: dict) -> None:
    data = questions()
    job.specify(data, "text-similarity", options=options)
    status, _, _ = job.run_here()
    assert status == 0
    answers, answering = job.answers(), job.answering()
    best = [answer["predicted"]["answers"][0]["answerId"] if answer["predicted"]["answers"] else "" for answer in answers]
    assert np.mean([one == answer["expected"]["answerId"] for one, answer in zip(best, answers, strict=True)]) > 0.9
    known = [row for row in data if row["split"] == "train"]
    index = load(job.weights())["index.embeddings"]
    assert (index.shape, answering["answerIds"]) == ((len(known), 16), [row["answerId"] for row in known])
    assert np.allclose(np.linalg.norm(index, axis=1), 1, atol=1e-5)
    assert answering["answers"] == {f"a{i}": f"the answer {i}" for i in range(3)}
    for answer in answers:
        ids = [one["answerId"] for one in answer["predicted"]["answers"]]
        assert len(set(ids)) == len(ids) and all(one["score"] >= answering["threshold"] - 1e-6 for one in answer["predicted"]["answers"])


@pytest.mark.parametrize("options", METHODS, ids=lambda options: options["method"])
def test_text_scoring(job: JobFolder, options: dict) -> None:
    data = scored()
    job.specify(data, "text-scoring", options=options)
    status, result, _ = job.run_here()
    assert (status, result["labels"]) == (0, [])
    pairs = [(answer["expected"]["score"], answer["predicted"]["score"]) for answer in job.answers()]
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.95
    known = [row["score"] for row in data if row["split"] == "train"]
    assert job.answering() == {"mean": pytest.approx(np.mean(known)), "scale": pytest.approx(np.std(known)), "minimum": min(known), "maximum": max(known)}
    assert all(min(known) <= score <= max(known) for _, score in pairs)


def test_a_ridge_is_the_weighted_least_squares_solution(job: JobFolder) -> None:
    """Weights of 2 are the same as rows given twice."""
    from conftest import CATALOG
    from modelwright_trainer.__main__ import load_trainer

    ridge = load_trainer(CATALOG / "text-scoring" / "trainer.py").ridge
    chance = np.random.default_rng(1)
    features = chance.normal(size=(60, 5))
    targets = features @ np.array([1.0, -2, 0.5, 0, 3]) + 0.7 + chance.normal(0, 0.01, 60)
    weights = np.where(np.arange(60) < 20, 2.0, 1.0)
    folds = [i % 5 for i in range(60)]
    weight, bias = ridge(features, targets, weights, folds)
    assert np.allclose(weight, [1, -2, 0.5, 0, 3], atol=0.02) and abs(bias - 0.7) < 0.02
    twice = np.concatenate([np.arange(60), np.arange(20)])
    again, _ = ridge(features[twice], targets[twice], np.ones(80), [folds[i] for i in twice])
    assert np.allclose(weight, again, atol=1e-9)


def test_texts_out_of_scope_are_no_class_and_are_told_apart(job: JobFolder) -> None:
    topics = [("food", WORDS[0:3]), ("sport", WORDS[3:6])]
    data = []
    for i in range(600):
        # Out of scope: words that neither topic has.
        label, words = (*topics, ("other", WORDS[6:9]))[i % 3]
        text = f"{words[i % 2]} {words[(i + 1) % 3]} {words[i % 3]}" if label != "other" else f"{words[i % 3]} a about {words[(i + 1) % 2]}"
        data.append({"id": f"r{i:03}", "split": split(i), "text": text, "label": label})
    job.specify(data, options={"outOfScopeLabel": "other", "epochs": 6})
    status, result, _ = job.run_here()
    assert (status, result["labels"], job.answering()["labels"]) == (0, ["food", "sport"], ["food", "sport"])
    assert result["rows"] == {"train": 480, "evaluation": 120}
    answers = job.answers()
    outside = [answer for answer in answers if answer["expected"]["label"] == "other"]
    assert all(answer["expected"]["inScope"] is False for answer in outside)
    assert all(answer["predicted"]["label"] in ("food", "sport") for answer in answers)
    kept = np.mean([answer["predicted"]["inScope"] for answer in answers if answer not in outside])
    refused = np.mean([not answer["predicted"]["inScope"] for answer in outside])
    assert (kept + refused) / 2 > 0.8
    assert all(answer["predicted"]["inScope"] == (answer["predicted"]["score"] >= job.answering()["threshold"]) for answer in answers)


def test_a_score_is_as_right_as_it_says(job: JobFolder) -> None:
    """A quarter of the labels is wrong at random: the mean confidence must be near the accuracy, on rows never seen."""
    chance = np.random.default_rng(8)
    data = []
    for i in range(3000):
        topic = i % 3
        shown = int(chance.integers(3)) if chance.random() < 0.4 else topic
        text = f"{WORDS[3 * topic + int(chance.integers(3))]} {WORDS[3 * topic + int(chance.integers(3))]}"
        data.append({"id": f"r{i:04}", "split": split(i), "text": text, "label": f"l{shown}"})
    job.specify(data)
    assert job.run_here()[0] == 0
    answers = job.answers()
    accuracy = np.mean([answer["expected"]["label"] == answer["predicted"]["label"] for answer in answers])
    confidence = np.mean([answer["predicted"]["score"] for answer in answers])
    assert 0.6 < accuracy < 0.85
    assert abs(accuracy - confidence) < 0.06
