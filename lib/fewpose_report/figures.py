"""Figures for notebooks of both papers: poses on frames, heat maps, training curves."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from fewpose.drawing import GROUND_TRUTH, side_colour
from fewpose.skeleton import Skeleton
from fewpose.training import History


def draw_pose(ax: Axes, pose: Tensor, skeleton: Skeleton, threshold: float = 0.0, colour: str | None = None) -> None:
    """Draw limbs and keypoints of a pose [K, 3] in pixels of the shown frame, coloured by side.

    Keypoints whose third value (visibility or confidence) is not above `threshold` are left out.
    """
    pose = pose.numpy()
    shown = pose[:, 2] > threshold
    for a, b in skeleton.limb_index:
        if shown[a] and shown[b]:
            ax.plot(*pose[[a, b], :2].T, color=colour or side_colour(skeleton, a, b), lw=1.6)
    for k in np.flatnonzero(shown):
        ax.plot(*pose[k, :2], ".", color=colour or side_colour(skeleton, k), ms=4)


def pose_grid(
    frames: Tensor,
    poses: Tensor | list[Tensor] | None = None,
    skeleton: Skeleton | None = None,
    titles: list[str] | None = None,
    ground_truth: Tensor | None = None,
    columns: int = 6,
    threshold: float = 0.0,
    width: float = 10.0,
) -> Figure:
    """Frames [N, 3, H, W] uint8 with poses drawn on them, the ground truth [N, K, 3] in white.

    poses are one per frame [N, K, 3], or for each frame those of P people [P, K, 3].
    """
    n = len(frames)
    columns = max(1, min(columns, n))
    rows = max(1, -(-n // columns))
    side = width / columns
    height = side * frames.shape[2] / frames.shape[3] + (0.22 if titles else 0)
    fig, axes = plt.subplots(rows, columns, figsize=(width, rows * height), squeeze=False, layout="constrained")
    fig.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for ax in axes.flat:
        ax.set_axis_off()
    for i, ax in zip(range(n), axes.flat, strict=False):
        ax.imshow(frames[i].permute(1, 2, 0).numpy(), interpolation="bilinear")
        ax.set_autoscale_on(False)
        if ground_truth is not None:
            draw_pose(ax, ground_truth[i], skeleton, colour=GROUND_TRUTH)
        if poses is not None:
            for pose in poses[i].view(-1, *poses[i].shape[-2:]):
                draw_pose(ax, pose, skeleton, threshold)
        if titles:
            ax.set_title(titles[i], fontsize=8)
    return fig


def heatmap_grid(frame: Tensor, heatmaps: Tensor, names: list[str], columns: int = 6) -> Figure:
    """One frame [3, H, W] under each of its heat maps [K, h, w]."""
    rows = -(-len(heatmaps) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(10, rows * 1.9), squeeze=False)
    grey = frame.float().mean(0).numpy()
    extent = (-0.5, frame.shape[2] - 0.5, frame.shape[1] - 0.5, -0.5)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, heat, name in zip(axes.flat, heatmaps, names, strict=False):
        ax.imshow(grey, cmap="gray", alpha=0.6, extent=extent)
        ax.imshow(heat.numpy(), cmap="magma", alpha=0.6, extent=extent, vmin=0, vmax=1)
        ax.set_title(name, fontsize=8)
    return fig


def training_curves(histories: dict[str, History], score: str = "validation PCK@0.1 in %") -> Figure:
    """Loss (smoothed over 25 steps) and validation `score`, if any, over steps, a line per training."""
    panels = 1 + any(history.score for history in histories.values())
    fig, axes = plt.subplots(1, panels, figsize=(5 * panels, 3.2), squeeze=False)
    left, right = axes[0, 0], axes[0, -1]
    for name, history in histories.items():
        loss = pd.Series(history.loss).rolling(25, min_periods=1).mean()
        (line,) = left.plot(np.arange(1, len(loss) + 1), loss, label=name)
        if history.score:
            steps, scores = zip(*history.score, strict=True)
            right.plot(steps, scores, ".-", color=line.get_color())
            right.plot(history.best_step, history.best_score, "o", ms=8, mfc="none", color=line.get_color())
            right.set(xlabel="step", ylabel=f"{score}, best ringed")
    left.set(xlabel="step", ylabel="training loss", yscale="log")
    left.legend()
    return fig


def row_titles(fig: Figure, names: list[str], columns: int) -> Figure:
    """Add a title over each row of a `pose_grid` with that many columns."""
    for row, name in enumerate(names):
        fig.axes[row * columns].set_title(name, loc="left", fontsize=9)
    return fig


def label_ends(ax: Axes, gap: float = 0.06) -> None:
    """Write the label of each line at its right end instead of a legend, at least `gap` of the axis apart."""
    named = [line for line in ax.lines if not line.get_label().startswith("_")]
    low, high = ax.get_ylim()
    named.sort(key=lambda line: line.get_ydata()[-1])
    wanted = np.array([(line.get_ydata()[-1] - low) / (high - low) for line in named])
    steps = gap * np.arange(len(wanted))
    free = wanted - steps  # where labels would be if they had no height: must not fall
    places = np.array([np.mean([free[: i + 1].max(), free[i:].min()]) for i in range(len(free))]) + steps
    for line, place in zip(named, places, strict=True):
        end = (line.get_xdata()[-1], line.get_ydata()[-1])
        line_style = {"arrowstyle": "-", "lw": 0.6, "color": line.get_color(), "relpos": (0, 0.5), "shrinkB": 0}
        ax.annotate(
            line.get_label(),
            end,
            (1.05, place),
            textcoords="axes fraction",
            va="center",
            color=line.get_color(),
            annotation_clip=False,
            arrowprops=line_style,
        )
