"""The graph for serving: both outputs, and word embeddings that half precision holds."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from modelwright_trainer.encoder import load_encoder, padded
from modelwright_trainer.export_onnx import OUTPUTS, compare, export_encoder


def test_the_runtime_reports_to_nobody(base: Path) -> None:
    onnxruntime.InferenceSession(export_encoder(load_encoder(base)), providers=["CPUExecutionProvider"])
    # What its reporting writes as soon as it starts.
    assert not Path(f"/tmp/mat-debug-{os.getpid()}.log").exists()


def word_types(model: bytes, encoder: torch.nn.Module) -> set[int]:
    """Types of constants that are as large as the word embeddings."""
    shape = list(encoder.embeddings["word_embeddings"].weight.shape)
    return {tensor.data_type for tensor in onnx.load_from_string(model).graph.initializer if list(tensor.dims) == shape}


def test_sentences_and_tokens_come_from_one_graph(base: Path) -> None:
    encoder = load_encoder(base)
    model = export_encoder(encoder)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == OUTPUTS
    ids, mask = padded([[2, 4, 5, 3], [2, 6, 3]])
    sentences, states = session.run(OUTPUTS, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    assert sentences.shape == (2, 16) and states.shape == (2, 4, 16)
    # The sentence is the mean of its own tokens, padding left out.
    mean = states[1, :3].mean(axis=0)
    assert np.allclose(mean / np.linalg.norm(mean), sentences[1], atol=1e-5)
    # Random weights lose something in half precision: they stay as they are.
    assert onnx.TensorProto.FLOAT16 not in word_types(model, encoder)


def test_word_embeddings_without_loss_are_served_in_half_precision(base: Path) -> None:
    encoder = load_encoder(base)
    words = encoder.embeddings["word_embeddings"].weight
    words.data = words.half().float()
    model = export_encoder(encoder)
    assert onnx.TensorProto.FLOAT16 in word_types(model, encoder)
    # The encoder itself is left as it was.
    assert encoder.embeddings["word_embeddings"].weight.dtype == torch.float32


def test_a_graph_of_another_encoder_is_refused(base: Path) -> None:
    encoder = load_encoder(base)
    model = export_encoder(encoder)
    with torch.no_grad():
        encoder.embeddings["word_embeddings"].weight[4:] *= -1
    with pytest.raises(RuntimeError, match="differs"):
        compare(encoder, model)
