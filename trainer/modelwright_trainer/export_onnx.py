"""The encoder as an ONNX graph for serving: input_ids, attention_mask (int64 [batch, length]) ->
sentence_embedding (f32 [batch, dim]: mean over the mask, of length 1) and token_embeddings (f32 [batch, length, dim]: last hidden states)."""

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .encoder import Encoder, load_encoder, padded, sentences_of
from .onnx_graph import graph_of

OUTPUTS = ["sentence_embedding", "token_embeddings"]
#: Largest difference of an embedding's element that serving may show.
TOLERANCE = 1e-4


class ServingGraph(nn.Module):
    """Both outputs from one pass. A session that asks for the sentences alone computes no more for it: the states are on the way."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        states = self.encoder.states(input_ids, attention_mask)
        return sentences_of(states, attention_mask), states


def export_encoder(encoder: Encoder) -> bytes:
    """Exports and compares: a graph that answers differently from the encoder is an error."""
    ids, mask = padded(_sample(encoder, [4, 2]))
    longest = encoder.embeddings["position_embeddings"].num_embeddings
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1, max=longest)
    shapes = {"input_ids": {0: batch, 1: length}, "attention_mask": {0: batch, 1: length}}
    model = graph_of(ServingGraph(_with_small_words(encoder)), (ids, mask), ["input_ids", "attention_mask"], OUTPUTS, shapes)
    compare(encoder, model)
    return model


def _with_small_words(encoder: Encoder) -> Encoder:
    """Word embeddings that half precision holds without loss are served in it: they are most of a multilingual encoder's memory."""
    words = encoder.embeddings["word_embeddings"].weight.detach()
    small = words.half()
    if not torch.equal(small.float(), words):
        return encoder
    served = copy.copy(encoder)
    served._modules = dict(encoder._modules)
    served.embeddings = nn.ModuleDict(dict(encoder.embeddings.items()))
    served.embeddings["word_embeddings"] = nn.Embedding.from_pretrained(small)
    return served


def compare(encoder: Encoder, model: bytes) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for lengths in ([3], [17, 5, 1], [64] * 4):
        ids, mask = padded(_sample(encoder, lengths))
        with torch.inference_mode():
            expected = encoder(ids, mask).numpy(), (encoder.states(ids, mask) * mask.unsqueeze(-1)).numpy()
        sentences, states = session.run(OUTPUTS, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        # What stands at padding is nobody's answer.
        got = sentences, states * mask.numpy()[:, :, None]
        worst = max(float(np.abs(a - b).max()) for a, b in zip(got, expected, strict=True))
        if not worst < TOLERANCE:
            raise RuntimeError(f"the exported encoder differs by {worst:.1e} from the trained one")


def _sample(encoder: Encoder, lengths: list[int]) -> list[list[int]]:
    """Texts of these lengths, or as long as the encoder takes, of tokens that it knows."""
    words = encoder.embeddings["word_embeddings"].num_embeddings
    longest = encoder.embeddings["position_embeddings"].num_embeddings
    return [[(7 * i + 3) % words for i in range(min(n, longest))] for n in lengths]


def main() -> None:
    """usage: python -m modelwright_trainer.export_onnx ENCODER_FOLDER OUTPUT_FILE"""
    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    output.write_bytes(export_encoder(load_encoder(folder)))


if __name__ == "__main__":
    main()
