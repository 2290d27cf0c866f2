"""Keypoint R-CNN: training step against torchvision's, and the student against its teacher."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from fewpose import geometry
from fewpose.models import cost
from fewpose.models.lifting import Lifter
from fewpose.models.student.keypoint_rcnn import Student
from fewpose.models.student.networks import light_student, resnet50_student
from fewpose.models.teacher.paper.paper_teacher import new_detector, new_pose_network
from fewpose.models.teacher.three_stages import Teacher, onnx_teacher
from fewpose.speed.precision import half_in_training

from .augmentation import smooth_frames
from .harness import Case, threads

KEYPOINTS = 17


def finding(network: str = "light", people: int = 5) -> Case:
    """Inference of the student on a frame with five people, against its three-stage teacher.

    "light" are the laptop profile's networks, "paper" the paper's with random weights. The teacher runs without
    test-time augmentation.
    """
    size = (480, 640)
    teacher, student = pair(network)
    return Case(
        cost.student_call(student, size, people),
        cost.teacher_call(teacher, size, people),
        1,
        "frames/s",
        f"its teacher without test-time augmentation, {network} networks, a frame "
        f"of {size[1]}x{size[0]} with {people} people, {threads()}",
    )


def pair(network: str) -> tuple[Teacher, Student]:
    """Teacher and student of the laptop profile ("light") or of the paper, ready for inference."""
    if network == "light":
        return onnx_teacher().plain().eval(), light_student(reading="oks").eval()
    torch.manual_seed(0)
    detector = new_detector(network, 800)
    teacher = Teacher(detector, new_pose_network(network, KEYPOINTS), Lifter(1024), (384, 288))
    return teacher.plain().eval(), resnet50_student().eval()


def training(side: int = 160, batch: int = 2, people: int = 2, device: str = "cpu", regions: int = 512) -> Case:
    """A training step of the paper's single-branch student against torchvision's network in plain fp32.

    Ours also trains the 3D lifter. `regions` are sampled of an image.
    """
    from torchvision.models.detection import keypointrcnn_resnet50_fpn

    torch.manual_seed(0)
    images = list(smooth_frames(batch, (side, side * 4 // 3)).to(device).float() / 255)
    targets = [random_people(people, side, device) for _ in range(batch)]
    reference = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None).to(device)
    ours = resnet50_student(branches="single_hard").to(device)
    for model in (ours, reference):
        model.transform.min_size, model.transform.max_size = (side,), 2 * side
        model.roi_heads.fg_bg_sampler.batch_size_per_image = regions
    return Case(
        step(ours, images, targets, True),
        step(reference, images, targets, False),
        batch,
        "images/s",
        f"torchvision's keypointrcnn_resnet50_fpn in fp32, {side}x{side * 4 // 3}, "
        f"batch {batch}, {people} people each, {threads()}",
    )


def random_people(count: int, side: int, device: str) -> dict[str, torch.Tensor]:
    """A target of random boxes, hard and soft keypoints and 3D poses."""
    corner = side / 3 * torch.rand(count, 2)
    extent = side / 2 * torch.ones(count, 2)
    points = corner[:, None] + extent[:, None] * torch.rand(count, KEYPOINTS, 2)
    poses = torch.cat([points, torch.ones(count, KEYPOINTS, 1)], 2)
    points3d = 500 * torch.randn(count, KEYPOINTS, 3)
    target = {
        "boxes": torch.cat([corner, corner + extent], 1),
        "labels": torch.ones(count, dtype=torch.long),
        "keypoints": poses,
        "keypoints_soft": poses,
        "keypoints3d": points3d,
        "keypoints3d_soft": points3d,
        "rays": geometry.rays(poses, (side, side)),
        "rays_soft": geometry.rays(poses, (side, side)),
    }
    return {name: value.to(device) for name, value in target.items()}


def step(model: nn.Module, images: list, targets: list, fast: bool) -> Callable[[], None]:
    """One AdamW step on the sum of a detector's losses; `fast` as in our trainings."""
    device = images[0].device
    model.train()
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, 1e-5, fused=fast)

    def work() -> None:
        if fast:
            with half_in_training(device):
                loss = sum(model(images, targets).values())
        else:
            loss = sum(model(images, targets).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return work
