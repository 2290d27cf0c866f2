"""Percentage of correct keypoints: Ludwig et al., section 4.3. Intervals: `metrics.bootstrap`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fewpose.skeleton import Skeleton

REFERENCE = (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"))  # first, fallback


def reference_length(poses: Tensor, skeleton: Skeleton) -> Tensor:
    """Left shoulder to right hip [N] of poses [N, K, 3], or the skeleton's own `reference`, in their pixels.

    Right shoulder to left hip where one is missing, as in the code of Ludwig's group; NaN where neither is labelled.
    ValueError for a skeleton without them that names no other reference.
    """
    if isinstance(skeleton.reference, int | float):
        return poses.new_full((len(poses),), skeleton.reference)
    if skeleton.reference == "box":
        return box_diagonal(poses)
    pairs = (skeleton.reference, skeleton.reference) if skeleton.reference else REFERENCE
    if missing := [name for pair in pairs for name in pair if name not in skeleton.keypoints]:
        raise ValueError(
            f"skeleton {skeleton.name} has no {missing[0]}, which PCK is relative to: in annotations.json give its "
            'category a `pck_reference`: two keypoints, "box" or a number of pixels'
        )
    lengths = []
    for a, b in pairs:
        pair = poses[:, [skeleton.index(a), skeleton.index(b)]]
        length = torch.linalg.vector_norm(pair[:, 0, :2] - pair[:, 1, :2], dim=-1)
        lengths.append(torch.where((pair[..., 2] > 0).all(1) & (length > 0), length, torch.nan))
    return torch.where(lengths[0].isnan(), lengths[1], lengths[0])


def box_diagonal(poses: Tensor) -> Tensor:
    """Diagonal [N] of the box around the labelled keypoints of poses [N, K, 3], NaN for fewer than two."""
    unlabelled = poses[..., 2:] <= 0
    low = poses[..., :2].masked_fill(unlabelled, torch.inf).amin(1)
    high = poses[..., :2].masked_fill(unlabelled, -torch.inf).amax(1)
    diagonal = torch.linalg.vector_norm(high - low, dim=-1)
    return torch.where(diagonal.isfinite() & (diagonal > 0) & ~unlabelled.all(1)[:, 0], diagonal, torch.nan)


def normalised_distances(predicted: Tensor, ground_truth: Tensor, skeleton: Skeleton) -> Tensor:
    """Distance from prediction to ground truth over the reference length, [N, K].

    predicted [N, K, 2 or 3] and ground_truth [N, K, 3] in pixels of the same frame. NaN where it does not count: the
    keypoint is unlabelled (visibility 0) or the pose has no reference length. A missing prediction (NaN) is infinitely
    far: it counts as wrong. ValueError if N or K differ.
    """
    if predicted.shape[:2] != ground_truth.shape[:2]:
        raise ValueError(
            f"{tuple(predicted.shape[:2])} predicted and {tuple(ground_truth.shape[:2])} keypoints of ground truth: "
            "frames and keypoint count must agree"
        )
    reference = reference_length(ground_truth, skeleton)
    distance = torch.linalg.vector_norm(predicted[..., :2] - ground_truth[..., :2], dim=-1)
    distance = torch.where(distance.isnan(), torch.inf, distance) / reference[:, None]
    return torch.where(ground_truth[..., 2] > 0, distance, torch.nan)


def pck(distances: Tensor, at: float = 0.1) -> float:
    """Percentage of counted keypoints within `at` reference lengths, all pooled; NaN if none."""
    counted = ~distances.isnan()
    if not counted.any():
        return float("nan")
    return 100 * float((distances <= at).sum() / counted.sum())


def gap_closed(ours: float, few: float, full: float) -> float:
    """How much of the gap in PCK between supervised training on few labels and on all is closed, in %; NaN if none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 100 * np.subtract(ours, few) / np.subtract(full, few)
    return np.where(np.isfinite(share), share, np.nan)[()]
