"""Stage 2 of the teacher: keypoints of people in boxes, from crops looked at in several ways."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewpose import geometry
from fewpose.augment import View, normalise
from fewpose.heatmaps import aggregate, decode, smooth
from fewpose.skeleton import Skeleton

MARGIN = 1.25  # the crop is this much larger than the person's box, as `data.coco` makes them
SCALES = (0.85, 1.0, 1.15)  # how much of the crop the views show: 1.15 zooms out


def person_boxes(poses: Tensor, size: tuple[int, int], threshold: float = 0.1) -> Tensor:
    """Boxes [N, 4] (x0, y0, x1, y1 from the frame's edge) of the keypoints that score enough.

    Where none does, the whole frame of `size` (H, W).
    """
    sure = poses[..., 2:] >= threshold
    low = torch.where(sure, poses[..., :2], torch.inf).amin(1) + 0.5
    high = torch.where(sure, poses[..., :2], -torch.inf).amax(1) + 0.5
    whole = poses.new_tensor([0, 0, size[1], size[0]]).expand(len(poses), 4)
    return torch.where(sure.any(1), torch.cat([low, high], 1), whole)


def crop_maps(boxes: Tensor, size: tuple[int, int], margin: float = MARGIN) -> Tensor:
    """Maps [P, 2, 3] from pixels of the frame to those of a crop of `size` (H, W) around a box.

    boxes [P, 4] x0, y0, x1, y1 in pixels from the frame's edge. The box is centred; its longer side relative to the
    crop fills 1 / margin.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp_min(1.0)
    scale = (sides.new_tensor([size[1], size[0]]) / sides).amin(1) / margin
    # A box spans pixel edges, its centre in centre-based pixels is half a pixel less.
    centre = (boxes[:, 2:] + boxes[:, :2]) / 2 - 0.5
    matrix = torch.zeros(len(boxes), 2, 3, device=boxes.device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    middle = sides.new_tensor([(size[1] - 1) / 2, (size[0] - 1) / 2])
    matrix[:, :, 2] = middle - scale[:, None] * centre
    return matrix


def look(frames: Tensor, index: Tensor, matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """Crops [P, 3, H, W] in 0..255 of `size`: person p is in frame `index[p]` under `matrix[p]`.

    What is made smaller than half is averaged before, else fine stripes would flicker.
    """
    out = torch.empty(len(index), 3, *size, device=frames.device)
    shrink = 1 / torch.linalg.det(matrix[:, :, :2]).abs().sqrt().clamp_min(1e-6)
    level = shrink.log2().floor().clamp(0, 4).long().to(index.device)
    for depth in level.unique().tolist():
        these = (level == depth).nonzero()[:, 0]
        for one in index[these].unique().tolist():
            here = these[index[these] == one]
            s = 2**depth
            image = frames[one : one + 1].float()
            image = F.avg_pool2d(image, s, ceil_mode=True, count_include_pad=False)
            coarse = torch.tensor([[s, 0, (s - 1) / 2], [0, s, (s - 1) / 2]], device=matrix.device)
            there = geometry.compose(matrix[here], coarse.expand(len(here), 2, 3))
            out[here] = geometry.warp(image.expand(len(here), -1, -1, -1), there, size)
    return out


def crop_views(
    n: int,
    size: tuple[int, int],
    skeleton: Skeleton,
    scales: tuple[float, ...],
    flip: bool,
    device: torch.device | str = "cpu",
) -> list[View]:
    """Views of n crops of `size` (H, W): each scale, and mirrored too if `flip`."""
    views = []
    for scale in scales:
        still = torch.zeros(n, device=device)
        matrix = geometry.similarity(size, still, still + 1 / scale, torch.zeros(n, 2, device=device))
        for mirrored in (False, True) if flip else (False,):
            flipped = torch.full((n,), mirrored, device=device)
            turned = geometry.compose(matrix, geometry.mirror(size[1], flipped))
            views.append(View(turned, flipped, skeleton))
    return views


@torch.no_grad()
def estimate(
    model: nn.Module,
    frames: Tensor,
    index: Tensor,
    boxes: Tensor,
    size: tuple[int, int],
    skeleton: Skeleton,
    scales: tuple[float, ...] = SCALES,
    flip: bool = True,
    batch: int = 32,
) -> Tensor:
    """Poses [P, K, 3] (x, y in pixels of the frame, confidence) of people in boxes.

    frames [N, 3, H, W] in 0..255; person p has boxes[p] (x0, y0, x1, y1 from the frame's edge) in frame index[p].
    Heat maps of all views are brought home into the plain crop and averaged there, cell by cell over the views that
    show it. The model must be in evaluation mode.
    """
    poses = [torch.zeros(0, len(skeleton), 3, device=frames.device)]
    stride = min(model.strides)
    for part in torch.arange(len(boxes), device=index.device).split(batch):
        if not len(part):  # nobody
            continue
        maps = crop_maps(boxes[part], size)
        total, weight = 0.0, 0.0
        for view in crop_views(len(part), size, skeleton, scales, flip, frames.device):
            crops = look(frames, index[part], geometry.compose(view.matrix, maps), size)
            heat = aggregate(model(normalise(crops))).float()
            shown = view.shows(heat.shape[-2:], stride).float()
            total = total + view.undo_heatmaps(heat, stride) * shown
            weight = weight + shown
        found = decode(smooth(total / weight.clamp_min(1)), stride)
        poses.append(geometry.transform_points(geometry.invert(maps), found))
    return torch.cat(poses)
