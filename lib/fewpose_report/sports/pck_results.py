"""Tidy results: rows of the report, the distances behind them, and intervals over draws."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from fewpose.data.pose_data import PoseData
from fewpose.heatmaps import predict_all
from fewpose.metrics.pck import gap_closed, pck, pck_interval, per_video, resample
from fewpose.skeleton import Skeleton
from fewpose.training import History

THRESHOLDS = (0.05, 0.1, 0.2)
EXAMPLES = 8


def pck_rows(
    distances: Tensor, video: np.ndarray, *, method: str, dataset: str, labels: int, iteration: int | None = None
) -> list[dict]:
    """One row a threshold of the PCK on a test set, with intervals over its videos.

    distances [N, K] as of `metrics.normalised_distances`, video [N] names each frame's video.
    """
    return [
        {
            "method": method,
            "dataset": dataset,
            "labels": labels,
            "iteration": iteration,
            "metric": "pck",
            "at": at,
            "value": pck(distances, at),
            "ci_low": low,
            "ci_high": high,
            "n": int((~distances.isnan()).sum()),
        }
        for at in THRESHOLDS
        for low, high in [pck_interval(distances, video, at)]
    ]


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
    """Write what the report needs of one trained network to `<folder>/test/<name>.npz`.

    In place of the model stand its poses [N, K, 3] where it is not asked once and plainly. distances [N, K] of all
    test frames, and the poses of EXAMPLES frames spread over them, whose pictures go into the strip
    `<folder>/test/examples.jpg`; of the training's `history` the scores on validation.
    """
    (folder / "test").mkdir(exist_ok=True)
    chosen = torch.linspace(0, len(test) - 1, EXAMPLES + 2).long()[1:-1]
    poses = model[chosen] if isinstance(model, Tensor) else predict_all(model, test.frames[chosen])
    strip = torch.cat(list(test.frames[chosen]), dim=2).permute(1, 2, 0).numpy()
    cv2.imwrite(str(folder / "test" / "examples.jpg"), strip[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    np.savez_compressed(
        folder / "test" / f"{method}_{labels}_{iteration}_{seed}.npz",
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
        truth=test.poses[chosen].numpy(),
        validation=np.reshape(history.score if history else [], (-1, 2)),
        network=not isinstance(model, Tensor),  # whether the run's network alone says this
    )


def show_rows(rows: list[dict]) -> pd.DataFrame:
    """The rows as a small table to look at: PCK with interval, a column a threshold."""
    table = pd.DataFrame(rows)
    table["PCK"] = [f"{r.value:.1f} ({r.ci_low:.1f} to {r.ci_high:.1f})" for r in table.itertuples()]
    table["at"] = "PCK@" + table["at"].astype(str)
    table["iteration"] = table["iteration"].fillna(0).astype(int)
    return table.pivot(index=["method", "labels", "iteration"], columns="at", values="PCK")


def load_tests(root: Path) -> list[dict]:
    """What `save_test` wrote in all finished runs below `root`, in order of their paths.

    Each a dict of distances [N, K] tensor, video [N], keypoints, method, dataset, labels, iteration, seed, poses and
    truth [EXAMPLES, K, 3] tensors, frames [EXAMPLES, 3, H, W], validation [scores, 2] of steps and PCK, and the
    folder of its run. ValueError if there is none or two were tested on different frames.
    """
    found = []
    for path in sorted(p for f in finished_folders(root) for p in f.glob("test/*.npz")):
        with np.load(path) as file:
            entry = {k: file[k] for k in file.files}
        entry = {k: v.item() if v.ndim == 0 else v for k, v in entry.items()}
        entry["folder"] = path.parent.parent
        for name in ("distances", "poses", "truth"):
            entry[name] = torch.from_numpy(entry[name])
        picture = cv2.imread(str(path.parent / "examples.jpg"))
        if picture is None:
            raise ValueError(
                f"{path.parent} has no examples.jpg: a reference without its pictures "
                "can only be read; run its profile to draw anew"
            )
        strip = torch.from_numpy(picture[..., ::-1].copy())
        entry["frames"] = torch.stack(strip.permute(2, 0, 1).chunk(len(entry["poses"]), dim=2))
        if found and not np.array_equal(entry["video"], found[0]["video"]):
            raise ValueError(f"{path} was tested on other frames than {found[0]['method']}")
        row = {key: entry[key] for key in ("method", "labels", "iteration", "seed")}
        for other in found:
            if all(other[key] == value for key, value in row.items()):
                raise ValueError(
                    f"{other['folder']} and {entry['folder']} hold the same row, "
                    f"{row}: delete the one that the profile has no more"
                )
        found.append(entry)
    if not found:
        raise ValueError(f"{root} holds no finished run with test results: run some first")
    return found


def skeleton_of(entry: dict) -> Skeleton:
    """The skeleton that a network of `load_tests` predicts."""
    names = tuple(entry["keypoints"].tolist())
    return Skeleton(entry["dataset"], names, tuple(map(tuple, entry["limbs"].tolist())), (0.08,) * len(names))


def finished_folders(root: Path) -> list[Path]:
    """Folders below `root` with a finished run.json."""
    return sorted(path.parent for path in Path(root).rglob("run.json"))


def draws(found: list[dict], method: str, labels: int | None = None, iteration: int = 0) -> list[Tensor]:
    """Distances of each label draw of one method, by seed; labels None: the most there are."""
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
    value = float(np.mean([pck(d, at) for d in sets]))
    hits = np.stack([per_video((d <= at).sum(1).numpy(), video) for d in sets])
    counts = np.stack([per_video((~d.isnan()).sum(1).numpy(), video) for d in sets])
    videos = resample(hits.shape[1], resamples, seed)
    samples = 100 * hits[:, videos].sum(-1) / counts[:, videos].sum(-1)
    return value, over_draws(samples, seed)


def over_draws(samples: np.ndarray, seed: int = 0) -> np.ndarray:
    """Bootstrap [R] over draws of bootstraps [S, R] over test units; each draw weighs alike."""
    chosen = resample(len(samples), samples.shape[1], seed + 1)
    return np.take_along_axis(samples, chosen.T, axis=0).mean(0)


def interval(samples: np.ndarray) -> tuple[float, float]:
    """95 % interval of bootstrap samples; NaN where there are none."""
    if np.isnan(samples).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return float(low), float(high)


def gap_rows(found: list[dict], labels: int, at: float = 0.1) -> list[dict]:
    """Gap closed by each method and iteration with `labels` labels, paired on the same videos."""
    dataset, video = found[0]["dataset"], found[0]["video"]
    few_sets, full_sets = draws(found, "supervised", labels), draws(found, "supervised")
    few, few_samples = mean_pck(few_sets, video, at)
    full, full_samples = mean_pck(full_sets, video, at)
    rows = []
    others = {(e["method"], e["iteration"]) for e in found}
    others = {(m, i) for m, i in others if not m.startswith("supervised")}
    for method, iteration in sorted(others):
        sets = draws(found, method, labels, iteration)
        if not sets:
            continue
        ours, samples = mean_pck(sets, video, at)
        low, high = interval(gap_closed(samples, few_samples, full_samples))
        rows.append(
            {
                "method": method,
                "dataset": dataset,
                "labels": labels,
                "iteration": iteration,
                "metric": "gap_closed",
                "at": at,
                "value": gap_closed(ours, few, full),
                "ci_low": low,
                "ci_high": high,
                "n": len(sets),
            }
        )
    return rows


def difference_rows(found: list[dict], labels: int, at: float = 0.1) -> list[dict]:
    """Points of PCK between each two methods with `labels` labels, in their last iteration.

    Paired: both are resampled with the same draws and test videos, so that what is hard for both does not blur their
    difference. Methods with different numbers of draws are not compared.
    """
    video, rows = found[0]["video"], []
    samples = {m: (draws(found, m, labels, i), i) for m, i in last_iterations(found, labels)}
    for (one, (sets, i)), (other, (others, j)) in combinations(samples.items(), 2):
        if len(sets) != len(others):
            continue
        (a, a_samples), (b, b_samples) = mean_pck(sets, video, at), mean_pck(others, video, at)
        low, high = interval(b_samples - a_samples)
        rows.append(
            {
                "labels": labels,
                "method": name_of(other, j),
                "over": name_of(one, i),
                "points": b - a,
                "low": low,
                "high": high,
                "draws": len(sets),
            }
        )
    return rows


def last_iterations(found: list[dict], labels: int) -> list[tuple[str, int]]:
    """The methods with `labels` labels and their last iterations; the baseline comes first."""
    last: dict[str, int] = {}
    for e in found:
        if e["labels"] == labels and not e["method"].startswith("supervised_"):
            last[e["method"]] = max(e["iteration"], last.get(e["method"], 0))
    return sorted(last.items(), key=lambda item: (item[0] != "supervised", item[0]))


def label_counts(found: list[dict]) -> list[int]:
    """The numbers of labels that supervised training was run with, all labels the last.

    ValueError where there is no such run: all others are measured by it.
    """
    counts = sorted({e["labels"] for e in found if e["method"] == "supervised"})
    if not counts:
        raise ValueError(
            "tables compare with supervised training: add a run of the notebook "
            "sports/supervised to the profile, with the labels of the others"
        )
    return counts


def compared(found: list[dict], labels: int) -> dict[str, tuple[str, int, int]]:
    """What a figure shows side by side: name → (method, labels, iteration).

    Every method with `labels` labels in its last iteration, between supervised training on the few and on all.
    """
    rows = {}
    for method, iteration in last_iterations(found, labels):
        name = name_of(method, iteration)
        rows[f"{name}, {labels} labels" if method == "supervised" else name] = (method, labels, iteration)
    most = label_counts(found)[-1]
    return rows | ({"supervised, all labels": ("supervised", most, 0)} if most != labels else {})


def name_of(method: str, iteration: int) -> str:
    """A method as tables name it, with its iteration if it has any."""
    return method.replace("_", " ") + (f", iteration {iteration}" if iteration else "")


def skipped_inputs(root: Path) -> pd.DataFrame:
    """What the finished runs below `root` could not read (broken videos, images, labels): columns run and skipped."""
    rows = []
    for folder in finished_folders(root):
        manifest = json.loads((folder / "run.json").read_text())
        rows += [{"run": folder.name, "skipped": text} for text in manifest.get("skipped", [])]
    return pd.DataFrame(rows, columns=["run", "skipped"])


def read_metrics(root: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """The metrics.csv of all finished runs below `root`, one under the other."""
    paths = [f / "metrics.csv" for f in finished_folders(root)]
    tables = [t for t in (pd.read_csv(p) for p in paths if p.exists()) if len(t)]
    if not tables:
        raise ValueError(f"{root} holds no metrics of a finished run: run some first")
    return pd.concat(tables, ignore_index=True)[list(columns)]
