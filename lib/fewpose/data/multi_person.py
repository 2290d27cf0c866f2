"""Frames with several labelled people each."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from fewpose.data.frames import select
from fewpose.data.pose_data import check_disjoint, chosen, shrink
from fewpose.skeleton import Skeleton


@dataclass
class BoxData:
    """N frames with the boxes of all people in them, any number P each, to train a person detector on.

    frames  [N, 3, H, W] uint8 RGB, possibly memory-mapped; those of subsets are `Frames`, which copy none
    boxes   of each frame [P, 4] float32: x0, y0, x1, y1 in pixels counted from the frame's edge (as COCO's: the frame
            is 0, 0, W, H), around the visible part of the person
    split   [N] 'train', 'val' or 'test'

    ValueError if the parts disagree or a box is not finite or empty.
    """

    frames: Tensor
    boxes: list[Tensor]
    split: np.ndarray
    name: str = field(default="people", kw_only=True)

    def __post_init__(self) -> None:
        if self.frames.dtype != torch.uint8 or self.frames.ndim != 4 or self.frames.shape[1] != 3:
            raise ValueError(f"{self.name}: frames must be uint8 [N, 3, H, W]")
        for part in self._per_frame():
            if len(getattr(self, part)) != len(self.frames):
                raise ValueError(f"{self.name}: {part} must have one entry for each of {len(self.frames)} frames")
        for i, boxes in enumerate(self.boxes):
            check_people(self.name, "boxes", i, boxes, (len(boxes), 4))
            if (boxes[:, 2:] <= boxes[:, :2]).any():
                raise ValueError(f"{self.name}: frame {i} has a box without width or height")

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames in pixels."""
        return self.frames.shape[2], self.frames.shape[3]

    def subset(self, which: np.ndarray | Tensor | str) -> Self:
        """The frames at the given indices, of a boolean mask, or of the named split."""
        index = chosen(which, self.split)
        rows = torch.as_tensor(index, dtype=torch.long)
        parts = {}
        for part in self._per_frame():
            value = getattr(self, part)
            if part == "frames":
                parts[part] = select(value, rows)
            elif isinstance(value, list):
                parts[part] = [value[i] for i in index]
            else:
                parts[part] = value[rows] if isinstance(value, Tensor) else value[index]
        return replace(self, **parts)

    def _per_frame(self) -> list[str]:
        """Names of the fields that have one entry for each frame."""
        return [f.name for f in fields(self) if f.name not in ("name", "skeleton")]


def check_people(name: str, part: str, i: int, value: Tensor, shape: tuple[int, ...]) -> None:
    """ValueError unless the values of the people in frame i have this shape and are finite."""
    if tuple(value.shape) != shape:
        raise ValueError(f"{name}: {part} of frame {i} are {tuple(value.shape)}, expected {shape}")
    if not torch.isfinite(value).all():
        raise ValueError(f"{name}: {part} of frame {i} are not finite")


@dataclass
class PeopleData(BoxData):
    """Frames with boxes, 2D and 3D poses of all people in them, seen by calibrated cameras.

    frames, boxes, split as in `BoxData`, and:

    keypoints    of each frame [P, K, 3] float32: x, y in pixels (the centre of the top-left pixel is (0, 0)) and
                 visibility: 0 not in the frame, 1 occluded, 2 visible
    keypoints3d  of each frame [P, K, 3] float32: millimetres in the coordinates of that camera, for all keypoints
                 whatever their visibility
    areas        of each frame [P] float32: square pixels visible of the person
    person       of each frame [P] int64: who it is, the same in all frames of a day
    cameras      [N, 3, 3] float32: camera matrices, to pixels of the frame
    to_room      [N, 4, 4] float32: from camera to room coordinates, millimetres
    day          [N] names of days: the unit that splits and bootstraps never divide
    moment, view [N] ints: frames of one moment were taken at once, each by another camera
    image_id     [N] ints, those of the COCO file

    ValueError also if a day lies in two splits.
    """

    keypoints: list[Tensor]
    keypoints3d: list[Tensor]
    areas: list[Tensor]
    person: list[Tensor]
    cameras: Tensor
    to_room: Tensor
    day: np.ndarray
    moment: np.ndarray
    view: np.ndarray
    image_id: np.ndarray
    skeleton: Skeleton

    def __post_init__(self) -> None:
        super().__post_init__()
        for i, boxes in enumerate(self.boxes):
            person = (len(boxes),)
            pose = (*person, len(self.skeleton), 3)
            for part, shape in (("keypoints", pose), ("keypoints3d", pose), ("areas", person), ("person", person)):
                check_people(self.name, part, i, getattr(self, part)[i], shape)
        check_disjoint(self.name, "day", self.day, self.split)

    def moments(self) -> Tensor:
        """Indices [M, V] of the frames of each moment that all V views saw, in the views' order."""
        views = np.unique(self.view)
        order = np.lexsort((self.view, self.moment))
        _, first, count = np.unique(self.moment[order], return_index=True, return_counts=True)
        whole = first[count == len(views)]
        return torch.from_numpy(order[whole[:, None] + np.arange(len(views))])

    def resized(self, size: tuple[int, int]) -> PeopleData:
        """The same data with frames of another size (H, W), labels and cameras scaled with them."""
        if tuple(size) == self.size:
            return self
        sy, sx = size[0] / self.size[0], size[1] / self.size[1]
        map_ = torch.tensor([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])
        keypoints = []
        for pose in self.keypoints:
            moved = pose.clone()
            moved[..., :2] = pose[..., :2] @ map_[:2, :2].T + map_[:2, 2]
            moved[pose[..., 2] == 0] = 0
            keypoints.append(moved)
        factor = torch.tensor([sx, sy, sx, sy])
        return replace(
            self,
            frames=shrink(self.frames, size),
            boxes=[box * factor for box in self.boxes],
            keypoints=keypoints,
            areas=[area * sx * sy for area in self.areas],
            cameras=map_ @ self.cameras,
        )
