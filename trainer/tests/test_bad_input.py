"""Bad data and broken base models: a specific error that names the row or file, and never a model."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import JobFolder, make_base, rows
from safetensors.torch import load_file, save_file


def classified(**changes: object) -> dict:
    return {"id": "bad", "split": "train", "text": "a story", "label": "food"} | changes


def with_entities(*entities: tuple[int, int, str]) -> dict:
    return {"id": "bad", "split": "train", "text": "a story", "entities": [{"start": start, "end": end, "label": label} for start, end, label in entities]}


TAGGED = [row | {"entities": [{"start": 0, "end": 1, "label": "x"}]} for row in rows(12)]
SCORED = [row | {"score": float(i)} for i, row in enumerate(rows(12))]
MULTI = [row | {"labels": [row["label"]]} for row in rows(12)]
ASKED = [{"id": row["id"], "split": row["split"], "question": row["text"], "answerId": row["label"]} for row in rows(12)]


@pytest.mark.parametrize(
    ("model", "good", "bad", "says"),
    [
        ("text-classification", rows(12), classified(label=""), "label is empty"),
        ("text-classification", rows(12), classified(text="  "), "text is empty"),
        ("text-classification", rows(12), classified(weight=float("nan")), "weight"),
        ("text-classification", rows(12), classified(weight=float("inf")), "weight"),
        ("text-classification", rows(12), classified(weight=0), "weight"),
        ("text-classification", rows(12), classified(split="test"), "split"),
        ("text-classification", rows(12), classified(text="\u0001\u0002", split="evaluation"), "tokenizer"),
        ("multi-label-classification", MULTI, classified(labels="food"), "no list"),
        ("multi-label-classification", MULTI, classified(labels=["a", "a"]), "twice"),
        ("entity-extraction", TAGGED, with_entities((0, 99, "x")), "outside"),
        ("entity-extraction", TAGGED, with_entities((-1, 2, "x")), "outside"),
        ("entity-extraction", TAGGED, with_entities((3, 3, "x")), "empty"),
        ("entity-extraction", TAGGED, with_entities((0, 3, "x"), (2, 4, "y")), "overlap"),
        ("entity-extraction", TAGGED, with_entities((0, 3, "")), "label"),
        ("text-scoring", SCORED, classified(score=float("nan")), "score"),
        ("text-scoring", SCORED, classified(score="5"), "score"),
        ("text-similarity", ASKED, {"id": "bad", "split": "train", "question": "a story"}, "answerId"),
    ],
)
def test_a_bad_row_is_named(job: JobFolder, model: str, good: list[dict], bad: dict, says: str) -> None:
    job.specify([*good, bad], model)
    status, result, _ = job.run_here()
    assert (status, result["class"], result["rows"]) == (65, "invalid_data", ["bad"])
    assert says in result["message"] and "story" not in result["message"]
    assert not (job.folder / "staged.model.safetensors").exists()


@pytest.mark.parametrize(
    ("model", "data", "says"),
    [
        ("text-classification", [row | {"label": "food"} for row in rows(12)], "1 label:"),
        ("text-classification", [row | {"split": "evaluation"} for row in rows(12)], "no training rows"),
        ("text-classification", [classified(id=f"r{i}", label=f"l{i}") for i in range(10_001)], "at most 10000"),
        ("multi-label-classification", [row | {"labels": []} for row in rows(12)], "0 labels"),
        ("entity-extraction", [row | {"entities": []} for row in rows(12)], "0 labels"),
        ("text-scoring", [row | {"score": 3} for row in rows(12)], "one score"),
        ("text-similarity", [row | {"answerId": "a"} for row in ASKED], "1 label"),
    ],
)
def test_a_data_set_that_cannot_be_learned_is_refused(job: JobFolder, model: str, data: list[dict], says: str) -> None:
    job.specify(data, model)
    status, result, _ = job.run_here()
    assert (status, result["class"]) == (65, "invalid_data")
    assert says in result["message"]


def _without(name: str):  # type: ignore[no-untyped-def]
    return lambda folder: (folder / name).unlink()


def _writes(name: str, text: str):  # type: ignore[no-untyped-def]
    return lambda folder: (folder / name).write_text(text)


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _torn(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])


def _changes(name: str, change):  # type: ignore[no-untyped-def]
    def write(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        weights[name] = change(weights[name])
        save_file({key: tensor for key, tensor in weights.items() if tensor is not None}, folder / "model.safetensors")

    return write


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        (_without("config.json"), "config.json is missing"),
        (_writes("config.json", "{"), "config.json is no JSON"),
        (_writes("config.json", json.dumps({"hidden_size": 16})), "config.json or model.safetensors lacks"),
        (_without("modelwright.json"), "modelwright.json is missing"),
        (_writes("modelwright.json", "{}"), "modelwright.json lacks"),
        (_without("tokenizer.json"), "tokenizer.json"),
        (_writes("tokenizer.json", "[]"), "tokenizer.json"),
        (_without("model.safetensors"), "model.safetensors is missing"),
        (_pickle, "pytorch_model.bin is a pickle"),
        (_torn, "model.safetensors cannot be read"),
        (_changes("encoder.layer.0.output.dense.bias", lambda tensor: None), "encoder.layer.0.output.dense.bias"),
        (_changes("encoder.layer.0.output.dense.bias", lambda tensor: tensor[:3].clone()), "model.safetensors cannot be read"),
        (_changes("encoder.layer.0.output.dense.bias", lambda tensor: tensor * float("nan")), "no finite numbers"),
        (_changes("embeddings.word_embeddings.weight", lambda tensor: tensor), None),
    ],
)
def test_a_broken_base_model_names_its_file(job: JobFolder, tmp_path: Path, breaks, says: str | None) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "broken"
    folder.mkdir()
    make_base(folder)
    breaks(folder)
    job.specify(baseModel={"name": "tiny", "path": str(folder)})
    status, result, _ = job.run_here()
    shutil.rmtree(folder)
    if says is None:
        assert status == 0
        return
    assert (status, result["class"]) == (64, "bad_options")
    assert says in result["message"]


def test_a_text_longer_than_is_read_is_cut_and_not_refused(job: JobFolder) -> None:
    job.specify([row | {"text": f"{row['text']} {'story ' * 400}"} for row in rows()])
    assert job.run_here()[0] == 0


def test_eight_rows_a_class_doubles_and_conflicting_labels_are_learned_from(job: JobFolder) -> None:
    few = [row | {"split": "train"} for row in rows(24)]
    same = [few[0] | {"id": "double"}, few[1] | {"id": "conflict", "label": "food"}]
    job.specify([*few, *same, *(row for row in rows() if row["split"] == "evaluation")])
    status, result, _ = job.run_here()
    assert (status, result["rows"]["train"]) == (0, 26)
    right = [answer["expected"]["label"] == answer["predicted"]["label"] for answer in job.answers()]
    assert sum(right) / len(right) > 0.8
