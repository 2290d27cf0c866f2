"""Crops of people: the box around a pose, the map from frame to crop, the crop itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fewpose import geometry

MARGIN = 1.25  # the crop is this much larger than the person's box


def person_boxes(poses: Tensor, size: tuple[int, int], threshold: float = 0.1) -> Tensor:
    """Boxes [N, 4] (x0, y0, x1, y1 in pixels from the frame's edge) of the keypoints of poses [N, K, 3].

    Those with a score of at least `threshold`; without any the whole frame of `size` (H, W).
    """
    sure = poses[..., 2:] >= threshold
    low = torch.where(sure, poses[..., :2], torch.inf).amin(1) + 0.5
    high = torch.where(sure, poses[..., :2], -torch.inf).amax(1) + 0.5
    whole = poses.new_tensor([0, 0, size[1], size[0]]).expand(len(poses), 4)
    return torch.where(sure.any(1), torch.cat([low, high], 1), whole)


def crop_maps(boxes: Tensor, size: tuple[int, int], margin: float = MARGIN) -> Tensor:
    """Maps [P, 2, 3] from pixels of the frame to those of a crop of `size` (H, W) around a box.

    boxes [P, 4] x0, y0, x1, y1 in pixels from the frame's edge. The box is centred; the side that is longer relative to
    the crop fills 1 / margin of it.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp_min(1.0)
    scale = (sides.new_tensor([size[1], size[0]]) / sides).amin(1) / margin
    # boxes count from pixel edges, maps from pixel centres: half a pixel less
    centre = (boxes[:, 2:] + boxes[:, :2]) / 2 - 0.5
    matrix = boxes.new_zeros(len(boxes), 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    middle = sides.new_tensor([(size[1] - 1) / 2, (size[0] - 1) / 2])
    matrix[:, :, 2] = middle - scale[:, None] * centre
    return matrix


def cut_crops(frames: Tensor, index: Tensor, matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """Crops [P, 3, H, W] in 0..255 of `size`: person p is in frame `index[p]` under `matrix[p]`.

    Frames that shrink to less than half are averaged first, against aliasing.
    """
    out = torch.empty(len(index), 3, *size, device=frames.device)
    shrink = 1 / torch.linalg.det(matrix[:, :, :2]).abs().sqrt().clamp_min(1e-6)
    level = shrink.log2().floor().clamp(0, 4).long().to(index.device)
    for depth in level.unique().tolist():
        these = (level == depth).nonzero()[:, 0]
        for frame in index[these].unique().tolist():
            here = these[index[these] == frame]
            s = 2**depth
            image = frames[frame : frame + 1].float()
            image = F.avg_pool2d(image, s, ceil_mode=True, count_include_pad=False)
            coarse = torch.tensor([[s, 0, (s - 1) / 2], [0, s, (s - 1) / 2]], device=matrix.device)
            there = geometry.compose(matrix[here], coarse.expand(len(here), 2, 3))
            out[here] = geometry.warp(image.expand(len(here), -1, -1, -1), there, size)
    return out
