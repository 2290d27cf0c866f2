"""Test-time augmentation of a detector: boxes at several scales, mirrored or not, are fused."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou

IOU = 0.55  # boxes of different views that overlap more are one person
SCALES = (0.75, 1.0, 1.25)


class Detector(Protocol):
    """Stage 1 of the teacher: `cascade_rcnn.CascadeRCNN`, `yolox.YoloX`."""

    side: int

    def boxes(self, images: Tensor) -> list[tuple[Tensor, Tensor]]: ...


@torch.no_grad()
def detect(
    detector: Detector, frames: Tensor, scales: tuple[float, ...] = SCALES, flip: bool = True
) -> list[tuple[Tensor, Tensor]]:
    """Boxes [P, 4] and scores [P] of the people in each of frames [N, 3, H, W] in 0..255.

    The shorter side of every frame is scaled to each of `scales` times `detector.side`, and the frame mirrored too if
    `flip`; the boxes of these views are fused by weighted boxes fusion. Boxes are x0, y0, x1, y1 in pixels of the
    frame from its edge, inside it, by falling score.
    """
    height, width = frames.shape[-2:]
    views = []
    for scale in scales:
        factor = scale * detector.side / min(height, width)
        size = max(1, round(height * factor)), max(1, round(width * factor))
        images = frames.float()
        if size != (height, width):
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        to_frame = images.new_tensor([width / size[1], height / size[0]] * 2)
        views.append([(boxes * to_frame, scores) for boxes, scores in detector.boxes(images)])
        if flip:
            found = detector.boxes(images.flip(-1))
            views.append([(mirror(boxes * to_frame, width), scores) for boxes, scores in found])
    fused = []
    for view in zip(*views, strict=True):
        boxes, scores = weighted_boxes_fusion(list(view))
        limits = boxes.new_tensor([width, height] * 2)
        fused.append((boxes.clamp_min(0).minimum(limits), scores))
    return fused


def mirror(boxes: Tensor, width: float) -> Tensor:
    """Boxes [P, 4] in the mirrored frame: an edge x becomes W − x, a keypoint W − 1 − x."""
    return torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1)


def weighted_boxes_fusion(views: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Fuse the boxes [P, 4] and scores [P] of several views, all in the same coordinates.

    Solovyev et al., *Weighted boxes fusion* (2021), section 3: by falling score each box joins the cluster whose mean
    it overlaps most, more than `IOU`, or starts a new one; the mean of a cluster is weighted by the scores, its score
    is their sum over the number of views. A single view is only sorted by falling score.
    """
    boxes = torch.cat([b for b, _ in views])
    scores = torch.cat([s for _, s in views])
    order = scores.argsort(descending=True, stable=True)
    if len(views) == 1 or not len(order):
        return boxes[order], scores[order]
    device, dtype = boxes.device, boxes.dtype
    means = torch.zeros(len(order), 4, dtype=torch.float64)
    mass, count = torch.zeros(len(order), dtype=torch.float64), 0
    for box, score in zip(boxes[order].cpu().double(), scores[order].cpu().double(), strict=True):
        at = count
        if count:
            overlap, nearest = box_iou(box[None], means[:count])[0].max(0)
            at = int(nearest) if overlap > IOU else count
        count = max(count, at + 1)
        mass[at] += score
        means[at] += (box - means[at]) * score / mass[at].clamp_min(1e-12)
    fused = (mass[:count] / len(views)).clamp_max(1)
    order = fused.argsort(descending=True, stable=True)
    return means[order].to(device, dtype), fused[order].to(device, dtype)
