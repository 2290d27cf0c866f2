"""YOLOX, the teacher's stage 1 in the laptop profile, run in torch from its ONNX file.

Ge et al., *YOLOX: Exceeding YOLO Series in 2021*; the file is `yolox_tiny` of rtmlib's Human-Art detectors, or one
made by the same export.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image, nms

from fewpose.models.download import find_published
from fewpose.models.onnx_graph import OnnxFile, OnnxGraph, read_onnx

STRIDES = (8, 16, 32)
GREY = 114.0  # of the padding around images, as in its training
FLOOR, OVERLAP = 0.05, 0.65  # lowest score, and IoU of non-maximum suppression


class YoloX(nn.Module):
    """The network up to its raw outputs, which are decoded here for images of any size.

    `side` is the length to which the shorter side of a frame is scaled (it was trained at 416).
    """

    def __init__(self, file: OnnxFile, side: int = 416):
        super().__init__()
        self.side = side
        first = next(node for node in file.nodes if node.op == "Conv")
        cuts = raw_outputs(file)
        self.graph = OnnxGraph(file, (first.inputs[0],), cuts)
        self.requires_grad_(False)

    @torch.no_grad()
    def boxes(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Boxes [P, 4] and scores [P] of the people in each of images [N, 3, h, w], RGB in 0..255.

        Boxes are x0, y0, x1, y1 in pixels of the images from their edge.
        """
        height, width = images.shape[-2:]
        pads = (0, -width % STRIDES[-1], 0, -height % STRIDES[-1])
        raw = self.graph(focus(F.pad(images.float().flip(1), pads, value=GREY)))  # it reads BGR
        levels = zip((0, 3, 6), STRIDES, strict=True)
        found = [read_level(*raw[i : i + 3], stride) for i, stride in levels]
        boxes, scores = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        people = []
        for b, s in zip(boxes, scores, strict=True):
            b, s = clip_boxes_to_image(b[s > FLOOR], (height, width)), s[s > FLOOR]
            kept = nms(b, s, OVERLAP)
            people.append((b[kept], s[kept]))
        return people


def focus(images: Tensor) -> Tensor:
    """The four pixels of each 2x2 as channels [N, 12, H/2, W/2], columns before rows."""
    return torch.cat([images[..., v::2, u::2] for u in (0, 1) for v in (0, 1)], 1)


def read_level(classes: Tensor, deltas: Tensor, objectness: Tensor, stride: int):
    """Boxes [N, M, 4] and scores [N, M] of persons from the raw maps of one stride."""
    h, w = deltas.shape[-2:]
    v, u = torch.meshgrid(torch.arange(h, device=deltas.device), torch.arange(w, device=deltas.device), indexing="ij")
    centre = (torch.stack([u, v]) + deltas[:, :2]) * stride
    half = deltas[:, 2:].exp() * stride / 2
    boxes = torch.cat([centre - half, centre + half], 1).flatten(2).transpose(1, 2)
    # Class 0 is "person".
    return boxes, (classes[:, 0].sigmoid() * objectness[:, 0].sigmoid()).flatten(1)


def raw_outputs(file: OnnxFile) -> tuple[str, ...]:
    """Names of the tensors of classes, boxes and objectness at 1/8, 1/16 and 1/32."""
    by_weight = {node.inputs[1]: node.outputs[0] for node in file.nodes if node.op == "Conv"}
    kinds = ("cls", "reg", "obj")
    return tuple(
        by_weight[f"bbox_head.multi_level_conv_{kind}.{level}.weight"]
        for level in range(len(STRIDES))
        for kind in kinds
    )


def yolox_tiny(path: str | Path | None = None, side: int = 416) -> YoloX:
    """The YOLOX of an ONNX file; without a path it is found or downloaded (`download.find_published`).

    ValueError naming the file if it is absent, damaged or not a YOLOX.
    """
    path = find_published("yolox_tiny", path)
    try:
        return YoloX(read_onnx(path), side).eval()
    except (KeyError, StopIteration) as error:
        raise ValueError(f"{path} is not the ONNX graph of a YOLOX (no {error}).") from error
