"""Where a training computes: on the pod's GPU if it has one that torch can use, else on the processor."""

import functools
import os

import torch

#: What the NVIDIA runtime is told where a container is to have no GPU.
NO_GPU = ("", "void", "none")


@functools.cache
def device() -> torch.device:
    """Asked once, in the job's own process: what is asked of CUDA before a fork cannot be used after it."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def computing_on() -> str | None:
    """A sentence for the log; None where a GPU was neither asked for nor found."""
    if device().type == "cuda":
        return f"trains on the GPU {torch.cuda.get_device_name()}"
    return why_no_gpu(os.environ.get("NVIDIA_VISIBLE_DEVICES", ""), torch.version.cuda)


def why_no_gpu(visible: str, built_for: str | None) -> str | None:
    """None where no GPU was asked for."""
    if visible in NO_GPU:
        return None
    why = "torch was built without CUDA" if built_for is None else f"torch, built for CUDA {built_for}, finds none: its CUDA packages or the node's driver are missing"
    return f"the job was given GPUs (NVIDIA_VISIBLE_DEVICES is {visible}) but trains on the processor: {why}"


def arithmetic() -> str:
    """Names what decides the last bits of a result beside torch itself."""
    if device().type == "cuda":
        return f"CUDA {torch.version.cuda} {torch.cuda.get_device_name()}"
    return torch.backends.cpu.get_cpu_capability()


def bf16_is_fast() -> bool:
    """Only where it is multiplied in hardware: elsewhere it is emulated, on a processor nine times slower than f32 (measured on AVX2)."""
    if device().type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpu = torch.cpu
    return bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())
