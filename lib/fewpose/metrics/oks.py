"""Object keypoint similarity: how similar two poses are, 1 for equal, 0 for far apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def oks(
    detected: np.ndarray, ground_truth: np.ndarray, boxes: np.ndarray, areas: np.ndarray, sigmas: Sequence[float]
) -> np.ndarray:
    """Similarity [N] of N detected poses [N, K, ≥2] with N true ones [N, K, 3], all in pixels.

    Mean over the labelled keypoints (visibility > 0) of exp(-d² / (2 area (2 sigma)²)), as COCO defines it. `boxes`
    [N, 4] (x, y, width, height) stand in for a true pose without any label: there d is the distance to the box of
    three times the width and height. ValueError if the numbers of sigmas and keypoints differ.
    """
    if len(sigmas) != ground_truth.shape[1]:
        raise ValueError(f"{len(sigmas)} sigmas for poses of {ground_truth.shape[1]} keypoints")
    variances = (2 * np.asarray(sigmas, dtype=np.float64)) ** 2
    labelled = ground_truth[..., 2] > 0
    count = labelled.sum(1)
    blank = np.flatnonzero(count == 0)
    distance = np.zeros(ground_truth.shape[:2])
    for axis in (0, 1):  # in place, here and below: allocation costs more than the arithmetic
        shift = detected[..., axis] - ground_truth[..., axis]
        if len(blank):
            low, size = boxes[blank, axis, None], boxes[blank, axis + 2, None]
            points = detected[blank, :, axis]
            shift[blank] = np.maximum(low - size - points, 0)
            shift[blank] += np.maximum(points - low - 2 * size, 0)
        shift *= shift
        distance += shift
    distance /= variances
    distance /= areas[:, None] + np.spacing(1)
    distance /= -2
    similar = np.exp(distance, out=distance)
    similarity = np.empty(len(ground_truth))
    # poses with equally many labels together: sums in COCO's order keep its ties
    for n in np.unique(count):
        these = np.flatnonzero(count == n)
        parts = similar[these] if n == 0 else similar[these][labelled[these]].reshape(-1, n)
        similarity[these] = parts.sum(1) / parts.shape[1]
    return similarity
