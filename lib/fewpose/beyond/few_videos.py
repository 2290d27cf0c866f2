"""Which frames train and which test, by video, where there are few videos; not in the papers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

ENOUGH = 10  # videos for one division into training, validation and test
FOLDS = 5  # with fewer: each video is held out once, in at most so many trainings
FEW_LABELS = 20


@dataclass(frozen=True)
class Fold:
    """A division of labelled frames: indices of those for training, validation and test.

    held_out  the names of the videos of validation and test, of which no frame may be trained on
    """

    name: str
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    held_out: tuple[str, ...]


def one_fold(video: np.ndarray, split: np.ndarray) -> list[Fold]:
    """The division that `split` [N] names, of frames of the videos `video` [N]."""
    parts = (np.flatnonzero(split == name) for name in ("train", "val", "test"))
    return [Fold("test videos", *parts, tuple(np.unique(video[split != "train"]).tolist()))]


def leave_videos_out(video: np.ndarray) -> list[Fold]:
    """Folds that together test every frame once, with a network that was trained without its video.

    Each video is a fold of its own or, with more than FOLDS, joins the one with the fewest frames. A single video
    is divided into FOLDS stretches in the order of its frames.
    """
    names, group, count = np.unique(video, return_inverse=True, return_counts=True)
    folds = min(len(names), FOLDS)
    fold_of = np.zeros(len(names), dtype=int)
    sizes = np.zeros(folds)
    for i in np.argsort(-count, kind="stable"):
        fold_of[i] = sizes.argmin()
        sizes[fold_of[i]] += count[i]
    fold, nothing = fold_of[group], np.array([], dtype=int)
    if len(names) == 1:
        folds, fold = min(FOLDS, len(video)), np.arange(len(video)) * min(FOLDS, len(video)) // len(video)
    found = []
    for number in range(folds):
        test = np.flatnonzero(fold == number)
        held_out = tuple(np.unique(video[test]).tolist()) if len(names) > 1 else ()
        name = ", ".join(held_out) or f"stretch {number + 1} of {names[0]}"
        found.append(Fold(name, np.flatnonzero(fold != number), nothing, test, held_out))
    return found


def everything(video: np.ndarray) -> Fold:
    """All frames for training, none for test: the network to keep after `leave_videos_out`."""
    nothing = np.array([], dtype=int)
    return Fold("all videos", np.arange(len(video)), nothing, nothing, ())


def units(folds: list[Fold], video: np.ndarray) -> np.ndarray:
    """What the frames [N] resemble each other within: their video, or the stretch of a single one."""
    if len(np.unique(video)) > 1:
        return video
    stretch = np.full(len(video), "", dtype=object)
    for fold in folds:
        stretch[fold.test] = fold.name
    return stretch.astype(str)


def gather(folds: list[Fold], predictions: list[Tensor], frames: int) -> Tensor:
    """The predictions [n, K, 3] of each fold's test frames as one [frames, K, 3], NaN where a frame is in no test."""
    poses = predictions[0].new_full((frames, *predictions[0].shape[1:]), torch.nan)
    for fold, part in zip(folds, predictions, strict=True):
        poses[torch.from_numpy(fold.test)] = part
    return poses


def describe(folds: list[Fold], video: np.ndarray) -> str:
    """The division in words, and what there is too little of, a line each."""
    videos, frames = len(np.unique(video)), len(video)
    lines = [f"{frames} labelled frames of {videos} video{'s' * (videos > 1)}."]
    if len(folds) == 1:
        (fold,) = folds
        parts = {"train": fold.train, "choose the best step (validation)": fold.val, "test": fold.test}
        lines.append(
            "Whole videos: "
            + ", ".join(f"{len(np.unique(video[index]))} to {purpose}" for purpose, index in parts.items())
            + ". The network never sees a frame of the last two."
        )
    elif videos > 1:
        lines.append(
            f"Fewer than {ENOUGH} videos are too few to set some aside: {len(folds)} trainings leave other videos out, "
            "each video is tested by the network that has not seen it, and one more training on all gives the network "
            "that is kept."
        )
    else:
        lines.append(
            "One video is too little for a test: each fifth of it is tested by a network trained on the rest, and "
            "neighbouring frames resemble each other. The numbers hold for this video, those of others will be lower."
        )
    tested = len(np.unique(video[np.concatenate([fold.test for fold in folds])]))
    if 1 < tested < 5:
        lines.append(f"{tested} test videos: intervals are rough.")
    if frames < FEW_LABELS:
        lines.append(
            f"Fewer than {FEW_LABELS} labels: enough to map the published network's keypoints to yours, not to compare "
            "methods. Label more frames, of other videos first."
        )
    return "\n".join(lines)
