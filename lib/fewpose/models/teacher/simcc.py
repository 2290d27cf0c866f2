"""RTMPose-s as published, not trained further: a second opinion, and the teacher's stage 2.

Jiang et al., *RTMPose* (2023): a SimCC network answers a row of bins for x and one for y.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from fewpose.models.download import find_onnx
from fewpose.models.onnx_graph import OnnxFile, OnnxGraph, read_onnx
from fewpose.models.pose_model import PoseModel

CROP = (256, 192)  # height and width of the crops
BINS = 2  # of a pixel


class Simcc(PoseModel):
    """RTMPose-s untrained further: crops in, heat maps [N, 17, 64, 48] at 1/4 out.

    Of its 26 Halpe keypoints the first 17 are COCO's. A cell holds the geometric mean of the column's and the row's
    answer, so that its peak is of the height of theirs. At 1/4 it is about as wide as a target of our own heat maps,
    which `heatmaps.smooth` counts on.
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
    """RTMPose-s for `crops.estimate`; the file is found as by `rtmpose_s`."""
    return Simcc(read_onnx(find_onnx("rtmpose_s", path))).eval()


def rtmpose_predict(path: str | Path | None, crops: Tensor, batch: int = 32) -> Tensor:
    """The 26 Halpe keypoints that RTMPose-s as published finds in ``crops``, without training.

    crops [N, 3, 256, 192]: one person each, upright, centred, ImageNet-normalised RGB. Returns [N, 26, 3]: x, y in
    pixels of the crop (to half a pixel) and the confidence, the lower of the two SimCC maxima (section 3.1 of the
    RTMPose paper; 0.3 is a common threshold).
    """
    if crops.ndim != 4 or tuple(crops.shape[1:]) != (3, *CROP):
        raise ValueError(f"RTMPose reads crops [N, 3, 256, 192], not {list(crops.shape)}.")
    network = _whole(str(find_onnx("rtmpose_s", path))).to(crops.device)
    poses = []
    with torch.no_grad():
        for part in crops.split(batch):
            if not len(part):
                continue
            (x_score, x), (y_score, y) = (bins.max(-1) for bins in network(part))
            poses.append(torch.stack([x / BINS, y / BINS, torch.minimum(x_score, y_score)], -1))
    return torch.cat(poses) if poses else crops.new_zeros(0, 26, 3)


@lru_cache(maxsize=1)
def _whole(path: str) -> OnnxGraph:
    file = read_onnx(path)
    return OnnxGraph(file, file.inputs, file.outputs).eval().requires_grad_(False)
