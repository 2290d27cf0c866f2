"""Stage 1 of the teacher: a Cascade R-CNN that finds people, on torchvision's parts.

Cai and Vasconcelos, *Cascade R-CNN: Delving into High Quality Object Detection* (CVPR 2018), sections 4 and 5.
Srivastav et al., section 2.2, use its boxes with a ResNeXt-152.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.misc import FrozenBatchNorm2d

from fewpose.augment import normalise
from fewpose.models.checkpoints import read_checkpoint
from fewpose.models.pose_model import Network
from fewpose.models.proposals import proposer

IOU = (0.5, 0.6, 0.7)  # u of each stage: boxes that overlap a person by u are positive
WEIGHTS = tuple((10.0 * t, 10.0 * t, 5.0 * t, 5.0 * t) for t in (1, 2, 3))  # of each stage's regression
MULTIPLE = 32  # of pixels: the coarsest map of the backbone has stride 32


class CascadeHeads(nn.Module):
    """Detectors h_1 … h_T, each trained on the boxes that the one before has regressed.

    A stage is torchvision's RoIHeads with u = `IOU[t]`. With one class besides the background its regression of class
    "person" is class-agnostic; the background's four outputs are never read.
    """

    def __init__(
        self, channels: int, representation: int, samples: int, detections: int, stages: int = 3, score: float = 0.05
    ):
        super().__init__()
        pool = MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=7, sampling_ratio=2)
        self.stages = nn.ModuleList(
            RoIHeads(
                pool,
                TwoMLPHead(channels * 7**2, representation),
                FastRCNNPredictor(representation, 2),
                u,
                u,
                samples,
                0.25,
                weights,
                score,
                0.5,
                detections,
            )
            for u, weights in zip(IOU[:stages], WEIGHTS[:stages], strict=True)
        )

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        sizes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Detections and losses, as torchvision's RoIHeads has them; one of the two is empty.

        features [N, C, h, w] by level; proposals of each image [M, 4] x0, y0, x1, y1 in pixels of images of `sizes`
        (H, W).
        """
        if self.training:
            return [], self.losses(features, proposals, sizes, targets)
        for stage in self.stages[:-1]:
            _, deltas = predict(stage, pooled(stage, features, proposals, sizes))
            proposals = regress(stage, deltas, proposals, sizes)
        # all classifiers score the boxes of the last stage; their probabilities are averaged
        last = self.stages[-1]
        regions = pooled(last, features, proposals, sizes)
        outputs = [predict(stage, regions) for stage in self.stages]
        probability = torch.stack([logits.softmax(-1) for logits, _ in outputs]).mean(0)
        boxes, scores, _ = last.postprocess_detections(probability.log(), outputs[-1][1], proposals, sizes)
        found = [{"boxes": b, "scores": s} for b, s in zip(boxes, scores, strict=True)]
        return found, {}

    def losses(self, features, proposals, sizes, targets) -> dict[str, Tensor]:
        """Cross-entropy and smooth L1 of each stage, equation 4 of the paper with λ = 1."""
        first, losses = self.stages[0], {}
        proposals, _, labels, goals = first.select_training_samples(proposals, targets)
        for t, stage in enumerate(self.stages, start=1):
            if t > 1:
                labels, goals = assign(stage, proposals, targets)
            logits, deltas = predict(stage, pooled(stage, features, proposals, sizes))
            classes, boxes = fastrcnn_loss(logits, deltas, labels, goals)
            losses |= {f"classes_{t}": classes, f"boxes_{t}": boxes}
            proposals = regress(stage, deltas.detach(), proposals, sizes)
        return losses


def pooled(stage: RoIHeads, features: dict, proposals: list[Tensor], sizes: list) -> Tensor:
    """RoIAlign's features of all proposals, [M, C, 7, 7]."""
    return stage.box_roi_pool(features, proposals, sizes)


def predict(stage: RoIHeads, regions: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [M, 2] and deltas [M, 8] of a stage."""
    return stage.box_predictor(stage.box_head(regions))


def regress(stage: RoIHeads, deltas: Tensor, proposals: list[Tensor], sizes: list) -> list[Tensor]:
    """The proposals moved by a stage's deltas for "person", inside their images."""
    boxes = stage.box_coder.decode(deltas, proposals)[:, 1]
    parts = boxes.split([len(p) for p in proposals])
    return [clip_boxes_to_image(b, size) for b, size in zip(parts, sizes, strict=True)]


def assign(stage: RoIHeads, proposals: list[Tensor], targets: list[dict]) -> tuple[list[Tensor], list[Tensor]]:
    """Labels and regression targets of all proposals; only the first stage samples them."""
    ground_truth = [t["boxes"] for t in targets]
    index, labels = stage.assign_targets_to_proposals(proposals, ground_truth, [t["labels"] for t in targets])
    boxes = [b if len(b) else b.new_zeros(1, 4) for b in ground_truth]
    matched = [b[i] for b, i in zip(boxes, index, strict=True)]
    return labels, list(stage.box_coder.encode(matched, proposals))


class CascadeRCNN(Network, nn.Module):
    """RPN and cascade on a backbone with feature pyramid: images in, boxes of people out.

    `backbone` returns maps at 1/4 … 1/32 named "0" … "3" and one of half that, and has `out_channels`. The
    shorter side of a frame is scaled to `side` pixels. `anchors` are the sides of the anchors of each level,
    `proposals` the number kept per image (training, prediction), of twice as many before non-maximum suppression.
    """

    keypoints = 0

    def __init__(
        self,
        backbone: nn.Module,
        side: int,
        anchors: tuple[int, ...] = (32, 64, 128, 256, 512),
        representation: int = 1024,
        proposals: tuple[int, int] = (1000, 1000),
        samples: int = 512,
        detections: int = 100,
        stages: int = 3,
    ):
        super().__init__()
        self.config = dict(side=side, anchors=list(anchors), representation=representation, stages=stages)
        self.side, self.backbone = side, backbone
        self.rpn = proposer(backbone.out_channels, anchors, (0.5, 1.0, 2.0), proposals, before=2)
        self.heads = CascadeHeads(backbone.out_channels, representation, samples, detections, stages)

    def forward(self, images: Tensor, boxes: list[Tensor] | None = None) -> list[dict[str, Tensor]] | dict[str, Tensor]:
        """Images [N, 3, h, w] in 0..255 → per image `boxes` [P, 4], `scores` [P]; or the losses.

        Boxes are x0, y0, x1, y1 in pixels of the images from their edge. In training mode they are those of the
        ground truth of each image, which may be empty, and named losses are returned.
        """
        sizes = [tuple(images.shape[-2:])] * len(images)
        below, right = (-side % MULTIPLE for side in sizes[0])
        padded = F.pad(normalise(images), (0, right, 0, below))
        targets = None
        if self.training:
            targets = [{"boxes": b, "labels": torch.ones(len(b), dtype=torch.int64, device=b.device)} for b in boxes]
        features = self.backbone(padded)
        proposals, first = self.rpn(ImageList(padded, sizes), features, targets)
        found, losses = self.heads(features, proposals, sizes, targets)
        return {**first, **losses} if self.training else found

    @torch.no_grad()
    def boxes(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Boxes [P, 4] and scores [P] of the people in each of images [N, 3, h, w] in 0..255.

        Boxes as in `forward`. The model must be in evaluation mode.
        """
        return [(found["boxes"], found["scores"]) for found in self(images)]


def light_cascade(
    weights: str | Path | None = None, seed: int = 0, *, side: int = 240, scratch: bool = False
) -> CascadeRCNN:
    """The light detector: MobileNetV2 with a pyramid of 64 channels, heads of 128, 100 proposals.

    `weights` is torchvision's MobileNetV2 (.pth); without them the backbone is random, drawn from `seed`, to be
    trained or overwritten by `load_weights`. Batch norm and the layers up to 1/4 are frozen, unless the backbone
    learns from `scratch` (see `norms.freeze_norms`). ValueError if the file does not fit.
    """
    torch.manual_seed(seed)
    whole = mobilenet_v2(norm_layer=nn.BatchNorm2d if scratch else FrozenBatchNorm2d)
    if weights:
        fill(whole, weights)
    body = whole.features[:18]
    body[:2].requires_grad_(scratch)
    # The last maps of each stride: 1/4, 1/8, 1/16 and 1/32.
    levels = {"3": "0", "6": "1", "13": "2", "17": "3"}
    backbone = BackboneWithFPN(body, levels, [24, 32, 96, 320], 64, LastLevelMaxPool())
    return CascadeRCNN(backbone, side, (16, 32, 64, 128, 256), 128, (200, 100), samples=128, detections=50)


def resnext152_cascade(
    weights: str | Path | None = None, seed: int = 0, *, side: int = 800, scratch: bool = False
) -> CascadeRCNN:
    """The detector of the paper profile: ResNeXt-152 32x8d with FPN; arguments as for `light_cascade`."""
    torch.manual_seed(seed)
    norm = nn.BatchNorm2d if scratch else FrozenBatchNorm2d
    body = ResNet(Bottleneck, [3, 8, 36, 3], groups=32, width_per_group=8, norm_layer=norm)
    if weights:
        fill(body, weights)
    for part in (body.conv1, body.bn1, body.layer1):
        part.requires_grad_(scratch)
    levels = {f"layer{i}": str(i - 1) for i in (1, 2, 3, 4)}
    backbone = BackboneWithFPN(body, levels, [256, 512, 1024, 2048], 256, LastLevelMaxPool())
    return CascadeRCNN(backbone, side)


def fill(network: nn.Module, path: str | Path) -> None:
    """Load all weights of a classification network (.pth); ValueError naming file and tensor."""
    given = read_checkpoint(str(path))
    for name, own in network.state_dict().items():
        if name not in given or given[name].shape != own.shape:
            why = "has another shape" if name in given else "is not there"
            raise ValueError(f"{path} does not fit the detector's backbone: '{name}' {why}.")
    network.load_state_dict(given, strict=False)
