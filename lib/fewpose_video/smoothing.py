"""Coordinates over time: gaps filled, noise removed, velocities and accelerations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.signal import butter, filtfilt, savgol_filter

from fewpose_video.poses import VideoPoses

WINDOW = 0.2  # seconds of the Savitzky-Golay filter: halves amplitudes at 6 Hz or so, as the Butterworth filter does
DEGREE = 2  # of its polynomial
CUTOFF = 6.0  # Hz of the Butterworth filter, as in Sports2D
UNEVEN = 0.1  # deviation from the median time between frames that is more than rounding


def savitzky_golay(values: np.ndarray, rate: float, window: float = WINDOW) -> np.ndarray:
    """Values [T, …] by a parabola through `window` seconds around each, or 5 frames; at the ends through the last."""
    width = min(max(5, 2 * round(window * rate / 2) + 1), len(values) - 1 + len(values) % 2)
    return savgol_filter(values, width, DEGREE, axis=0) if width > DEGREE else values


def butterworth(values: np.ndarray, rate: float) -> np.ndarray:
    """Values [T, …] by a Butterworth filter of 4th order without lag, as Sports2D does; fewer than 10 stay as they are.

    ValueError if `rate` is below twice the cut-off.
    """
    if rate <= 2 * CUTOFF:
        raise ValueError(f"a Butterworth filter of {CUTOFF:g} Hz needs more than {2 * CUTOFF:g} frames/s, not {rate:g}")
    # there and back: 4th order
    return filtfilt(*butter(2, CUTOFF, fs=rate), values, axis=0) if len(values) > 9 else values


SMOOTHERS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "savitzky-golay": savitzky_golay,
    "butterworth": butterworth,
}


def smooth_poses(poses: VideoPoses, smoother: str | None, max_gap: float) -> VideoPoses:
    """Poses with gaps of up to `max_gap` seconds filled, then smoothed; scores stay, those of filled keypoints 0.

    smoother is a name in SMOOTHERS, or None for gaps alone.
    """

    def improve(values: np.ndarray) -> np.ndarray:
        filled = fill_gaps(poses.seconds, values, max_gap)
        return smooth(poses.seconds, filled, smoother) if smoother else filled

    flat = np.concatenate([improve(poses.poses[..., :2]), poses.poses[..., 2:]], -1)
    return replace(poses, poses=flat, poses3d=None if poses.poses3d is None else improve(poses.poses3d))


def fill_gaps(seconds: np.ndarray, values: np.ndarray, max_gap: float) -> np.ndarray:
    """Values [T, …] with NaN interpolated (PCHIP: no overshoot) between two that are up to `max_gap` seconds apart.

    Longer gaps, and what is missing at the ends, stay NaN.
    """
    out = np.array(values, float)
    for column in out.reshape(len(out), -1).T:
        known = np.flatnonzero(np.isfinite(column))
        if len(known) < 2 or known[-1] - known[0] == len(known) - 1:
            continue
        missing = np.arange(known[0], known[-1])[np.isnan(column[known[0] : known[-1]])]
        after = np.searchsorted(known, missing)
        short = missing[seconds[known[after]] - seconds[known[after - 1]] <= max_gap]
        column[short] = PchipInterpolator(seconds[known], column[known])(seconds[short])
    return out


def smooth(seconds: np.ndarray, values: np.ndarray, smoother: str | Callable) -> np.ndarray:
    """Values [T, …] smoothed by a method of SMOOTHERS, or a function like one, between gaps; NaN stay NaN.

    Frames at uneven times are brought to even ones and back by cubic splines.
    """
    method = SMOOTHERS[smoother] if isinstance(smoother, str) else smoother
    out = np.array(values, float, order="C")
    columns = out.reshape(len(out), -1)
    # all at once that are known at the same times
    patterns, number = np.unique(np.isfinite(columns), axis=1, return_inverse=True)
    for i, known in enumerate(patterns.T):
        alike = np.flatnonzero(number.ravel() == i)
        for run in runs(np.where(known, 0, np.nan), np.diff(seconds) > WINDOW):
            columns[run, alike] = smooth_run(seconds[run], columns[run, alike], method)
    return out


def smooth_run(seconds: np.ndarray, values: np.ndarray, smoother: Callable) -> np.ndarray:
    """Values [T, C] without gaps at `seconds` [T], smoothed."""
    if len(values) < 3:
        return values
    steps = np.diff(seconds)
    step = np.median(steps)
    if np.abs(steps / step - 1).max() < UNEVEN:
        return smoother(values, 1 / step)
    even = np.linspace(seconds[0], seconds[-1], round((seconds[-1] - seconds[0]) / step) + 1)
    return CubicSpline(even, smoother(CubicSpline(seconds, values)(even), 1 / step))(seconds)


def velocity(seconds: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Change per second of values [T, …], by central differences that heed uneven times; NaN next to nothing."""
    out = np.full(values.shape, np.nan)
    for column, rates in zip(values.reshape(len(out), -1).T, out.reshape(len(out), -1).T, strict=True):
        for run in runs(column):
            length = run.stop - run.start
            if length > 1:
                rates[run] = np.gradient(column[run], seconds[run], edge_order=2 if length > 2 else 1)
    return out


def acceleration(seconds: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Change per second of the velocity of values [T, …]; smooth them first."""
    return velocity(seconds, velocity(seconds, values))


def runs(column: np.ndarray, breaks: np.ndarray | None = None) -> Iterator[slice]:
    """Stretches of a column [T] without NaN, also cut after frames where `breaks` [T-1] is true."""
    finite = np.isfinite(column)
    joined = finite[1:] & finite[:-1] if breaks is None else finite[1:] & finite[:-1] & ~breaks
    starts = np.flatnonzero(finite & ~np.r_[False, joined])
    ends = np.flatnonzero(finite & ~np.r_[joined, False]) + 1
    return map(slice, starts.tolist(), ends.tolist())
