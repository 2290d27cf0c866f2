"""Pseudo labels selected by agreement under augmentation: Ludwig et al., section 3.1 and figure 2.

`generate` predicts unlabelled images under augmentations, `select` keeps the pseudo labels on which the predictions
agree, `as_labels` makes a training set of them. The loop over iterations stands in `sports/pseudo_labels.ipynb`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from fewpose.augment import Augmentation
from fewpose.data.pose_data import PoseData

VIEWS = Augmentation(flip=0.5, rotation=30, scale=(0.75, 1.5), colour=0)


@dataclass(frozen=True)
class Candidates:
    """The predictions of a network on unlabelled frames, from which pseudo labels are selected.

    base    [N, K, 3] the prediction p⁽⁰⁾ on the frame as it is: x, y in frame pixels and score
    spread  [N, K] d: mean squared distance in px² of the predictions on the other views from the base prediction
    views   [V, N, K, 3] the predictions p⁽ⁱ⁾ on the other views, mapped back to frame pixels
    """

    base: Tensor
    spread: Tensor
    views: Tensor


@torch.no_grad()
def generate(
    model: nn.Module, unlabelled: PoseData, augmentations: int = 10, seed: int = 0, batch_size: int = 16
) -> Candidates:
    """Predict the base view, the flipped view and random augmentations A of every unlabelled image I.

    p⁽ⁱ⁾ = A⁻¹ f(A I) and d = mean over i of ‖p⁽ⁱ⁾ − p⁽⁰⁾‖², for each keypoint. A view counts only where it shows the
    keypoint: a point outside of the view cannot be found there, which says nothing about the uncertainty. ValueError
    without unlabelled frames.
    """
    if not len(unlabelled):
        raise ValueError(f"{unlabelled.name}: all frames have labels; set raw_every to read videos")
    model.eval()
    height, width = unlabelled.size
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    bases, others, visible = [], [], []
    # few frames at a time: larger batches fall out of a CPU's cache
    for index in tqdm(torch.arange(len(unlabelled)).split(batch_size), desc="pseudo labels", leave=False):
        predictions, shown = [], []
        for A, inputs in unlabelled.labelling_views(index, augmentations, VIEWS, generator, device):
            predictions.append(A.undo_poses(model.read(model(inputs))))  # p⁽ⁱ⁾ = A⁻¹ f(A I)
            # a flipped view lists the keypoints under their flipped names: name them back
            shown.append(A.rename(inside(A.poses(predictions[0]), height, width)))
        bases.append(predictions[0].cpu())
        others.append(torch.stack(predictions[1:]).cpu())
        visible.append(torch.stack(shown[1:]).cpu())
    base, views, visible = torch.cat(bases), torch.cat(others, 1), torch.cat(visible, 1)
    squared = ((views[..., :2] - base[..., :2]) ** 2).sum(-1)  # ‖p⁽ⁱ⁾ − p⁽⁰⁾‖²
    d = (squared * visible).sum(0) / visible.sum(0).clamp_min(1)
    return Candidates(base, torch.where(visible.any(0), d, torch.inf), views)


def inside(poses: Tensor, height: int, width: int) -> Tensor:
    """Which keypoints [N, K] of poses [N, K, 2 or more] lie in an image of that size."""
    x, y = poses[..., 0], poses[..., 1]
    return (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)


def select(candidates: Candidates, keep_percent: float, threshold: float = 0.1) -> Tensor:
    """Which pseudo labels to keep, [N, K] bool.

    Of the predictions with a score of at least `threshold`, for each keypoint separately the `keep_percent` % with
    the smallest spread d: a common limit would keep heads and drop wrists.
    """
    if not 0 <= keep_percent <= 100:
        raise ValueError(f"keep_percent is between 0 and 100, not {keep_percent}")
    scored = (candidates.base[..., 2] >= threshold) & candidates.spread.isfinite()
    spread = torch.where(scored, candidates.spread, torch.inf)
    rank = spread.argsort(stable=True, dim=0).argsort(stable=True, dim=0)
    keep = torch.round(scored.sum(0) * keep_percent / 100)
    return scored & (rank < keep)


def as_labels(unlabelled: PoseData, candidates: Candidates, keep: Tensor) -> PoseData:
    """The frames with the kept base predictions as labels; the dropped ones are unlabelled."""
    poses = candidates.base.clone()
    poses[..., 2] = 2.0 * keep
    some = keep.any(1).numpy()
    return replace(unlabelled, poses=poses, name=f"{unlabelled.name}, pseudo labels").subset(some)
