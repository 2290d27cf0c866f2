"""Pseudo labels held against the truth that was taken away."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from .. import metrics
from ..data import PoseData
from ..methods.pseudo_labels import Candidates, select
from .figures import TRUTH, draw_pose, pose_grid


def audit_rows(
    candidates: Candidates, keep: Tensor, held_back: PoseData, iteration: int
) -> list[dict]:
    """PCK@0.1 of the kept and the dropped pseudo labels [N, K] of one iteration, by keypoint."""
    distances = metrics.normalised_distances(candidates.base, held_back.poses, held_back.skeleton)
    rows = []
    for name, mask in (("kept", keep), ("dropped", ~keep)):
        scores = metrics.pck_per_keypoint(torch.where(mask, distances, torch.nan))
        for keypoint, score in zip(held_back.skeleton.keypoints, scores, strict=True):
            row = {"iteration": iteration, "labels": name, "keypoint": keypoint, "PCK": score}
            rows.append(row)
        whole = metrics.pck(torch.where(mask, distances, torch.nan))
        rows.append({"iteration": iteration, "labels": name, "keypoint": "all", "PCK": whole})
        rows.append({"iteration": iteration, "labels": name, "keypoint": "number",
                     "PCK": int(mask.sum())})  # fmt: skip
    return rows


def audit_table(rows: list[dict]) -> pd.DataFrame:
    """A column a keypoint (left and right averaged), a row for kept and dropped an iteration."""
    table = pd.DataFrame(rows)
    table["keypoint"] = table["keypoint"].str.replace("^(left|right)_", "", regex=True)
    order = list(dict.fromkeys(table["keypoint"]))
    pivot = table.pivot_table("PCK", ["iteration", "labels"], "keypoint", sort=False,
                              dropna=False)
    return pivot[order].round(1).sort_index(ascending=[True, False])


def labels_table(
    labellers: dict[str, Candidates], held_back: PoseData, percents: tuple[float, ...]
) -> pd.DataFrame:
    """PCK@0.1 of the least doubted labels of each keypoint, a row a labeller, a column a percent.

    All labels are ranked, whatever their score.
    """
    rows = []
    for name, found in labellers.items():
        distances = metrics.normalised_distances(found.base, held_back.poses, held_back.skeleton)
        row = {"labels": name}
        for percent in percents:
            keep = select(found, percent, threshold=0)
            row[f"{percent} % believed"] = metrics.pck(torch.where(keep, distances, torch.nan))
        rows.append(row)
    return pd.DataFrame(rows)


def scatter_of_views(unlabelled: PoseData, candidates: Candidates, n: int = 6) -> Figure:
    """Frames with the predictions of all views, from the most to the least agreeing frame.

    A colour a keypoint; crosses are the base prediction.
    """
    order = candidates.spread.median(1).values.argsort()
    chosen = order[torch.linspace(0, len(order) - 1, n).long()]
    titles = [f"disagreement {candidates.spread[i].median().sqrt():.1f} px" for i in chosen]
    fig = pose_grid(unlabelled.frames[chosen], titles=titles, columns=n)
    colours = plt.get_cmap("hsv")(np.linspace(0, 1, len(unlabelled.skeleton), endpoint=False))
    for ax, i in zip(fig.axes, chosen, strict=False):
        for k, colour in enumerate(colours):
            ax.plot(*candidates.views[:, i, k, :2].T, ".", ms=3, color=colour, alpha=0.8)
            ax.plot(*candidates.base[i, k, :2], "x", ms=4, color="white", mew=0.8)
    return fig


def kept_labels(
    unlabelled: PoseData, candidates: Candidates, keep: Tensor, truth: Tensor, n: int = 6
) -> Figure:
    """Frames with their kept pseudo labels over the truth, from all kept to few kept."""
    order = keep.sum(1).argsort(descending=True)
    chosen = order[torch.linspace(0, len(order) - 1, n).long()]
    poses = candidates.base[chosen].clone()
    poses[..., 2] = keep[chosen].float()
    titles = [f"{int(keep[i].sum())} of {keep.shape[1]} believed" for i in chosen]
    fig = pose_grid(unlabelled.frames[chosen], titles=titles, columns=n)
    for ax, pose, true in zip(fig.axes, poses, truth[chosen], strict=False):
        draw_pose(ax, true, unlabelled.skeleton, colour=TRUTH)
        draw_pose(ax, pose, unlabelled.skeleton)
    return fig


def spread_against_error(candidates: Candidates, held_back: PoseData, keep: Tensor) -> Figure:
    """True error of each pseudo label [N, K] over its disagreement, kept and dropped, in px.

    Where nobody knows the truth (raw video) there is no dot.
    """
    error = (candidates.base - held_back.poses)[..., :2].norm(dim=-1)
    error[held_back.poses[..., 2] == 0] = torch.nan
    if error.isnan().all():
        return no_truth()
    fig, ax = plt.subplots(figsize=(5.5, 4))
    x = candidates.spread.clamp_min(1e-2).sqrt().flatten()
    y = error.clamp_min(1e-1).flatten()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:4000]
    for mask, name, colour in ((keep, "kept", "#1f77b4"), (~keep, "dropped", "#d1495b")):
        chosen = order[mask.flatten()[order]]
        ax.plot(x[chosen], y[chosen], ".", ms=2, alpha=0.5, color=colour, label=name)
    ax.set(xscale="log", yscale="log", xlabel="disagreement of the views in px",
           ylabel="error against the held-back truth in px")  # fmt: skip
    ax.legend(markerscale=5)
    return fig


def no_truth() -> Figure:
    """In the place of an audit: own frames that nobody labelled cannot be audited."""
    fig, ax = plt.subplots(figsize=(5.5, 1))
    ax.text(0.5, 0.5, "nobody labelled these frames: nothing to hold against", ha="center")
    ax.axis("off")
    return fig


def risk_coverage(candidates: Candidates, held_back: PoseData, percents: list[float]) -> Figure:
    """How often believed labels are wrong (beyond PCK@0.1) over how many are believed.

    Agreement of the views beside the network's own confidence, by which label a keypoint's
    best p % are chosen; dotted at the p of the iterations.
    """
    distances = metrics.normalised_distances(candidates.base, held_back.poses, held_back.skeleton)
    if distances.isnan().all():
        return no_truth()
    fig, ax = plt.subplots(figsize=(5.5, 4))
    doubts = {"agreement of the views": candidates.spread, "confidence": -candidates.base[..., 2]}
    for (name, doubt), colour in zip(doubts.items(), ("#1f77b4", "#d1495b"), strict=True):
        risk = metrics.risk_coverage(distances, doubt)
        coverage = 100 * torch.arange(1, len(risk) + 1) / len(risk)
        ax.plot(coverage, risk, color=colour, label=f"{name}, mean {risk.mean():.1f} %")
    for p in percents:
        ax.axvline(p, color="0.6", lw=0.8, ls=":")
    ax.set(xlabel="believed labels of each keypoint in %", ylabel="of these wrong in %",
           xlim=(0, 100), ylim=(0, None))  # fmt: skip
    ax.legend()
    return fig
