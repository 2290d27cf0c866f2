"""HigherHRNet's two heads on MoveNet's trunk: the sports paper's network at a size that two cores can train.

As HigherHRNet (Cheng et al., CVPR 2020) predicts heat maps at 1/4 and at 1/2 of the input, from features in which all
resolutions are fused. The trunk is MoveNet's, which was trained on COCO (`movenet`).
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from timm.models.resnet import BasicBlock
from torch import Tensor, nn

from fewpose.models.higher_hrnet import check_dropout, check_keypoints, heat_map_layer, upsampling
from fewpose.models.movenet import CHANNELS, MoveNet, movenet
from fewpose.models.pose_model import PoseModel
from fewpose.speed.precision import half_in_training

WIDTH = 48  # channels of the fused features, at 1/4
FINE = 32  # channels at 1/2
FROZEN = 2  # of the trunk's five parts, the stem and four stages


class HigherMoveNet(PoseModel):
    """HigherHRNet's heads on the four stages of `MoveNet`, of which the first `frozen` parts do not learn.

    Each stage's map is brought to WIDTH channels and added to the fused map of half its resolution (`fusions`), as in
    HRNet's last module, of which only the highest resolution is read. The trunk has its batch norm folded and learns at
    a tenth of the head's rate. CPUs with bf16 instructions train in bf16; predictions are in single precision.
    """

    at_backbone_rate = ("trunk.",)
    backbone_rate = 0.1

    def __init__(self, keypoints: int, frozen: int = FROZEN):
        super().__init__()
        check_keypoints(keypoints)
        self.config = dict(frozen=frozen)
        self.keypoints, self.strides = keypoints, (4, 2)
        self.trunk = MoveNet()
        del self.trunk.pyramid, self.trunk.heads
        self.laterals = nn.ModuleList(_conv_bn(channels, WIDTH) for channels in CHANNELS)
        self.fusions = nn.ModuleList(_fusion() for _ in CHANNELS[1:])
        self.relu = nn.ReLU()
        self.final_layers = nn.ModuleList([heat_map_layer(WIDTH, keypoints), heat_map_layer(FINE, keypoints)])
        self.deconvolution = _deconvolution(keypoints)
        for part in (self.trunk.stem, *self.trunk.stages)[:frozen]:
            part.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Heat maps [N, K, H/4, W/4] and [N, K, H/2, W/2] of images [N, 3, H, W], H and W multiples of 32."""
        with half_in_training(images.device, self.training):
            x = self.features(images)
            quarter = self.final_layers[0](x)
            half = self.final_layers[1](self.deconvolution(torch.cat([x, quarter], dim=1)))
        return [quarter.float(), half.float()]

    def features(self, images: Tensor) -> Tensor:
        """The fused features [N, WIDTH, H/4, W/4]."""
        maps = [lateral(x) for lateral, x in zip(self.laterals, self.trunk.backbone(images), strict=True)]
        fused = maps.pop()
        for fusion in self.fusions[::-1]:
            fused = maps.pop() + F.interpolate(fusion(fused), scale_factor=2.0)
        return self.relu(fused)

    def load_trunk(self, path: str | Path = "") -> None:
        """Give the trunk MoveNet's published weights; errors are those of `movenet`."""
        self.trunk.load_state_dict(movenet(path).state_dict(), strict=False)  # without its pyramid and heads

    def set_dropout(self, p: float) -> None:
        """Drop whole channels in every fusion with probability `p` ("all fusion layers", Ludwig et al. 3.2)."""
        check_dropout(p)
        for fusion in self.fusions:
            fusion[1].p = p

    @property
    def head(self) -> tuple[str, ...]:
        """Prefixes of the parameters that belong to the keypoints."""
        return ("final_layers.",)

    @property
    def reads_head(self) -> dict[str, int]:
        """The deconvolution reads WIDTH features, then the first head's maps."""
        return {"deconvolution.0.weight": WIDTH}


def _conv_bn(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


def _fusion() -> nn.Sequential:
    depthwise = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH, bias=False)
    return nn.Sequential(nn.ReLU(), nn.Dropout2d(0.0), depthwise, *_conv_bn(WIDTH, WIDTH))


def _deconvolution(keypoints: int) -> nn.Sequential:
    upsample = upsampling(WIDTH + keypoints, FINE)
    return nn.Sequential(upsample, nn.BatchNorm2d(FINE), nn.ReLU(inplace=True), BasicBlock(FINE, FINE))
