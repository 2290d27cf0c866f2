"""Every picture of the notebooks: poses on frames, curves, bars."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from fewpose.drawing import TRUTH, side_colour
from fewpose.metrics.pck import pck
from fewpose.skeleton import Skeleton
from fewpose.training import History

COLOURS = {"supervised": "#7a7a7a", "pseudo_labels": "#1f77b4", "mean_teacher": "#d1495b"}


def draw_pose(ax: Axes, pose: Tensor, skeleton: Skeleton, threshold: float = 0.0, colour: str | None = None) -> None:
    """Limbs and keypoints of a pose [K, 3] in pixels of the shown frame, left and right coloured.

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
    truth: Tensor | None = None,
    columns: int = 6,
    threshold: float = 0.0,
    width: float = 10.0,
) -> Figure:
    """Frames [N, 3, H, W] uint8 with poses drawn on them, the truth [N, K, 3] thin and white.

    poses are one a frame [N, K, 3], or of each frame those of P people [P, K, 3].
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
        if truth is not None:
            draw_pose(ax, truth[i], skeleton, colour=TRUTH)
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
    """Loss (smoothed over 25 steps) over steps, a line a training; and the validation `score`.

    Without a score the loss stands alone.
    """
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


def convergence(found: list[dict]) -> Figure | None:
    """Validation PCK@0.1 of supervised training over steps, a colour a number of labels.

    found: see `results.load_tests`. A line a label draw, its best ringed; None where no run kept its scores.
    """
    kept = [e for e in found if e["method"] == "supervised" and len(e.get("validation", ()))]
    if not kept:
        return None
    fig, ax = plt.subplots(figsize=(6.5, 3.6))
    counts = sorted({e["labels"] for e in kept})
    colours = dict(zip(counts, sns.color_palette("viridis", len(counts)), strict=True))
    for e in sorted(kept, key=lambda e: (e["labels"], e["seed"])):
        steps, scores = e["validation"].T
        best = scores.argmax()
        ax.plot(steps, scores, ".-", lw=1, ms=3, color=colours[e["labels"]])
        ax.plot(steps[best], scores[best], "o", ms=7, mfc="none", color=colours[e["labels"]])
    for labels in counts:
        ax.plot([], [], color=colours[labels], label=f"{labels} labels")
    ax.set(xlabel="step", ylabel="validation PCK@0.1 in %, best ringed")
    ax.legend()
    return fig


def budget_curve(table: pd.DataFrame) -> Figure:
    """PCK over the number of labels of `tables.budget_table`, with intervals as bands.

    A line a method that was measured with several numbers of labels, dashed what all labels give; beside it what the
    paper published.
    """
    most = table["labels"].max()
    full = table[(table["method"] == "supervised") & (table["labels"] == most)].iloc[0]
    fig, (ours, paper) = plt.subplots(1, 2, figsize=(10, 3.8), sharex=True)
    palette = sns.color_palette("colorblind")
    groups = table[table["labels"] < most].groupby("method", sort=False)
    lines = [(method, few) for method, few in groups if len(few) > 1]
    for (method, few), colour in zip(lines, palette, strict=False):
        name = method.replace("_", " ")
        ours.plot(few["labels"], few["PCK"], ".-", color=colour, label=name)
        ours.errorbar(
            few["labels"],
            few["PCK"],
            [few["PCK"] - few["low"], few["high"] - few["PCK"]],
            color=colour,
            lw=0,
            elinewidth=1,
        )
        ours.fill_between(few["labels"], few["low"], few["high"], color=colour, alpha=0.12, lw=0)
        published = few.dropna(subset="paper")
        if len(published):
            paper.plot(published["labels"], published["paper"], ".-", color=colour, label=name)
    for ax, value, name in ((ours, full["PCK"], f"ours, all: {most}"), (paper, full["paper"], "paper, all: 3,154")):
        ax.axhline(value, color="0.4", lw=1, ls="--", label="supervised, all labels")
        ax.set(xscale="log", xlabel="labels", ylabel="PCK@0.1 in %", title=name)
        counts = sorted(set(table["labels"]) - {most})
        ax.set_xticks(counts, [str(n) for n in counts])
        ax.minorticks_off()
        ax.legend(loc="lower right")
    return fig


def pck_curve_table(
    named: dict[str, list[Tensor]], video: np.ndarray, thresholds: np.ndarray | None = None
) -> pd.DataFrame:
    """PCK over thresholds with intervals: columns method, at, pck, low, high.

    named: for each method the normalised distances [N, K] of each draw on the same test frames.
    """
    from fewpose_report.sports.pck_results import interval, mean_pck

    thresholds = np.linspace(0, 0.5, 26) if thresholds is None else thresholds
    rows = []
    for name, sets in named.items():
        for at in thresholds:
            value, samples = mean_pck(sets, video, float(at), resamples=200)
            low, high = interval(samples)
            rows.append({"method": name, "at": round(float(at), 3), "pck": value, "low": low, "high": high})
    return pd.DataFrame(rows)


def pck_curves(table: pd.DataFrame) -> Figure:
    """The curves of `pck_curve_table`, with their intervals as bands."""
    fig, ax = plt.subplots(figsize=(6.5, 4.2))
    for (name, group), colour in zip(
        table.groupby("method", sort=False), sns.color_palette("colorblind"), strict=False
    ):
        ax.plot(group["at"], group["pck"], label=name, color=colour)
        ax.fill_between(group["at"], group["low"], group["high"], color=colour, alpha=0.15, lw=0)
    ax.axvline(0.1, color="0.5", lw=0.8, ls=":")
    ax.set(xlabel="threshold, part of left shoulder to right hip", ylabel="PCK in %", xlim=(0, 0.5), ylim=(0, 100))
    ax.legend(loc="lower right")
    return fig


def keypoint_bars(named: dict[str, list[Tensor]], skeleton: Skeleton, at: float = 0.1) -> Figure:
    """PCK of each keypoint, left and right pooled, a bar a method; mean over draws."""
    names = [k.removeprefix("left_") for k in skeleton.keypoints if not k.startswith("right_")]
    rows = []
    for method, sets in named.items():
        for name in names:
            columns = [i for i, k in enumerate(skeleton.keypoints) if k.split("_", 1)[-1] == name or k == name]
            value = np.mean([pck(d[:, columns], at) for d in sets])
            rows.append({"keypoint": name, "method": method, "PCK": value})
    fig, ax = plt.subplots(figsize=(10, 3.2))
    table = pd.DataFrame(rows)
    sns.barplot(table, x="keypoint", y="PCK", hue="method", palette="colorblind", ax=ax)
    ax.set(xlabel="", ylabel=f"PCK@{at} in %")
    ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return fig
