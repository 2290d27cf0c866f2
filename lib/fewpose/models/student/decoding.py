"""Keypoints from the heat maps of a Keypoint R-CNN's head: at the highest pixel, or where the expected OKS is highest.

The highest pixel is that of He et al., *Mask R-CNN* (2017), section 5; the expected OKS is ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

from fewpose import heatmaps

NEAR = 3  # cells around the peak whose probability is a keypoint's confidence
PERSON = 0.53  # share of a box that its person covers, as in HRNet's evaluation


@torch.no_grad()
def decode(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Keypoints [P, K, 3] at the highest pixels, as torchvision reads them, and their logits [P, K].

    logits [P, K, S, S] of boxes [P, 4]. Boxes x0, y0, x1, y1 and keypoints are in pixels from the frame's edge (a
    pixel's centre lies at 0.5). The third value is the confidence, the share of the softmax over all S² cells that lies
    within `NEAR` cells of the peak.
    """
    maps, boxes = logits.float(), boxes.float()
    found, peak = heatmaps_to_keypoints(maps, boxes)
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp_min(1)
    place = (found[..., :2] - boxes[:, None, :2]) / sides[:, None]
    third = confidence(maps.flatten(0, 1), place.flatten(0, 1)).view_as(peak)
    return torch.cat([found[..., :2], third[..., None]], -1), peak


@torch.no_grad()
def expect(logits: Tensor, boxes: Tensor, sigmas: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Keypoints [P, K, 3] where the expected OKS is highest, and that OKS [P, K].

    Arguments, pixels and confidence as for `decode`; sigmas [K] are the OKS constants. With the softmax p over cells g
    and a person who covers A pixels, it is the cell c with the highest Σ_g p(g) exp(−|c − g|² / 2 A (2σ)²), to a
    fraction of a cell. A broad peak wins over a narrow, higher one if the keypoint's σ is large: for a hip, not an eye.
    """
    maps, size = logits.float(), logits.shape[-1]
    probability = maps.flatten(2).softmax(-1).view_as(maps)
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp_min(1).float()
    width = 2 * sides.new_tensor(sigmas) * (PERSON * sides.prod(1, keepdim=True)).sqrt()
    cells = torch.arange(size, device=sides.device, dtype=sides.dtype)
    squared = (cells[:, None] - cells).square()

    def gaussians(axis: int) -> Tensor:
        in_cells = width * size / sides[:, axis, None]
        return torch.exp(-squared / (2 * in_cells[..., None, None] ** 2))

    found = heatmaps.decode(gaussians(1) @ probability @ gaussians(0), 1)
    place = (found[..., :2] + 0.5) / size
    third = confidence(maps.flatten(0, 1), place.flatten(0, 1)).view_as(found[..., 2:])
    xy = boxes[:, None, :2] + place * sides[:, None]
    return torch.cat([xy, third], -1), found[..., 2]


def confidence(maps: Tensor, place: Tensor) -> Tensor:
    """Share [M] of the softmax of maps [M, S, S] within `NEAR` cells of place [M, 2] in 0 … 1."""
    size = maps.shape[-1]
    u, v = (place * size).floor().long().clamp(0, size - 1).unbind(1)
    cells = torch.arange(-NEAR, NEAR + 1, device=maps.device) + NEAR
    around = F.pad(maps, (NEAR,) * 4, value=-torch.inf)
    m = torch.arange(len(maps), device=maps.device)[:, None, None]
    patch = around[m, (v[:, None] + cells)[:, :, None], (u[:, None] + cells)[:, None]]
    return (patch.flatten(1).logsumexp(1) - maps.flatten(1).logsumexp(1)).exp()
