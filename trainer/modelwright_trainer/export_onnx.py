"""The encoder as an ONNX graph for serving: input_ids, attention_mask (int64 [batch, length]) -> sentence_embedding (f32 [batch, dim])."""

import contextlib
import io
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

from .encoder import Encoder, load_encoder, padded

#: Largest difference of an embedding's element that serving may show.
TOLERANCE = 1e-4


def export_encoder(encoder: Encoder) -> bytes:
    """Exports and compares: a graph that answers differently from the encoder is an error."""
    ids, mask = padded(_sample(encoder, [4, 2]))
    longest = encoder.embeddings["position_embeddings"].num_embeddings
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1, max=longest)
    shapes = {"input_ids": {0: batch, 1: length}, "attention_mask": {0: batch, 1: length}}
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            encoder.eval(),
            (ids, mask),
            dynamo=True,
            input_names=["input_ids", "attention_mask"],
            output_names=["sentence_embedding"],
            dynamic_shapes=shapes,
            optimize=True,
        )
    logging.disable(logging.NOTSET)
    if program is None:
        raise RuntimeError("torch exported nothing")
    model = bytes(program.model_proto.SerializeToString())
    compare(encoder, model)
    return model


def compare(encoder: Encoder, model: bytes) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for lengths in ([3], [17, 5, 1], [64] * 4):
        ids, mask = padded(_sample(encoder, lengths))
        with torch.inference_mode():
            expected = encoder(ids, mask).numpy()
        (got,) = session.run(["sentence_embedding"], {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        worst = float(np.abs(got - expected).max())
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
