"""What a version has from its base model, and versions of before, which named all of it themselves."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from modelwright_load import LoadError, load
from test_modelwright_load import store  # noqa: F401
from test_modelwright_trust import OURS, Api, api  # noqa: F401


class OnBase:
    """The version `news` in format 3: `weights` is its own, `embedding` and another `weights` are its base model's."""

    def __init__(self, api: Api) -> None:
        self.api = api
        told, part = api.server.put({"embedding": torch.arange(4.0), "weights": torch.zeros(2)})
        unused, left = api.server.put({"weights.bias": torch.zeros(3)})
        self.parts = [{"sha256": one.sha256, "bytes": one.bytes, "url": one.url} for one in (part, left)]
        shards = [{"sha256": one["sha256"], "bytes": one["bytes"]} for one in self.parts]
        self.base: Any = {"format": "modelwright-base/1", "name": "tiny", "tensors": {**told, **unused}, "shards": shards, "files": [{"path": "config.json"}]}
        own = dict(api.manifest["tensors"])
        self.after_publish: Callable[[], None] = lambda: None
        self.manifest = {**api.manifest, "format": "modelwright-model/3", "encoder": {"name": "tiny"}, "tensors": own, "files": [{"path": "labels.json"}]}

    def load(self, text: bytes | None = None, known: bool = True, **changes: Any) -> Any:
        """Publishes it with this manifest of the base model, and loads it. `known`: whether the API names its address."""
        told = self.api.put(json.dumps(self.base).encode() if text is None else text)
        reference = {"sha256": told["sha256"], "bytes": told["bytes"], "key": "base/manifests/x.json"}
        signed = OURS.signed({**self.manifest, "base": reference, **changes})
        self.api.publish(signed, *self.parts, *([told] if known else []))
        self.after_publish()
        return load(f"{self.api.url}/", "key", "news@v3")


def test_a_version_has_from_its_base_model_what_it_does_not_name_itself(api: Api) -> None:
    scene = OnBase(api)
    model = scene.load()
    assert {name: tensor.tolist() for name, tensor in model.tensors.items()} == {
        "embedding": [0, 1, 2, 3],
        "weights": [0, 1, 2, 3, 4, 5],
        "weights.bias": [0, 0, 0],
    }
    assert [shard.get("unused") for shard in model.manifest["shards"]] == [["weights"], None, None]
    assert [file["path"] for file in model.manifest["files"]] == ["labels.json", "config.json"]


def test_a_shard_of_the_base_of_which_nothing_is_used_is_not_fetched(api: Api) -> None:
    scene = OnBase(api)
    left = scene.parts[1]["sha256"]
    scene.manifest["tensors"]["weights.bias"] = scene.manifest["tensors"].pop("weights")
    del scene.base["tensors"]["weights"]
    # Only what is named counts: the tensor of that name lies in the version's own shard.
    with pytest.raises(LoadError, match=f"shard {api.part.sha256} does not hold tensor weights.bias"):
        scene.load()
    assert left not in api.server.asked_for


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda scene: scene.load(text=b'{"format"'), "what is stored as the manifest of the base model tiny is none"),
        (lambda scene: scene.load(text=b"[" * 90_000), "what is stored as the manifest of the base model tiny is none"),
        (lambda scene: scene.load(text=b"[]"), "what is stored as the manifest of the base model tiny is none"),
        (lambda scene: scene.load(text=json.dumps({**scene.base, "tensors": 7}).encode()), "what is stored as the manifest of the base model tiny is none"),
        (lambda scene: scene.load(text=json.dumps({**scene.base, "format": "modelwright-base/2"}).encode()), "has format modelwright-base/2"),
        (lambda scene: scene.load(text=json.dumps({**scene.base, "name": "other"}).encode()), "is on the base model tiny, and names the manifest of other"),
        (lambda scene: scene.load(known=False), "the API names no address for the manifest of the base model"),
        (lambda scene: scene.load(base={"sha256": scene.parts[0]["sha256"], "bytes": 2**40}), "would have 1099511627776 bytes"),
        (lambda scene: scene.load(format="modelwright-model/2"), "is not one of format modelwright-model/2"),
    ],
)
def test_what_is_no_manifest_of_the_base_model_is_refused_before_a_shard_is_fetched(api: Api, change: Callable[[OnBase], Any], said: str) -> None:
    with pytest.raises(LoadError, match=said):
        change(OnBase(api))
    assert not api.shard_was_fetched()


def test_a_manifest_of_the_base_model_with_other_bytes_is_damaged(api: Api) -> None:
    scene = OnBase(api)
    text = json.dumps(scene.base).encode()
    sha256 = hashlib.sha256(text).hexdigest()
    # Whoever keeps the store has changed it since.
    scene.after_publish = lambda: api.server.shards.update({sha256: text.replace(b"tiny", b"tinx")})
    with pytest.raises(LoadError, match=f"manifest of the base model {sha256} is damaged"):
        scene.load()


RECORDED = Path(__file__).parents[2] / "test" / "recorded" / "model-format-2"


def test_a_version_that_was_recorded_in_format_2_is_loaded(api: Api) -> None:
    text = (RECORDED / "manifest.json").read_bytes()
    shards = json.loads(text)["shards"]
    parts = [api.put((RECORDED / f"model-{at:05}-of-{len(shards):05}.safetensors").read_bytes()) for at in range(1, len(shards) + 1)]
    items, told = parts, api.put(text)
    api.server.shards["v1/customizations/news/models/3/files"] = json.dumps({"items": items, "manifest": told}).encode()
    model = load(f"{api.url}/", "key", "news@v3", trusted_keys=["bnoc3Smwt4/ROvTFWY/v9O8qlxZuPKby5Pv8zYBQW/E="])
    assert sorted(model.tensors) == ["classifier.bias", "classifier.weight", "embed.weight", "layer.0.bias", "layer.0.weight", "layer.1.bias", "layer.1.weight"]
    assert model.tensors["layer.1.bias"].tolist() == [((8 * 31 + i * 7) % 64) / 32 - 1 for i in range(8)]
