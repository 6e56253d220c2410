"""The packed encoder computes what the plain one does, whatever a text's neighbours are."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import WORDS

from modelwright_trainer.embed import _batches
from modelwright_trainer.encoder import Encoder, load_encoder, padded
from modelwright_trainer.frozen_states import FLOAT_BYTES, FrozenStates
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


def test_only_the_upper_share_of_the_layers_is_trained_and_given_back() -> None:
    base = Encoder(WIDE)
    for share, frozen in ((1.0, 0), (0.5, 1), (0.34, 1), (0.33, 2), (0.01, 2)):
        encoder = PackedEncoder(base, trained_share=share)
        assert encoder.frozen_layers == frozen
        trained = {name.split(".")[1] if name.startswith("layers.") else "below" for name, parameter in encoder.named_parameters() if parameter.requires_grad}
        expected = {str(i) for i in range(frozen, 3)} | ({"below"} if frozen == 0 else set())
        assert trained == expected
        assert {name.split(".")[2] if name.startswith("encoder.layer.") else "below" for name in encoder.changed()} == expected
    assert set(PackedEncoder(base, 2, 0.5).changed()) == {f"encoder.layer.{i}.attention.self.{name}.weight" for i in (1, 2) for name in ("query", "value")}


@pytest.mark.parametrize("kept_tokens", [0, 500, 100_000])
def test_states_of_frozen_layers_are_the_same_bits_in_any_company_kept_or_not(kept_tokens: int) -> None:
    torch.manual_seed(4)
    encoder = PackedEncoder(Encoder(WIDE), trained_share=0.5)
    tokens = some_texts(200)
    alone = [FrozenStates(encoder, tokens).of([i]) for i in range(200)]
    states = FrozenStates(encoder, tokens, limit_bytes=kept_tokens * WIDE["hidden_size"] * FLOAT_BYTES)
    for chosen in ([3, 150, 9], list(range(199, 0, -3)), list(range(200)), [9, 3]):
        found = states.of(chosen)
        assert torch.equal(found, torch.cat([alone[i] for i in chosen]))
        batch = pack([tokens[i] for i in chosen])
        with torch.no_grad():
            assert torch.allclose(encoder.upper(found, batch), encoder(batch), atol=1e-5)
