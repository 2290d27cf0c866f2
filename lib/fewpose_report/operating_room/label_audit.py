"""The teacher's soft and hard labels compared with the ground truth."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from fewpose.data.labels import read_labels
from fewpose.data.multi_person import PeopleData
from fewpose.metrics.box_matching import match_boxes
from fewpose.soft_hard_labels import NEAR


def label_audit(path: Path, data: PeopleData) -> pd.DataFrame:
    """A row for the hard and one for the soft labels that `label_files.write_labels` wrote for exactly these frames.

    Labelled people are matched to true ones by `match_boxes`. Of the keypoints with ground truth: how many % are
    labelled (`labelled`) and how many % of these lie within `NEAR` of the person's size (`correct`), likewise of those
    that are hidden; `weighted` counts each by its confidence. `3D error` is the median over all keypoints, relative to
    the hips.
    """
    labels = read_labels(path, data.frames, data.skeleton)
    match = [match_boxes(own, true) for own, true in zip(labels.boxes, data.boxes, strict=True)]
    everybody = sum(len(boxes) for boxes in data.boxes)
    known = int(sum((poses[..., 2] > 0).sum() for poses in data.keypoints))
    rows = []
    for kind, poses, points in (("hard", labels.hard, labels.hard3d), ("soft", labels.soft, labels.soft3d)):
        own, own3d, true, true3d, size = _matched(poses, points, match, data)
        given = (own[..., 2] > 0) & (true[..., 2] > 0)
        correct = (own[..., :2] - true[..., :2]).norm(dim=-1) <= NEAR * size
        hidden = given & (true[..., 2] == 1)
        lifted = (own3d != 0).flatten(1).any(1)
        error = (own3d - true3d).norm(dim=-1)[lifted]
        rows.append(
            {
                "labels": kind,
                "people found in %": 100 * len(own) / max(1, everybody),
                "labelled in %": 100 * int(given.sum()) / max(1, known),
                "correct in %": _share(correct, given),
                "hidden ones correct in %": _share(correct, hidden),
                "correct, weighted, in %": _share(correct, given * own[..., 2].clamp_max(1)),
                "3D error in mm": float(error.median()) if len(error) else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def _matched(poses: list[Tensor], points: list[Tensor], match: list[Tensor], data: PeopleData):
    """Labels and ground truth of all people that were found: 2D and 3D of both, and sizes [P, 1]."""
    hips = [data.skeleton.index("left_hip"), data.skeleton.index("right_hip")]
    found = [m >= 0 for m in match]
    own, own3d = (torch.cat([p[f] for p, f in zip(parts, found, strict=True)]) for parts in (poses, points))
    index = [m[f] for m, f in zip(match, found, strict=True)]
    true, true3d, boxes = (
        torch.cat([part[i] for part, i in zip(parts, index, strict=True)])
        for parts in (data.keypoints, data.keypoints3d, data.boxes)
    )
    size = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True)
    return own, own3d, true, true3d - true3d[:, hips].mean(1, keepdim=True), size


def _share(correct: Tensor, weights: Tensor) -> float:
    """Percent of the weights that fall on what is correct; NaN without any."""
    total = float(weights.sum())
    return 100 * float((correct * weights).sum()) / total if total else float("nan")
