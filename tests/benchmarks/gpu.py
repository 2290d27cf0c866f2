"""HigherHRNet's training step and the rate of matrices, in the absolute figures of a GPU."""

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

from .harness import Line, seconds, threads
from .steps import Build, random_data, stepper


def matrices(n: int = 8192, device: str = "cuda") -> Line:
    """Products of square matrices in bf16, what the hardware reaches at best, against fp32."""
    torch.manual_seed(0)
    a, b = torch.randn(2, n, n, device=device)
    c, d = a.bfloat16(), b.bfloat16()
    return Line(lambda: c @ d, lambda: a @ b, 2 * n**3 / 1e12, "TFLOP/s", f"fp32, {n} x {n}, {threads()}")


def matrix_rate(n: int = 8192, device: str = "cuda") -> float:
    """TFLOP/s of bf16 products, the best of five blocks."""
    line = matrices(n, device)
    line.ours()
    return max(line.amount / seconds(line.ours, 10) for _ in range(5))


def training(
    size: int = 512,
    batch: int = 16,
    compiled: bool = False,
    device: str = "cuda",
    build: Build = HigherHRNet,
    matrix: int = 8192,
) -> Line:
    """Our training step, views and targets included, against the plain one in fp32 and NCHW.

    Frames lie on the device. The notes tell what of the measured rate of bf16 matrices is reached:
    operations counted by torch of forward and backward pass, a multiplication with its addition
    as two.
    """
    data = random_data(2 * batch, size, device)
    torch.manual_seed(0)
    ours, reference = (build(len(COCO)).to(device) for _ in range(2))
    operations = counted(reference, size, device)
    step = stepper(torch.compile(ours) if compiled else ours, data, batch)
    peak = peak_memory(step, device)
    best = matrix_rate(matrix, device)

    def about(rate: float) -> str:
        reached = rate * operations / 1e12
        return (
            f"{reached:.3g} TFLOP/s of counted {operations / 1e9:.0f} GFLOP an image, "
            f"{reached / best:.1%} of {best:.3g} measured for bf16 matrices, "
            f"{peak:.1f} GiB at most"
        )

    return Line(
        step,
        plain_step(reference, data, batch),
        batch,
        "images/s",
        f"the plain step in fp32 and NCHW, {build.__name__} {size}x{size}, batch {batch}" + ", compiled" * compiled,
        about=about,
    )


def plain_step(model: nn.Module, data: PoseData, batch: int) -> Callable[[], float]:
    """The step as one writes it at first: fp32, NCHW, Adam as it comes; the same views."""
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
    """GiB that three steps take at most on a GPU, whatever else lies there included; else 0."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(3):
        step()
    return torch.cuda.max_memory_allocated() / 2**30 if torch.device(device).type == "cuda" else 0.0
