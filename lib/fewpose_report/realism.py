"""Realism of the worlds: the accuracy on them of a network that was trained on photographs only."""

from __future__ import annotations

import torch
from torch import Tensor

from fewpose import geometry
from fewpose.augment import normalise
from fewpose.crops import crop_maps, person_boxes
from fewpose.data.multi_person import PeopleData
from fewpose.data.pose_data import PoseData
from fewpose.metrics.pck import normalised_distances
from fewpose.models.rtmpose import CROP, published_rtmpose, rtmpose_predict
from fewpose.skeleton import HALPE


def realism(world: PoseData, rtmpose: str = "") -> Tensor:
    """Normalised distances [N, K] of RTMPose-s from ground truth, NaN for keypoints that it does not predict.

    The network gets a crop of each person, 1.25 times the box of the labelled keypoints. rtmpose: its ONNX file, or
    "download" (as also "") to find or download it.
    """
    matrix = crop_maps(person_boxes(world.poses, world.size, 1), CROP)
    crops = normalise(geometry.warp(world.frames.float(), matrix, CROP))
    found = rtmpose_predict(published_rtmpose(None if rtmpose == "download" else rtmpose), crops)
    home = geometry.transform_points(geometry.invert(matrix), found)
    names = world.skeleton.keypoints
    shared = torch.tensor([name in HALPE.keypoints for name in names])
    index = [HALPE.keypoints.index(n) if n in HALPE.keypoints else 0 for n in names]
    distances = normalised_distances(home[:, index], world.poses, world.skeleton)
    return torch.where(shared, distances, torch.nan)


def realism_of_people(people: PeopleData, rtmpose: str = "") -> Tensor:
    """Normalised distances [P, 17] of RTMPose-s from the visible keypoints of all P people.

    The network gets a crop of each person, 1.25 times the true box. NaN for keypoints that are occluded or outside the
    frame. rtmpose as for `realism`.
    """
    network, found = published_rtmpose(None if rtmpose == "download" else rtmpose), []
    for frame, boxes in zip(people.frames, people.boxes, strict=True):
        matrix = crop_maps(boxes, CROP)
        crops = geometry.warp(frame.float().expand(len(boxes), -1, -1, -1), matrix, CROP)
        seen = rtmpose_predict(network, normalise(crops))
        found.append(geometry.transform_points(geometry.invert(matrix), seen))
    ground_truth = torch.cat(people.keypoints)
    index = [HALPE.keypoints.index(name) for name in people.skeleton.keypoints]
    distances = normalised_distances(torch.cat(found)[:, index], ground_truth, people.skeleton)
    return torch.where(ground_truth[..., 2] == 2, distances, torch.nan)
