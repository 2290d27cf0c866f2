"""Figures, tables and words of `your_videos/adapt`: live curves, methods, learning curve, calibrated errors."""

from __future__ import annotations

import time
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from fewpose.data.pose_data import PoseData
from fewpose.drawing import side_colour
from fewpose.metrics.bootstrap import interval, pck_interval, pck_samples
from fewpose.metrics.conformal import ErrorBands
from fewpose.metrics.learning_curve import Gain, fit_power_law
from fewpose.metrics.pck import pck
from fewpose.skeleton import Skeleton
from fewpose.training import History
from fewpose_report.figures import draw_pose, pose_grid, training_curves
from fewpose_report.results import range_text
from fewpose_report.sports.comparison import frame_scores
from fewpose_report.sports.pck_figures import method_colours

PAUSE = 3.0  # seconds between two drawings of the live curves


class LiveCurves:
    """Training curves in a cell's output that are drawn again while networks train.

    `watch(name)` is the argument `watch` of `training.fit`; `histories` are those of all trainings so far.
    """

    def __init__(self) -> None:
        self.histories: dict[str, History] = {}
        self.handle = None
        self.drawn = 0.0

    def watch(self, name: str) -> Callable[[History], None]:
        """What draws the history of the training `name`, at most every PAUSE seconds."""

        def draw(history: History) -> None:
            self.histories[name] = history
            if time.monotonic() - self.drawn >= PAUSE:
                self.draw()
                self.drawn = time.monotonic()

        return draw

    def draw(self) -> Figure:
        """Draw all histories in place of the last drawing."""
        fig = training_curves(self.histories)
        plt.close(fig)  # the display below shows it, and the cell's end would once more
        if self.handle is None:
            self.handle = display(fig, display_id=True)
        else:
            self.handle.update(fig)
        return fig


# ---- which method ------------------------------------------------------------------------------------------------


def methods_table(named: dict[str, Tensor], video: np.ndarray, shared: list[int], at: float = 0.1) -> pd.DataFrame:
    """PCK with its interval of each method, over all keypoints and over the `shared` ones that all methods predict.

    named: normalised distances [N, K] on the same frames; a method whose other keypoints are all NaN has only shared
    ones.
    """
    rows = []
    for name, distances in named.items():
        whole = len(shared) == distances.shape[1] or bool((~distances.isnan()).any(0).sum() > len(shared))
        few = distances[:, shared]
        row = {"method": name, f"PCK@{at}, {len(shared)} shared keypoints": _with_interval(few, video, at)}
        rows.append(row | {f"PCK@{at}, all keypoints": _with_interval(distances, video, at) if whole else ""})
    return pd.DataFrame(rows)


def _with_interval(distances: Tensor, video: np.ndarray, at: float) -> str:
    return f"{pck(distances, at):.1f} ({range_text(*pck_interval(distances, video, at))})"


def difference(ours: Tensor, other: Tensor, video: np.ndarray, at: float = 0.1) -> tuple[float, float, float]:
    """Points of PCK of `ours` over `other`, normalised distances [N, K], with the interval over the same videos."""
    samples = pck_samples([ours, other], video, at)
    return pck(ours, at) - pck(other, at), *interval(samples[0] - samples[1])


def verdict(name: str, points: float, low: float, high: float, missing: tuple[str, ...]) -> str:
    """Whether to train, in words: the difference to the published network as it is on the keypoints it has.

    missing: the keypoints that it lacks.
    """
    gain = f"{points:+.1f} points of PCK@0.1 ({range_text(low, high)}) over the published network as it is"
    if low > 0:
        text = f"Training is worth it: {name} gains {gain}, on the keypoints that both have."
    elif high < 0:
        text = f"You need no training: {name} is worse, {gain}, on the keypoints that both have."
    else:
        text = f"You may need no training: {gain}, on the keypoints that both have, is no certain difference."
    if missing:
        text += f" The published network has no {', '.join(missing)}: for these train, or map its keypoints."
    return text


def pck_by_video(named: dict[str, Tensor], video: np.ndarray, at: float = 0.1) -> Figure:
    """PCK of each video and method, a row per video, the last method's best at the bottom; lines: all videos."""
    names, group, count = np.unique(video, return_inverse=True, return_counts=True)
    scores = {
        m: np.array([pck(d[torch.from_numpy(group == i)], at) for i in range(len(names))]) for m, d in named.items()
    }
    order = np.argsort(-list(scores.values())[-1], kind="stable")
    fig, ax = plt.subplots(figsize=(7, 1.2 + 0.28 * len(names)))
    for (method, values), colour in zip(scores.items(), method_colours(list(named)).values(), strict=True):
        ax.plot(values[order], np.arange(len(names)), "o", color=colour, alpha=0.8, label=method)
        ax.axvline(pck(named[method], at), color=colour, lw=0.8, ls="--")
        ax.axvspan(*pck_interval(named[method], video, at), color=colour, alpha=0.06, lw=0)
    ax.set_yticks(np.arange(len(names)), [f"{names[i]} ({count[i]})" for i in order])
    ax.set(xlabel=f"PCK@{at} in %, dashed: all videos with their interval", ylabel="video (frames)")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return fig


def worst_frames(data: PoseData, poses: Tensor, distances: Tensor, n: int = 12) -> Figure:
    """The n frames of the lowest PCK with their poses [N, K, 3], coloured, over the labels, white."""
    scores = frame_scores(distances)
    order = scores.nan_to_num(101).argsort(stable=True)[:n]
    titles = [f"{data.video[i]}: {scores[i]:.0f} %" for i in order.tolist()]
    return pose_grid(data.frames[order], poses[order], data.skeleton, titles, data.poses[order])


# ---- more labels -------------------------------------------------------------------------------------------------


def learning_curve(labels: np.ndarray, errors: np.ndarray, samples: np.ndarray, gains: list[Gain]) -> Figure:
    """PCK of single trainings over their numbers of labels, the power law through them, and what more would bring.

    errors [P] in %, samples [R, P] of them by bootstrap over videos; the bars are 95 % intervals of the gains, wide for
    the mean, thin for a single training.
    """
    law, most = fit_power_law(labels, errors), max(labels)
    fig, ax = plt.subplots(figsize=(6.5, 3.6))
    low, high = np.percentile(100 - samples, [2.5, 97.5], axis=0)
    ax.errorbar(labels, 100 - errors, [100 - errors - low, high - 100 + errors], fmt="o", color="0.35", elinewidth=0.6)
    inside, beyond = (
        np.geomspace(*ends, 50) for ends in ((min(labels), most), (most, most + max(g.more for g in gains)))
    )
    ax.plot(inside, 100 - law(inside), color="C0")
    ax.plot(beyond, 100 - law(beyond), color="C0", ls="--")
    for gain in gains:
        now = 100 - float(law(most))
        ax.plot([most + gain.more] * 2, [now + gain.next_low, now + gain.next_high], color="C0", lw=1)
        ax.plot([most + gain.more] * 2, [now + gain.low, now + gain.high], color="C0", lw=4, alpha=0.5)
        ax.annotate(
            f"{gain.expected:+.1f}", (most + gain.more, now + gain.expected), (4, 4), textcoords="offset points"
        )
    ax.set(xlabel="labels for training", ylabel="PCK@0.1 in % on videos not seen", xscale="log")
    counts = sorted({*labels, *(most + gain.more for gain in gains)})
    ax.set_xticks(counts, [f"{n:.0f}" for n in counts])
    ax.minorticks_off()
    return fig


# ---- calibrated errors -------------------------------------------------------------------------------------------


def band_table(bands: ErrorBands, pixels: float) -> pd.DataFrame:
    """The radius of each keypoint in pixels of the labelled images; one of the input is `pixels` of these."""
    rows = []
    for name, radius in bands.radius.items():
        new, checked = bands.new_video[name], bands.checked[name]
        row = {"keypoint": name, f"within, in {bands.coverage:.0%} of frames": _pixels(radius, pixels)}
        row |= {"in frames of a new video": _pixels(new, pixels)}
        rows.append(row | {"labels within, checked": "" if checked is None else f"{checked:.0%}"})
    return pd.DataFrame(rows)


def _pixels(radius: float | None, pixels: float) -> str:
    return "too few" if radius is None else f"{radius * pixels:.1f} px"


def coverage_text(inside: np.ndarray, video: np.ndarray, coverage: float, bands: ErrorBands) -> str:
    """The share of labels within the radii with its interval over videos, and what the calibration is worth, in words.

    inside [N, K] is that of `conformal.calibrate`, `video` [N] names its frames' videos.
    """
    outside = torch.from_numpy(1 - inside)
    share = pck(outside, 0.5)
    text = f"{share:.1f} % ({range_text(*pck_interval(outside, video, 0.5))}) of the labels are within the radii, "
    text += f"{coverage:.0%} are wanted. Calibrated on {bands.frames} frames of {bands.videos} videos."
    needed = int(np.ceil(coverage / (1 - coverage) - 1e-9))
    if bands.videos < needed:
        text += f" A guarantee for new videos needs {needed} videos for the calibration."
    return text


def show_bands(frame: Tensor, pose: Tensor, skeleton: Skeleton, bands: ErrorBands, ground_truth: Tensor) -> Figure:
    """One frame [3, H, W] with its predicted pose [K, 3], a circle of the calibrated radius around each keypoint.

    The labels are white dots; beside it the radii in pixels of the network's input.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4.5), width_ratios=(1, 1.3))
    left.imshow(frame.permute(1, 2, 0).numpy(), interpolation="bilinear")
    left.set_autoscale_on(False)
    left.set_axis_off()
    draw_pose(left, pose, skeleton)
    names = list(bands.radius)
    radii = [bands.radius[name] or np.nan for name in names]
    colours = [side_colour(skeleton, k) for k in range(len(names))]
    for k, radius in enumerate(radii):
        if np.isfinite(radius):
            left.add_patch(Circle(pose[k, :2].tolist(), radius, fill=False, lw=0.8, color=colours[k]))
    labelled = ground_truth[ground_truth[:, 2] > 0]
    left.plot(*labelled[:, :2].T.numpy(), ".", color="white", ms=3)
    right.barh(names[::-1], radii[::-1], color=colours[::-1])
    right.set(
        xlabel=f"radius of {bands.coverage:.0%} of frames, in pixels of the network's {bands.size[0]}x{bands.size[1]}"
    )
    return fig
