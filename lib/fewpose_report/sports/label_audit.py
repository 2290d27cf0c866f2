"""Pseudo labels compared with the held-back ground truth."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from fewpose.data.pose_data import PoseData
from fewpose.metrics.pck import normalised_distances, pck
from fewpose.pseudo_labels import Candidates, select
from fewpose_report.figures import pose_grid
from fewpose_report.results import finished_folders, write_csv

RULES = {  # selection criteria: name → uncertainty of each label, whether each keypoint is ranked on its own
    "agreement, best p % of each keypoint": (lambda c: c.spread, True),
    "confidence, best p % of each keypoint": (lambda c: -c.base[..., 2], True),
    "confidence above one limit": (lambda c: -c.base[..., 2], False),
}
KEPT, DROPPED = "#1f77b4", "#d1495b"


def audit_rows(candidates: Candidates, keep: Tensor, held_back: PoseData, iteration: int) -> list[dict]:
    """How correct the kept and the dropped pseudo labels [N, K] of one iteration are, by keypoint.

    number counts the labels; PCK (@0.1) and error, the median distance in % of the reference length, are of those
    with ground truth, NaN where none has.
    """
    distances = normalised_distances(candidates.base, held_back.poses, held_back.skeleton)
    columns = {k: [i] for i, k in enumerate(held_back.skeleton.keypoints)} | {"all": list(range(keep.shape[1]))}
    rows = []
    for name, mask in (("kept", keep), ("dropped", ~keep)):
        chosen = torch.where(mask, distances, torch.nan)
        for keypoint, index in columns.items():
            row = {"iteration": iteration, "labels": name, "keypoint": keypoint, "number": int(mask[:, index].sum())}
            error = 100 * float(chosen[:, index].nanmedian())
            rows.append(row | {"PCK": pck(chosen[:, index]), "error": error})
    return rows


def audit_table(rows: list[dict], value: str = "PCK") -> pd.DataFrame:
    """A column per keypoint (left and right averaged), rows of kept and dropped labels for each iteration.

    value is "PCK", "error" or "number"; the last column is always the number of labels. Rows of several label draws
    are averaged.
    """
    table = pd.DataFrame(rows)
    whole = table[table["keypoint"] == "all"]
    total = whole.groupby(["iteration", "labels"])["number"].mean().round(1)
    table["keypoint"] = table["keypoint"].str.replace("^(left|right)_", "", regex=True)
    order = list(dict.fromkeys(table["keypoint"]))
    pivot = table.pivot_table(value, ["iteration", "labels"], "keypoint", sort=False, dropna=False)
    pivot = pivot[order].round(1).assign(number=total)
    return pivot.sort_index(ascending=[True, False])


def audit_by_keypoint(rows: list[dict]) -> Figure:
    """Error of kept and dropped labels (top) and share that is kept (bottom) by keypoint, a column per iteration."""
    table = pd.DataFrame(rows)
    iterations = sorted(table["iteration"].unique())
    fig, axes = plt.subplots(2, len(iterations), figsize=(10, 4.6), sharex=True, sharey="row", squeeze=False)
    error, number = (audit_table(rows, v).drop(columns="number") for v in ("error", "number"))
    for (top, bottom), t in zip(axes.T, iterations, strict=True):
        x = np.arange(error.shape[1])
        for name, colour, shift in (("kept", KEPT, -0.2), ("dropped", DROPPED, 0.2)):
            top.bar(x + shift, error.loc[(t, name)], 0.4, color=colour, label=name)
        bottom.bar(x, 100 * number.loc[(t, "kept")] / number.loc[t].sum(), 0.7, color=KEPT)
        bottom.set_xticks(x, error.columns, rotation=90)
        top.set_title(f"iteration {t}")
    axes[0, 0].set_ylabel("median error in %\nof the reference length")
    axes[1, 0].set(ylabel="kept in %", ylim=(0, 100))
    if (error > 0).any(axis=None):
        axes[0, 0].set(yscale="log", yticks=(2, 5, 10, 20, 50))
        axes[0, 0].yaxis.set_major_formatter("{x:g}")
        axes[0, 0].yaxis.set_minor_formatter("")
        fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return fig


def risk_rows(candidates: Candidates, held_back: PoseData, iteration: int) -> list[dict]:
    """Share of the selected labels that are wrong (beyond PCK@0.1), by criterion and by how many are selected.

    A row for each of RULES and each percent of coverage; none without ground truth.
    """
    distances = normalised_distances(candidates.base, held_back.poses, held_back.skeleton)
    known = ~distances.isnan().all(1)
    rows = []
    for rule, (uncertainty, by_keypoint) in RULES.items():
        shape = (-1, distances.shape[1]) if by_keypoint else (-1, 1)
        risk = risk_coverage_curve(distances[known].reshape(shape), uncertainty(candidates)[known].reshape(shape))
        for percent in range(1, 101) if len(risk) else ():
            entry = max(0, round(len(risk) * percent / 100) - 1)
            rows.append({"iteration": iteration, "rule": rule, "coverage": percent, "risk": float(risk[entry])})
    return rows


def risk_coverage_curve(distances: Tensor, uncertainty: Tensor, threshold: float = 0.1) -> Tensor:
    """Risk [N] over coverage: the share of wrong labels in percent if only the least uncertain are selected.

    distances, uncertainty [N, K]: normalised distances (NaN does not count) and any measure of uncertainty. As in the
    paper each keypoint is ranked separately; entry i is the share of labels beyond `threshold` among the i + 1 least
    uncertain of each keypoint.
    """
    order = torch.where(distances.isnan(), torch.inf, uncertainty).argsort(dim=0, stable=True)
    sorted_distances = distances.gather(0, order)
    counts = (~sorted_distances.isnan()).cumsum(0).sum(1)
    wrong = (sorted_distances > threshold).cumsum(0).sum(1)
    return 100 * wrong / counts.clamp_min(1)


def risk_coverage(rows: list[dict] | pd.DataFrame, keep_percent: list[float]) -> Figure:
    """The curves of `risk_rows`, a panel per iteration, with dotted lines at each of `keep_percent`.

    The mean over label draws if there are several, their range as a band. The number is the area under the curve: the
    mean risk over all coverages.
    """
    table = pd.DataFrame(rows)
    iterations = sorted(table["iteration"].unique())
    width = 5.5 if len(iterations) == 1 else 10
    fig, axes = plt.subplots(1, len(iterations), figsize=(width, 3.6), sharey=True, squeeze=False)
    for ax, t in zip(axes[0], iterations, strict=True):
        for rule, colour in zip(RULES, (KEPT, DROPPED, "0.5"), strict=True):
            part = table[(table["iteration"] == t) & (table["rule"] == rule)]
            curve = part.groupby("coverage")["risk"].agg(["mean", "min", "max"])
            ax.plot(curve["mean"], color=colour, label=f"{rule}: {curve['mean'].mean():.1f} %")
            ax.fill_between(curve.index, curve["min"], curve["max"], color=colour, alpha=0.15, lw=0)
        for p in keep_percent:
            ax.axvline(p, color="0.6", lw=0.8, ls=":")
        ax.set(title=f"iteration {t}", xlabel="selected labels in %", xlim=(0, 100), ylim=(0, None))
        ax.legend(fontsize=6, loc="upper left")
    axes[0, 0].set_ylabel("wrong among the selected in %")
    return fig


def aurc_table(rows: list[dict] | pd.DataFrame) -> pd.DataFrame:
    """Area under each risk-coverage curve in %, a row per criterion, a column per iteration.

    Mean over label draws, with their range if there are several (column `run`).
    """
    table = pd.DataFrame(rows)
    if not len(table):
        return pd.DataFrame()
    if "run" not in table:
        table["run"] = ""
    areas = table.groupby(["rule", "iteration", "run"], sort=False)["risk"].mean()
    areas = areas.groupby(level=[0, 1], sort=False).agg(["mean", "min", "max", "size"])
    ranges = [f" ({a.min:.1f} to {a.max:.1f})" if a.size > 1 else "" for a in areas.itertuples(index=False)]
    wide = (areas["mean"].map("{:.1f}".format) + ranges).unstack()
    wide.columns = [f"iteration {t}" for t in wide.columns]
    return wide.reindex([r for r in RULES if r in wide.index])


def save_audit(folder: Path, audit: list[dict], risk: list[dict]) -> None:
    """Write `audit.csv` and `risk_coverage.csv` into a run's folder, for the report over draws."""
    write_csv(pd.DataFrame(audit).round(3), folder / "audit.csv")
    columns = ["iteration", "rule", "coverage", "risk"]
    write_csv(pd.DataFrame(risk, columns=columns).round(3), folder / "risk_coverage.csv")


def read_audits(root: Path, name: str, method: str, labels: int) -> pd.DataFrame:
    """The files `<name>.csv` of the finished runs of one method, with a column `run`.

    name is "audit" or "risk_coverage". Empty if no run has one.
    """
    tables = []
    for folder in finished_folders(root):
        tested = any((folder / "test").glob(f"{method}_{labels}_[0-9]*.npz"))
        if tested and (folder / f"{name}.csv").exists():
            tables.append(pd.read_csv(folder / f"{name}.csv").assign(run=folder.name))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def labels_table(
    labellers: dict[str, Candidates], held_back: PoseData, keep_percent: tuple[float, ...]
) -> pd.DataFrame:
    """PCK@0.1 of the least uncertain labels of each keypoint, a row per labeller, a column for each of `keep_percent`.

    All labels are ranked, whatever their score.
    """
    rows = []
    for name, found in labellers.items():
        distances = normalised_distances(found.base, held_back.poses, held_back.skeleton)
        row = {"labels": name}
        for percent in keep_percent:
            keep = select(found, percent, threshold=0)
            row[f"{percent} % selected"] = pck(torch.where(keep, distances, torch.nan))
        rows.append(row)
    return pd.DataFrame(rows)


def scatter_of_views(unlabelled: PoseData, candidates: Candidates, n: int = 6) -> Figure:
    """Frames with the predictions of all views, from most to least agreement, and crosses for the base prediction."""
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


def kept_labels(unlabelled: PoseData, candidates: Candidates, keep: Tensor, ground_truth: Tensor, n: int = 6) -> Figure:
    """Frames with their kept pseudo labels over the ground truth, from most to fewest kept."""
    order = keep.sum(1).argsort(descending=True)
    chosen = order[torch.linspace(0, len(order) - 1, n).long()]
    poses = candidates.base[chosen].clone()
    poses[..., 2] = keep[chosen].float()
    titles = [f"{int(keep[i].sum())} of {keep.shape[1]} selected" for i in chosen]
    return pose_grid(unlabelled.frames[chosen], poses, unlabelled.skeleton, titles, ground_truth[chosen], columns=n)


def spread_against_error(candidates: Candidates, held_back: PoseData, keep: Tensor) -> Figure:
    """Error of kept and dropped pseudo labels [N, K] with ground truth over the disagreement of their views, in px."""
    error = (candidates.base - held_back.poses)[..., :2].norm(dim=-1)
    error[held_back.poses[..., 2] == 0] = torch.nan
    fig, ax = plt.subplots(figsize=(5.5, 4))
    x = candidates.spread.clamp_min(1e-2).sqrt().flatten()
    y = error.clamp_min(1e-1).flatten()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:4000]
    for mask, name, colour in ((keep, "kept", KEPT), (~keep, "dropped", DROPPED)):
        chosen = order[mask.flatten()[order]]
        ax.plot(x[chosen], y[chosen], ".", ms=2, alpha=0.5, color=colour, label=name)
    ax.set(xscale="log", yscale="log", xlabel="disagreement of the views in px", ylabel="error in px")
    ax.legend(markerscale=5)
    return fig
