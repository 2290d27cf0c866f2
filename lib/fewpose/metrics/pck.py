"""Percentage of correct keypoints, and what is derived from it. Intervals: `metrics.bootstrap`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fewpose.skeleton import Skeleton

REFERENCE = (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"))  # first, fallback


def reference_length(poses: Tensor, skeleton: Skeleton) -> Tensor:
    """Left shoulder to right hip [N] in pixels; right shoulder to left hip where one is missing.

    NaN where neither pair is labelled (Ludwig et al. section 4.3).
    """
    lengths = []
    for a, b in REFERENCE:
        pair = poses[:, [skeleton.index(a), skeleton.index(b)]]
        length = torch.linalg.vector_norm(pair[:, 0, :2] - pair[:, 1, :2], dim=-1)
        lengths.append(torch.where((pair[..., 2] > 0).all(1) & (length > 0), length, torch.nan))
    return torch.where(lengths[0].isnan(), lengths[1], lengths[0])


def normalised_distances(
    predicted: Tensor, ground_truth: Tensor, skeleton: Skeleton, compat: str | None = None
) -> Tensor:
    """Distance from prediction to ground truth over the reference length, [N, K].

    predicted [N, K, 2 or 3] and ground_truth [N, K, 3] in pixels of the same frame. NaN where it does not count: the
    keypoint is unlabelled (visibility 0) or the pose has no reference length. A missing prediction (NaN) is infinitely
    far: it counts as wrong. compat="augsburg" takes a reference of 1 px wherever a joint of the *fallback* pair is
    unlabelled, as the authors' code does.
    """
    if predicted.shape[:2] != ground_truth.shape[:2]:
        raise ValueError(
            f"{tuple(predicted.shape[:2])} predicted and {tuple(ground_truth.shape[:2])} ground-truth keypoints: "
            "frames and keypoint count must agree"
        )
    if compat not in (None, "augsburg"):
        raise ValueError(f"compat is None or 'augsburg', not {compat!r}")
    reference = reference_length(ground_truth, skeleton)
    if compat == "augsburg":
        pair = [skeleton.index(name) for name in REFERENCE[1]]
        reference = torch.where((ground_truth[:, pair, 2] > 0).all(1), reference, 1.0)
    distance = torch.linalg.vector_norm(predicted[..., :2] - ground_truth[..., :2], dim=-1)
    distance = torch.where(distance.isnan(), torch.inf, distance) / reference[:, None]
    return torch.where(ground_truth[..., 2] > 0, distance, torch.nan)


def pck(distances: Tensor, at: float = 0.1) -> float:
    """Percentage of counted keypoints within `at` reference lengths, all pooled; NaN if none."""
    counted = ~distances.isnan()
    if not counted.any():
        return float("nan")
    return 100 * float((distances <= at).sum() / counted.sum())


def pck_per_keypoint(distances: Tensor, at: float = 0.1) -> np.ndarray:
    """PCK [K] of each keypoint, NaN where it is never labelled."""
    hits, counts = (distances <= at).sum(0), (~distances.isnan()).sum(0)
    return (100 * hits / torch.where(counts > 0, counts, torch.nan)).numpy()


def gap_closed(ours: float, few: float, full: float) -> float:
    """Share in % of the gap between supervised training on the few and on all; NaN without gap."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 100 * np.subtract(ours, few) / np.subtract(full, few)
    return np.where(np.isfinite(share), share, np.nan)[()]


def risk_coverage_curve(distances: Tensor, uncertainty: Tensor, threshold: float = 0.1) -> Tensor:
    """Risk [N] over coverage: the share of wrong labels in percent if only the least uncertain are selected.

    distances, uncertainty [N, K]: normalised distances (NaN does not count) and any measure of uncertainty. As in the
    paper's rule each keypoint is ranked on its own; entry i is the share of labels beyond `threshold` among the i + 1
    least uncertain of each keypoint.
    """
    order = torch.where(distances.isnan(), torch.inf, uncertainty).argsort(dim=0, stable=True)
    sorted_distances = distances.gather(0, order)
    counts = (~sorted_distances.isnan()).cumsum(0).sum(1)
    wrong = (sorted_distances > threshold).cumsum(0).sum(1)
    return 100 * wrong / counts.clamp_min(1)
