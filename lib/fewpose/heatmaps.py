"""Keypoints → heat maps → keypoints."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewpose.augment import normalise
from fewpose.speed.devices import shared_pass

SIGMA = 2.0  # of the targets, in cells
SMOOTHING = 1.5  # of the predicted maps before decoding, in cells: chosen on validation videos


def gaussian_targets(poses: Tensor, size: tuple[int, int], stride: int, sigma: float = SIGMA) -> Tensor:
    """Target heat maps [N, K, H / stride, W / stride] with a Gaussian of peak 1 at each keypoint.

    poses [N, K, 3] in pixels of the frame of `size` (H, W); sigma in cells of the heat map. Keypoints of visibility 0
    give an empty map.
    """
    h, w = size[0] // stride, size[1] // stride
    centre = (poses[..., :2] + 0.5) / stride - 0.5
    # a 2D Gaussian is the outer product of two 1D ones
    cells = torch.arange(max(h, w), device=poses.device)
    scale = 1 / (math.sqrt(2) * sigma)
    exponent = (scale * cells - (scale * centre).unsqueeze(-1)).square_().neg_()
    # at least e⁻²⁰: denormal numbers are five times slower on a CPU
    bell = exponent.clamp_min_(-20).exp_()  # [N, K, 2, cells]
    row = bell[..., 0, :w] * (poses[..., 2:] > 0)
    return bell[..., 1, :h].unsqueeze(-1) * row.unsqueeze(-2)


def aggregate(heatmaps: list[Tensor]) -> Tensor:
    """Mean of heat maps of several resolutions at the finest one (HigherHRNet section 3.4)."""
    finest = max(heatmaps, key=lambda m: m.shape[-1])
    size = finest.shape[-2:]
    same = [
        m if m.shape[-2:] == size else F.interpolate(m, size, mode="bilinear", align_corners=False) for m in heatmaps
    ]
    return torch.stack(same).mean(0) if len(same) > 1 else finest


def decode(heatmaps: Tensor, stride: int) -> Tensor:
    """Poses [N, K, 3] (x, y in frame pixels, confidence = height of the peak) from heat maps [N, K, h, w].

    A parabola through the logarithms of the peak and its neighbours, exact for a Gaussian, gives fractions of a cell.
    """
    h, w = heatmaps.shape[-2:]
    index, found = peaks(heatmaps)
    low, mid, high = found.clamp_min(1e-6).log_().split([2, 1, 2], -1)
    curvature = torch.sub(low, mid, alpha=2) + high
    shift = 0.5 * (low - high) / torch.where(curvature < -1e-6, curvature, -1e9)
    place = torch.cat([index % w, index // w], -1)  # u, v
    inside = (place > 0) & (place < index.new_tensor([w - 1, h - 1]))
    place = place + torch.where(inside, shift.clamp_(-0.5, 0.5), 0.0)
    return torch.cat([(place + 0.5) * stride - 0.5, found[..., 2:3]], -1)


def peaks(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Flat index [N, K, 1] of the first highest cell of maps [N, K, h, w], and the values [N, K, 5] around it.

    These are left of it, above it, at it, right of it and below it.
    """
    h, w = heatmaps.shape[-2:]
    flat, steps = heatmaps.flatten(2), [-1, -w, 0, 1, w]
    if flat.device.type != "cpu" or flat.dtype != torch.float32 or torch.onnx.is_in_onnx_export():
        index = flat.argmax(-1, keepdim=True)
        beside = (index + index.new_tensor(steps)).clamp_(0, h * w - 1)
        return index, flat.gather(-1, beside)
    # NumPy's argmax is several times as fast: only memory bandwidth limits it
    array = flat.detach().numpy()
    index = array.argmax(-1)[..., None]
    maps = np.arange(array.shape[0] * array.shape[1]).reshape(*array.shape[:2], 1) * (h * w)
    found = array.reshape(-1)[maps + np.clip(index + steps, 0, h * w - 1)]
    return torch.from_numpy(index), torch.from_numpy(found)


def smooth(heatmaps: Tensor, width: float = SMOOTHING, sigma: float = SIGMA) -> Tensor:
    """Heat maps [N, K, h, w] smoothed by a Gaussian of `width` cells; a target of `sigma` cells keeps its height.

    Predicted peaks are ragged, and the parabola of `decode` uses only three cells; after smoothing, many cells
    contribute (DARK, Zhang et al. 2020, section 3.2).
    """
    rows, columns = (band(side, width, heatmaps) for side in heatmaps.shape[-2:])
    return ((1 + (width / sigma) ** 2) * rows) @ heatmaps @ columns.T


def band(side: int, width: float, like: Tensor) -> Tensor:
    """The matrix [side, side] that smooths a row of cells by a Gaussian of `width` cells."""
    cells = torch.arange(side, device=like.device, dtype=like.dtype)
    weights = torch.exp(-((cells[:, None] - cells) ** 2) / (2 * width**2))
    return weights / weights.sum(1, keepdim=True)


def soft_argmax(heatmaps: Tensor, stride: int, sharpness: float = 30.0) -> Tensor:
    """Points [N, K, 2] in frame pixels from heat maps [N, K, h, w], differentiably.

    The mean position under softmax(sharpness · heat map), which is near the peak for a Gaussian of peak 1.
    """
    h, w = heatmaps.shape[-2:]
    mass = (sharpness * heatmaps.flatten(2)).softmax(-1).view_as(heatmaps)
    x = (mass.sum(-2) * torch.arange(w, device=mass.device)).sum(-1)
    y = (mass.sum(-1) * torch.arange(h, device=mass.device)).sum(-1)
    return (torch.stack([x, y], -1) + 0.5) * stride - 0.5


@torch.no_grad()
def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Poses [N, K, 3] (x, y in image pixels, confidence) of images [N, 3, H, W] in 0..255."""
    return model.read(shared_pass(model, normalise(images)))


@torch.no_grad()
def predict_all(model: nn.Module, frames: Tensor, batch_size: int = 64) -> Tensor:
    """Poses [N, K, 3] on the CPU of all frames [N, 3, H, W] uint8, in evaluation mode.

    The model's mode is restored; frames travel to the model's device a batch at a time.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    parts = [predict(model, batch.to(device)).cpu() for batch in frames.split(batch_size)]
    model.train(training)
    return torch.cat(parts) if parts else torch.zeros(0, model.keypoints, 3)
