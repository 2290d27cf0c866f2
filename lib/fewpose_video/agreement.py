"""How far a student agrees with its teacher where nothing is labelled: a proxy for its accuracy, and no more.

Both may be wrong alike, as the student has learned the teacher's mistakes too, and the student may be right where the
teacher is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fewpose.metrics.box_matching import match_boxes
from fewpose.models.people import People
from fewpose.soft_hard_labels import NEAR

SCORE = 0.3  # of people who count as found


def agreement(
    found: Sequence[People], boxes: Sequence[Tensor], keypoints: Sequence[Tensor], score: float = SCORE
) -> dict[str, float]:
    """What of the labels [P, 4] and [P, K, 3] of each frame is found there as well.

    people     % of the labelled people, matched by `match_boxes`
    keypoints  % of the labelled keypoints that are found within NEAR of the longer side of the person's box; those of
               people who are not found count as missed
    others     people found per frame that have no label
    n          number of labelled keypoints

    NaN where nobody is labelled. ValueError if the numbers of frames differ.
    """
    if not len(found) == len(boxes) == len(keypoints):
        raise ValueError(f"{len(found)} frames were predicted, {len(boxes)} are labelled")
    people = matched = near = labelled = others = 0
    for own, true, poses in zip(found, boxes, keypoints, strict=True):
        kept = own.scores >= score
        row = match_boxes(own.boxes[kept], true)
        pairs, people = row >= 0, people + len(true)
        matched, others = matched + int(pairs.sum()), others + int((~pairs).sum())
        labelled += int((poses[..., 2] > 0).sum())
        theirs, box = poses[row[pairs]], true[row[pairs]]
        longer = (box[:, 2:] - box[:, :2]).amax(1, keepdim=True)
        distance = torch.linalg.vector_norm(own.keypoints[kept][pairs][..., :2] - theirs[..., :2], dim=-1)
        near += int(((distance <= NEAR * longer) & (theirs[..., 2] > 0)).sum())
    return {
        "people": 100 * matched / people if people else float("nan"),
        "keypoints": 100 * near / labelled if labelled else float("nan"),
        "others": others / max(1, len(found)),
        "n": labelled,
    }


def held_out(video: Sequence[str], share: float = 0.25) -> np.ndarray:
    """Which of N frames [N] a student is not trained on: a share of the videos, the last ones by name, at least one.

    Of a single video it is the last share of the frames, which are in order.
    """
    video = np.asarray(video)
    names = np.unique(video)
    if len(names) == 1:
        return np.arange(len(video)) >= round(len(video) * (1 - share))
    return np.isin(video, names[-max(1, round(share * len(names))) :])
