"""What a network costs: its parameters, and the multiply-adds of one frame."""

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

    So counted torchvision's Keypoint R-CNN takes 177 on a frame of 640x480 seen with 800 pixels, and 3.5 more for
    each person: the 215.0 of Srivastav et al. Counted singly it would be twice as many, 354 before the first person.
    """

    parameters: int
    gflops: float


def cost(networks: Iterable[nn.Module], call: Callable[[], object]) -> Cost:
    """Cost of the networks that `call` runs: convolutions and matrix products, nothing else.

    Parameters of several networks are added up, shared ones counted once.
    """
    own = {id(p): p.numel() for network in networks for p in network.parameters()}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return Cost(sum(own.values()), counter.get_total_flops() / 2e9)  # it counts both + and ×


def teacher_cost(teacher: Teacher, size: tuple[int, int] = (480, 640), people: int = 5) -> Cost:
    """Cost of the teacher's three stages on one frame of `size` (H, W) with so many people.

    With its test-time augmentation, unless it is `teacher.plain()`.
    """
    stages = (teacher.detector, teacher.pose, teacher.lifter)
    return cost(stages, teacher_at_work(teacher, size, people))


def student_cost(student: Student, size: tuple[int, int] = (480, 640), people: int = 5) -> Cost:
    """Cost of the student in evaluation mode on one frame of `size` (H, W) with so many people."""
    return cost([student], student_at_work(student, size, people))


def teacher_at_work(teacher: Teacher, size: tuple[int, int], people: int) -> Callable[[], object]:
    """A call that looks for people in a frame of `size` (H, W) and at so many of them.

    What is in the frame does not matter: the crops of the people are all of one size.
    """
    device = next(teacher.detector.parameters()).device
    frames = torch.full((1, 3, *size), 128, dtype=torch.uint8, device=device)
    boxes = torch.tensor([[0.0, 0, size[1], size[0]]], device=device).expand(people, 4)
    index = torch.zeros(people, dtype=torch.long, device=device)

    @torch.no_grad()
    def look() -> Tensor:
        detect(teacher.detector, frames, teacher.scales, teacher.flip)
        poses = estimate(
            teacher.pose, frames, index, boxes, teacher.crop, teacher.skeleton, teacher.crop_scales, teacher.flip
        )
        return lift(teacher, poses, size)

    return look


def student_at_work(student: Student, size: tuple[int, int], people: int) -> Callable[[], object]:
    """A call that looks for people in a frame of `size` (H, W) and at so many of them.

    Whatever its boxes are worth, so many of them go on to the keypoints: an untrained student, which believes in all
    of its boxes, has as much to do as a trained one.
    """
    device = next(student.parameters()).device
    frame = torch.full((1, 3, *size), 128, dtype=torch.uint8, device=device)
    heads = student.roi_heads

    def look() -> list[People]:
        own = heads.score_thresh, heads.detections_per_img
        heads.score_thresh, heads.detections_per_img = -1.0, people
        try:
            return find_people(student, frame)
        finally:
            heads.score_thresh, heads.detections_per_img = own

    return look
