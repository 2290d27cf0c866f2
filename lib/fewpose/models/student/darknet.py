"""YOLOX-tiny's CSPDarknet as a trainable backbone with a feature pyramid.

Ge et al., *YOLOX: Exceeding YOLO Series in 2021*; cut out of the ONNX file of `yolox`.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from fewpose.models.download import find_published
from fewpose.models.onnx_graph import OnnxFile, OnnxGraph, channels_of, freeze_parts, read_onnx, run_parts
from fewpose.models.teacher.yolox import focus

PARTS = 5  # the stem at 1/2 and four stages, each at half the resolution of the one before
MEAN, STD = (0.0, 0.0, 0.0), (1 / 255,) * 3  # images of 0..1 are scaled to 0..255, which it reads


class Darknet(nn.Module):
    """CSPDarknet under torchvision's feature pyramid of `channels`: maps "0" … "3" and "pool".

    The first `frozen` of the backbone's five parts (stem, stages 1 to 4) are neither trained nor stored for the
    backward pass. Batch norm is folded into its convolutions.
    """

    def __init__(self, file: OnnxFile, channels: int = 64, frozen: int = 0):
        super().__init__()
        self.out_channels = channels
        cuts = backbone_cuts(file)
        self.body = nn.ModuleList(OnnxGraph(file, (before,), (after,)) for before, after in pairwise(cuts))
        widths = [channels_of(file, cut) for cut in cuts[2:]]
        self.fpn = FeaturePyramidNetwork(widths, channels, LastLevelMaxPool())
        self.frozen = freeze_parts(self.body, frozen, "the Darknet")

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Maps [N, C, H/s, W/s] of s = 4, 8, 16, 32 and 64 of images [N, 3, H, W], RGB in 0..255.

        H and W are multiples of 32.
        """
        maps = run_parts(self.body, focus(images.flip(1)), self.frozen)  # it reads BGR
        return self.fpn({str(level): x for level, x in enumerate(maps[1:])})


def yolox_darknet(path: str | Path | None = None, channels: int = 64, frozen: int = 0) -> Darknet:
    """The backbone of YOLOX-tiny under an untrained pyramid; without a path the file is found or downloaded.

    ValueError naming the file if it is absent, damaged or not a YOLOX.
    """
    path = find_published("yolox_tiny", path)
    try:
        return Darknet(read_onnx(path), channels, frozen)
    except (KeyError, StopIteration) as error:
        raise ValueError(f"{path} is not the ONNX graph of a YOLOX (no {error}).") from error


def backbone_cuts(file: OnnxFile) -> list[str]:
    """Names of the tensors before the stem and after each of the five parts."""
    before_neck = []
    for node in file.nodes:
        if node.op == "Resize":  # the neck's first, on a 1x1 convolution of the last map
            break
        if node.op == "Conv":
            before_neck.append(node)
    halving = [n.inputs[0] for n in before_neck if list(n.attributes.get("strides", [])) == [2, 2]]
    if len(halving) != PARTS - 1 or len(before_neck) == sum(n.op == "Conv" for n in file.nodes):
        raise KeyError("four convolutions of stride 2 before the neck")
    return [before_neck[0].inputs[0], *halving, before_neck[-1].inputs[0]]
