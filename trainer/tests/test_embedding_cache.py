"""Kept embeddings: found again, never torn, never without bound, and of no influence on the weights."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
from conftest import JobFolder, rows

from modelwright_trainer.embedding_cache import MOST_SEGMENTS, EmbeddingCache, key_of


def entry(i: int, length: int = 1) -> tuple[bytes, np.ndarray]:
    return key_of([i]), np.full((length, 4), i, dtype=np.float32)


def test_what_was_added_is_found_with_its_own_length(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path, "e").add(dict(entry(i, 1 + i % 3) for i in range(50)))
    found = EmbeddingCache(tmp_path, "e").find({key_of([i]) for i in range(40, 60)})
    assert set(found) == {key_of([i]) for i in range(40, 50)}
    assert all(np.array_equal(found[key_of([i])], entry(i, 1 + i % 3)[1]) for i in range(40, 50))
    assert EmbeddingCache(tmp_path, "of another encoder").find(set(found)) == {}


def test_a_torn_or_flipped_segment_counts_as_absent(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, "e")
    for i in range(3):
        cache.add(dict([entry(i)]))
    torn, flipped, _ = sorted((tmp_path / "e").glob("*.seg"))
    torn.write_bytes(torn.read_bytes()[:-7])
    data = bytearray(flipped.read_bytes())
    data[60] ^= 1
    flipped.write_bytes(data)
    assert len(cache.find({key_of([i]) for i in range(3)})) == 1
    assert len(list((tmp_path / "e").glob("*.seg"))) == 1


def test_many_small_segments_become_one_and_nothing_is_lost(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, "e")
    for i in range(MOST_SEGMENTS + 4):
        cache.add(dict([entry(i)]))
    cache.tidy()
    assert len(list((tmp_path / "e").glob("*.seg"))) == 1
    assert len(cache.find({key_of([i]) for i in range(100)})) == MOST_SEGMENTS + 4


def test_the_longest_unused_segments_go_first_when_the_folder_is_full(tmp_path: Path) -> None:
    old = EmbeddingCache(tmp_path, "unused encoder")
    old.add(dict(entry(i) for i in range(1000, 2000)))
    for path in (tmp_path / "unused encoder").glob("*.seg"):
        os.utime(path, (1, 1))
    cache = EmbeddingCache(tmp_path, "e", limit_bytes=40_000)
    cache.add(dict(entry(i) for i in range(500)))
    cache.tidy()
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*.seg")) <= 40_000
    assert len(cache.find({key_of([i]) for i in range(500)})) == 500


def _write_for_ever(folder: Path, first: int) -> None:
    cache = EmbeddingCache(folder, "e")
    for i in range(first, first + 1_000_000):
        cache.add(dict([entry(i)]))
        if i % 7 == 0:
            cache.tidy()


def test_killed_writers_side_by_side_leave_only_whole_entries(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_for_ever, args=(tmp_path, at)) for at in (0, 100_000, 0)]
    for writer in writers:
        writer.start()
    time.sleep(1.5)
    for writer in writers:
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    found = EmbeddingCache(tmp_path, "e").find({key_of([i]) for i in [*range(5000), *range(100_000, 105_000)]})
    assert len(found) > 10
    for i in [*range(5000), *range(100_000, 105_000)]:
        if key_of([i]) in found:
            assert np.array_equal(found[key_of([i])], entry(i)[1])


def embedded(lines: list[dict]) -> int:
    """Texts that were embedded anew."""
    return max((line["steps"] for line in lines if line.get("phase") == "embed" and line.get("samplesPerSecond")), default=0)


def test_a_retrain_embeds_only_new_texts_and_comes_to_the_same_weights(job: JobFolder, another: JobFolder, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    seen = rows(60)
    job.specify(seen, cacheDir=cache)
    assert job.run()[0] == 0
    more = [*seen, *(row | {"id": f"n{i}", "text": f"budget {row['text']}", "split": "train"} for i, row in enumerate(seen[:6]))]
    job.specify(more, cacheDir=cache)
    status, _, lines = job.run()
    assert status == 0
    assert embedded(lines) == len({row["text"] for row in more} - {row["text"] for row in seen})
    another.specify(more)
    assert another.run()[0] == 0
    assert job.weights() == another.weights()
    job.specify(more, cacheDir=cache, seed=9)
    assert embedded(job.run()[2]) == 0
    assert json.dumps(job.answers())
