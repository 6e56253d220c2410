"""A causal language model as an ONNX graph for serving, with LoRA's additions as inputs: one graph serves the models of all that start from it.

input_ids (int64 [new]), past (f32 [layers, 2, kv heads, before, head dim]), wanted (int64 [some] of the new tokens), and for each linear map
`lora_a.NAME` (f32 [layers, rank, in]) and `lora_b.NAME` (f32 [layers, out, rank], the scale in it) ->
logits (f32 [some, vocabulary]) and present (as past, with the new tokens behind it).
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .causal_base import open_chat, read_config, read_weights
from .decoder import TARGETS, Decoder, Layer, Linear, rms_norm
from .errors import JobError
from .onnx_graph import graph_of
from .packed import pack

INPUTS = ["input_ids", "past", "wanted", *(f"lora_{side}.{name}" for name in TARGETS for side in "ab")]
OUTPUTS = ["logits", "present"]
#: Largest difference of a logit that serving may show, as a share of the largest logit: rounding adds up over layers (3e-4 over 30 of them).
TOLERANCE = 2e-3
#: A graph is one message of protobuf, which holds no more.
MOST_BYTES = 2_000_000_000


class Added(nn.Module):
    """A linear map with additions that come from outside."""

    def __init__(self, linear: Linear) -> None:
        super().__init__()
        self.linear = linear
        self.a = self.b = torch.empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + F.linear(F.linear(x, self.a), self.b)


class ServingGraph(nn.Module):
    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, input_ids: torch.Tensor, past: torch.Tensor, wanted: torch.Tensor, *additions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        decoder, new, before = self.decoder, input_ids.shape[0], past.shape[3]
        positions = torch.arange(new) + before
        cos, sin = decoder.turns(positions)
        hidden = torch.arange(before + new)[None, :] > positions[:, None]
        x, kept = F.embedding(input_ids, decoder.words), []
        for i, layer in enumerate(decoder.layers):
            added = {name: Added(layer.linear[name]) for name in TARGETS}
            for at, one in enumerate(added.values()):
                one.a, one.b = additions[2 * at][i], additions[2 * at + 1][i]
            x, present = self._layer(layer, added, x, past[i], cos, sin, hidden)
            kept.append(present)
        states = rms_norm(x, decoder.last, decoder.config.eps)
        return decoder.logits(states.index_select(0, wanted)), torch.stack(kept)

    def _layer(self, layer: Layer, added: dict[str, Added], x: torch.Tensor, past: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        config = layer.config
        query, key, value = layer.heads_of(layer.before(x), cos, sin, added)
        present = torch.cat([past, torch.stack([key.transpose(0, 1), value.transpose(0, 1)])], dim=2)
        keys, values = present[0], present[1]
        # Heads that share keys are asked together: [kv heads, heads of each, new, head dim].
        query = query.transpose(0, 1).reshape(config.kv_heads, config.heads // config.kv_heads, -1, config.head_dim)
        scores = query @ keys[:, None].transpose(-1, -2) * config.head_dim**-0.5
        mixed = scores.masked_fill(hidden, torch.finfo(torch.float32).min).softmax(-1) @ values[:, None]
        mixed = mixed.reshape(config.heads, -1, config.head_dim).transpose(0, 1).reshape(-1, config.heads * config.head_dim)
        return layer.after(x, mixed, added), present


def empty_past(decoder: Decoder, before: int = 0) -> torch.Tensor:
    config = decoder.config
    return torch.zeros(config.layers, 2, config.kv_heads, before, config.head_dim)


def additions_of(decoder: Decoder) -> list[torch.Tensor]:
    """The decoder's own additions as inputs of the graph."""
    found: list[torch.Tensor] = []
    for name in TARGETS:
        found += [torch.stack([layer.linear[name].lora_a.detach() for layer in decoder.layers]), torch.stack([layer.linear[name].lora_b.detach() * decoder.scale for layer in decoder.layers])]
    return found


def export_decoder(decoder: Decoder) -> bytes:
    """`decoder` has no additions of its own. Exports and compares: a graph that answers differently is an error."""
    sample = _with_additions(decoder, 2)
    before, new, some, rank = (torch.export.Dim(name, min=1) for name in ("before", "new", "some", "rank"))
    shapes = ({0: new}, {3: before}, {0: some}, tuple({1: rank} if side == "a" else {2: rank} for _ in TARGETS for side in "ab"))
    arguments = (torch.tensor([1, 2, 3]), empty_past(decoder, 5), torch.tensor([0, 2]), *additions_of(sample))
    model = graph_of(ServingGraph(decoder), arguments, INPUTS, OUTPUTS, shapes)
    compare(sample, model)
    return model


def _with_additions(decoder: Decoder, rank: int) -> Decoder:
    """The same model with additions that say something: zeros would hide a mistake."""
    chance = torch.Generator().manual_seed(1)
    weights = {"model.embed_tokens.weight": decoder.words.data, "model.norm.weight": decoder.last.data, "lm_head.weight": decoder.head.data}
    for i, layer in enumerate(decoder.layers):
        weights |= {f"model.layers.{i}.{name}": tensor for name, tensor in layer.weights().items()}
    made = Decoder(decoder.config, weights, rank)
    for layer in made.layers:
        for linear in layer.linear.values():
            for part in (linear.lora_a, linear.lora_b):
                part.data = torch.randn(part.shape, generator=chance) * 0.1
    return made.eval()


def compare(decoder: Decoder, model: bytes) -> None:
    """A text in one piece, and another piece by piece, against the decoder in plain torch."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    additions = dict(zip(INPUTS[3:], [one.numpy() for one in additions_of(decoder)], strict=True))
    for pieces in ([24], [1], [7, 1, 1, 3]):
        pieces = [min(piece, decoder.config.positions // 4) for piece in pieces]
        ids = [(7 * i + 3) % decoder.config.vocabulary for i in range(sum(pieces))]
        with torch.inference_mode():
            expected = decoder.logits(decoder(pack([ids]))).numpy()
        past, found, at = empty_past(decoder).numpy(), [], 0
        for piece in pieces:
            feeds = {"input_ids": np.array(ids[at : at + piece]), "past": past, "wanted": np.arange(piece)}
            logits, past = session.run(OUTPUTS, feeds | additions)
            found.append(logits)
            at += piece
        worst = float(np.abs(np.concatenate(found) - expected).max() / max(1.0, np.abs(expected).max()))
        if not worst < TOLERANCE:
            raise RuntimeError(f"the exported model differs by {worst:.1e} from the one in the folder")


def main() -> None:
    """usage: python -m modelwright_trainer.export_decoder FOLDER OUTPUT_FILE   Prints the form that conversations have with this model."""
    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        config = read_config(folder)
        weights, form = read_weights(folder, config), open_chat(folder, config).form
    except JobError as error:
        raise SystemExit(error.message) from None
    if sum(tensor.nbytes for tensor in weights.values()) > MOST_BYTES:
        raise SystemExit(f"the model has more than {MOST_BYTES} bytes in 32-bit floats: it is too large to be served from one graph")
    output.write_bytes(export_decoder(Decoder(config, weights).eval()))
    print("conversations have the form of its chat template" if form.source == "folder" else f"it has no chat template that can be honoured: conversations have the form «{form.source}»")


if __name__ == "__main__":
    main()
