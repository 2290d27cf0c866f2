"""Region proposals, of the student and of the paper's detector."""

from __future__ import annotations

import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead


class Proposer(RegionProposalNetwork):
    """torchvision's RPN, always in single precision: bf16 moves boxes by pixels."""

    def forward(self, images, features, targets=None):
        with torch.autocast(images.tensors.device.type, enabled=False):
            single = {name: x.float() for name, x in features.items()}
            return super().forward(images, single, targets)


def proposer(
    channels: int, anchors: tuple[int, ...], ratios: tuple[float, ...], proposals: tuple[int, int], before: int
) -> Proposer:
    """torchvision's RPN with anchors of one side per level and several ratios of height to width.

    `proposals` are kept per image (training, prediction), of `before` times as many before non-maximum suppression.
    """
    generator = AnchorGenerator(tuple((a,) for a in anchors), (ratios,) * len(anchors))
    keep = dict(training=proposals[0], testing=proposals[1])
    return Proposer(
        generator,
        RPNHead(channels, len(ratios)),
        0.7,
        0.3,
        256,
        0.5,
        {k: before * v for k, v in keep.items()},
        keep,
        0.7,
    )
