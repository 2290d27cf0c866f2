"""A room with two people in every frame, and predictions that are right or missing."""

import numpy as np
import torch

from fewpose.data.multi_person import PeopleData
from fewpose.models.people import People
from fewpose.skeleton import COCO

BOX = torch.tensor([[10.0, 5, 40, 65], [50, 10, 90, 70]])


def world(frames=12, side=(72, 96)):
    """Two people a frame, a day has two frames."""
    rng = torch.Generator().manual_seed(0)
    inside = torch.rand(frames, 2, 17, 2, generator=rng)
    xy = BOX[:, None, :2] + inside * (BOX[:, None, 2:] - BOX[:, None, :2])
    keypoints = torch.cat([xy, torch.full((frames, 2, 17, 1), 2.0)], -1)
    joints = 800 * torch.rand(frames, 2, 17, 3, generator=rng)
    camera = torch.tensor([[80.0, 0, 47.5], [0, 80, 35.5], [0, 0, 1]])
    return PeopleData(
        torch.randint(0, 255, (frames, 3, 1, 1), generator=rng).byte().expand(-1, -1, *side),
        [BOX.clone() for _ in range(frames)],
        np.array(["test"] * frames),
        list(keypoints),
        list(joints),
        [torch.tensor([900.0, 1200])] * frames,
        [torch.arange(2)] * frames,
        camera.expand(frames, 3, 3),
        torch.eye(4).expand(frames, 4, 4),
        np.array([f"day{i // 2}" for i in range(frames)]),
        np.arange(frames),
        np.zeros(frames, int),
        np.arange(frames),
        COCO,
        name="room",
    )


def guesses(data, right):
    """The ground truth in the first `right` frames, nobody in the others."""
    return [
        People(b[:n], torch.full((n,), 0.9), k[:n], j[:n])
        for i, (b, k, j) in enumerate(zip(data.boxes, data.keypoints, data.keypoints3d, strict=True))
        for n in [2 if i < right else 0]
    ]
