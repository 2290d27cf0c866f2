"""Pseudo labels selected by agreement under augmentation: Ludwig et al., section 3.1 and figure 3.

`generate` predicts unlabelled images under augmentations, `select` chooses the pseudo labels on which these predictions
agree, `as_labels` builds the training set D_PL from them. The training procedure of section 3.1.1, the loop over
iterations, is in `sports/pseudo_labels.ipynb`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from fewpose import geometry
from fewpose.augment import Augmentation, labelling_views
from fewpose.data.pose_data import PoseData
from fewpose.made_once import made_in_shards
from fewpose.training import weights_fingerprint

VIEWS = Augmentation(flip=0.5, rotation=30, scale=(0.75, 1.5), colour=0)  # T: section 4.2, no colour jitter


@dataclass(frozen=True)
class Candidates:
    """The predictions of a network on unlabelled images, from which pseudo labels are selected.

    base    [N, K, 3] the base prediction y⁽⁰⁾, on the raw image: x, y in its pixels and confidence score
    spread  [N, K] d: the MSE in px² between the base prediction and the predictions under augmentation
    views   [V, N, K, 3] the predictions y⁽ⁱ⁾ under augmentation, mapped back to the raw image
    """

    base: Tensor
    spread: Tensor
    views: Tensor


def generate(
    model: nn.Module,
    unlabelled: PoseData,
    augmentations: int = 10,
    seed: int = 0,
    batch_size: int = 16,
    *,
    folder: Path | None = None,
    shard: int = 64,
) -> Candidates:
    """Predict every unlabelled image I raw, flipped, and under random transformations T.

    y⁽ⁱ⁾ = T⁻¹ f(T I) and d = mean over i of ‖y⁽ⁱ⁾ − y⁽⁰⁾‖², for each keypoint. Views that do not show a keypoint say
    nothing about its uncertainty and are left out of its mean; d is infinite if none shows it. ValueError if there are
    no unlabelled frames.

    With a `folder` the predictions on each `shard` batches are kept there: a call after a kill, with the same frames,
    makes only those that are missing, and processes that call this at the same time share them.
    """
    if not len(unlabelled):
        raise ValueError(f"{unlabelled.name}: all frames have labels; set raw_every to read videos")
    model.eval()
    # few frames at a time: larger batches fall out of a CPU's cache
    batches = torch.arange(len(unlabelled)).split(batch_size)
    generators = generators_of(unlabelled, batches, augmentations, seed)
    bar = tqdm(total=len(batches), desc="pseudo labels", leave=False)

    def predict(numbers: range) -> tuple[Tensor, Tensor]:
        parts = []
        for i in numbers:
            parts.append(predict_views(model, unlabelled, batches[i], augmentations, generators(i)))
            bar.update()
        views, shown = zip(*parts, strict=True)
        return torch.cat(views, 1), torch.cat(shown, 1)

    with bar:
        if folder is None:
            views, shown = predict(range(len(batches)))
        else:
            settings = [weights_fingerprint(model), unlabelled.source, len(unlabelled), augmentations, seed, batch_size]
            name = f"{zlib.crc32(repr((settings, shard, VIEWS)).encode()):08x}"
            parts = [range(first, min(first + shard, len(batches))) for first in range(0, len(batches), shard)]
            paths = [folder / f"{name}_{number:05d}.pt" for number in range(len(parts))]
            folder.mkdir(parents=True, exist_ok=True)
            made_in_shards(paths, lambda number, part: torch.save(predict(parts[number]), part))
            views, shown = (torch.cat(kept, 1) for kept in zip(*map(torch.load, paths), strict=True))
    base, views, visible = views[0], views[1:], shown[1:]
    squared = ((views[..., :2] - base[..., :2]) ** 2).sum(-1)  # ‖y⁽ⁱ⁾ − y⁽⁰⁾‖²
    d = (squared * visible).sum(0) / visible.sum(0).clamp_min(1)
    return Candidates(base, torch.where(visible.any(0), d, torch.inf), views)


@torch.no_grad()
def predict_views(
    model: nn.Module, unlabelled: PoseData, index: Tensor, augmentations: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The predictions y [1 + V, n, K, 3] on frames `index`, first the base prediction, and whether the view shows each.

    The latter is [1 + V, n, K] bool.
    """
    predictions, shown = [], []
    device = next(model.parameters()).device
    for T, inputs in unlabelled.labelling_views(index, augmentations, VIEWS, generator, device):
        predictions.append(T.undo_poses(model.read(model(inputs))))  # y⁽ⁱ⁾ = T⁻¹ f(T I)
        # in a flipped view left and right keypoints have swapped names: swap them back
        shown.append(T.rename(geometry.inside(T.poses(predictions[0]), unlabelled.size)))
    return torch.stack(predictions).cpu(), torch.stack(shown).cpu()


def generators_of(
    unlabelled: PoseData, batches: Sequence[Tensor], augmentations: int, seed: int
) -> Callable[[int], torch.Generator]:
    """The generator for the transformations of a batch, in the state to which all earlier batches bring it."""
    generator, passed = torch.Generator().manual_seed(seed), 0

    def of(number: int) -> torch.Generator:
        nonlocal passed
        if number < passed:
            generator.manual_seed(seed)
            passed = 0
        for index in batches[passed:number]:
            labelling_views(len(index), unlabelled.size, unlabelled.skeleton, augmentations, VIEWS, generator)
        passed = number + 1
        return generator

    return of


def select(candidates: Candidates, keep_percent: float, threshold: float = 0.1) -> Tensor:
    """Which pseudo labels to keep, [N, K] bool.

    Base predictions with a score below t_score = `threshold` are discarded. Of the others the p = `keep_percent` %
    with the smallest MSE d are selected for each keypoint: one limit for all would keep heads and drop wrists.
    ValueError unless p is between 0 and 100.
    """
    if not 0 <= keep_percent <= 100:
        raise ValueError(f"keep_percent is between 0 and 100, not {keep_percent}")
    scored = (candidates.base[..., 2] >= threshold) & candidates.spread.isfinite()  # t_score
    d = torch.where(scored, candidates.spread, torch.inf)
    rank = d.argsort(stable=True, dim=0).argsort(stable=True, dim=0)
    return scored & (rank < torch.round(scored.sum(0) * keep_percent / 100))  # p %


def as_labels(unlabelled: PoseData, candidates: Candidates, keep: Tensor) -> PoseData:
    """D_PL: the frames with the base predictions that `keep` [N, K] selects as labels; the rest is unlabelled.

    Not the mean of all predictions, which an outlier would shift. Frames without a selected keypoint are dropped.
    """
    poses = candidates.base.clone()
    poses[..., 2] = 2.0 * keep
    labelled = keep.any(1).numpy()
    return replace(unlabelled, poses=poses, name=f"{unlabelled.name}, pseudo labels").subset(labelled)
