"""The people that a network finds in a frame."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class People:
    """The P people found in one frame, by falling score.

    boxes       [P, 4] x0, y0, x1, y1 in pixels of the frame from its edge
    scores      [P] of the boxes, 0 … 1
    keypoints   [P, K, 3] x, y in pixels (the centre of the top-left pixel is (0, 0)), confidence
    keypoints3d [P, K, 3] millimetres in the axes of the camera, the middle of the hips at 0
    """

    boxes: Tensor
    scores: Tensor
    keypoints: Tensor
    keypoints3d: Tensor

    def __len__(self) -> int:
        return len(self.boxes)
