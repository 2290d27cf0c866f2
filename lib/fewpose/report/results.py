"""Tidy results: rows of the report, the per-frame distances behind them, and intervals over draws."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .. import metrics
from ..skeleton import Skeleton

THRESHOLDS = (0.05, 0.1, 0.2)


def pck_rows(
    distances: Tensor, video: np.ndarray, *, method: str, dataset: str, labels: int,
    iteration: int | None = None,
) -> list[dict]:
    """One row a threshold of the PCK on a test set, with intervals over its videos.

    distances [N, K] are normalised (see `metrics.normalised_distances`), video names the [N] frames.
    """
    return [
        {
            "method": method, "dataset": dataset, "labels": labels, "iteration": iteration,
            "metric": "pck", "at": at, "value": metrics.pck(distances, at),
            "ci_low": low, "ci_high": high, "n": int((~distances.isnan()).sum()),
        }
        for at in THRESHOLDS
        for low, high in [metrics.pck_interval(distances, video, at)]
    ]


def save_distances(
    folder: Path, distances: Tensor, video: np.ndarray, skeleton: Skeleton, *,
    method: str, dataset: str, labels: int, seed: int, iteration: int = 0,
) -> None:
    """Write the test distances of one trained network to `<folder>/distances/<name>.npz`."""
    path = folder / "distances" / f"{method}_{labels}_{iteration}_{seed}.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        path, distances=distances.numpy().astype(np.float32), video=video,
        keypoints=skeleton.keypoints, method=method, dataset=dataset, labels=labels,
        iteration=iteration, seed=seed,
    )


def show_rows(rows: list[dict]) -> pd.DataFrame:
    """The rows as a small table to look at: PCK with interval, a column a threshold."""
    table = pd.DataFrame(rows)
    table["PCK"] = [
        f"{r.value:.1f} ({r.ci_low:.1f} to {r.ci_high:.1f})" for r in table.itertuples()
    ]
    table["at"] = "PCK@" + table["at"].astype(str)
    table["iteration"] = table["iteration"].fillna(0).astype(int)
    return table.pivot(index=["method", "labels", "iteration"], columns="at", values="PCK")


def load_distances(folders: Iterable[Path]) -> list[dict]:
    """All networks' test distances of the given run folders, in order of their names.

    Each a dict of distances [N, K] tensor, video [N], keypoints, method, dataset, labels,
    iteration and seed. ValueError if two were tested on different frames.
    """
    found = []
    for path in sorted(p for f in folders for p in Path(f).glob("distances/*.npz")):
        with np.load(path) as file:
            entry = {k: file[k] for k in file.files}
        entry = {k: v.item() if v.ndim == 0 else v for k, v in entry.items()}
        entry["distances"] = torch.from_numpy(entry["distances"])
        if found and not np.array_equal(entry["video"], found[0]["video"]):
            raise ValueError(f"{path} was tested on other frames than {found[0]['method']}")
        found.append(entry)
    return found


def draws(
    found: list[dict], method: str, labels: int | None = None, iteration: int = 0
) -> list[Tensor]:
    """Distances of each label draw of one method, in order of their seeds; labels None: the most."""
    if labels is None:
        labels = max(e["labels"] for e in found if e["method"] == method)
    return [
        e["distances"]
        for e in sorted(found, key=lambda e: e["seed"])
        if (e["method"], e["labels"], e["iteration"]) == (method, labels, iteration)
    ]


def mean_pck(
    sets: list[Tensor], video: np.ndarray, at: float = 0.1, resamples: int = 1000, seed: int = 0
) -> tuple[float, np.ndarray]:
    """Mean PCK over label draws, and its bootstrap [resamples] over draws and test videos.

    The same seed resamples the same videos, so that differences of two methods are paired.
    """
    value = float(np.mean([metrics.pck(d, at) for d in sets]))
    hits = np.stack([metrics.per_video((d <= at).sum(1).numpy(), video) for d in sets])
    counts = np.stack([metrics.per_video((~d.isnan()).sum(1).numpy(), video) for d in sets])
    videos = metrics.resample(hits.shape[1], resamples, seed)
    chosen = metrics.resample(len(sets), resamples, seed + 1)
    samples = np.zeros(resamples)
    for r in range(resamples):  # per draw, so that each draw weighs alike
        rows = np.ix_(chosen[r], videos[r])
        samples[r] = np.mean(100 * hits[rows].sum(1) / counts[rows].sum(1))
    return value, samples


def interval(samples: np.ndarray) -> tuple[float, float]:
    """95 % interval of bootstrap samples."""
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return float(low), float(high)


def gap_rows(found: list[dict], labels: int, at: float = 0.1) -> list[dict]:
    """Gap closed by each method and iteration with `labels` labels, paired on the same videos."""
    dataset, video = found[0]["dataset"], found[0]["video"]
    few_sets, full_sets = draws(found, "supervised", labels), draws(found, "supervised")
    few, few_samples = mean_pck(few_sets, video, at)
    full, full_samples = mean_pck(full_sets, video, at)
    rows = []
    others = {(e["method"], e["iteration"]) for e in found if e["method"] != "supervised"}
    for method, iteration in sorted(others):
        sets = draws(found, method, labels, iteration)
        if not sets:
            continue
        ours, samples = mean_pck(sets, video, at)
        low, high = interval(metrics.gap_closed(samples, few_samples, full_samples))
        rows.append({
            "method": method, "dataset": dataset, "labels": labels, "iteration": iteration,
            "metric": "gap_closed", "at": at, "value": metrics.gap_closed(ours, few, full),
            "ci_low": low, "ci_high": high, "n": len(sets),
        })  # fmt: skip
    return rows


def read_metrics(folders: Iterable[Path], columns: tuple[str, ...]) -> pd.DataFrame:
    """The metrics.csv of all run folders under one another, with the report's columns."""
    tables = [pd.read_csv(Path(f) / "metrics.csv") for f in folders if (Path(f) / "metrics.csv").exists()]
    tables = [t for t in tables if len(t)]
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[list(columns)]
