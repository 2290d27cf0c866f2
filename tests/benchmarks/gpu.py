"""HigherHRNet's training step and matrix products on a GPU, in absolute rates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fewpose.augment import Augmentation, normalise, random_view
from fewpose.data.pose_data import PoseData
from fewpose.heatmaps import gaussian_targets
from fewpose.losses import heatmap_mse
from fewpose.models.higher_hrnet import HigherHRNet
from fewpose.skeleton import COCO

from .harness import Case, seconds, threads
from .steps import Build, random_data, stepper


def matrices(n: int = 8192, device: str = "cuda") -> Case:
    """Products of square matrices in bf16, the practical peak of the hardware, against fp32."""
    torch.manual_seed(0)
    a, b = torch.randn(2, n, n, device=device)
    c, d = a.bfloat16(), b.bfloat16()
    return Case(lambda: c @ d, lambda: a @ b, 2 * n**3 / 1e12, "TFLOP/s", f"fp32, {n} x {n}, {threads()}")


def matrix_rate(n: int = 8192, device: str = "cuda") -> float:
    """TFLOP/s of bf16 products, best of five measurements."""
    case = matrices(n, device)
    case.ours()
    return max(case.amount / seconds(case.ours, 10) for _ in range(5))


def training(
    size: int = 512,
    batch: int = 16,
    compiled: bool = False,
    device: str = "cuda",
    build: Build = HigherHRNet,
    matrix: int = 8192,
) -> Case:
    """Our training step, with augmentation and targets, against a plain one in fp32 and NCHW.

    Frames are on the device. The notes give the share of the measured bf16 rate: torch counts the operations of
    forward and backward pass, a multiply-add as two.
    """
    data = random_data(2 * batch, size, device)
    torch.manual_seed(0)
    ours, reference = (build(len(COCO)).to(device) for _ in range(2))
    operations = counted(reference, size, device)
    step = stepper(torch.compile(ours) if compiled else ours, data, batch)
    peak = peak_memory(step, device)
    best = matrix_rate(matrix, device)

    def details(rate: float) -> str:
        reached = rate * operations / 1e12
        return (
            f"{reached:.3g} TFLOP/s of counted {operations / 1e9:.0f} GFLOP an image, "
            f"{reached / best:.1%} of {best:.3g} measured for bf16 matrices, "
            f"{peak:.1f} GiB peak memory"
        )

    return Case(
        step,
        plain_step(reference, data, batch),
        batch,
        "images/s",
        f"the plain step in fp32 and NCHW, {build.__name__} {size}x{size}, batch {batch}" + ", compiled" * compiled,
        details=details,
    )


def plain_step(model: nn.Module, data: PoseData, batch: int) -> Callable[[], float]:
    """A straightforward training step: fp32, NCHW, default Adam; the same augmentation."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    generator = torch.Generator().manual_seed(0)
    device = next(model.parameters()).device
    model.train()

    def work() -> float:
        index = torch.randint(len(data), (batch,), generator=generator)
        view = random_view(batch, data.size, data.skeleton, Augmentation(), generator, device)
        predicted = model(normalise(view.images(data.frames[index].to(device))))
        poses = view.poses(data.poses[index].to(device))
        targets = [gaussian_targets(poses, data.size, s) for s in model.strides]
        loss = heatmap_mse(predicted, targets, poses[..., 2] > 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return work


def counted(model: nn.Module, size: int, device: str) -> int:
    """Floating-point operations of one image forward and backward, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        sum(m.sum() for m in model(torch.zeros(1, 3, size, size, device=device))).backward()
    model.zero_grad()
    return counter.get_total_flops()


def peak_memory(step: Callable[[], object], device: str) -> float:
    """Peak GiB on a GPU during three steps, all other allocations included; 0 on the CPU."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(3):
        step()
    return torch.cuda.max_memory_allocated() / 2**30 if torch.device(device).type == "cuda" else 0.0
