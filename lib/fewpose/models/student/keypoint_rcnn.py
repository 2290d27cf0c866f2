"""The student: one network for boxes, keypoints and 3D poses of all people in a frame.

Srivastav et al., *Self-supervision on unlabelled OR data for multi-person 2D/3D human pose estimation* (2020), section
2.3: a Keypoint R-CNN on torchvision's parts, with a branch for hard and one for soft labels, and a lifter after each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_keypoints
from torchvision.ops import MultiScaleRoIAlign

from fewpose import geometry
from fewpose.augment import MEAN, STD
from fewpose.losses import SOFT, loss_2d_hard, loss_2d_soft, loss_3d
from fewpose.models.lifting import Lifter
from fewpose.models.people import People
from fewpose.models.pose_model import Network
from fewpose.models.proposals import proposer
from fewpose.models.student.decoding import decode, expect
from fewpose.models.teacher.three_stages import in_batches
from fewpose.skeleton import COCO, Skeleton

# The rows of the paper's ablation, Table 3: which labels teach which branch.
BRANCHES = {
    "double": {"hard": ("hard",), "soft": ("soft",)},
    "single_hard": {"hard": ("hard",)},
    "single_soft": {"soft": ("soft",)},
    "single_both": {"hard": ("hard", "soft")},
}
# How keypoints are read from heat maps: at the highest pixel, or where the expected OKS is highest.
READINGS = ("peak", "oks")
LEVELS = ["0", "1", "2", "3"]
# Names of a label's parts in a target.
KEYPOINTS = {"hard": "keypoints", "soft": "keypoints_soft"}
RAYS = {"hard": "rays", "soft": "rays_soft"}
POINTS = {"hard": "keypoints3d", "soft": "keypoints3d_soft"}


class Transform(GeneralizedRCNNTransform):
    """torchvision's transform, which also resizes soft keypoints and avoids aliasing where it shrinks a lot."""

    def resize(self, image: Tensor, target: dict | None) -> tuple[Tensor, dict | None]:
        given, size = image, image.shape[-2:]
        image, target = super().resize(image, target)
        if size[0] > 2 * image.shape[-2]:  # torchvision would skip pixels
            image = F.interpolate(given[None], image.shape[-2:], mode="bilinear", antialias=True)[0]
        if target is not None and "keypoints_soft" in target:
            soft = resize_keypoints(target["keypoints_soft"], size, image.shape[-2:])
            target["keypoints_soft"] = soft
        return image, target


class StudentHeads(RoIHeads):
    """torchvision's RoI heads with a predictor and a lifter for each of `branches`.

    `layers` are the channels of the convolutions that all branches share; `options` are those of torchvision.
    """

    def __init__(
        self,
        branches: dict[str, tuple[str, ...]],
        soft: str,
        reading: str,
        skeleton: Skeleton,
        channels: int,
        layers: tuple[int, ...],
        lifter: int,
        dropout: float,
        **options,
    ):
        super().__init__(**options)
        self.branches, self.soft = branches, soft
        self.reading, self.sigmas = reading, skeleton.sigmas
        self.keypoint_roi_pool = MultiScaleRoIAlign(LEVELS, 14, 2)
        self.keypoint_head = KeypointRCNNHeads(channels, layers)
        self.keypoint_predictors = nn.ModuleDict(
            {name: KeypointRCNNPredictor(layers[-1], len(skeleton)) for name in branches}
        )
        self.lifters = nn.ModuleDict({name: Lifter(lifter, dropout=dropout, skeleton=skeleton) for name in branches})

    def has_keypoint(self) -> bool:
        """True, so that torchvision checks that targets have hard keypoints."""
        return True

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
        logits, deltas = self.classify(features, proposals, sizes)
        boxes, scores, labels = self.postprocess_detections(logits, deltas, proposals, sizes)
        maps = self.heat_maps(features, boxes, sizes)
        rois, counts = torch.cat(boxes), [len(b) for b in boxes]
        mean = torch.stack(list(maps.values())).mean(0)
        keypoints, peaks = self.read(mean, rois)
        frames = torch.tensor(sizes, device=rois.device).repeat_interleave(torch.tensor(counts, device=rois.device), 0)
        points = self.lift(maps, keypoints, rois, frames)
        parts = zip(boxes, scores, labels, *(x.split(counts) for x in (keypoints, peaks, points)), strict=True)
        names = ("boxes", "scores", "labels", "keypoints", "keypoints_scores", "keypoints3d")
        return [dict(zip(names, part, strict=True)) for part in parts], {}

    def classify(self, features: dict, proposals: list[Tensor], sizes: list) -> tuple[Tensor, Tensor]:
        """Logits [M, 2] and deltas [M, 8] of all proposals."""
        return self.box_predictor(self.box_head(self.box_roi_pool(features, proposals, sizes)))

    def heat_maps(self, features: dict, boxes: list[Tensor], sizes: list) -> dict[str, Tensor]:
        """Logits [R, K, 56, 56] of each branch for people in boxes [P, 4] of each image."""
        regions = self.keypoint_head(self.keypoint_roi_pool(features, boxes, sizes))
        return {name: branch(regions) for name, branch in self.keypoint_predictors.items()}

    def read(self, logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints [P, K, 3] of logits [P, K, S, S] in boxes [P, 4], and a score [P, K] of each."""
        if self.reading == "peak":
            return decode(logits, boxes)
        return expect(logits, boxes, self.sigmas)

    def lift(self, maps: dict[str, Tensor], keypoints: Tensor, boxes: Tensor, sizes: Tensor) -> Tensor:
        """3D [P, K, 3]: the mean of the lifts of each branch's own keypoints.

        sizes [P, 2] (H, W) of the image that each person is in.
        """
        if len(maps) == 1:
            own = {name: keypoints for name in maps}
        else:
            own = {name: self.read(logits, boxes)[0] for name, logits in maps.items()}
        edge = keypoints.new_tensor([0.5, 0.5, 0])  # rays are computed from pixel centres
        return torch.stack(
            [self.lifters[name](geometry.rays(poses - edge, sizes)) for name, poses in own.items()]
        ).mean(0)

    def losses(self, features, proposals, sizes, targets) -> dict[str, Tensor]:
        """Fast R-CNN's losses under torchvision's names; `keypoints_…` and `points_…` by label."""
        with torch.autocast(proposals[0].device.type, enabled=False):  # boxes need full precision
            single = {name: x.float() for name, x in features.items()}
            proposals, matched, labels, goals = self.select_training_samples(proposals, targets)
            predicted = self.classify(single, proposals, sizes)
            classes, boxes = fastrcnn_loss(*predicted, labels, goals)
        # people without any keypoint would only cost time
        rois, people = [], []
        for own, index, label, target in zip(proposals, matched, labels, targets, strict=True):
            has_keypoints = torch.stack([(target[KEYPOINTS[kind]][..., 2] > 0).any(1) for kind in KEYPOINTS])
            has_keypoints = has_keypoints.any(0) if len(target["boxes"]) else has_keypoints.new_zeros(1)
            kept = ((label > 0) & has_keypoints[index]).nonzero()[:, 0]
            rois.append(own[kept])
            people.append(index[kept])
        maps, where = self.heat_maps(features, rois, sizes), torch.cat(rois)
        losses = {"loss_classifier": classes, "loss_box_reg": boxes}
        for name, kinds in self.branches.items():
            for kind in kinds:
                true = [t[KEYPOINTS[kind]][i] for t, i in zip(targets, people, strict=True)]
                labels_2d, logits = torch.cat(true), maps[name].float()
                losses[f"keypoints_{kind}"] = (
                    loss_2d_hard(logits, where, labels_2d)
                    if kind == "hard"
                    else loss_2d_soft(logits, where, labels_2d, self.soft)
                )
                with torch.autocast(where.device.type, enabled=False):  # millimetres need full precision
                    losses[f"points_{kind}"] = loss_3d(
                        self.lifters[name],
                        torch.cat([t[RAYS[kind]] for t in targets]),
                        torch.cat([t[POINTS[kind]] for t in targets]),
                    )
        return losses


class Student(Network, GeneralizedRCNN):
    """RPN, box head, keypoint branches and lifters on a backbone with feature pyramid.

    `backbone` returns maps at 1/4 … 1/32 named "0" … "3" and "pool", and has `out_channels`. `branches` is a key of
    `BRANCHES`, `soft` one of `SOFT`, `reading` of `READINGS`. The shorter side of a frame is scaled to `side` pixels,
    the longer one to `longest` at most. `proposals` are kept per image (training, prediction), of `before` times as
    many before non-maximum suppression. The box head is trained on `samples` of them, of which at most a share of
    `positive` are people; on those the branches are trained.

    As a torchvision detector it takes a list of images [3, h, w] in 0..1 and, in training, a list of targets: `boxes`
    [P, 4], `labels` [P] (all 1), and of each person `keypoints` and `keypoints_soft` [P, K, 3] (third: visible above
    0; confidence), `keypoints3d` and `keypoints3d_soft` [P, K, 3], pixels from the frame's edge and millimetres; and
    `rays` and `rays_soft` [P, K, 3], the same keypoints as the camera of the 3D saw them (`geometry.rays`).
    """

    head = ("rpn.", "roi_heads.", "backbone.fpn.")
    learned = ("backbone.", "rpn.", "roi_heads.box_", "roi_heads.keypoint_")  # all but the lifters

    def __init__(
        self,
        backbone: nn.Module,
        branches: str = "double",
        *,
        soft: str = "temperature",
        reading: str = "peak",
        side: int = 800,
        longest: int = 1333,
        anchors: tuple[int, ...] = (32, 64, 128, 256, 512),
        ratios: tuple[float, ...] = (0.5, 1.0, 2.0),
        proposals: tuple[int, int] = (2000, 1000),
        before: int = 1,
        samples: int = 512,
        positive: float = 0.25,
        detections: int = 100,
        representation: int = 1024,
        box_pool: int = 7,
        layers: tuple[int, ...] = (512,) * 8,
        lifter: int = 1024,
        dropout: float = 0.5,
        mean: tuple = MEAN,
        std: tuple = STD,
        skeleton: Skeleton = COCO,
    ):
        for value, known, name in (
            (branches, BRANCHES, "branches"),
            (soft, SOFT, "soft"),
            (reading, READINGS, "reading"),
        ):
            if value not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
        rpn = proposer(backbone.out_channels, anchors, ratios, proposals, before)
        heads = StudentHeads(
            BRANCHES[branches],
            soft,
            reading,
            skeleton,
            backbone.out_channels,
            layers,
            lifter,
            dropout,
            box_roi_pool=MultiScaleRoIAlign(LEVELS, box_pool, 2),
            box_head=TwoMLPHead(backbone.out_channels * box_pool**2, representation),
            box_predictor=FastRCNNPredictor(representation, 2),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=samples,
            positive_fraction=positive,
            bbox_reg_weights=None,
            score_thresh=0.05,
            nms_thresh=0.5,
            detections_per_img=detections,
        )
        super().__init__(backbone, rpn, heads, Transform(side, longest, list(mean), list(std)))
        self.skeleton, self.keypoints, self.side = skeleton, len(skeleton), side
        self.config = dict(
            branches=branches,
            side=side,
            layers=list(layers),
            lifter=lifter,
            representation=representation,
            reading=reading,
        )
        self.to(memory_format=torch.channels_last)  # an eighth faster on two cores

    @property
    def lifters(self) -> list[Lifter]:
        """The lifter of each branch."""
        return list(self.roi_heads.lifters.values())


@torch.no_grad()
def find_people(student: Student, frames: Tensor) -> list[People]:
    """The people in each of frames [N, 3, H, W] uint8, on the CPU; as `three_stages.find_people`.

    The student must be in evaluation mode. RuntimeError if its output is not finite.
    """
    images = list(frames.to(next(student.parameters()).device).float() / 255)
    results = []
    for found in student(images) if images else []:
        people = People(
            found["boxes"].cpu(),
            found["scores"].cpu(),
            # torchvision counts from the frame's edge, `People` from pixel centres
            found["keypoints"].cpu() - torch.tensor([0.5, 0.5, 0]),
            found["keypoints3d"].cpu(),
        )
        if not all(torch.isfinite(part).all() for part in (people.boxes, people.keypoints3d)):
            raise RuntimeError("the student's output is not finite")
        results.append(people)
    return results


def find_all(student: Student, frames: Sequence[Tensor] | Tensor, batch: int = 8) -> list[People]:
    """`find_people` in any number of frames [3, H, W] uint8 of any sizes, `batch` at a time."""
    return in_batches(partial(find_people, student), frames, batch)
