"""Test results of sports runs: the files that runs save, and means, gaps and differences over label draws."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from fewpose.data.pose_data import PoseData
from fewpose.disk import replacing
from fewpose.heatmaps import predict_all
from fewpose.metrics.bootstrap import interval, over_draws, pck_interval, pck_samples
from fewpose.metrics.pck import gap_closed, pck
from fewpose.skeleton import Skeleton
from fewpose.training import History
from fewpose_report.results import example_indices, range_text, read_examples, saved_files, write_examples

THRESHOLDS = (0.05, 0.1, 0.2)
EXAMPLES = 8
# Methods in the order of tables and figures, the baseline first; those of MAIN are shown where there is room for few.
ORDER = ("supervised", "pseudo_labels", "pseudo_labels_video", "mean_teacher", "mean_teacher_video")
ORDER += ("published_head", "ensemble", "ensemble_views", "ensemble_voting")
ORDER += ("oracle_as_selected", "oracle_selection", "oracle_corrected", "oracle_ground_truth")
MAIN = ("supervised", "pseudo_labels", "mean_teacher", "ensemble", "ensemble_voting")


def pck_rows(
    distances: Tensor, video: np.ndarray, *, method: str, dataset: str, labels: int, iteration: int | None = None
) -> list[dict]:
    """One row per threshold with the PCK on a test set and its interval by bootstrap over videos.

    distances [N, K] as from `pck.normalised_distances`, video [N] names each frame's video. Iterations count from 1.
    """
    about = {"method": method, "dataset": dataset, "labels": labels, "iteration": iteration or None, "metric": "pck"}
    rows = []
    for at in THRESHOLDS:
        low, high = pck_interval(distances, video, at)
        counted = int((~distances.isnan()).sum())
        rows.append(about | {"at": at, "value": pck(distances, at), "ci_low": low, "ci_high": high, "n": counted})
    return rows


def save_test(
    folder: Path,
    model: nn.Module | Tensor,
    test: PoseData,
    distances: Tensor,
    *,
    method: str,
    dataset: str,
    labels: int,
    seed: int,
    iteration: int = 0,
    history: History | None = None,
) -> None:
    """Write what the report needs from the test of a network to `<folder>/test/<name>.npz`.

    `model` may be poses [N, K, 3] that are not plain predictions of one network. Saved are the distances [N, K] of all
    test frames, the poses of EXAMPLES frames, evenly spread, whose images go into `test/examples.jpg`, and the
    validation scores in `history`.
    """
    (folder / "test").mkdir(exist_ok=True)
    chosen = example_indices(len(test), EXAMPLES)
    poses = model[chosen] if isinstance(model, Tensor) else predict_all(model, test.frames[chosen])
    write_examples(test.frames[chosen], folder / "test" / "examples.jpg", quality=85)
    with replacing(folder / "test" / f"{method}_{labels}_{iteration}_{seed}.npz") as part:
        np.savez_compressed(
            part,
            distances=distances.numpy().astype(np.float32),
            video=test.video,
            keypoints=test.skeleton.keypoints,
            limbs=test.skeleton.limbs,
            method=method,
            dataset=dataset,
            labels=labels,
            iteration=iteration,
            seed=seed,
            poses=poses.numpy(),
            ground_truth=test.poses[chosen].numpy(),
            validation=np.reshape(history.score if history else [], (-1, 2)),
            network=not isinstance(model, Tensor),  # whether the run's network alone predicts this
        )


def show_rows(rows: list[dict]) -> pd.DataFrame:
    """The rows as a small table: PCK with interval, a column per threshold."""
    table = pd.DataFrame(rows)
    table["PCK"] = [f"{r.value:.1f} ({range_text(r.ci_low, r.ci_high)})" for r in table.itertuples()]
    table["at"] = "PCK@" + table["at"].astype(str)
    table["iteration"] = table["iteration"].fillna(0).astype(int)
    return table.pivot(index=["method", "labels", "iteration"], columns="at", values="PCK")


def load_tests(root: Path) -> list[dict]:
    """What `save_test` wrote in all finished runs below `root`, in order of their paths.

    Each is a dict of distances [N, K] tensor, video [N], keypoints, limbs, method, dataset, labels, iteration, seed,
    network, poses and ground_truth [EXAMPLES, K, 3] tensors, frames [EXAMPLES, 3, H, W] (None if the images are not
    kept), validation [scores, 2] of steps and PCK, and the folder of its run. ValueError if there is none, if two were
    tested on different frames, or if two hold the same row.
    """
    found: list[dict] = []
    for path in saved_files(root):
        with np.load(path) as file:
            entry = {k: file[k].item() if file[k].ndim == 0 else file[k] for k in file.files}
        for name in ("distances", "poses", "ground_truth"):
            entry[name] = torch.from_numpy(entry[name])
        entry["folder"] = path.parent.parent
        entry["frames"] = read_examples(path.parent / "examples.jpg", len(entry["poses"]))
        if found and not np.array_equal(entry["video"], found[0]["video"]):
            raise ValueError(f"{path} was tested on other frames than {found[0]['method']}")
        row = {key: entry[key] for key in ("method", "labels", "iteration", "seed")}
        for other in found:
            if row.items() <= other.items():
                raise ValueError(
                    f"{other['folder']} and {entry['folder']} hold the same row, {row}: "
                    "delete the one that the profile no longer has"
                )
        found.append(entry)
    return found


def skeleton_of(entry: dict) -> Skeleton:
    """The skeleton of a result of `load_tests`."""
    names = tuple(entry["keypoints"].tolist())
    return Skeleton(entry["dataset"], names, tuple(map(tuple, entry["limbs"].tolist())), (0.08,) * len(names))


def draws(found: list[dict], method: str, labels: int | None = None, iteration: int = 0) -> list[Tensor]:
    """Distances of each label draw of one method, by seed; labels None: the largest number there is."""
    if labels is None:
        labels = max(e["labels"] for e in found if e["method"] == method)
    row = {"method": method, "labels": labels, "iteration": iteration}
    return [e["distances"] for e in sorted(found, key=lambda e: e["seed"]) if all(e[k] == v for k, v in row.items())]


def mean_pck(
    sets: list[Tensor], video: np.ndarray, at: float = 0.1, resamples: int = 1000, seed: int = 0
) -> tuple[float, np.ndarray]:
    """Mean PCK over label draws, and its bootstrap [resamples] over draws and test videos.

    The same seed resamples the same videos, so that differences of two methods are paired.
    """
    value = float(np.mean([pck(d, at) for d in sets]))
    return value, over_draws(pck_samples(sets, video, at, resamples, seed), seed)


def gap_rows(found: list[dict], labels: int, at: float = 0.1) -> list[dict]:
    """Gap closed by each method and iteration with `labels` labels, paired on the same videos."""
    dataset, video = found[0]["dataset"], found[0]["video"]
    few, few_samples = mean_pck(draws(found, "supervised", labels), video, at)
    full, full_samples = mean_pck(draws(found, "supervised"), video, at)
    rows = []
    for method, iteration in sorted({(e["method"], e["iteration"]) for e in found}):
        sets = draws(found, method, labels, iteration)
        if not sets or method.startswith("supervised"):
            continue
        ours, samples = mean_pck(sets, video, at)
        low, high = interval(gap_closed(samples, few_samples, full_samples))
        row = {"method": method, "dataset": dataset, "labels": labels, "iteration": iteration or None}
        value = gap_closed(ours, few, full)
        rows.append(
            row | {"metric": "gap_closed", "at": at, "value": value, "ci_low": low, "ci_high": high, "n": len(sets)}
        )
    return rows


def difference_rows(found: list[dict], labels: int, at: float = 0.1) -> list[dict]:
    """Difference in points of PCK of each pair of methods with `labels` labels, in their last iteration.

    Paired: both are resampled with the same draws and test videos, so that common variation cancels. Methods with
    different numbers of draws are not compared.
    """
    video, rows = found[0]["video"], []
    sets = {name_of(m, i): draws(found, m, labels, i) for m, i in last_iterations(found, labels)}
    for one, other in combinations(sets, 2):
        if len(sets[one]) != len(sets[other]):
            continue
        (a, a_samples), (b, b_samples) = (mean_pck(sets[name], video, at) for name in (one, other))
        low, high = interval(b_samples - a_samples)
        row = {"labels": labels, "method": other, "over": one, "points": b - a, "low": low, "high": high}
        rows.append(row | {"draws": len(sets[one])})
    return rows


def last_iterations(found: list[dict], labels: int) -> list[tuple[str, int]]:
    """The methods with `labels` labels and their last iterations, in ORDER, then others by name."""
    last: dict[str, int] = {}
    for e in found:
        if e["labels"] == labels and not e["method"].startswith("supervised_"):
            last[e["method"]] = max(e["iteration"], last.get(e["method"], 0))
    return sorted(last.items(), key=lambda item: (ORDER.index(item[0]) if item[0] in ORDER else len(ORDER), item[0]))


def label_counts(found: list[dict]) -> list[int]:
    """The numbers of labels of supervised trainings, ascending; ValueError if there is none to compare with."""
    counts = sorted({e["labels"] for e in found if e["method"] == "supervised"})
    if not counts:
        raise ValueError(
            "tables compare with supervised training: add a run of the notebook sports/supervised "
            "to the profile, with the labels of the others"
        )
    return counts


def compared(found: list[dict], labels: int, limit: int | None = None) -> dict[str, tuple[str, int, int]]:
    """The results that a figure compares: name → (method, labels, iteration).

    Every method with `labels` labels in its last iteration, then supervised training on all; at most `limit` in all,
    those of MAIN first.
    """
    methods, full = last_iterations(found, labels), label_counts(found)[-1]
    if limit is not None:
        methods.sort(key=lambda item: item[0] not in MAIN)  # stable: ORDER holds among both
        methods = methods[: limit - (full != labels)]
    rows = {}
    for method, iteration in methods:
        name = name_of(method, iteration)
        rows[f"{name}, {labels} labels" if method == "supervised" else name] = (method, labels, iteration)
    return rows | ({"supervised, all labels": ("supervised", full, 0)} if full != labels else {})


def name_of(method: str, iteration: int = 0) -> str:
    """A method as tables name it, with its iteration if it has any."""
    return method.replace("_", " ") + (f", iteration {iteration}" if iteration else "")
