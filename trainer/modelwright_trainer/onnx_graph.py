"""A module of torch as the bytes of an ONNX graph."""

import contextlib
import io
import logging
import warnings
from typing import Any

import torch
from torch import nn


def graph_of(module: nn.Module, arguments: tuple[Any, ...], inputs: list[str], outputs: list[str], shapes: Any) -> bytes:
    """`shapes`: which sizes of the arguments are free, as torch.export has it. What the exporter tells on the way is for its makers."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            arguments,
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
            optimize=True,
        )
    logging.disable(logging.NOTSET)
    if program is None:
        raise RuntimeError("torch exported nothing")
    return bytes(program.model_proto.SerializeToString())
