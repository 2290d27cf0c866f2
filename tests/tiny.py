"""A data set of coloured dots and a network small enough to learn them in seconds."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fewpose.data.pose_data import PoseData
from fewpose.models.higher_hrnet import HigherHRNet
from fewpose.models.pose_model import PoseModel
from fewpose.skeleton import Skeleton

DOTS = Skeleton(
    "dots",
    ("left_shoulder", "right_shoulder", "left_hip", "right_hip"),
    (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")),
    (0.1, 0.1, 0.1, 0.1),
)
SHADES = torch.tensor([[255, 40, 40], [40, 255, 40], [40, 40, 255], [255, 255, 40]])


def dots(n: int = 24, size: int = 32, seed: int = 0, split: str = "train") -> PoseData:
    """n frames with a coloured dot at each of four keypoints, two frames a video."""
    rng = np.random.default_rng(seed)
    poses = torch.full((n, 4, 3), 2.0)
    centre = np.array([[20, 10], [10, 10], [20, 22], [10, 22]])
    poses[..., :2] = torch.tensor(centre + rng.uniform(-4, 4, (n, 4, 2)))
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    frames = torch.full((n, 3, size, size), 90, dtype=torch.uint8)
    for i in range(n):
        for k in range(4):
            near = (x - poses[i, k, 0]) ** 2 + (y - poses[i, k, 1]) ** 2 < 6
            frames[i][:, near] = SHADES[k].to(torch.uint8)[:, None]
    video = np.array([f"{split}{seed}-{i // 2}" for i in range(n)])
    return PoseData(frames, poses, DOTS, video, np.array([split] * n), "dots")


class TinyNet(PoseModel):
    """Heat maps at 1/2 from three convolutions, with dropout so that resume must keep its state."""

    strides = (2,)

    def __init__(self, keypoints: int = 4, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.keypoints = keypoints
        self.net = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Dropout2d(0.1),
            nn.Conv2d(16, 16, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(16, keypoints, 1),
        )

    def forward(self, images):
        return [self.net(images)]


def random_hrnet(keypoints: int) -> HigherHRNet:
    """A very small HigherHRNet whose untrained heat maps have clear peaks, in evaluation mode."""
    torch.manual_seed(0)
    small = dict(width=8, modules=(1, 1, 1), blocks=1, stem=8, bottlenecks=1, deconv_blocks=1)
    model = HigherHRNet(keypoints, **small).eval()
    with torch.no_grad():
        for layer in model.final_layers:
            layer.weight.mul_(100)
    return model
