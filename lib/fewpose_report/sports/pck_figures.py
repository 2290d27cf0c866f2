"""Curves and bars of PCK over label draws: thresholds, steps, numbers of labels, keypoints."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from torch import Tensor

from fewpose.metrics.bootstrap import interval
from fewpose.metrics.pck import pck
from fewpose.skeleton import Skeleton
from fewpose_report.figures import label_ends
from fewpose_report.sports.pck_results import mean_pck, name_of


def method_colours(names: Sequence[str]) -> dict[str, str | tuple]:
    """A colour per method, the same in all figures of a report: grey for the first, the baseline."""
    return dict(zip(names, ["0.35", *sns.color_palette("colorblind")], strict=False))


def convergence(found: list[dict]) -> Figure | None:
    """Validation PCK@0.1 of supervised training over steps, a colour per number of labels, a line per label draw.

    found: see `pck_results.load_tests`. The best of each draw is ringed; None if no run kept its scores.
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
    """PCK over the number of labels of `pck_tables.budget_table`, with intervals as bands.

    A line per method that was tested with several numbers of labels, dashed the result of all labels; on the right the
    paper's.
    """
    largest = table["labels"].max()
    full = table[(table["method"] == "supervised") & (table["labels"] == largest)].iloc[0]
    fig, (ours, paper) = plt.subplots(1, 2, figsize=(10, 3.8), sharex=True)
    groups = table[table["labels"] < largest].groupby("method", sort=False)
    lines = [(method, few) for method, few in groups if len(few) > 1]
    colours = method_colours([method for method, _ in lines])
    for method, few in lines:
        colour = colours[method]
        errors = [few["PCK"] - few["low"], few["high"] - few["PCK"]]
        ours.errorbar(few["labels"], few["PCK"], errors, fmt=".-", color=colour, elinewidth=1, label=name_of(method))
        ours.fill_between(few["labels"], few["low"], few["high"], color=colour, alpha=0.12, lw=0)
        published = few.dropna(subset="paper")
        if len(published):
            paper.plot(published["labels"], published["paper"], ".-", color=colour, label=name_of(method))
    for ax, value, name in ((ours, full["PCK"], f"ours, all: {largest}"), (paper, full["paper"], "paper, all: 3,154")):
        ax.axhline(value, color="0.4", lw=1, ls="--", label="supervised, all labels")
        ax.set(xscale="log", xlabel="labels", ylabel="PCK@0.1 in %", title=name)
        counts = sorted(set(table["labels"]) - {largest})
        ax.set_xticks(counts, [str(n) for n in counts])
        ax.minorticks_off()
        ax.legend(loc="lower right")
    return fig


def pck_curve_table(
    named: dict[str, list[Tensor]], video: np.ndarray, thresholds: Sequence[float] | None = None
) -> pd.DataFrame:
    """PCK over thresholds: method, at, pck, low, high, and the difference from the first method: points, _low, _high.

    named: for each method the normalised distances [N, K] of each draw on the same test frames. Intervals of the
    difference are paired.
    """
    rows, first = [], next(iter(named))
    for at in np.linspace(0, 0.5, 26) if thresholds is None else thresholds:
        found = {name: mean_pck(sets, video, float(at), resamples=200) for name, sets in named.items()}
        for name, (value, samples) in found.items():
            row = {"method": name, "at": round(float(at), 3), "pck": value}
            row |= dict(zip(("low", "high"), interval(samples), strict=True)) | {"points": value - found[first][0]}
            rows.append(
                row | dict(zip(("points_low", "points_high"), interval(samples - found[first][1]), strict=True))
            )
    order = {name: i for i, name in enumerate(named)}
    return pd.DataFrame(rows).sort_values("method", key=lambda names: names.map(order), kind="stable")


def pck_curves(table: pd.DataFrame, methods: Sequence[str] | None = None) -> Figure:
    """The curves of `pck_curve_table` where they differ: PCK, and points over the first method, with intervals.

    methods: those to draw, else all; a figure with more than six is hard to read.
    """
    table = table[(table["at"] >= 0.02) & (table["at"] <= 0.2)]
    first, names = table["method"].iloc[0], list(methods or dict.fromkeys(table["method"]))
    colours = method_colours(names)
    fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), width_ratios=(1, 1.15))
    for ax, columns in zip(axes, (("pck", "low", "high"), ("points", "points_low", "points_high")), strict=True):
        for name in names:
            x, y, low, high = table.loc[table["method"] == name, ["at", *columns]].to_numpy().T
            ax.plot(x, y, color=colours[name], label=name)
            ax.fill_between(x, low, high, color=colours[name], alpha=0.12, lw=0)
        ax.axvline(0.1, color="0.5", lw=0.8, ls=":")
        ax.set(
            xlabel="threshold, part of left shoulder to right hip",
            xlim=(0.02, 0.2),
            xticks=(0.02, 0.05, 0.1, 0.15, 0.2),
        )
    axes[0].set(ylabel="PCK in %", ylim=(50, 100))
    axes[1].set_ylabel(f"points of PCK over {first}")
    label_ends(axes[1])
    return fig


def keypoint_bars(named: dict[str, list[Tensor]], skeleton: Skeleton, at: float = 0.1) -> Figure:
    """PCK of each keypoint, left and right pooled, mean over draws, a bar per method."""
    names = [k.removeprefix("left_") for k in skeleton.keypoints if not k.startswith("right_")]
    rows = []
    for method, sets in named.items():
        for name in names:
            columns = [i for i, k in enumerate(skeleton.keypoints) if k.split("_", 1)[-1] == name or k == name]
            value = np.mean([pck(d[:, columns], at) for d in sets])
            rows.append({"keypoint": name, "method": method, "PCK": value})
    fig, ax = plt.subplots(figsize=(10, 3.2))
    table = pd.DataFrame(rows)
    sns.barplot(table, x="keypoint", y="PCK", hue="method", palette=method_colours(list(named)), ax=ax)
    ax.set(xlabel="", ylabel=f"PCK@{at} in %")
    ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return fig
