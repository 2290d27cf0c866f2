"""How real the worlds look to a network that learned from photographs only."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import geometry, metrics
from ..augment import normalise
from ..data import PoseData
from ..data.people import PeopleData
from ..skeleton import HALPE

CROP = (256, 192)  # what RTMPose-s reads: height, width


def realism(world: PoseData, rtmpose: str = "") -> Tensor:
    """Normalised distances [N, K] of RTMPose-s from the truth, NaN for keypoints it does not know.

    The network sees each person in the box of the labelled keypoints, widened by 1.25. rtmpose:
    its ONNX file, or "fetch" to look it up or get it once.
    """
    from ..models import rtmpose_predict

    boxes = person_boxes(world.poses)
    matrix = crop_maps(boxes)
    crops = normalise(geometry.warp(world.frames.float(), matrix, CROP))
    found = rtmpose_predict(None if rtmpose == "fetch" else rtmpose, crops)
    home = geometry.transform_points(geometry.invert(matrix), found)
    names = world.skeleton.keypoints
    shared = torch.tensor([name in HALPE.keypoints for name in names])
    index = [HALPE.keypoints.index(n) if n in HALPE.keypoints else 0 for n in names]
    distances = metrics.normalised_distances(home[:, index], world.poses, world.skeleton)
    return torch.where(shared, distances, torch.nan)


def realism_of_people(people: PeopleData, rtmpose: str = "") -> Tensor:
    """Normalised distances [P, 17] of RTMPose-s from the visible keypoints of all P people.

    The network sees each person in the true box, widened by 1.25. NaN for keypoints that are
    occluded or out of the frame. rtmpose as for `realism`.
    """
    from ..models import rtmpose_predict

    found = []
    for frame, boxes in zip(people.frames, people.boxes, strict=True):
        matrix = crop_maps(boxes - 0.5)  # boxes count from the edge of the first pixel
        crops = geometry.warp(frame.float().expand(len(boxes), -1, -1, -1), matrix, CROP)
        seen = rtmpose_predict(None if rtmpose == "fetch" else rtmpose, normalise(crops))
        found.append(geometry.transform_points(geometry.invert(matrix), seen))
    truth = torch.cat(people.keypoints)
    index = [HALPE.keypoints.index(name) for name in people.skeleton.keypoints]
    distances = metrics.normalised_distances(torch.cat(found)[:, index], truth, people.skeleton)
    return torch.where(truth[..., 2] == 2, distances, torch.nan)


def person_boxes(poses: Tensor) -> Tensor:
    """Boxes x0, y0, x1, y1 [N, 4] around the labelled keypoints of poses [N, K, 3]."""
    seen = poses[..., 2:] > 0
    low = torch.where(seen, poses[..., :2], torch.inf).amin(1)
    high = torch.where(seen, poses[..., :2], -torch.inf).amax(1)
    return torch.cat([low, high], dim=1)


def crop_maps(boxes: Tensor) -> Tensor:
    """Maps [N, 2, 3] from frame pixels to CROP around each box, widened by 1.25, aspect kept."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    width, height = (1.25 * (boxes[:, 2:] - boxes[:, :2])).unbind(1)
    scale = CROP[1] / torch.maximum(width, height * CROP[1] / CROP[0])
    middle = torch.tensor([(CROP[1] - 1) / 2, (CROP[0] - 1) / 2])
    matrix = geometry.identity(len(boxes)) * scale.view(-1, 1, 1)
    matrix[:, :, 2] = middle - scale[:, None] * centre
    return matrix
