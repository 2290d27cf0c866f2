"""Pose models: images in, heat maps out.

Every model takes images [N, 3, H, W] (RGB, ImageNet-normalised) and returns a list of heat maps
[N, K, H/s, W/s], one for each stride s of ``model.strides``; cell centre u of a heat map lies at
pixel (u + 0.5) s - 0.5. Outputs are linear, their targets Gaussians of peak 1.

A model that answers something else (RTMPose: bins of x and of y) brings its own ``loss``, its way
to ``read`` poses and to draw ``heat_maps``: `training.pose_loss` and `heatmaps` ask for them.
"""

from fewpose.models.fetching import fetch_onnx, find_onnx
from fewpose.models.higher_hrnet import NARROW, HigherHRNet, narrow_higher_hrnet
from fewpose.models.official import load_official
from fewpose.models.rtmpose import RTMPose, rtmpose_s
from fewpose.models.simcc import rtmpose_predict
from fewpose.models.start import NETWORKS, build, pretrained
from fewpose.models.weights import (
    LoadReport,
    load_weights,
    read_meta,
    save_weights,
    shipped,
)

__all__ = [
    "NARROW",
    "NETWORKS",
    "HigherHRNet",
    "LoadReport",
    "RTMPose",
    "build",
    "fetch_onnx",
    "find_onnx",
    "load_official",
    "load_weights",
    "narrow_higher_hrnet",
    "pretrained",
    "read_meta",
    "rtmpose_predict",
    "rtmpose_s",
    "save_weights",
    "shipped",
]
