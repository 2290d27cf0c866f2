"""A cascade small enough to train in seconds."""

import torch
from torch import nn

from fewpose.models.teacher.paper.cascade_rcnn import CascadeRCNN

ANCHORS = (8, 16, 32, 64, 128)


class TinyBackbone(nn.Module):
    """Maps at 1/4 … 1/64 of eight channels."""

    out_channels = 8

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 4, 1)
        self.down = nn.ModuleList(nn.Conv2d(8, 8, 3, 2, 1) for _ in range(4))

    def forward(self, x):
        maps = [self.first(x).relu()]
        for layer in self.down:
            maps.append(layer(maps[-1]).relu())
        return dict(zip(["0", "1", "2", "3", "pool"], maps, strict=True))


def tiny(stages=3, seed=0, proposals=(30, 20)):
    torch.manual_seed(seed)
    return CascadeRCNN(TinyBackbone(), 64, ANCHORS, 16, proposals, 32, 10, stages)
