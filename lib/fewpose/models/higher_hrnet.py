"""HigherHRNet: a high-resolution backbone with heat maps at 1/4 and 1/2 of the input.

Cheng et al., *HigherHRNet: Scale-Aware Representation Learning for Bottom-Up Human Pose Estimation* (CVPR 2020).
Parameter names are those of the official code, so that its checkpoints load (`checkpoints.load_official`). The residual
blocks and fusion modules are timm's.
"""

import torch
from timm.models.hrnet import HighResolutionModule
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from fewpose.models.pose_model import PoseModel

# The network "narrow": 1.7 M parameters, about 90 training images per second at 128x128 on two cores.
NARROW = dict(width=16, modules=(1, 3, 1), blocks=2, stem=16, bottlenecks=2, deconv_blocks=1)


class HigherHRNet(PoseModel):
    """HigherHRNet of any width; the defaults are W32 as published (28.6 M parameters).

    `width` is the number of channels of the highest resolution; each branch below has twice the channels at half the
    resolution. `modules` counts the fusion modules of stages 2, 3 and 4, `blocks` the residual blocks of a branch in
    each, `stem` the channels of the stem, `bottlenecks` the blocks of stage 1, `deconv_blocks` those after the
    deconvolution. Official checkpoints also have tag maps, for associative embedding; see `new_head`.
    """

    def __init__(
        self,
        keypoints: int,
        width: int = 32,
        modules: tuple[int, int, int] = (1, 4, 3),
        blocks: int = 4,
        stem: int = 64,
        bottlenecks: int = 4,
        deconv_blocks: int = 4,
    ):
        super().__init__()
        check_keypoints(keypoints)
        self.config = dict(
            width=width,
            modules=tuple(modules),
            blocks=blocks,
            stem=stem,
            bottlenecks=bottlenecks,
            deconv_blocks=deconv_blocks,
        )
        self.keypoints, self.width, self.strides = keypoints, width, (4, 2)

        self.conv1, self.bn1 = _conv(3, stem, stride=2), nn.BatchNorm2d(stem)
        self.conv2, self.bn2 = _conv(stem, stem, stride=2), nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage1(stem, bottlenecks)

        channels = [width * 2**i for i in range(4)]
        self.transition1 = _transition([stem * Bottleneck.expansion], channels[:2])
        self.stage2 = _stage(modules[0], blocks, channels[:2])
        self.transition2 = _transition(channels[:2], channels[:3])
        self.stage3 = _stage(modules[1], blocks, channels[:3])
        self.transition3 = _transition(channels[:3], channels)
        self.stage4 = _stage(modules[2], blocks, channels, only_highest=True)

        self.final_layers = _heads(width, keypoints, keypoints)
        self.deconv_layers = nn.ModuleList([_deconvolution(width + keypoints, width, deconv_blocks)])

        for part in self.children():
            if part is not self.final_layers:
                _initialise(part)
        self.set_dropout(0.0)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Heat maps of images [N, 3, H, W] (RGB, ImageNet-normalised, H and W multiples of 32).

        Returns `[N, K, H/4, W/4]` and `[N, K, H/2, W/2]`, linear outputs whose targets are Gaussians of peak 1.
        """
        x = self.features(images)
        quarter = self.final_layers[0](x)
        x = self.deconv_layers[0](torch.cat([x, quarter], dim=1))
        half = self.final_layers[1](x)
        return [quarter[:, : self.keypoints], half]  # without tag maps, which only the deconvolution reads

    def features(self, images: Tensor) -> Tensor:
        """The features [N, width, H/4, W/4] that heat maps are read from: HRNet itself."""
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.layer1(x)
        branches = [transition(x) for transition in self.transition1]
        branches = self.stage2(branches)
        branches = self.stage3([*branches, self.transition2[-1](branches[-1])])
        return self.stage4([*branches, self.transition3[-1](branches[-1])])[0]

    def set_dropout(self, p: float) -> None:
        """Drop whole channels of every fused map with probability `p` ("all fusion layers", Ludwig et al. 3.2).

        Dropout follows the ReLU, as in the code of that group, where however stage 4 has none. ValueError unless p is
        in [0, 1).
        """
        check_dropout(p)
        for module in (*self.stage2, *self.stage3, *self.stage4):
            relu = nn.ReLU(inplace=True)
            module.fuse_act = nn.Sequential(relu, nn.Dropout2d(p)) if p else relu

    def new_head(self, keypoints: int, tag_maps: bool = False) -> None:
        """Replace the heads by untrained ones for other keypoints; all other weights stay.

        So is the part of the deconvolution that reads the first head's maps. With `tag_maps` the first head also
        computes K tag maps for it.
        """
        check_keypoints(keypoints)
        maps = 2 * keypoints if tag_maps else keypoints
        old = self.deconv_layers[0][0][0].weight
        upsample = upsampling(self.width + maps, self.width)
        _initialise(upsample)
        with torch.no_grad():
            upsample.weight[: self.width] = old[: self.width].cpu()
        self.deconv_layers[0][0][0] = upsample.to(old.device, old.dtype)
        self.final_layers = _heads(self.width, maps, keypoints).to(old.device, old.dtype)
        self.keypoints = keypoints

    @property
    def head(self) -> tuple[str, ...]:
        """Prefixes of the parameters that belong to the keypoints."""
        return ("final_layers.",)

    @property
    def reads_head(self) -> dict[str, int]:
        """The deconvolution reads `width` features, then the first head's maps."""
        return {"deconv_layers.0.0.0.weight": self.width}


def narrow_higher_hrnet(keypoints: int) -> HigherHRNet:
    """A small HigherHRNet: few channels, few blocks, the same structure."""
    return HigherHRNet(keypoints, **NARROW)


class _Stage(nn.Sequential):
    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        for module in self:
            branches = module(branches)
        return branches


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def _conv_bn_relu(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs, stride=stride), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _stage1(stem: int, bottlenecks: int) -> nn.Sequential:
    wide = stem * Bottleneck.expansion
    shortcut = nn.Sequential(_conv(stem, wide, kernel=1), nn.BatchNorm2d(wide))
    first = Bottleneck(stem, stem, downsample=shortcut)
    return nn.Sequential(first, *(Bottleneck(wide, stem) for _ in range(bottlenecks - 1)))


def _transition(before: list[int], after: list[int]) -> nn.ModuleList:
    """Convolutions that bring branches to their new channels and open a lower resolution."""
    layers = []
    for i, channels in enumerate(after):
        if i >= len(before):
            # Official checkpoints nest this one: "transition2.2.0.0.weight".
            layers.append(nn.Sequential(_conv_bn_relu(before[-1], channels, stride=2)))
        elif channels != before[i]:
            layers.append(_conv_bn_relu(before[i], channels, stride=1))
        else:
            layers.append(nn.Identity())
    return nn.ModuleList(layers)


def _stage(modules: int, blocks: int, channels: list[int], only_highest: bool = False) -> _Stage:
    n = len(channels)
    return _Stage(
        *(
            HighResolutionModule(
                n,
                BasicBlock,
                (blocks,) * n,
                list(channels),
                tuple(channels),
                "SUM",
                multi_scale_output=not (only_highest and i == modules - 1),
            )
            for i in range(modules)
        )
    )


def upsampling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1, bias=False)


def _deconvolution(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    upsample = nn.Sequential(upsampling(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
    return nn.Sequential(upsample, *(nn.Sequential(BasicBlock(outputs, outputs)) for _ in range(blocks)))


def _heads(width: int, maps: int, keypoints: int) -> nn.ModuleList:
    return nn.ModuleList([heat_map_layer(width, maps), heat_map_layer(width, keypoints)])


def heat_map_layer(channels: int, maps: int) -> nn.Conv2d:
    """A 1x1 convolution that starts near zero: a heat map is background almost everywhere."""
    layer = nn.Conv2d(channels, maps, kernel_size=1)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.zeros_(layer.bias)
    return layer


def _initialise(part: nn.Module) -> None:
    for module in part.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def check_keypoints(keypoints: int) -> None:
    """ValueError unless there is at least one keypoint."""
    if keypoints < 1:
        raise ValueError(f"A pose model needs at least one keypoint, not {keypoints}.")


def check_dropout(p: float) -> None:
    """ValueError unless `p` lies in [0, 1)."""
    if not 0 <= p < 1:
        raise ValueError(f"A dropout probability lies in [0, 1), not {p}.")
