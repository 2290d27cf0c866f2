"""Where the person is in each frame of a film, and their crops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from fewpose.crops import crop_maps, cut_crops
from fewpose.models.teacher.box_fusion import Detector, detect
from fewpose_video.follow import follow

BATCH = 8
SURE = 0.2  # least score of a box that may be a person


def find_boxes(detector: Detector, pictures: Iterable[np.ndarray]) -> list[tuple[Tensor, Tensor]]:
    """Boxes [P, 4] and scores [P] of the people in each picture [H, W, 3] RGB, on the CPU."""
    found, device = [], next(detector.parameters()).device
    for some in batches(pictures):
        for boxes, scores in detect(detector, to_tensor(some).to(device), (1.0,), flip=False):
            found.append((boxes[scores >= SURE].cpu(), scores[scores >= SURE].cpu()))
    return found


def find_person(detector: Detector, pictures: Iterable[np.ndarray]) -> Tensor:
    """The box [T, 4] of the person that a film's pictures [H, W, 3] follow; NaN where nobody is."""
    return follow(find_boxes(detector, pictures))


def cut(pictures: list[np.ndarray], boxes: Tensor, size: tuple[int, int], margin: float) -> tuple[Tensor, Tensor]:
    """Crops [N, 3, H, W] uint8 of `size` around a box [N, 4] in each picture, and their maps.

    The maps [N, 2, 3] lead from pixels of the pictures to those of the crops.
    """
    maps = crop_maps(boxes, size, margin)
    crops = cut_crops(to_tensor(pictures), torch.arange(len(boxes)), maps, size)
    return crops.round().clamp(0, 255).byte(), maps


def batches(pictures: Iterable) -> Iterator[list]:
    """Pictures of one size, alone or each with its time, BATCH at a time."""
    some = []
    for picture in pictures:
        some.append(picture)
        if len(some) == BATCH:
            yield some
            some = []
    if some:
        yield some


def to_tensor(pictures: list[np.ndarray]) -> Tensor:
    """Pictures [H, W, 3] of one size as frames [N, 3, H, W] uint8."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
