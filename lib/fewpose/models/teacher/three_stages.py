"""The teacher: boxes, keypoints and 3D poses of all people in a frame, by three networks one after the other.

Srivastav et al., *Self-supervision on unlabelled OR data for multi-person 2D/3D human pose estimation* (2020),
section 2.2. All are trained on everyday people, none on an operating room.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from fewpose import geometry
from fewpose.models.download import find_published
from fewpose.models.lifting import Lifter, load_lifter
from fewpose.models.people import People
from fewpose.models.rtmpose import CROP, published_rtmpose
from fewpose.models.teacher import box_fusion, top_down
from fewpose.models.teacher.box_fusion import Detector, detect
from fewpose.models.teacher.top_down import estimate
from fewpose.models.teacher.yolox import yolox_tiny
from fewpose.models.weights import shipped
from fewpose.skeleton import COCO, Skeleton


@dataclass(frozen=True)
class Teacher:
    """The three stages and their settings.

    detector  stage 1: a `CascadeRCNN` or `YoloX`
    pose      stage 2: a model of heat maps, such as `HRNet` or `PublishedRTMPose`, for crops of `crop` (H, W)
    lifter    stage 3: a `Lifter`
    scales    of the frame for the detector, `crop_scales` of the crops; `flip` adds the mirror image of each
    floor     boxes of a lower score are dropped; at most `limit` people per frame are kept
    """

    detector: Detector
    pose: nn.Module
    lifter: Lifter
    crop: tuple[int, int]
    skeleton: Skeleton = COCO
    scales: tuple[float, ...] = box_fusion.SCALES
    crop_scales: tuple[float, ...] = top_down.SCALES
    flip: bool = True
    floor: float = 0.05
    limit: int = 20

    def plain(self) -> Teacher:
        """The same teacher without test-time augmentation, which is faster."""
        return replace(self, scales=(1.0,), crop_scales=(1.0,), flip=False)

    def eval(self) -> Teacher:
        """All stages in evaluation mode, in place."""
        for stage in (self.detector, self.pose, self.lifter):
            stage.eval()
        return self

    def to(self, device: torch.device | str) -> Teacher:
        """All stages on a device, in place."""
        for stage in (self.detector, self.pose, self.lifter):
            stage.to(device)
        return self

    def sizes(self) -> dict[str, int]:
        """Number of parameters of each stage."""
        stages = {"detector": self.detector, "pose": self.pose, "lifter": self.lifter}
        return {name: sum(p.numel() for p in s.parameters()) for name, s in stages.items()}


def onnx_teacher(
    lifter: str | Path | None = None, yolox: str | Path | None = None, rtmpose: str | Path | None = None
) -> Teacher:
    """The laptop profile's teacher: YOLOX-tiny and RTMPose-s as published, and a lifter.

    lifter is a file of `save_weights`, by default the shipped one; yolox and rtmpose are ONNX files, by default found
    or downloaded by `find_published`. ValueError naming a file that cannot be used.
    """
    return Teacher(
        yolox_tiny(find_published("yolox_tiny", yolox or None)),
        published_rtmpose(rtmpose or None),
        load_lifter(lifter or shipped("everyday_lifter")),
        CROP,
    )


@torch.no_grad()
def find_people(teacher: Teacher, frames: Tensor) -> list[People]:
    """The people in each of frames [N, 3, H, W] uint8, on the CPU; none in an empty frame.

    RuntimeError naming the stage whose output is not finite.
    """
    device = next(teacher.detector.parameters()).device
    frames = frames.to(device)
    found = detect(teacher.detector, frames, teacher.scales, teacher.flip)
    kept = []
    for boxes, scores in found:
        sides = boxes[:, 2:] - boxes[:, :2]
        good = ((scores >= teacher.floor) & (sides > 1).all(1)).nonzero()[: teacher.limit, 0]
        kept.append((boxes[good], scores[good]))
    counts = [len(boxes) for boxes, _ in kept]
    boxes = torch.cat([boxes for boxes, _ in kept]) if kept else torch.zeros(0, 4)
    index = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts).long())
    poses = estimate(
        teacher.pose, frames, index.to(device), boxes, teacher.crop, teacher.skeleton, teacher.crop_scales, teacher.flip
    )
    points = lift(teacher, poses, frames.shape[-2:])
    for name, values in (("detector", boxes), ("pose", poses), ("lifter", points)):
        if not torch.isfinite(values).all():
            raise RuntimeError(f"the output of the teacher's {name} is not finite")
    parts = zip(kept, poses.cpu().split(counts), points.cpu().split(counts), strict=True)
    return [People(b.cpu(), s.cpu(), pose, point) for (b, s), pose, point in parts]


@torch.no_grad()
def lift(teacher: Teacher, poses: Tensor, size: tuple[int, int]) -> Tensor:
    """3D [P, K, 3] of poses [P, K, 3] in frames of `size` (H, W), both as in `People`.

    Keypoints of confidence 0 are missing. The camera is assumed to be as in `geometry.rays`.
    """
    if not len(poses):
        return torch.zeros_like(poses)
    device = next(teacher.lifter.parameters()).device
    return teacher.lifter(geometry.rays(poses, size).to(device)).to(poses.device)


def find_all(teacher: Teacher, frames: Sequence[Tensor] | Tensor, batch: int = 8) -> list[People]:
    """`find_people` in any number of frames [3, H, W] uint8 of any sizes, in batches."""
    return in_batches(partial(find_people, teacher), frames, batch)


def in_batches(find: Callable[[Tensor], list[People]], frames: Sequence[Tensor] | Tensor, batch: int) -> list[People]:
    """The results of `find` for frames [3, H, W], called with up to `batch` successive frames of one size."""
    found: list[People] = []
    start = 0
    while start < len(frames):
        stop = start + 1
        while stop < min(start + batch, len(frames)) and frames[start].shape == frames[stop].shape:
            stop += 1
        found += find(torch.stack([frames[i] for i in range(start, stop)]))
        start = stop
    return found
