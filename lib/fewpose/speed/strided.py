"""Depthwise convolutions of stride 2 whose backward pass is fast on CPUs."""

from __future__ import annotations

import torch.nn.functional as F
from timm.layers import Conv2dSame
from torch import Tensor


class StridedDepthwise(Conv2dSame):
    """A 3x3 depthwise convolution of stride 2, padded as TensorFlow does, of maps with even sides.

    In training, every other output of the same convolution with stride 1, as the backward pass of the strided one takes
    ten times as long in torch 2.11 on a CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        return F.conv2d(x, self.weight, self.bias, padding=1, groups=self.groups)[..., 1::2, 1::2]
