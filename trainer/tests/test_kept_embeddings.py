"""Kept embeddings as one object of the store: they go from pod to pod, and are never a reason to fail."""

import io
import tarfile
from pathlib import Path

import pytest
from conftest import JobFolder, rows
from object_server import ObjectServer
from pods import as_pod, messages
from test_embedding_cache import embedded, entry
from test_finetune import StopsAt

import modelwright_trainer.finetune as finetune_module
import modelwright_trainer.head as head_module
from modelwright_trainer.cache_object import names_in, packed, size_of, unpack
from modelwright_trainer.embedding_cache import EmbeddingCache
from modelwright_trainer.transfer import Counted


def test_kept_embeddings_go_from_pod_to_pod(job: JobFolder, another: JobFolder, store: ObjectServer) -> None:
    more = [*rows(60), *(row | {"id": f"n{i}", "text": f"budget {row['text']}", "split": "train"} for i, row in enumerate(rows(6)))]
    names = ("model.safetensors", "eval.jsonl", "answering.json", "encoder.onnx", "result.json")
    as_pod(job, store, data=rows(60), cacheDir=str(job.folder / "cache"), outputs={name: store.url(name) for name in names})
    assert job.run_here()[0] == 0
    # Whoever sees the result may remove the job.
    assert store.asked.index("PUT cache") < store.asked.index("PUT result.json")
    as_pod(job, store, data=more, cacheDir=str(job.folder / "cache"))
    status, _, lines = job.run_here()
    assert (status, embedded(lines)) == (0, 6)
    assert store.asked.count("PUT cache") == 2
    as_pod(job, store, data=more, cacheDir=str(job.folder / "cache"), seed=8)
    assert embedded(job.run_here()[2]) == 0
    # Nothing was added: nothing is uploaded.
    assert store.asked.count("PUT cache") == 2
    another.specify(more, seed=8)
    assert another.run_here()[0] == 0
    assert job.weights() == another.weights()


def test_a_fine_tuning_fetches_no_embeddings(job: JobFolder, store: ObjectServer) -> None:
    as_pod(job, store, options={"method": "full", "epochs": 1})
    assert job.run_here()[0] == 0
    assert not [one for one in store.asked if "cache" in one]


def tar_of(name: str, data: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        about = tarfile.TarInfo(name)
        about.size, about.type = len(data), kind
        about.linkname = "/etc/passwd" if kind != tarfile.REGTYPE else ""
        tar.addfile(about, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        tar_of("../../outside.seg", b"x"),
        tar_of("/tmp/outside.seg", b"x"),
        tar_of("a/../outside.seg", b"x"),
        tar_of("sentence-1/ab.py", b"x"),
        tar_of("sentence-1/ab.seg", b"", tarfile.SYMTYPE),
        b"no tar at all" * 100,
        b"",
    ],
)
def test_a_hostile_or_broken_object_of_embeddings_is_ignored(job: JobFolder, store: ObjectServer, data: bytes) -> None:
    as_pod(job, store, cacheDir=str(job.folder / "cache"))
    store.objects["cache"] = data
    status, _, lines = job.run_here()
    assert status == 0
    assert "are not used" in messages(lines)
    assert not list(job.folder.rglob("outside*"))
    # What was computed takes its place.
    assert store.objects["cache"] != data


def test_embeddings_that_cannot_be_kept_are_no_failure(job: JobFolder, store: ObjectServer) -> None:
    as_pod(job, store, cacheDir=str(job.folder / "cache"))
    store.fault = lambda method, path: (503, b"") if path == "cache" else None
    status, _, lines = job.run_here()
    assert status == 0
    assert "are not fetched" in messages(lines) and "not kept for the next training" in messages(lines)


def test_a_stopped_head_training_leaves_its_embeddings(job: JobFolder, store: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    StopsAt(monkeypatch).steps = [2]
    monkeypatch.setattr(head_module, "check_loss", finetune_module.check_loss)
    as_pod(job, store, cacheDir=str(job.folder / "cache"))
    assert job.run_here()[0] == 143
    assert "cache" in store.objects
    as_pod(job, store, attempt=2, cacheDir=str(job.folder / "cache"))
    status, _, lines = job.run_here()
    assert (status, embedded(lines)) == (0, 0)


def test_a_folder_of_embeddings_is_the_same_bytes_and_comes_back(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "one", "sentence-0")
    for i in range(3):
        cache.add(dict([entry(i, 1 + i)]))
    (tmp_path / "one" / "sentence-0" / ".new.rest").write_bytes(b"rest")
    names = names_in(tmp_path / "one")
    data = b"".join(packed(tmp_path / "one", names))
    assert len(data) == size_of(tmp_path / "one", names) and len(names) == 3
    assert data == b"".join(packed(tmp_path / "one", names))
    unpack(Counted(io.BytesIO(data), len(data), "it"), tmp_path / "two")
    assert b"".join(packed(tmp_path / "two", names_in(tmp_path / "two"))) == data
    # What breaks off is fetched again; the segments that came are whole.
    with pytest.raises(ConnectionError):
        unpack(Counted(io.BytesIO(data[: len(data) // 2]), len(data), "it"), tmp_path / "three")
    assert 0 < len(came := names_in(tmp_path / "three")) < 3
    assert all((tmp_path / "three" / name).read_bytes() == (tmp_path / "one" / name).read_bytes() for name in came)
