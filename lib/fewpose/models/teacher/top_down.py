"""Stage 2 of the teacher: keypoints of people in boxes, averaged over several views of each crop."""

from __future__ import annotations

import torch
from torch import Tensor

from fewpose import geometry
from fewpose.augment import View, normalise
from fewpose.crops import crop_maps, cut_crops
from fewpose.heatmaps import aggregate, decode, smooth
from fewpose.models.pose_model import PoseModel
from fewpose.skeleton import Skeleton

SCALES = (0.85, 1.0, 1.15)  # how much of the crop the views show: 1.15 zooms out


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
    model: PoseModel,
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
    The heat maps of all views are mapped back into the plain crop and averaged there, each cell over the views that
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
            crops = cut_crops(frames, index[part], geometry.compose(view.matrix, maps), size)
            heat = aggregate(model(normalise(crops))).float()
            shown = view.shows(heat.shape[-2:], stride).float()
            total = total + view.undo_heatmaps(heat, stride) * shown
            weight = weight + shown
        found = decode(smooth(total / weight.clamp_min(1)), stride)
        poses.append(geometry.transform_points(geometry.invert(maps), found))
    return torch.cat(poses)
