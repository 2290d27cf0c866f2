"""Calibrated errors: how far off a keypoint is in all but one of ten frames (split conformal); not in the papers.

Angelopoulos and Bates (2021) explain the method. Its guarantee holds for a frame that is exchangeable with those of the
calibration. Frames of one video resemble each other, so a frame of a new video is not: for it, `new_video` takes videos
as the exchangeable units (Lee, Barber and Willett, 2023), which needs 9 of them for 90 %.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fewpose.disk import write_text
from fewpose.skeleton import Skeleton


def pixel_errors(predicted: Tensor, ground_truth: Tensor) -> np.ndarray:
    """Distances [N, K] in pixels of poses [N, K, 2 or 3] from the labels [N, K, 3]: NaN where unlabelled.

    A missing prediction (NaN) is infinitely far.
    """
    distance = torch.linalg.vector_norm(predicted[..., :2] - ground_truth[..., :2], dim=-1)
    distance = torch.where(distance.isnan(), torch.inf, distance)
    return torch.where(ground_truth[..., 2] > 0, distance, torch.nan).double().numpy()


def frame_quantile(errors: np.ndarray, coverage: float) -> float:
    """The ⌈(n + 1) · coverage⌉-th smallest of n errors, not counting NaN; inf if n is too small for it.

    A further error that is exchangeable with them is not larger with at least the probability `coverage`.
    """
    errors = np.sort(errors[~np.isnan(errors)])
    rank = math.ceil((len(errors) + 1) * coverage - 1e-9)
    return float(errors[rank - 1]) if rank <= len(errors) else math.inf


def video_quantile(errors: np.ndarray, video: np.ndarray, coverage: float) -> float:
    """As `frame_quantile` for a frame of a further video that is exchangeable with the V videos of these errors [n].

    Each video weighs 1 / (V + 1), its frames alike, infinity the rest: inf if V / (V + 1) is below `coverage`.
    """
    errors, video = errors[~np.isnan(errors)], video[~np.isnan(errors)]
    _, group, count = np.unique(video, return_inverse=True, return_counts=True)
    order = np.argsort(errors)
    reached = np.cumsum(1 / ((len(count) + 1) * count[group[order]])) >= coverage - 1e-9
    return float(errors[order][reached.argmax()]) if reached.any() else math.inf


def radii(
    errors: np.ndarray, video: np.ndarray, skeleton: Skeleton, coverage: float = 0.9, new_video: bool = False
) -> np.ndarray:
    """For each keypoint the radius [K] that holds the ground truth with the probability `coverage`.

    errors [N, K] in pixels, NaN where unlabelled; `video` [N] names their videos. Left and right partners are pooled,
    as mirrored views make a network treat them alike. `new_video`: for frames of other videos than these.
    """
    found = np.empty(len(skeleton))
    for k, twin in enumerate(skeleton.flip_index):
        columns = sorted({k, twin})
        pooled, videos = errors[:, columns].T.ravel(), np.tile(video, len(columns))
        found[k] = video_quantile(pooled, videos, coverage) if new_video else frame_quantile(pooled, coverage)
    return found


def other_videos_radii(errors: np.ndarray, video: np.ndarray, skeleton: Skeleton, coverage: float = 0.9) -> np.ndarray:
    """For each frame the `radii` [N, K] of the frames of all other videos, to check coverage where all are held out."""
    found = np.empty_like(errors)
    for name in np.unique(video):
        others = video != name
        found[~others] = radii(errors[others], video[others], skeleton, coverage)
    return found


def covered(errors: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Whether each error [N, K] is within its radius ([K] or [N, K]): 1 or 0, NaN where unlabelled."""
    return np.where(np.isnan(errors), np.nan, errors <= radius)


def coverage_of_divisions(
    errors: np.ndarray, video: np.ndarray, skeleton: Skeleton, coverage: float = 0.9, divisions: int = 20, seed: int = 0
) -> np.ndarray:
    """The share [divisions] of errors that are within radii of other videos, the videos divided in halves at random.

    errors [N, K] as in `radii`, of frames that the network has not seen. The radii are those of the first half, the
    share is counted in the second.
    """
    generator, names = np.random.default_rng(seed), np.unique(video)
    shares = []
    for _ in range(divisions):
        first = np.isin(video, generator.permutation(names)[: (len(names) + 1) // 2])
        radius = radii(errors[first], video[first], skeleton, coverage)
        shares.append(np.nanmean(covered(errors[~first], radius)))
    return np.array(shares)


@dataclass(frozen=True)
class ErrorBands:
    """Calibrated errors of a network, saved beside its weights.

    coverage   the share of frames that the radii are for
    size       height and width of the network's input in pixels, the unit of all radii
    radius     for each keypoint by name the radius for frames like the calibration's, None if there were too few
    new_video  the same for frames of new videos, None with too few videos
    checked    the share of labelled keypoints of test videos that were within `radius`
    frames, videos  of the calibration
    """

    coverage: float
    size: tuple[int, int]
    radius: dict[str, float | None]
    new_video: dict[str, float | None]
    checked: dict[str, float | None]
    frames: int
    videos: int

    def save(self, path: Path) -> None:
        """Write the bands as JSON."""
        write_text(path, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> ErrorBands:
        """Read what `save` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**content, "size": tuple(content["size"])})


def calibrate(
    errors: np.ndarray,
    video: np.ndarray,
    skeleton: Skeleton,
    size: tuple[int, int],
    coverage: float = 0.9,
    test: np.ndarray | None = None,
) -> tuple[ErrorBands, np.ndarray]:
    """The bands of a network from its errors [N, K] on frames of videos [N] that it has not seen, and their check.

    The check says which errors of `test` [M, K] are within the radii (`covered`) or, without a test set, which of
    `errors` are within those of all other videos. Errors in pixels of frames of `size` (H, W).
    """
    radius, new = (radii(errors, video, skeleton, coverage, new_video) for new_video in (False, True))
    if test is None:
        inside = covered(errors, other_videos_radii(errors, video, skeleton, coverage))
    else:
        inside = covered(test, radius)
    counted = (~np.isnan(inside)).sum(0)
    checked = np.divide(np.nansum(inside, 0), counted, out=np.full(len(skeleton), np.nan), where=counted > 0)
    frames = int((~np.isnan(errors)).any(1).sum())
    named = (by_name(values, skeleton) for values in (radius, new, checked))
    return ErrorBands(coverage, size, *named, frames, len(np.unique(video))), inside


def by_name(values: np.ndarray, skeleton: Skeleton) -> dict[str, float | None]:
    """Values [K] by the names of the keypoints, None for those that are not finite."""
    rounded = (round(float(value), 3) if math.isfinite(value) else None for value in values)
    return dict(zip(skeleton.keypoints, rounded, strict=True))
