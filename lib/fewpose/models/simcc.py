"""A teacher's stage 2 for real frames: RTMPose-s as published, its answers as heat maps.

Jiang et al., *RTMPose* (2023): a SimCC network answers a row of bins for x and one for y.
"""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from .fetching import find_onnx
from .onnx_graph import OnnxFile, OnnxGraph, read_onnx

CROP = (256, 192)  # height and width of the crops
BINS = 2  # of a pixel


class Simcc(nn.Module):
    """RTMPose-s untrained further: crops in, heat maps [N, 17, 64, 48] at 1/4 out.

    Of its 26 Halpe keypoints the first 17 are COCO's. A cell holds the geometric mean of the
    column's and the row's answer, so that its peak is of the height of theirs. At 1/4 it is about
    as wide as a target of our own heat maps, which `heatmaps.smooth` counts on.
    """

    strides = (4,)
    keypoints = 17

    def __init__(self, file: OnnxFile):
        super().__init__()
        self.graph = OnnxGraph(file, file.inputs, file.outputs)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Heat maps of crops [N, 3, 256, 192], ImageNet-normalised RGB."""
        if tuple(images.shape[-2:]) != CROP:
            raise ValueError(f"RTMPose reads crops of {CROP}, not {tuple(images.shape[-2:])}.")
        x, y = (bins[:, : self.keypoints].clamp_min(0) for bins in self.graph(images))
        x, y = (F.avg_pool1d(bins, BINS * self.strides[0]) for bins in (x, y))
        return [(y.unsqueeze(-1) * x.unsqueeze(-2)).sqrt()]


def rtmpose_heatmaps(path: str | Path | None = None) -> Simcc:
    """RTMPose-s for `crops.estimate`; the file is found as by `rtmpose.rtmpose_s`."""
    return Simcc(read_onnx(find_onnx("rtmpose_s", path))).eval()
