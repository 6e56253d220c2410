"""The packed encoder computes what the plain one does, whatever a text's neighbours are."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import WORDS

from modelwright_trainer.embed import _batches
from modelwright_trainer.encoder import Encoder, load_encoder, padded
from modelwright_trainer.packed import PackedEncoder, pack, sentences

WIDE = {
    "vocab_size": 200,
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "intermediate_size": 192,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
}


def some_texts(count: int, longest: int = 40) -> list[list[int]]:
    chance = random.Random(3)
    return [[chance.randrange(4, 200) for _ in range(chance.randint(2, longest))] for _ in range(count)]


@pytest.mark.parametrize("tokens", [[[2, 4, 5, 3]], [[2, 4, 3], [2, 5, 6, 7, 3]], [[2, 4, 3], [2, 5, 3]]])
def test_packed_and_padded_embeddings_agree(base: Path, tokens: list[list[int]]) -> None:
    encoder = load_encoder(base)
    batch = pack(tokens)
    with torch.inference_mode():
        got = sentences(PackedEncoder(encoder)(batch), batch)
        assert torch.allclose(got, encoder(*padded(tokens)), atol=1e-5)


def test_what_was_not_trained_is_given_back_unchanged(base: Path) -> None:
    encoder = load_encoder(base)
    changed = PackedEncoder(encoder).changed()
    weights = encoder.state_dict()
    assert set(changed) == set(weights) - {"embeddings.word_embeddings.weight"}
    assert all(torch.equal(changed[name], weights[name]) for name in changed)


def test_merged_lora_weights_answer_as_the_trained_encoder_does(base: Path) -> None:
    encoder = load_encoder(base)
    packed = PackedEncoder(encoder, lora_rank=2)
    trainable = [name for name, parameter in packed.named_parameters() if parameter.requires_grad]
    assert trainable and all("lora_" in name for name in trainable)
    with torch.no_grad():
        for layer in packed.layers:
            layer.lora_b.normal_()
    tokens = [[2, *range(4, 4 + n), 3] for n in (2, len(WORDS))]
    batch = pack(tokens)
    before = encoder(*padded(tokens))
    encoder.load_state_dict(encoder.state_dict() | packed.changed())
    with torch.no_grad():
        after = encoder(*padded(tokens))
        assert torch.allclose(sentences(packed(batch), batch), after, atol=1e-5)
    assert not torch.allclose(before, after, atol=1e-3)


def test_the_bits_of_an_embedding_do_not_depend_on_its_neighbours() -> None:
    torch.manual_seed(2)
    encoder = PackedEncoder(Encoder(WIDE))
    tokens = some_texts(300)

    def embeddings(chosen: list[int]) -> dict[int, bytes]:
        found = {}
        for members, (states, pooled), count in _batches(encoder, [tokens[i] for i in chosen]):
            for member, row, state in zip(members, pooled[:count], states, strict=False):
                found[chosen[member]] = np.ascontiguousarray(row).tobytes() + np.ascontiguousarray(state).tobytes()
        return found

    whole = embeddings(list(range(300)))
    assert len(whole) == 300
    for part in ([5], [7, 80], list(range(0, 300, 3)), list(range(299, 100, -1))):
        assert embeddings(part) == {i: whole[i] for i in part}
