"""The teacher's soft and hard labels, held against the truth that it never saw."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from fewpose.data.labels import read_labels
from fewpose.data.multi_person import PeopleData
from fewpose.metrics.box_matching import match_boxes
from fewpose.soft_hard_labels import NEAR


def label_audit(path: Path, truth: PeopleData) -> pd.DataFrame:
    """A row for hard and for soft labels of `label_files.write_labels` of just these frames.

    A labelled person is the true one whose box it overlaps by half. Of the keypoints that the truth has too: how many
    % are labelled (`labelled`) and how many % of these lie within `NEAR` of the person's size (`right`), likewise of
    those that are hidden; `weighted` counts each by its confidence. `mm` is the median error in 3D of all keypoints,
    relative to the hips.
    """
    labels = read_labels(path, truth.frames, truth.skeleton)
    row = [match_boxes(own, true) for own, true in zip(labels.boxes, truth.boxes, strict=True)]
    everybody = sum(len(boxes) for boxes in truth.boxes)
    known = int(sum((poses[..., 2] > 0).sum() for poses in truth.keypoints))
    rows = []
    for kind, poses, points in (("hard", labels.hard, labels.hard3d), ("soft", labels.soft, labels.soft3d)):
        own, own3d, true, true3d, size = _matched(poses, points, row, truth)
        given = (own[..., 2] > 0) & (true[..., 2] > 0)
        right = (own[..., :2] - true[..., :2]).norm(dim=-1) <= NEAR * size
        hidden = given & (true[..., 2] == 1)
        lifted = (own3d != 0).flatten(1).any(1)
        error = (own3d - true3d).norm(dim=-1)[lifted]
        rows.append(
            {
                "labels": kind,
                "people found in %": 100 * len(own) / max(1, everybody),
                "labelled in %": 100 * int(given.sum()) / max(1, known),
                "right in %": _share(right, given),
                "hidden ones right in %": _share(right, hidden),
                "right, weighted, in %": _share(right, given * own[..., 2].clamp_max(1)),
                "3D error in mm": float(error.median()) if len(error) else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def _matched(poses: list[Tensor], points: list[Tensor], row: list[Tensor], truth: PeopleData):
    """Labels and truth of all people that were found: 2D and 3D of both, and sizes [P, 1]."""
    hips = [truth.skeleton.index("left_hip"), truth.skeleton.index("right_hip")]
    found = [r >= 0 for r in row]
    own = torch.cat([part[f] for part, f in zip(poses, found, strict=True)])
    own3d = torch.cat([part[f] for part, f in zip(points, found, strict=True)])
    index = [r[f] for r, f in zip(row, found, strict=True)]
    true, true3d, boxes = (
        torch.cat([part[i] for part, i in zip(parts, index, strict=True)])
        for parts in (truth.keypoints, truth.keypoints3d, truth.boxes)
    )
    size = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True)
    return own, own3d, true, true3d - true3d[:, hips].mean(1, keepdim=True), size


def _share(right: Tensor, weights: Tensor) -> float:
    """Percent of the weights that fall on what is right; NaN without any."""
    total = float(weights.sum())
    return 100 * float((right * weights).sum()) / total if total else float("nan")
