"""Bootstrap over test units, whose frames are not independent (videos, days), and over label draws."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def resample(n: int, resamples: int, seed: int) -> np.ndarray:
    """Bootstrap indices [resamples, n], with replacement; the same seed gives paired draws."""
    return np.random.default_rng(seed).integers(0, n, (resamples, n))


def per_video(values: np.ndarray, video: np.ndarray) -> np.ndarray:
    """Sums of `values` [N] over the frames of each video."""
    _, index = np.unique(video, return_inverse=True)
    return np.bincount(index, weights=values)


def interval(samples: np.ndarray) -> tuple[float, float]:
    """95 % interval of bootstrap samples, ignoring NaN; NaN if all are."""
    if np.isnan(samples).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return float(low), float(high)


def pck_samples(
    draws: list[Tensor], video: np.ndarray, at: float = 0.1, resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """PCK [draws, resamples] of the normalised distances [N, K] of each draw, over the same resampled videos.

    NaN with a single video: its resamples are all the same, and would pass for certainty.
    """
    hits = np.stack([per_video((d <= at).sum(1).numpy(), video) for d in draws])
    counts = np.stack([per_video((~d.isnan()).sum(1).numpy(), video) for d in draws])
    if hits.shape[1] < 2:
        return np.full((len(draws), resamples), np.nan)
    videos = resample(hits.shape[1], resamples, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * hits[:, videos].sum(-1) / counts[:, videos].sum(-1)


def pck_interval(distances: Tensor, video: np.ndarray, at: float = 0.1) -> tuple[float, float]:
    """95 % interval of the PCK of one network, by bootstrap over videos; NaN if there is only one."""
    return interval(pck_samples([distances], video, at))


def over_draws(samples: np.ndarray, seed: int = 0) -> np.ndarray:
    """Bootstrap [R] over draws of bootstraps [S, R] over test units; each draw has the same weight."""
    chosen = resample(len(samples), samples.shape[1], seed + 1)
    return np.take_along_axis(samples, chosen.T, axis=0).mean(0)
