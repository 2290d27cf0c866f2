"""The cost of a network: its parameters, and the multiply-adds for one frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fewpose.models.people import People
from fewpose.models.student.keypoint_rcnn import Student, find_people
from fewpose.models.teacher.box_fusion import detect
from fewpose.models.teacher.three_stages import Teacher, lift
from fewpose.models.teacher.top_down import estimate


@dataclass(frozen=True)
class Cost:
    """Number of parameters, and GFLOPs: 10⁹ multiply-adds, as the field counts them.

    By this count torchvision's Keypoint R-CNN needs 177 for a frame of 640x480 scaled to a shorter side of 800 pixels,
    and 3.5 more per person, which fits the 215.0 of Srivastav et al. Counting additions and multiplications separately
    would double it: 354 without people.
    """

    parameters: int
    gflops: float


def cost(networks: Iterable[nn.Module], call: Callable[[], object]) -> Cost:
    """Cost of the networks that `call` runs, of convolutions and matrix products only.

    Parameters shared by several networks are counted once.
    """
    own = {id(p): p.numel() for network in networks for p in network.parameters()}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return Cost(sum(own.values()), counter.get_total_flops() / 2e9)  # the counter counts + and × each


def teacher_cost(teacher: Teacher, size: tuple[int, int] = (480, 640), people: int = 5) -> Cost:
    """Cost of the teacher's three stages on one frame of `size` (H, W) with `people` people.

    With test-time augmentation, unless the teacher is `teacher.plain()`.
    """
    stages = (teacher.detector, teacher.pose, teacher.lifter)
    return cost(stages, teacher_call(teacher, size, people))


def student_cost(student: Student, size: tuple[int, int] = (480, 640), people: int = 5) -> Cost:
    """Cost of the student in evaluation mode on one frame of `size` (H, W) with `people` people."""
    return cost([student], student_call(student, size, people))


def teacher_call(teacher: Teacher, size: tuple[int, int], people: int) -> Callable[[], object]:
    """A call that runs the teacher on a frame of `size` (H, W), as if it showed `people` people.

    The content of the frame does not matter: all crops have one size.
    """
    device = next(teacher.detector.parameters()).device
    frames = torch.full((1, 3, *size), 128, dtype=torch.uint8, device=device)
    boxes = torch.tensor([[0.0, 0, size[1], size[0]]], device=device).expand(people, 4)
    index = torch.zeros(people, dtype=torch.long, device=device)

    @torch.no_grad()
    def call() -> Tensor:
        detect(teacher.detector, frames, teacher.scales, teacher.flip)
        poses = estimate(
            teacher.pose, frames, index, boxes, teacher.crop, teacher.skeleton, teacher.crop_scales, teacher.flip
        )
        return lift(teacher, poses, size)

    return call


def student_call(student: Student, size: tuple[int, int], people: int) -> Callable[[], object]:
    """A call that runs the student on a frame of `size` (H, W), as if it showed `people` people.

    Keypoints are predicted in `people` boxes whatever their scores, so that an untrained student costs as much as a
    trained one.
    """
    device = next(student.parameters()).device
    frame = torch.full((1, 3, *size), 128, dtype=torch.uint8, device=device)
    heads = student.roi_heads

    def call() -> list[People]:
        own = heads.score_thresh, heads.detections_per_img
        heads.score_thresh, heads.detections_per_img = -1.0, people
        try:
            return find_people(student, frame)
        finally:
            heads.score_thresh, heads.detections_per_img = own

    return call
