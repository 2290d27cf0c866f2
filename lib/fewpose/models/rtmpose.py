"""RTMPose-s, as published and trainable on other keypoints: for real images on small machines.

Jiang et al., *RTMPose: Real-Time Multi-Person Pose Estimation based on MMPose* (2023). Its ONNX file (26 Halpe
keypoints; `download.find_published`) is run in torch, so that it can be trained further. It is a SimCC network: its
outputs are a row of bins for x and one for y.
"""

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewpose import geometry
from fewpose.heatmaps import SIGMA, band
from fewpose.losses import SHARPNESS, simcc_divergence
from fewpose.models.download import find_published
from fewpose.models.higher_hrnet import check_dropout, check_keypoints
from fewpose.models.onnx_graph import OnnxFile, OnnxGraph, freeze_parts, read_onnx, run_parts
from fewpose.models.pose_model import PoseModel
from fewpose.skeleton import HALPE, Skeleton
from fewpose.speed.precision import half_in_training

CROP = (256, 192)  # height and width of the crops
BINS = 2  # per pixel
FROZEN = 4  # of the backbone's five parts: the last stage learns with the head
PARTS = 5  # the stem and four stages, each at half the resolution of the one before
SIGMAS = (4.9, 5.66)  # of the targets in bins, of x and of y, as RTMPose was trained
SMOOTHING = 3.0  # of the outputs before decoding, in bins
FINAL = "head.final_layer.weight"


class RTMPose(PoseModel):
    """RTMPose with its published weights, except in the one layer that depends on the keypoints.

    CSPNeXt's last map goes through a 7x7 convolution with one output per keypoint (`final_layer`), whose rows a gated
    attention unit turns into bins of x and of y (SimCC, section 3.1 of the RTMPose paper). Only the convolution
    depends on the keypoints: `carry_over` initialises each with the published row of its namesake.

    The first `frozen` of the backbone's five parts (stem, stages 1 to 4) are neither trained nor stored for the
    backward pass. Batch norm is folded into the convolutions; the last stage learns at a tenth of the head's rate. CPUs
    with bf16 instructions train the convolutions in bf16, a third faster; predictions are in single precision.
    """

    backbone_rate = 0.1

    def __init__(self, keypoints: int, file: OnnxFile, frozen: int = FROZEN):
        super().__init__()
        check_keypoints(keypoints)
        self.config = dict(frozen=frozen)
        self.keypoints, self.strides = keypoints, (4,)
        cuts = backbone_cuts(file)
        self.backbone = nn.ModuleList(OnnxGraph(file, (before,), (after,)) for before, after in pairwise(cuts))
        self.dropout = nn.Dropout2d(0.0)
        final = next(node for node in file.nodes if FINAL in node.inputs)
        self.published = {name: file.constants[f"head.final_layer.{name}"] for name in ("weight", "bias")}
        rows, features, side, _ = self.published["weight"].shape
        self.final_layer = nn.Conv2d(features, rows, side, padding=side // 2)
        self.final_layer.load_state_dict(self.published)
        self.simcc = OnnxGraph(file, final.outputs, file.outputs)
        self.tops = tuple(target_height(b, s) for b, s in zip(CROP[::-1], SIGMAS, strict=True))
        if keypoints != rows:
            self.new_head(keypoints)
        self.frozen = freeze_parts(self.backbone, frozen, "RTMPose")

    def forward(self, images: Tensor) -> list[Tensor]:
        """Bins of x [N, K, 384] and of y [N, K, 512] of images [N, 3, 256, 192], normalised RGB.

        In place of images, the features that `frozen_backbone` computes. ValueError for images of another size, as the
        head has weights for each position.
        """
        x = images
        if images.shape[1] == 3:
            if tuple(images.shape[-2:]) != CROP:
                raise ValueError(
                    f"RTMPose reads images of {CROP[0]}x{CROP[1]} (height x width), not "
                    f"{images.shape[-2]}x{images.shape[-1]}: set `size: 256` and `width: 192`."
                )
            x = FrozenParts(self.backbone[: self.frozen])(images)
        with half_in_training(x.device, self.training):
            for part in self.backbone[self.frozen :]:
                (x,) = part(x)
            x = self.final_layer(self.dropout(x))
        with torch.autocast(x.device.type, enabled=False):  # bins need full precision
            return self.simcc(x.float())

    def loss(self, outputs: list[Tensor], poses: Tensor, size: tuple[int, int], sigma: float = SIGMA) -> Tensor:
        """Divergence from the targets of poses [N, K, 3] in pixels of the images, over the keypoints inside them.

        `size` and `sigma` have no effect: RTMPose has one crop size and fixed target widths.
        """
        shown = (poses[..., 2] > 0) & geometry.inside(poses, CROP)
        return sum(
            simcc_divergence(axis.float(), BINS * poses[..., i], shown, SIGMAS[i]) for i, axis in enumerate(outputs)
        )

    def read(self, outputs: list[Tensor]) -> Tensor:
        """Poses [N, K, 3]: x, y in pixels of the images, and the lower peak of the two axes as confidence."""
        places, scores = zip(*(peak(axis.float()) for axis in outputs), strict=True)
        return torch.stack([*(place / BINS for place in places), torch.minimum(*scores)], -1)

    def heat_maps(self, outputs: list[Tensor]) -> list[Tensor]:
        """Heat maps [N, K, 64, 48] of peak 1 where the bins are those of a target.

        The product of both axes' softmaxes, as a Gaussian is the product of its two marginals.
        """
        x, y = (
            F.avg_pool1d((SHARPNESS * axis.float()).softmax(-1), BINS * self.strides[0]) / top
            for axis, top in zip(outputs, self.tops, strict=True)
        )
        return [y.unsqueeze(-1) * x.unsqueeze(-2)]

    @property
    def frozen_backbone(self) -> nn.Module | None:
        """The frozen parts, from images to one map of features; None if all of the backbone learns."""
        return FrozenParts(self.backbone[: self.frozen]) if self.frozen else None

    def set_dropout(self, p: float) -> None:
        """Drop whole channels of the backbone's last map with probability `p`."""
        check_dropout(p)
        self.dropout.p = p

    def new_head(self, keypoints: int) -> None:
        """Replace the head: each keypoint gets the mean of the published rows, and a little noise."""
        check_keypoints(keypoints)
        old, rows = self.final_layer, self.published["weight"]
        layer = nn.Conv2d(rows.shape[1], keypoints, rows.shape[2], padding=rows.shape[2] // 2)
        with torch.no_grad():
            layer.weight.mul_(0.1).add_(rows.mean(0))
            layer.bias.fill_(self.published["bias"].mean())
        self.final_layer = layer.to(old.weight.device, old.weight.dtype)
        self.keypoints = keypoints

    def carry_over(self, skeleton: Skeleton) -> dict[str, str]:
        """Initialise keypoints of `skeleton` with the published rows of `halpe_of(skeleton)`, which is returned.

        The others stay as in `new_head`.
        """
        self.new_head(len(skeleton))
        rows = halpe_of(skeleton)
        with torch.no_grad():
            for name, row in rows.items():
                here, there = skeleton.index(name), HALPE.index(row)
                self.final_layer.weight[here] = self.published["weight"][there]
                self.final_layer.bias[here] = self.published["bias"][there]
        return rows

    @property
    def head(self) -> tuple[str, ...]:
        """Prefixes of the parameters of the head."""
        return ("final_layer.", "simcc.")


class FrozenParts(nn.Module):
    """Successive parts of a backbone, not stored for the backward pass."""

    def __init__(self, parts: nn.ModuleList):
        super().__init__()
        self.parts = parts

    def forward(self, images: Tensor) -> Tensor:
        """The last part's features for images [N, 3, H, W]; without parts the images."""
        return (run_parts(self.parts, images, len(self.parts)) or [images])[-1]


def peak(bins: Tensor) -> tuple[Tensor, Tensor]:
    """Position (in bins) and height [N, K] of the peak of smoothed bins [N, K, B].

    A parabola finds it to a fraction of a bin, as in `heatmaps.decode`.
    """
    smoothed = bins @ band(bins.shape[-1], SMOOTHING, bins).T
    index = smoothed.argmax(-1, keepdim=True)
    beside = (index + index.new_tensor([-1, 0, 1])).clamp_(0, bins.shape[-1] - 1)
    low, mid, high = smoothed.gather(-1, beside).unbind(-1)
    curvature = low - 2 * mid + high
    shift = 0.5 * (low - high) / torch.where(curvature < -1e-9, curvature, -1e9)
    return index.squeeze(-1) + shift.clamp(-0.5, 0.5), mid


def target_height(side: int, sigma: float) -> float:
    """The highest cell at 1/4 resolution of a target's softmax over the bins of an axis of `side` pixels."""
    gaussian = torch.exp(-((torch.arange(BINS * side) - BINS * side // 2 - 3.5) ** 2) / (2 * sigma**2))
    return float(F.avg_pool1d((SHARPNESS * gaussian).softmax(0)[None], 4 * BINS).max())


def halpe_of(skeleton: Skeleton) -> dict[str, str]:
    """The Halpe keypoint with which each keypoint of a skeleton is initialised, if there is one.

    It is the one of the same name, one with more words in its name (`left_big_toe` for `left_toe`), or the one at
    the other end of a limb.
    """
    known = HALPE.keypoints
    found = {}
    for name in skeleton.keypoints:
        words = set(name.split("_"))
        like = [other for other in known if words <= set(other.split("_"))]
        if like:
            found[name] = name if name in like else like[0]
    for limb in (*skeleton.limbs, *(limb[::-1] for limb in skeleton.limbs)):
        near, far = limb
        if far not in found and near in known:
            found[far] = near
    return found


def backbone_cuts(file: OnnxFile) -> list[str]:
    """Names of the tensors at 1, 1/2, 1/4, 1/8, 1/16 and 1/32 between the backbone's parts."""
    convs = [node for node in file.nodes if node.op == "Conv"]
    cuts = [n.inputs[0] for n in convs if list(n.attributes.get("strides", [])) == [2, 2]]
    end = next((n.inputs[0] for n in convs if n.inputs[1] == "head.final_layer.weight"), None)
    if len(cuts) != PARTS or end is None:
        raise KeyError("five convolutions of stride 2 and head.final_layer")
    return [*cuts, end]


def rtmpose_s(keypoints: int, path: str | Path | None = None, frozen: int = FROZEN) -> RTMPose:
    """RTMPose-s from `path` (ONNX) with a trainable head, which is new unless for 26 keypoints.

    Without a path the file is found or downloaded (`find_published`). ValueError naming the file if it is absent,
    damaged or not an RTMPose.
    """
    path = find_published("rtmpose_s", path)
    try:
        return RTMPose(keypoints, read_onnx(path), frozen)
    except (KeyError, IndexError) as error:
        raise ValueError(f"{path} is not the ONNX graph of an RTMPose.") from error


class PublishedRTMPose(PoseModel):
    """RTMPose-s with all its published weights: crops in, heat maps [N, 17, 64, 48] at 1/4 out; the teacher's stage 2.

    The first 17 of its 26 Halpe keypoints are COCO's. A cell holds the geometric mean of the scores of its column and
    row, so that a peak is as high as theirs. At 1/4 a peak is about as wide as the target of a heat map, as
    `heatmaps.smooth` assumes.
    """

    strides = (4,)
    keypoints = 17

    def __init__(self, file: OnnxFile):
        super().__init__()
        self.graph = OnnxGraph(file, file.inputs, file.outputs)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Heat maps of crops [N, 3, 256, 192], ImageNet-normalised RGB."""
        if tuple(images.shape[-2:]) != CROP:
            raise ValueError(f"RTMPose reads crops of {CROP}, not {tuple(images.shape[-2:])}.")
        x, y = (bins[:, : self.keypoints].clamp_min(0) for bins in self.graph(images))
        x, y = (F.avg_pool1d(bins, BINS * self.strides[0]) for bins in (x, y))
        return [(y.unsqueeze(-1) * x.unsqueeze(-2)).sqrt()]


def published_rtmpose(path: str | Path | None = None) -> PublishedRTMPose:
    """RTMPose-s for `top_down.estimate`; the file is found as by `rtmpose_s`."""
    return PublishedRTMPose(read_onnx(find_published("rtmpose_s", path))).eval()


def rtmpose_predict(network: PublishedRTMPose, crops: Tensor, batch: int = 32) -> Tensor:
    """The 26 Halpe keypoints that the published RTMPose-s predicts in crops.

    crops [N, 3, 256, 192]: one person each, upright, centred, ImageNet-normalised RGB. Returns [N, 26, 3]: x, y in
    pixels of the crop (to half a pixel) and the confidence, the lower of the two SimCC maxima (section 3.1 of the
    RTMPose paper; 0.3 is a common threshold).
    """
    if crops.ndim != 4 or tuple(crops.shape[1:]) != (3, *CROP):
        raise ValueError(f"RTMPose reads crops [N, 3, 256, 192], not {list(crops.shape)}.")
    poses = []
    with torch.no_grad():
        for part in crops.split(batch):
            if not len(part):
                continue
            (x_score, x), (y_score, y) = (bins.max(-1) for bins in network.graph(part))
            poses.append(torch.stack([x / BINS, y / BINS, torch.minimum(x_score, y_score)], -1))
    return torch.cat(poses) if poses else crops.new_zeros(0, 26, 3)
