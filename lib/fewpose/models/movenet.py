"""MoveNet MultiPose Lightning, as published and trainable: a light bottom-up network of 17 COCO keypoints.

Google's network of 2021 (Apache-2.0): MobileNetV2 of 1.5 times the width (Sandler et al., CVPR 2018), a feature pyramid
(Lin et al., CVPR 2017) and the heads of CenterNet (Zhou et al., *Objects as Points*, 2019). Its TFLite file has batch
norm folded into the convolutions, and so has this network.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from timm.layers import create_conv2d
from torch import Tensor, nn

from fewpose.augment import MEAN, STD
from fewpose.models.download import find_published
from fewpose.speed.strided import StridedDepthwise

KEYPOINTS = 17
RANGE = 255 * 0.007843017578125  # of the input from black to white: 2, but for the file's half precision
CELL = 4  # pixels of the image, height and width of a cell of the maps
STEM = 24  # channels
# Of each stage groups of blocks: their channels, how many, the stride of the first. Stage 3 ends where the pyramid
# reads it, three blocks before the next stride.
STAGES = (((40, 2, 2),), ((48, 3, 2),), ((96, 4, 2),), ((144, 3, 1), (240, 3, 2), (480, 1, 1)))
CHANNELS = (40, 48, 96, 1280)  # of the stages' maps, at 1/4, 1/8, 1/16 and 1/32
PYRAMID = (24, 24, 32, 64)  # channels of the pyramid's maps, at the same resolutions
HEAD = 96  # channels within each head
# Channels of each head's map, in the order of the file. y comes before x.
HEADS = {
    "box_offset": 2,  # from a cell to the middle of its person's box, in cells
    "box_scale": 2,  # height and width of that box in cells
    "centre": 1,  # logit of being the middle of a person
    "heat_maps": KEYPOINTS,  # logits of being a keypoint
    "offsets": 2 * KEYPOINTS,  # from a cell to the keypoint in it, in cells
    "regression": 2 * KEYPOINTS,  # from the middle of a person to its keypoints, in cells
}

# Of the published decoding:
NEIGHBOURS = 5  # cells, side of the square of which only the best is the middle of a person
SPREAD = 0.3  # of the weight around where regression expects a keypoint: squared cells per cell of the smaller side
CERTAIN = 0.127  # confidence of the keypoints that count in a person's score


class MoveNet(nn.Module):
    """MoveNet, untrained; `movenet` returns it with its published weights.

    Convolutions are padded as TensorFlow does. In `channels_last` batches are up to twice as fast on CPUs.
    """

    def __init__(self):
        super().__init__()
        # from ImageNet-normalised RGB to -1..1
        self.register_buffer("scale", RANGE * torch.tensor(STD).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", RANGE * torch.tensor(MEAN).view(3, 1, 1) - 1, persistent=False)
        wide = 2 * STEM
        self.stem = nn.Sequential(_conv(3, wide, 3, 2), nn.ReLU6(), _depthwise(wide), nn.ReLU6(), _conv(wide, STEM))
        self.stages = nn.ModuleList()
        inputs = STEM
        for groups in STAGES:
            stage = nn.Sequential()
            for channels, blocks, stride in groups:
                for i in range(blocks):
                    stage.append(Block(inputs, channels, stride if i == 0 else 1))
                    inputs = channels
            self.stages.append(stage)
        self.stages[-1].extend([_conv(inputs, CHANNELS[-1]), nn.ReLU6()])
        self.pyramid = Pyramid()
        heads = {name: nn.Sequential(*_separable(PYRAMID[0], HEAD), _conv(HEAD, maps)) for name, maps in HEADS.items()}
        self.heads = nn.ModuleDict(heads)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The maps [N, C, H/4, W/4] of HEADS, linear, of images [N, 3, H, W] as in `backbone`."""
        finest = self.pyramid(self.backbone(images))[0]
        return {name: head(finest) for name, head in self.heads.items()}

    def backbone(self, images: Tensor) -> list[Tensor]:
        """The maps of the four stages, of CHANNELS channels at 1/4 … 1/32 of images [N, 3, H, W].

        The images are ImageNet-normalised RGB (`augment.normalise`). ValueError unless H and W are multiples of 32.
        """
        if images.shape[-2] % 32 or images.shape[-1] % 32:
            raise ValueError(
                f"MoveNet reads images whose sides are multiples of 32, not {images.shape[-2]}x{images.shape[-1]}."
            )
        x = self.stem(images * self.scale + self.shift)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Block(nn.Module):
    """MobileNetV2's inverted residual: six times as many channels between two linear layers."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        wide = 6 * inputs
        self.layers = nn.Sequential(
            _conv(inputs, wide), nn.ReLU6(), _depthwise(wide, stride), nn.ReLU6(), _conv(wide, outputs)
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class Pyramid(nn.Module):
    """The feature pyramid: each map is added to the one of twice its resolution, from the coarsest on."""

    def __init__(self):
        super().__init__()
        added = (*PYRAMID[1:], PYRAMID[-1])  # a lateral has the channels of the coarser map that it is added to
        self.laterals = nn.ModuleList(_conv(c, a) for c, a in zip(CHANNELS, added, strict=True))
        self.fusions = nn.ModuleList(_separable(a, c) for a, c in zip(PYRAMID[1:], PYRAMID[:-1], strict=True))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Maps of PYRAMID channels, of the features' resolutions, of the four maps of `MoveNet.backbone`."""
        *finer, coarsest = (lateral(x) for lateral, x in zip(self.laterals, features, strict=True))
        maps = [coarsest]
        for lateral, fusion in zip(finer[::-1], reversed(self.fusions), strict=True):
            maps.append(fusion(F.interpolate(maps[-1], scale_factor=2.0, mode="bilinear") + lateral))
        return maps[::-1]


def people(outputs: dict[str, Tensor], limit: int = 6) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The people in the maps of `MoveNet.forward`: of each image boxes [P, 4], scores [P] and keypoints [P, 17, 3].

    Boxes are x0, y0, x1, y1, keypoints x, y and confidence, in pixels of the images: the published fractions of their
    sides. P is at most `limit`. Decoded as published: the middles of people are peaks; from each, regression leads near
    every keypoint, which is in the cell where the heat map, weighted by nearness, is highest within the box.
    """
    return [_people(maps, limit) for maps in zip(*(outputs[name].float() for name in HEADS), strict=True)]


def _people(maps: tuple[Tensor, ...], limit: int) -> tuple[Tensor, Tensor, Tensor]:
    box_offset, box_scale, centre, heat_maps, offsets, regression = maps
    height, width = centre.shape[-2:]
    size = centre.new_tensor([height, width])
    rows, columns = torch.arange(height, device=centre.device), torch.arange(width, device=centre.device)
    cells = torch.cartesian_prod(rows, columns)  # all H·W as y, x
    centre = centre.sigmoid()
    peaks = centre * (F.max_pool2d(centre, NEIGHBOURS, 1, NEIGHBOURS // 2) == centre)
    scores, places = peaks.flatten().topk(min(limit, len(cells)))
    scores, places = scores[scores > 0], places[scores > 0]

    middle = cells[places] + box_offset.flatten(1).T[places]
    half = box_scale.flatten(1).T[places].relu() / 2
    low, high = ((middle + sign * half).clamp_min(0).minimum(size) for sign in (-1, 1))
    inside = ((cells >= low[:, None]) & (cells < high[:, None])).all(-1)  # [P, H·W]

    expected = cells[places, None] + regression.flatten(1).T[places].view(-1, KEYPOINTS, 2)
    away = (expected.unsqueeze(2) - cells).square().sum(-1)  # squared cells [P, 17, H·W]
    weighted = heat_maps.sigmoid().flatten(1) * (-away / (SPREAD * size.min())).exp() * inside[:, None]
    best = weighted.argmax(-1)
    found = cells[best] + offsets.view(KEYPOINTS, 2, -1)[torch.arange(KEYPOINTS), :, best]
    # as published, that of whichever person the cell suits best
    confidence = weighted.amax(0).gather(1, best.T).T if len(places) else found[..., 0]

    certain = confidence > CERTAIN
    scores = scores * (confidence * certain).sum(-1) / certain.sum(-1).clamp_min(1)
    keypoints = torch.cat([CELL * found.flip(-1), confidence.unsqueeze(-1)], -1)
    return CELL * torch.cat([low.flip(-1), high.flip(-1)], -1), scores, keypoints


def movenet(path: str | Path = "") -> MoveNet:
    """MoveNet with its published weights, of the TFLite file `path` or the one that `find_published` finds.

    ValueError naming the file if it is absent, damaged or of another network; else errors of `find_published`.
    """
    path, model = find_published("movenet", path or None), MoveNet()
    convolutions, published = _in_file_order(model), _read_convolutions(path)
    fits = len(convolutions) == len(published) and all(
        own.weight.shape == weight.shape for own, (weight, _) in zip(convolutions, published, strict=True)
    )
    if not fits:
        raise ValueError(f"{path} is not MoveNet MultiPose Lightning: its convolutions are other ones.")
    with torch.no_grad():
        for own, (weight, bias) in zip(convolutions, published, strict=True):
            own.weight.copy_(weight)
            own.bias.copy_(bias)
    return model


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Conv2d:
    return create_conv2d(inputs, outputs, kernel, stride=stride, padding="same", bias=True)


def _depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    if stride == 2:
        return StridedDepthwise(channels, channels, 3, stride=2, groups=channels)
    return create_conv2d(channels, channels, 3, stride=stride, padding="same", depthwise=True, bias=True)


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_depthwise(inputs), _conv(inputs, outputs), nn.ReLU())


def _in_file_order(model: MoveNet) -> list[nn.Conv2d]:
    """The convolutions as they follow one another in the file: what reads a stage's map comes after it."""
    parts = [model.stem]
    for stage, lateral in zip(model.stages, model.pyramid.laterals, strict=True):
        parts += [stage, lateral]
    parts += [*reversed(model.pyramid.fusions), *model.heads.values()]
    return [module for part in parts for module in part.modules() if isinstance(module, nn.Conv2d)]


def _read_convolutions(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each convolution of a TFLite file, as torch lays them out; ValueError if it is damaged."""
    import tflite  # needed only here

    kinds = (tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOperator.DEPTHWISE_CONV_2D)
    try:
        content = path.read_bytes()
        if not tflite.Model.ModelBufferHasIdentifier(content, 0):
            raise ValueError("it does not begin as one")
        file = tflite.Model.GetRootAsModel(content, 0)
        graph, halves, found = file.Subgraphs(0), {}, []

        def constant(tensor: int) -> Tensor:
            half = graph.Tensors(halves[tensor])
            values = file.Buffers(half.Buffer()).DataAsNumpy().view("<f2").reshape(half.ShapeAsNumpy())
            return torch.from_numpy(values.astype("float32"))

        for i in range(graph.OperatorsLength()):
            node = graph.Operators(i)
            kind = file.OperatorCodes(node.OpcodeIndex()).BuiltinCode()
            if kind == tflite.BuiltinOperator.DEQUANTIZE:  # constants are stored in half precision
                halves[node.Outputs(0)] = node.Inputs(0)
            elif kind in kinds:
                weight = constant(node.Inputs(1))  # [O, H, W, I], of a depthwise convolution [1, H, W, O]
                order = (0, 3, 1, 2) if kind == kinds[0] else (3, 0, 1, 2)
                found.append((weight.permute(order), constant(node.Inputs(2))))
    except Exception as error:  # a damaged flatbuffer fails anywhere
        raise ValueError(f"{path} is not a readable TFLite file ({error}).") from error
    return found
