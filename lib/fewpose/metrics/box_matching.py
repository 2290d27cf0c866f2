"""Greedy matching of detected boxes to people."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou


def match_boxes(boxes: Tensor, ground_truth: Tensor) -> Tensor:
    """The row of ground_truth [Q, 4] to which each of boxes [P, 4], by falling score, is matched; −1 for none.

    A box is matched to the person with the highest IoU, at least 0.5, among those not matched before.
    """
    row = torch.full((len(boxes),), -1, dtype=torch.long)
    if not len(ground_truth):
        return row
    overlap = box_iou(boxes, ground_truth)
    for i in range(len(boxes)):
        best, j = overlap[i].max(0)
        if best >= 0.5:
            row[i] = j
            overlap[:, j] = -1
    return row
