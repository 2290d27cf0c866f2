"""What the student learns by: Srivastav et al., section 3.3, each term on a tensor of its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.roi_heads import keypoints_to_heatmap

from fewpose.models.lifting import Lifter

SOFT = ("weighted", "temperature")


def hard_loss(logits: Tensor, rois: Tensor, keypoints: Tensor) -> Tensor:
    """Cross-entropy over the S² cells of each visible keypoint: sum over number of visible ones.

    logits [R, K, S, S] of rois [R, 4] and the keypoints [R, K, 3] of the person in each, pixels from the frame's
    edge; visible where the third is above 0 and the point inside the RoI. 0 without any.
    """
    entropy, valid = cross_entropy(logits, rois, keypoints)
    return entropy[valid].sum() / valid.sum().clamp_min(1)


def soft_loss(logits: Tensor, rois: Tensor, keypoints: Tensor, kind: str = "weighted") -> Tensor:
    """Cross-entropy with confidences, the third of keypoints [R, K, 3]; else as `hard_loss`.

    "weighted" multiplies the entropy of each keypoint by its confidence, as the paper words it; "temperature" its
    logits, as the released code does. Either sum is over the number of keypoints of confidence above 0 in their RoI,
    as in the code: a frame of which the teacher is unsure teaches less. With confidences of 1 both are `hard_loss`.
    """
    share = keypoints[..., 2].clamp(0, 1)
    if kind == "temperature":
        logits, share = logits * share[..., None, None], torch.ones_like(share)
    entropy, valid = cross_entropy(logits, rois, keypoints)
    return (share * entropy)[valid].sum() / valid.sum().clamp_min(1)


def cross_entropy(logits: Tensor, rois: Tensor, keypoints: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy [R, K] of the cell that holds each keypoint, and which of them [R, K] are valid.

    Cell floor((x − x0) · S / w), right and lower border in the last; torchvision's.
    """
    cells, valid = keypoints_to_heatmap(keypoints, rois, logits.shape[-1])
    rows = logits.flatten(2).flatten(0, 1)
    entropy = F.cross_entropy(rows, cells.flatten(), reduction="none")
    return entropy.view_as(cells), valid.bool()


def points_loss(lifter: Lifter, rays: Tensor, points: Tensor) -> Tensor:
    """Smooth L1 (β = 1), mean over normalised coordinates, of rays [P, K, 3] lifted.

    points [P, K, 3] millimetres in the axes of the camera, any root. The input are the labels' own keypoints as their
    camera saw them (`geometry.rays`), missing where the third is 0: no gradient reaches another network. Who has no
    keypoint, or no 3D (all 0, as where hips are unknown), does not count; batch norm needs two people, of fewer the
    loss is 0.
    """
    counts = (rays[..., 2] > 0).any(1) & (points != 0).flatten(1).any(1)
    if counts.sum() < 2:
        return lifter.last.weight.sum() * 0
    goal = lifter.goal(rays[counts], points[counts])
    return F.smooth_l1_loss(lifter.normalised(rays[counts]), goal)
