"""Mean teacher's step and moving average, joint masking, and pseudo labels from twelve views."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from fewpose.augment import MEAN, Augmentation, labelling_views
from fewpose.beyond.joint_masking import HALF, JITTER, joint_cutmix, joint_cutout
from fewpose.data.pose_data import PoseData
from fewpose.heatmaps import predict
from fewpose.mean_teacher import Consistency, MeanTeacher, step_losses
from fewpose.models.higher_hrnet import HigherHRNet, narrow_higher_hrnet
from fewpose.pseudo_labels import VIEWS, generate
from fewpose.skeleton import COCO
from fewpose.training import Schedule, batch_index, descend, hash_of, parameter_groups, supervised_loss

from .augmentation import smooth_frames
from .harness import Case, threads
from .heatmaps import random_poses

Build = Callable[[int], nn.Module]


def random_data(n: int, size: int, device: str = "cpu") -> PoseData:
    """Random frames and poses on the device, one frame per video."""
    frames, poses = smooth_frames(n, (size, size)), random_poses(n, (size, size))
    names = np.array([f"video{i}" for i in range(n)])
    return PoseData(frames.to(device), poses, COCO, names, np.full(n, "train"))


def stepper(
    model: nn.Module, data: PoseData, batch: int, consistency: Consistency | None = None
) -> Callable[[], float]:
    """Our training step: each call is the next step."""
    model.to(memory_format=torch.channels_last).train()
    schedule = Schedule(10_000, batch_size=batch)
    optimizer = torch.optim.Adam(parameter_groups(model, schedule), fused=True)
    steps = iter(range(schedule.steps))

    def labelled(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        index = batch_index(len(data), batch, 0, step)
        return {"labelled": supervised_loss(model, data, index, Augmentation(), 2.0, generator)}

    losses = step_losses(model, data, schedule, consistency, Augmentation(), 0) if consistency else labelled

    def step() -> float:
        number = next(steps)
        parts = losses(number, torch.Generator().manual_seed(hash_of(0, number)))
        value = descend(model, optimizer, parts, math.inf, "benchmark")
        if consistency:
            model.update()
        return value

    return step


def mean_teacher(size: int = 128, batch: int = 16, device: str = "cpu") -> Case:
    """A mean teacher's step, with as many unlabelled as labelled frames, against a supervised step."""
    data = random_data(2 * batch, size, device)
    torch.manual_seed(0)
    plain = narrow_higher_hrnet(len(COCO)).to(device)
    pair = MeanTeacher(narrow_higher_hrnet(len(COCO))).to(device)
    loss = Consistency(data, batch, threshold=-torch.inf)  # an untrained teacher would count as collapsed
    return Case(
        stepper(pair, data, batch, loss),
        stepper(plain, data, batch),
        1,
        "steps/s",
        f"a supervised step, narrow HigherHRNet {size}x{size}, batch {batch} + {batch} unlabelled, {threads()}",
    )


def moving_average(device: str = "cpu", build: Build = narrow_higher_hrnet) -> Case:
    """The teacher's moving average against a loop over parameters and buffers."""
    pair = MeanTeacher(build(len(COCO))).to(device)
    return Case(
        pair.update,
        lambda: average_loop(pair.student, pair.teacher, pair.decay),
        1,
        "updates/s",
        f"a loop over {len(pair.teacher.state_dict())} tensors, {threads()}",
    )


@torch.no_grad()
def average_loop(student: nn.Module, teacher: nn.Module, decay: float) -> None:
    """θ' ← α θ' + (1 − α) θ, tensor by tensor, batch-norm statistics included."""
    for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
        old.mul_(decay).add_(new, alpha=1 - decay)
    for old, new in zip(teacher.buffers(), student.buffers(), strict=True):
        if old.is_floating_point():
            old.mul_(decay).add_(new, alpha=1 - decay)
        else:
            old.copy_(new)


def masked_joints(kind: str, size: tuple[int, int] = (256, 192), batch: int = 32, device: str = "cpu") -> Case:
    """Joint cutout or cut-mix of a batch against a loop over images and joints."""
    images = smooth_frames(batch, size).float().to(device)
    poses, generator = random_poses(batch, size).to(device), torch.Generator().manual_seed(0)
    ours, holes = {"cutout": (joint_cutout, 5), "cutmix": (joint_cutmix, 3)}[kind]
    return Case(
        lambda: ours(images, poses, generator, holes),
        lambda: masking_loop(images, poses, generator, holes, kind == "cutmix"),
        batch,
        "images/s",
        f"a loop over images and joints, {size[0]}x{size[1]}, batch {batch}, {threads()}",
    )


def masking_loop(images: Tensor, poses: Tensor, generator: torch.Generator, holes: int, mix: bool) -> Tensor:
    """Patches over random joints, one at a time: grey, or another image's joint."""
    out = images.clone()
    n, _, height, width = images.shape
    grey = 255 * torch.tensor(MEAN, device=images.device).view(3, 1, 1)
    k = poses.shape[1]
    for i in range(n):
        for _ in range(holes):
            joint = poses[i, torch.randint(k, (1,), generator=generator).item()]
            if not joint[2] > 0:
                continue
            offset = height * JITTER * torch.randn(2, generator=generator)
            x, y = joint[0].item() + offset[0].item(), joint[1].item() + offset[1].item()
            low, high = HALF
            half = height * (low + (high - low) * torch.rand(1, generator=generator).item())
            left, right = (min(max(round(v), 0), width) for v in (x - half, x + half + 1))
            top, bottom = (min(max(round(v), 0), height) for v in (y - half, y + half + 1))
            if not mix:
                out[i, :, top:bottom, left:right] = grey
                continue
            w, h, other = right - left, bottom - top, (i + 1) % n
            point = poses[other, torch.randint(k, (1,), generator=generator).item()]
            a = min(max(round(point[0].item()) - w // 2, 0), width - w)
            b = min(max(round(point[1].item()) - h // 2, 0), height - h)
            out[i, :, top:bottom, left:right] = images[other, :, b : b + h, a : a + w]
    return out


def twelve_views(size: int = 128, frames: int = 16, device: str = "cpu", build: Build = narrow_higher_hrnet) -> Case:
    """Pseudo labels of frames from a base, a mirrored and ten random views, against single images."""
    model = build(len(COCO)).to(device).to(memory_format=torch.channels_last).eval()
    data = random_data(frames, size, device).unlabelled()
    looped = max(1, frames // 8)
    name = "HigherHRNet-W32" if build is HigherHRNet else "narrow HigherHRNet"
    return Case(
        lambda: generate(model, data),
        lambda: views_loop(model, data, looped),
        frames,
        "frames/s",
        f"a loop of single views, {name} {size}x{size}, batch {min(frames, 16)}, {threads()}",
        looped,
    )


@torch.no_grad()
def views_loop(model: nn.Module, data: PoseData, frames: int, augmentations: int = 10) -> list:
    """Predictions for each view of each frame alone, mapped back to the frame."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    views = labelling_views(len(data), data.size, data.skeleton, augmentations, VIEWS, generator, device)
    poses = []
    for i in range(frames):
        for view in views:
            single = type(view)(view.matrix[i : i + 1], view.flipped[i : i + 1], view.skeleton)
            image = single.images(data.frames[i : i + 1].to(device))
            poses.append(single.undo_poses(predict(model, image)).cpu())
    return poses
