"""The interface of all networks, and that of models of one person's pose."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn

from fewpose.heatmaps import SIGMA, aggregate, decode, gaussian_targets, smooth
from fewpose.losses import heatmap_mse


class Network:
    """What trainings and weight files need to know about a network.

    config         arguments that build it again; written into weight files
    head           prefixes of the parameters that belong to the keypoints: they learn at the full rate, and stay when
                   a backbone trained on other keypoints is loaded
    reads_head     parameters that read the head's maps: name → number of input features before those maps
    at_backbone_rate  prefixes of the parameters that learn at `backbone_rate`, but for those of the head
    backbone_rate  learning rate of the backbone, relative to the head's
    """

    config: Mapping = MappingProxyType({})
    head: tuple[str, ...] = ()
    reads_head: Mapping[str, int] = MappingProxyType({})
    at_backbone_rate: tuple[str, ...] = ("",)
    backbone_rate: float = 1.0


class PoseModel(Network, nn.Module):
    """A model of one person's pose; this class implements the methods for outputs that are heat maps.

    Images [N, 3, H, W] (ImageNet-normalised RGB) give a list of heat maps [N, K, H / s, W / s], one for each stride s
    of `strides`: linear outputs whose targets are Gaussians of peak 1. A model with other outputs overrides `loss`,
    `read` and `heat_maps`. One whose backbone is partly frozen has a `frozen_backbone`, from images to features, and
    takes these features in place of images (`feature_cache`).
    """

    keypoints: int
    strides: tuple[int, ...]

    @property
    def frozen_backbone(self) -> nn.Module | None:
        """The part of the backbone that does not learn, from images to features; None without one."""
        return None

    def loss(self, outputs: list[Tensor], poses: Tensor, size: tuple[int, int], sigma: float = SIGMA) -> Tensor:
        """Loss of the outputs for images of `size` (H, W) that show poses [N, K, 3].

        `sigma` is the width of the target Gaussians in cells.
        """
        targets = [gaussian_targets(poses, size, stride, sigma) for stride in self.strides]
        return heatmap_mse([maps.float() for maps in outputs], targets, poses[..., 2] > 0)

    def read(self, outputs: list[Tensor]) -> Tensor:
        """Poses [N, K, 3]: x, y in pixels of the images, and a confidence."""
        return decode(smooth(aggregate(outputs).float()), min(self.strides))

    def heat_maps(self, outputs: list[Tensor]) -> list[Tensor]:
        """The outputs as heat maps [N, K, h, w], one for each of `strides`."""
        return outputs
