"""HRNet, the paper's stage 2: one person's crop in, heat maps at 1/4 out.

Sun et al., *Deep High-Resolution Representation Learning for Human Pose Estimation* (CVPR 2019).
"""

from __future__ import annotations

from torch import Tensor, nn

from fewpose.models.higher_hrnet import NARROW, HigherHRNet, heat_map_layer


class HRNet(HigherHRNet):
    """The features of `HigherHRNet` under one 1x1 layer; official parameter names.

    Width 48 (63.6 M parameters) on crops of 384x288 is the paper profile; Srivastav et al. give neither number.
    """

    def __init__(self, keypoints: int, width: int = 48, **options):
        super().__init__(keypoints, width, **options)
        del self.final_layers, self.deconv_layers
        self.config.pop("deconv_blocks")
        self.strides = (4,)
        self.final_layer: nn.Conv2d = heat_map_layer(width, keypoints)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Heat maps [N, K, H/4, W/4] of images [N, 3, H, W], ImageNet-normalised RGB."""
        return [self.final_layer(self.features(images))]

    def new_head(self, keypoints: int, tag_maps: bool = False) -> None:
        """Replace the head by an untrained one for other keypoints."""
        old = self.final_layer.weight
        self.final_layer = heat_map_layer(self.width, keypoints).to(old.device, old.dtype)
        self.keypoints = keypoints

    @property
    def head(self) -> tuple[str, ...]:
        """Prefixes of the parameters that belong to the keypoints."""
        return ("final_layer.",)

    @property
    def reads_head(self) -> dict[str, int]:
        """Nothing but the head reads heat maps."""
        return {}


def narrow_hrnet(keypoints: int) -> HRNet:
    """A small HRNet: 1.6 M parameters."""
    options = {k: v for k, v in NARROW.items() if k != "deconv_blocks"}
    return HRNet(keypoints, **options)
