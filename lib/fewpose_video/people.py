"""Where the person is in each frame of a video, and their crops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fewpose import geometry
from fewpose.crops import crop_maps, cut_crops
from fewpose.models.teacher.box_fusion import Detector, detect
from fewpose_video.track import track_person

BATCH = 8
COARSEST = 16  # pixels: cells of the coarsest average of `cut_crops`
MIN_BOX_SCORE = 0.2


def detect_people(detector: Detector, images: Iterable[np.ndarray]) -> list[tuple[Tensor, Tensor]]:
    """Boxes [P, 4] and scores [P] of the people in each image [H, W, 3] RGB, on the CPU."""
    detections, device = [], next(detector.parameters()).device
    for batch in batches(images, 1 if device.type == "cpu" else BATCH):  # on a CPU more at a time are slower
        frames, back = resize(batch, detector.side)
        for boxes, scores in detect(detector, frames.to(device), (1.0,), flip=False):
            kept = scores >= MIN_BOX_SCORE
            detections.append((boxes[kept].cpu() * back, scores[kept].cpu()))
    return detections


def resize(images: list[np.ndarray], side: int) -> tuple[Tensor, Tensor]:
    """Images [H, W, 3] as frames [N, 3, h, w] uint8 whose shorter side is `side`, and the factors [4] of boxes back.

    In bytes with the channels last, ten times as fast as in `detect`.
    """
    frames = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    height, width = frames.shape[-2:]
    size = tuple(max(1, round(length * side / min(height, width))) for length in (height, width))
    small = F.interpolate(frames, size, mode="bilinear", antialias=True)
    return small, torch.tensor([width / size[1], height / size[0]] * 2)


def find_person(detector: Detector, images: Iterable[np.ndarray]) -> tuple[Tensor, Tensor]:
    """The box [T, 4] and ID [T] of the main person in a video's images [H, W, 3], as `track_person`."""
    return track_person(detect_people(detector, images))


def crop_boxes(images: list[np.ndarray], boxes: Tensor, size: tuple[int, int], margin: float) -> tuple[Tensor, Tensor]:
    """Crops [N, 3, H, W] uint8 of `size` around a box [N, 4] in each image.

    Also the maps [N, 2, 3] from pixels of the images to those of the crops.
    """
    maps = crop_maps(boxes, size, margin)
    crops = torch.cat([cut_crop(image, matrix[None], size) for image, matrix in zip(images, maps, strict=True)])
    return crops.round().clamp(0, 255).byte(), maps


def cut_crop(image: np.ndarray, matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """As `cut_crops` of one image [H, W, 3] under a map [1, 2, 3], from only that part of it which the crop shows.

    Not by OpenCV: its positions, rounded to 1/32 of a pixel, move keypoints by more than half a pixel in some frames.
    """
    corners = torch.tensor([[[-1.0, -1], [size[1], size[0]]]])
    (x0, y0), (x1, y1) = geometry.transform_points(geometry.invert(matrix), corners)[0].tolist()
    # whole cells of the coarsest average of `cut_crops`, and one more on each side
    left, top = (max(0, int(edge // COARSEST - 1) * COARSEST) for edge in (x0, y0))
    right, bottom = (max(0, int(edge // COARSEST + 2) * COARSEST) for edge in (x1, y1))
    part = image[top:bottom, left:right]
    if not part.size:
        return torch.zeros(1, 3, *size)
    here = geometry.compose(matrix, torch.tensor([[[1.0, 0, left], [0, 1, top]]]))
    return cut_crops(stack_images([part]), torch.zeros(1, dtype=torch.long), here, size)


def batches(items: Iterable, count: int = BATCH) -> Iterator[list]:
    """Lists of `count` items, the last one maybe shorter."""
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == count:
            yield batch
            batch = []
    if batch:
        yield batch


def stack_images(images: list[np.ndarray]) -> Tensor:
    """Images [H, W, 3] of one size as frames [N, 3, H, W] uint8."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
