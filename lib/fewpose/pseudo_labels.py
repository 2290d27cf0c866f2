"""Pseudo labels chosen by agreement under augmentation: Ludwig et al. section 3.1, figure 2."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from fewpose.augment import Augmentation, View, labelling_views
from fewpose.data.pose_data import PoseData
from fewpose.heatmaps import predict, read_poses

VIEWS = Augmentation(flip=0.5, rotation=30, scale=(0.75, 1.5), colour=0)


@dataclass(frozen=True)
class Candidates:
    """What a network says of unlabelled frames.

    base    [N, K, 3] its prediction on the frame as it is: x, y in frame pixels and score
    spread  [N, K] mean squared distance in px² of the predictions on the other views, brought
            home by the exact inverse of each view, from the base prediction
    views   [V, N, K, 3] those predictions, in frame pixels
    """

    base: Tensor
    spread: Tensor
    views: Tensor


@torch.no_grad()
def generate(
    model: nn.Module, unlabelled: PoseData, augmentations: int = 10, seed: int = 0, batch_size: int = 16
) -> Candidates:
    """Predict the base view, the flipped view and random augmentations of every frame.

    Frames that bring fixed views along (`views.look`) are seen in the first of those: ValueError if they are fewer
    than `augmentations` + 2. A view counts only where it shows the keypoint: a point turned out of the picture cannot
    be found there, which is no sign of doubt.
    """
    if unlabelled.views is not None and unlabelled.views.count < augmentations + 2:
        raise ValueError(
            f"{unlabelled.name} brings {unlabelled.views.count} views along; the base view, the "
            f"flipped one and {augmentations} augmentations are {augmentations + 2}"
        )
    if not len(unlabelled):
        raise ValueError(f"{unlabelled.name}: all frames have labels; set raw_every to read videos")
    model.eval()
    height, width = unlabelled.size
    generator = torch.Generator().manual_seed(seed)
    bases, found, shown = [], [], []
    batches = torch.arange(len(unlabelled)).split(batch_size)
    for index in tqdm(batches, desc="pseudo labels", leave=False):
        views, predictions = answers(model, unlabelled, index, augmentations, generator)
        home = [view.undo_poses(p) for view, p in zip(views, predictions, strict=True)]
        base = home[0]
        seen = [inside(view.poses(base), height, width) for view in views[1:]]
        # a mirrored view lists the keypoints under their mirrored names: name them back
        seen = [view.rename(s) for view, s in zip(views[1:], seen, strict=True)]
        bases.append(base.cpu())
        found.append(torch.stack(home[1:]).cpu())
        shown.append(torch.stack(seen).cpu())
    base, views, seen = torch.cat(bases), torch.cat(found, 1), torch.cat(shown, 1)
    squared = ((views[..., :2] - base[..., :2]) ** 2).sum(-1)
    spread = (squared * seen).sum(0) / seen.sum(0).clamp_min(1)
    spread = torch.where(seen.any(0), spread, torch.inf)
    return Candidates(base, spread, views)


def answers(
    model: nn.Module, unlabelled: PoseData, index: Tensor, augmentations: int, generator: torch.Generator
) -> tuple[list[View], list[Tensor]]:
    """The views of some frames, base view first, and the poses [n, K, 3] predicted in each."""
    # one view after the other, of few frames: larger batches fall out of a CPU's cache
    if (kept := unlabelled.views) is not None:
        which = range(augmentations + 2)
        pairs = [kept.answer(model, index, torch.full_like(index, v)) for v in which]
        return [view for view, _ in pairs], [read_poses(model, maps) for _, maps in pairs]
    device = next(model.parameters()).device
    frames = unlabelled.frames[index].to(device)
    views = labelling_views(len(index), unlabelled.size, unlabelled.skeleton, augmentations, VIEWS, generator, device)
    return views, [predict(model, view.images(frames)) for view in views]


def inside(poses: Tensor, height: int, width: int) -> Tensor:
    """Which keypoints [N, K] of poses [N, K, 2 or more] lie in an image of that size."""
    x, y = poses[..., 0], poses[..., 1]
    return (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)


def select(candidates: Candidates, percent: float, threshold: float = 0.1) -> Tensor:
    """Which pseudo labels to keep, [N, K] bool.

    Of the predictions with a score of at least `threshold`, for each keypoint separately the `percent` % with the
    smallest spread: a common limit would keep heads and drop wrists.
    """
    if not 0 <= percent <= 100:
        raise ValueError(f"percent is between 0 and 100, not {percent}")
    scored = (candidates.base[..., 2] >= threshold) & candidates.spread.isfinite()
    spread = torch.where(scored, candidates.spread, torch.inf)
    rank = spread.argsort(stable=True, dim=0).argsort(stable=True, dim=0)
    keep = torch.round(scored.sum(0) * percent / 100)
    return scored & (rank < keep)


def as_labels(unlabelled: PoseData, candidates: Candidates, keep: Tensor) -> PoseData:
    """The frames with the kept base predictions as labels; the dropped ones are unlabelled."""
    poses = candidates.base.clone()
    poses[..., 2] = 2.0 * keep
    some = keep.any(1).numpy()
    return replace(unlabelled, poses=poses, name=f"{unlabelled.name}, pseudo labels").subset(some)
