"""The in-memory form of frames with several labelled people each, seen by calibrated cameras."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fewpose.data.pose_data import check_disjoint, chosen
from fewpose.skeleton import Skeleton

_LISTS = ("boxes", "keypoints", "keypoints3d", "areas", "person")  # one entry a frame


@dataclass
class PeopleData:
    """N frames with any number P of labelled people each.

    frames       [N, 3, H, W] uint8 RGB, possibly memory-mapped
    boxes        of each frame [P, 4] float32: x0, y0, x1, y1 in pixels counted from the frame's
                 edge (as COCO's: the frame is 0, 0, W, H), around what is seen of the person
    keypoints    of each frame [P, K, 3] float32: x, y in pixels (the centre of the top-left pixel
                 is (0, 0)) and visibility: 0 not in the frame, 1 occluded, 2 visible
    keypoints3d  of each frame [P, K, 3] float32: millimetres in the frame of that camera, for all
                 keypoints whatever their visibility
    areas        of each frame [P] float32: square pixels seen of the person
    person       of each frame [P] int64: who it is, the same in all frames of a day
    cameras      [N, 3, 3] float32: camera matrices, pixels of the camera frame
    to_room      [N, 4, 4] float32: camera frame to that of the room, millimetres
    day          [N] names of days: the unit that splits and bootstraps never divide
    moment, view [N] ints: frames of one moment were taken at once, each by another view
    split        [N] 'train', 'val' or 'test'
    image_id     [N] ints, those of the COCO file

    ValueError if the parts disagree, a label is not finite or a day lies in two splits.
    """

    frames: Tensor
    boxes: list[Tensor]
    keypoints: list[Tensor]
    keypoints3d: list[Tensor]
    areas: list[Tensor]
    person: list[Tensor]
    cameras: Tensor
    to_room: Tensor
    day: np.ndarray
    moment: np.ndarray
    view: np.ndarray
    split: np.ndarray
    image_id: np.ndarray
    skeleton: Skeleton
    name: str = "people"

    def __post_init__(self) -> None:
        n, k = len(self.frames), len(self.skeleton)
        if self.frames.dtype != torch.uint8 or self.frames.ndim != 4 or self.frames.shape[1] != 3:
            raise ValueError(f"{self.name}: frames must be uint8 [N, 3, H, W]")
        for part in (*_LISTS, "cameras", "to_room", "day", "moment", "view", "split", "image_id"):
            if len(getattr(self, part)) != n:
                raise ValueError(f"{self.name}: {part} must have one entry for each of {n} frames")
        for i in range(n):
            people = len(self.boxes[i])
            shapes = (people, 4), (people, k, 3), (people, k, 3), (people,), (people,)
            for part, shape in zip(_LISTS, shapes, strict=True):
                value = getattr(self, part)[i]
                if tuple(value.shape) != shape:
                    raise ValueError(f"{self.name}: {part} of frame {i} are {tuple(value.shape)}, expected {shape}")
                if not torch.isfinite(value).all():
                    raise ValueError(f"{self.name}: {part} of frame {i} are not finite")
        check_disjoint(self.name, "day", self.day, self.split)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames in pixels."""
        return self.frames.shape[2], self.frames.shape[3]

    def subset(self, which: np.ndarray | Tensor | str) -> PeopleData:
        """The frames at the given indices, of a boolean mask, or of the named split."""
        index = chosen(which, self.split)
        t = torch.as_tensor(index, dtype=torch.long)
        lists = {part: [getattr(self, part)[i] for i in index] for part in _LISTS}
        arrays = {part: getattr(self, part)[index] for part in ("day", "moment", "view", "split", "image_id")}
        return replace(self, frames=self.frames[t], cameras=self.cameras[t], to_room=self.to_room[t], **lists, **arrays)

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
        small = [
            F.interpolate(part.float(), size, mode="bilinear", antialias=True).round().byte()
            for part in self.frames.split(64)
        ]
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
            frames=torch.cat(small),
            boxes=[box * factor for box in self.boxes],
            keypoints=keypoints,
            areas=[area * sx * sy for area in self.areas],
            cameras=map_ @ self.cameras,
        )
