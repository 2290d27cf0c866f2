"""The form of a pose data set that everything else uses; this folder has a reader for each format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fewpose.augment import Augmentation, View, labelling_views, network_input, normalise, random_view
from fewpose.data.frames import join, select
from fewpose.skeleton import Skeleton

SPLITS = ("train", "val", "test")


@dataclass
class PoseData:
    """Frames with one labelled person each.

    frames  [N, 3, H, W] uint8 RGB, possibly memory-mapped; subsets and joined data are `Frames`, which copy none
    poses   [N, K, 3] float32: x, y in pixels of the frame (the centre of the top-left pixel is
            (0, 0)) and visibility: 0 unlabelled, 1 labelled but occluded, 2 visible
    video   [N] names of the videos (or scenes) the frames come from: the unit that splits and
            bootstraps never divide
    split   [N] 'train', 'val' or 'test'

    ValueError if the parts disagree, a pose is not finite or a video lies in two splits.
    """

    frames: Tensor
    poses: Tensor
    skeleton: Skeleton
    video: np.ndarray
    split: np.ndarray
    name: str = "data"

    def __post_init__(self) -> None:
        n, k = len(self.frames), len(self.skeleton)
        if self.frames.dtype != torch.uint8 or self.frames.ndim != 4 or self.frames.shape[1] != 3:
            raise ValueError(f"{self.name}: frames must be uint8 [N, 3, H, W]")
        if tuple(self.poses.shape) != (n, k, 3):
            raise ValueError(
                f"{self.name}: poses are {tuple(self.poses.shape)}, "
                f"expected {(n, k, 3)} for {n} frames and skeleton {self.skeleton.name}"
            )
        if len(self.video) != n or len(self.split) != n:
            raise ValueError(f"{self.name}: video and split must name each of the {n} frames")
        bad = ~torch.isfinite(self.poses).all(-1).all(-1)
        if bad.any():
            first = int(bad.nonzero()[0])
            raise ValueError(f"{self.name}: frame {first} has a pose that is not finite")
        check_disjoint(self.name, "video", self.video, self.split)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames in pixels."""
        return self.frames.shape[2], self.frames.shape[3]

    def subset(self, which: np.ndarray | Tensor | str) -> PoseData:
        """The frames at the given indices, of a boolean mask, or of the named split."""
        index = chosen(which, self.split)
        t = torch.as_tensor(index, dtype=torch.long)
        frames = select(self.frames, t)
        return replace(self, frames=frames, poses=self.poses[t], video=self.video[index], split=self.split[index])

    def resized(self, side: int) -> PoseData:
        """The same data with frames scaled down so that their longer side has `side` pixels."""
        height, width = self.size
        factor = side / max(height, width)
        if factor == 1:
            return self
        size = round(height * factor), round(width * factor)
        frames = shrink(self.frames, size)
        poses = self.poses.clone()
        poses[..., :2] = (poses[..., :2] + 0.5) * factor - 0.5
        return replace(self, frames=frames, poses=poses)

    def unlabelled(self) -> PoseData:
        """The same frames without labels (visibility 0)."""
        return replace(self, poses=torch.zeros_like(self.poses))

    # The inputs of networks, for which `feature_cache.CachedPoseData` substitutes features.

    @property
    def source(self) -> str:
        """Where the inputs of networks come from, for fingerprints: here the frames."""
        return "frames"

    def random_view(
        self,
        index: Tensor,
        augmentation: Augmentation,
        generator: torch.Generator,
        device: torch.device | str,
        moved: bool = False,
    ) -> tuple[View, Tensor]:
        """A random view of some frames and its network input: normalised images [n, 3, H, W] on `device`.

        `moved` excludes the base view where views are chosen among cached ones.
        """
        view = random_view(len(index), self.size, self.skeleton, augmentation, generator, device)
        return view, network_input(view, self.frames[index].to(device), augmentation.colour, generator)

    def labelling_views(
        self,
        index: Tensor,
        augmentations: int,
        augmentation: Augmentation,
        generator: torch.Generator,
        device: torch.device | str,
    ) -> Iterator[tuple[View, Tensor]]:
        """The base view, the flipped view and random augmentations of some frames, each with its network input."""
        frames = self.frames[index].to(device)
        size, skeleton = self.size, self.skeleton
        for view in labelling_views(len(index), size, skeleton, augmentations, augmentation, generator, device):
            yield view, normalise(view.images(frames))

    def base_input(self, index: Tensor, device: torch.device | str) -> Tensor:
        """The network input for some frames as they are."""
        return normalise(self.frames[index].to(device))

    def network_input(self, images: Tensor) -> Tensor:
        """The network input for normalised images [n, 3, H, W]: here the images themselves."""
        return images

    def joined(self, others: list[PoseData]) -> PoseData:
        """These frames and those of others of the same size and skeleton, one after the other."""
        parts = [self, *others]
        return PoseData(
            join([p.frames for p in parts]),
            torch.cat([p.poses for p in parts]),
            self.skeleton,
            np.concatenate([p.video for p in parts]),
            np.concatenate([p.split for p in parts]),
            self.name,
        )


def shrink(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames [N, 3, H, W] uint8 averaged down to `size` (H, W)."""
    parts = [F.interpolate(part.float(), size, mode="bilinear", antialias=True) for part in frames.split(64)]
    return torch.cat([part.round().byte() for part in parts])


def chosen(which: np.ndarray | Tensor | str, split: np.ndarray) -> np.ndarray:
    """Indices of the frames that `which` names: indices, a boolean mask, or one of the splits."""
    index = np.asarray(split == which if isinstance(which, str) else which)
    return np.flatnonzero(index) if index.dtype == bool else index


def check_disjoint(name: str, unit: str, group: np.ndarray, split: np.ndarray) -> None:
    """ValueError if one video (or day: the `unit`) lies in two splits, which would leak."""
    if unknown := set(np.unique(split)) - set(SPLITS):
        raise ValueError(f"{name}: unknown splits {sorted(unknown)}; use {SPLITS}")
    owner: dict[str, str] = {}
    for member, part in zip(group, split, strict=True):
        if owner.setdefault(member, part) != part:
            raise ValueError(f"{name}: {unit} {member} lies in both {owner[member]} and {part}; split by {unit}")


def concatenate(*parts: PoseData) -> PoseData:
    """One data set of several, ValueError if frame sizes or skeletons differ."""
    first = parts[0]
    for part in parts[1:]:
        if part.size != first.size or part.skeleton != first.skeleton:
            raise ValueError(f"{part.name} and {first.name} differ in frame size or skeleton")
    return first.joined(list(parts[1:]))


def draw_labels(data: PoseData, labels: int, draw: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose which frames are labelled: indices of the `labels` few and of the unlabelled rest.

    0 takes every frame that has a label. Frames without a label are never among the few. Draws are nested: with the
    same `draw` 50 labels are among the 100. Frames are taken from the videos in turn, so that few labels still show
    many athletes. ValueError for more labels than there are.
    """
    labelled = np.flatnonzero((data.poses[..., 2] > 0).any(1).numpy())
    if not 0 <= labels <= len(labelled) or not len(labelled):
        raise ValueError(f"{data.name}: {labels} labels of {len(labelled)} labelled frames ({len(data)} frames in all)")
    rng = np.random.default_rng([20210, draw])
    shuffled = rng.permutation(labelled)
    _, group = np.unique(data.video, return_inverse=True)
    turn = np.zeros(len(data), dtype=int)  # how many frames of the same video come before it
    seen = np.zeros(group.max() + 1, dtype=int)
    for i in shuffled:
        turn[i] = seen[group[i]]
        seen[group[i]] += 1
    order = shuffled[np.argsort(turn[shuffled], kind="stable")]
    few = np.sort(order[: labels or None])
    return few, np.setdiff1d(np.arange(len(data)), few)


def split_validation(data: PoseData, frames: int) -> PoseData:
    """The same data with at least `frames` frames of `train`, whole videos and always the same, made `val`."""
    videos = np.unique(data.video[data.split == "train"])
    split, chosen = data.split.astype("<U5"), 0
    for video in np.random.default_rng([20211, 0]).permutation(videos):
        if chosen >= frames:
            break
        split[data.video == video] = "val"
        chosen += int((data.video == video).sum())
    return replace(data, split=split)
