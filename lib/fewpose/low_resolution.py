"""Frames downsampled, then upsampled to their original size: Srivastav et al., section 3.3."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from fewpose.data.frames import Frames, change

MIXTURES = ("all", "all_as_released")


def low_resolution(frames: Tensor, scales: Tensor | float) -> Tensor:
    """Frames [N, 3, H, W], each scaled down to int(H / s) × int(W / s) and up again, bilinearly.

    scales [N] or one for all; 1 leaves a frame unchanged. Scaling down is antialiased, as in PIL. uint8 stays uint8,
    and frames stay on their device. ValueError for a scale below 1 or one that leaves no pixel.
    """
    scales = torch.as_tensor(scales, dtype=torch.float64).expand(len(frames))
    height, width = frames.shape[-2:]
    if len(scales) and not 1 <= scales.min() <= scales.max() <= min(height, width):
        raise ValueError(
            f"frames of {height}x{width} (height x width) can be downsampled 1 to "
            f"{min(height, width)} times, not {scales.min():g} to {scales.max():g}"
        )
    if (scales == 1).all():
        return frames
    if isinstance(frames, Frames) and (scales == scales[0]).all():
        return change(frames, partial(lowered, s=float(scales[0])))
    out = frames.clone()
    for s in scales.unique().tolist():
        if s > 1:
            these = (scales == s).nonzero()[:, 0].to(frames.device)
            out[these] = lowered(frames[these], s)
    return out


def lowered(frames: Tensor, s: float) -> Tensor:
    """Frames [N, 3, H, W] downsampled s times and upsampled again."""
    return enlarged(reduced(frames, s), tuple(frames.shape[-2:]))


def reduced(frames: Tensor, s: float) -> Tensor:
    """Frames [N, 3, H, W] downsampled to [N, 3, int(H / s), int(W / s)]."""
    height, width = frames.shape[-2:]
    small = F.interpolate(frames.float(), (int(height / s), int(width / s)), mode="bilinear", antialias=True)
    return rounded(small, frames.dtype)  # as 8-bit images of that size are stored


def enlarged(small: Tensor, size: tuple[int, int]) -> Tensor:
    """Images [N, 3, h, w] upsampled to `size` (H, W)."""
    return rounded(F.interpolate(small.float(), size, mode="bilinear"), small.dtype)


def rounded(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Float values in another type, whole numbers if it is uint8."""
    return (values.round_().clamp_(0, 255) if dtype == torch.uint8 else values).to(dtype)


def sample_scales(mixture: str | float, n: int, generator: torch.Generator) -> Tensor:
    """Scales [n] float64, drawn from a mixture or all the given number.

    "all", the paper's: 1 with 30 %, uniform in 2 … 8 with 35 %, uniform in 8 … 12 with 35 %. "all_as_released": the
    same shares with the whole numbers 2 … 7 and 8 … 11 of the released code. ValueError for another name.
    """
    if not isinstance(mixture, str):
        return torch.full((n,), float(mixture), dtype=torch.float64)
    if mixture not in MIXTURES:
        raise ValueError(f"scales are a number, or one of {', '.join(MIXTURES)}; not {mixture!r}")
    which, share = torch.rand(2, n, generator=generator, dtype=torch.float64)
    if mixture == "all":
        middle, high = 2 + 6 * share, 8 + 4 * share
    else:
        middle, high = 2 + (6 * share).floor(), 8 + (4 * share).floor()
    return torch.where(which < 0.3, 1.0, torch.where(which < 0.65, middle, high))
