"""Two checkpoints with checksums: any damage falls back one."""

from pathlib import Path

import pytest
import torch

from modelwright_trainer.checkpoint import Checkpoints


def state(value: float) -> dict[str, torch.Tensor]:
    return {"a": torch.full((3, 2), value), "b!step": torch.tensor(value)}


def test_the_newest_is_restored_and_two_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "one")
    for step in (10, 20, 30):
        checkpoints.save(step, state(step), wait=True)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000000020.ckpt", "step-000000030.ckpt"]
    kept = Checkpoints(tmp_path, "one").restore()
    assert kept is not None and kept[0] == 30
    assert {name: tensor.tolist() for name, tensor in kept[1].items()} == {name: tensor.tolist() for name, tensor in state(30).items()}


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:100] + bytes([data[100] ^ 4]) + data[101:]])
def test_a_damaged_one_falls_back_to_the_one_before(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    checkpoints = Checkpoints(tmp_path, "one")
    checkpoints.save(10, state(10), wait=True)
    checkpoints.save(20, state(20), wait=True)
    newest = tmp_path / "step-000000020.ckpt"
    newest.write_bytes(damage(newest.read_bytes()))
    kept = Checkpoints(tmp_path, "one").restore()
    assert kept is not None and kept[0] == 10
    newest.write_bytes(b"")
    (tmp_path / "step-000000010.ckpt").write_bytes(b"nothing")
    assert Checkpoints(tmp_path, "one").restore() is None


def test_that_of_another_training_is_no_start(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "one").save(10, state(10), wait=True)
    assert Checkpoints(tmp_path, "another").restore() is None


def test_what_is_saved_is_what_was_there_when_it_was_asked_for(tmp_path: Path) -> None:
    checkpoints, tensor = Checkpoints(tmp_path, "one"), torch.ones(1_000_000)
    checkpoints.save(1, {"a": tensor})
    tensor.zero_()
    checkpoints.flush()
    kept = checkpoints.restore()
    assert kept is not None and float(kept[1]["a"].sum()) == 1_000_000
