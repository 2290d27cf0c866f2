"""Soft and hard labels of unlabelled frames by the teacher: Srivastav et al., section 2.2.

The teacher finds m people in a frame, with n keypoints each. The soft set S = {S_2D, S_3D} holds all keypoints with
their confidences, and the 3D lifted from them; the hard set H = {H_2D, H_3D} the keypoints of high confidence alone,
and the 3D lifted from these. `label_files.write_labels` writes both for whole data sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fewpose.data.multi_person import PeopleData
from fewpose.metrics.box_matching import match_boxes
from fewpose.models.people import People
from fewpose.models.teacher.three_stages import Teacher, find_all, lift

NEAR = 0.1  # a keypoint is correct within this share of the longer side of its person's box
GRID = tuple(round(0.05 * i, 2) for i in range(1, 20))  # candidate thresholds


@dataclass(frozen=True)
class Thresholds:
    """The lowest score of a labelled person, and the lowest confidence of a hard keypoint.

    `box_f1` and `keypoint_f1` are the F1 in % that they reach on the validation set `chosen_on`.
    """

    box: float
    keypoint: float
    box_f1: float = float("nan")
    keypoint_f1: float = float("nan")
    chosen_on: str = ""


@dataclass(frozen=True)
class SoftHardLabels:
    """The labels of the m people in one frame; boxes and keypoints as in `People`.

    boxes   [m, 4]
    scores  [m]
    s_2d    [m, n, 3] x, y, confidence of every keypoint
    s_3d    [m, n, 3] millimetres, lifted from s_2d
    h_2d    [m, n, 3] x, y, 2 of the confident keypoints, 0, 0, 0 for the others
    h_3d    [m, n, 3] millimetres, lifted from h_2d; all 0 for a person without a confident keypoint
    """

    boxes: Tensor
    scores: Tensor
    s_2d: Tensor
    s_3d: Tensor
    h_2d: Tensor
    h_3d: Tensor


def soft_and_hard(teacher: Teacher, people: People, size: tuple[int, int], thresholds: Thresholds) -> SoftHardLabels:
    """The labels of a frame of `size` (H, W) in which the teacher found `people`."""
    labelled = people.scores >= thresholds.box
    s_2d, s_3d = people.keypoints[labelled], people.keypoints3d[labelled]
    confident = s_2d[..., 2:] >= thresholds.keypoint
    h_2d = torch.cat([s_2d[..., :2], torch.full_like(s_2d[..., 2:], 2)], -1) * confident
    h_3d = lift(teacher, h_2d, size) * confident.any(1, keepdim=True)
    return SoftHardLabels(people.boxes[labelled], people.scores[labelled], s_2d, s_3d, h_2d, h_3d)


def choose_thresholds(teacher: Teacher, validation: PeopleData) -> Thresholds:
    """The thresholds with the highest F1 on labelled frames; the paper does not publish its own.

    Boxes are matched to people by `match_boxes`. For matched people with a labelled keypoint, a predicted keypoint is
    correct within `NEAR` of the longer side of the person's true box; one without a label is a false positive, a
    labelled one below the threshold is missed. ValueError without people.
    """
    if not any(len(boxes) for boxes in validation.boxes):
        raise ValueError(f"{validation.name}: thresholds need people to be chosen on")
    found = find_all(teacher, validation.frames)
    number_of_people = sum(len(boxes) for boxes in validation.boxes)
    scores = torch.cat([people.scores for people in found])
    rows = [match_boxes(p.boxes, b) for p, b in zip(found, validation.boxes, strict=True)]
    box, box_f1 = best_threshold(scores, torch.cat(rows) >= 0, number_of_people)
    confidence, right, number_of_keypoints = [], [], 0
    for people, row, boxes, ground_truth in zip(found, rows, validation.boxes, validation.keypoints, strict=True):
        posed = torch.cat([(ground_truth[..., 2] > 0).any(1), torch.tensor([False])])  # row −1: nobody
        kept = (people.scores >= box) & posed[row]
        predicted, true = people.keypoints[kept], ground_truth[row[kept]]
        longer = (boxes[:, 2:] - boxes[:, :2]).amax(1)[row[kept], None]
        labelled = true[..., 2] > 0
        distance = (predicted[..., :2] - true[..., :2]).norm(dim=-1)
        confidence.append(predicted[..., 2].flatten())
        right.append(((distance <= NEAR * longer) & labelled).flatten())
        number_of_keypoints += int(labelled.sum())
    keypoint, keypoint_f1 = best_threshold(torch.cat(confidence), torch.cat(right), number_of_keypoints)
    return Thresholds(box, keypoint, box_f1, keypoint_f1, validation.name)


def best_threshold(scores: Tensor, right: Tensor, total: int) -> tuple[float, float]:
    """The threshold in `GRID` with the highest F1, the lowest of several, and that F1 in %.

    scores [M] and right [M] bool of M predictions; `total` is how many true ones there are.
    """
    values = []
    for threshold in GRID:
        kept = scores >= threshold
        values.append(200 * int((right & kept).sum()) / max(1, int(kept.sum()) + total))
    best = max(range(len(GRID)), key=lambda i: values[i])
    return GRID[best], values[best]
