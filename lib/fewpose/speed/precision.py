"""Half precision where a machine is faster with it and the numbers hold."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def half_precision(device: torch.device) -> torch.autocast:
    """bf16 on CUDA, for networks only: the geometry of views needs full precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def half_in_training(device: torch.device, training: bool = True) -> AbstractContextManager:
    """bf16 for forward passes of training: on CUDA, and on CPUs with bf16 instructions.

    A step on such a CPU takes two thirds of the time. Weights stay in single precision, and so should predictions:
    without `training` nothing changes.
    """
    if not training:  # `enabled=False` would also disable autocast around predictions on CUDA
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" or fast_bf16())


def fast_bf16() -> bool:
    """Whether this machine's CPU multiplies bf16 faster than single precision."""
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))
