"""Stage 3 of the teacher: a residual network that lifts 2D keypoints of one person to 3D.

Martinez et al., *A simple yet effective baseline for 3D human pose estimation* (ICCV 2017),
section 3; Srivastav et al., section 3.1.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..loop import minimise, start_of
from ..skeleton import COCO, Skeleton
from ..training import History, Schedule, batch_index
from .weights import load_weights, read_meta


@dataclass(frozen=True)
class Occlusion:
    """What training does to true keypoints, so that found ones are no surprise.

    jitter is the deviation of noise in shares of the pose's size, drop the probability that a
    keypoint is missing, cut that all below a random height are, as behind a table.
    """

    jitter: float = 0.03
    drop: float = 0.1
    cut: float = 0.3
    flip: float = 0.5


class Lifter(nn.Module):
    """Linear 2K → width, two residual blocks of two layers, linear → 3K.

    Each layer is linear, batch norm, ReLU, dropout. Inputs are put to the middle and size of the
    person's own keypoints, outputs to the middle of the hips; then both are normalised by mean and
    deviation of each coordinate over the training set, which are saved with the weights. A missing
    keypoint enters as the mean, 0.
    """

    head: tuple[str, ...] = ()
    reads_head: dict[str, int] = {}  # noqa: RUF012

    def __init__(
        self, width: int = 1024, blocks: int = 2, dropout: float = 0.5, skeleton: Skeleton = COCO
    ):
        super().__init__()
        self.keypoints = k = len(skeleton)
        self.config = dict(width=width, blocks=blocks, dropout=dropout)
        self.skeleton = skeleton
        self.first = layer(2 * k, width, dropout)
        self.blocks = nn.ModuleList(
            nn.Sequential(layer(width, width, dropout), layer(width, width, dropout))
            for _ in range(blocks)
        )
        self.last = nn.Linear(width, 3 * k)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)
        for name, n in (("mean2d", 2), ("std2d", 2), ("mean3d", 3), ("std3d", 3)):
            fill = torch.zeros if name.startswith("mean") else torch.ones
            self.register_buffer(name, fill(k, n))

    def forward(self, poses: Tensor) -> Tensor:
        """Poses [P, K, 3] (pixels, missing where the third is 0) → [P, K, 3] millimetres.

        In the axes of the camera (x right, y down, z away), the middle of the hips at 0.
        """
        return self.from_root(self.normalised(poses) * self.std3d + self.mean3d)

    def normalised(self, poses: Tensor) -> Tensor:
        """What the layers answer: 3D in units of its deviation over the training set."""
        if tuple(poses.shape[1:]) != (self.keypoints, 3):
            raise ValueError(f"the lifter reads poses [P, {self.keypoints}, 3], not "
                             f"{list(poses.shape)}")  # fmt: skip
        seen = poses[..., 2:] > 0
        x = ((own_frame(poses) - self.mean2d) / self.std2d * seen).flatten(1)
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x).view(len(poses), self.keypoints, 3)

    def from_root(self, points: Tensor) -> Tensor:
        """Points [P, K, 3] with the middle of the hips put at 0."""
        hips = [self.skeleton.index("left_hip"), self.skeleton.index("right_hip")]
        return points - points[:, hips].mean(1, keepdim=True)

    @torch.no_grad()
    def measure(self, poses: Tensor, points: Tensor) -> None:
        """Take mean and deviation of each coordinate from a training set as in `fit_lifter`."""
        whole = (poses[..., 2] > 0).all(1)
        if whole.sum() < 2:
            raise ValueError("the lifter needs two poses or more with all their keypoints")
        for name, values in (("2d", own_frame(poses[whole])), ("3d", self.from_root(points))):
            getattr(self, f"mean{name}").copy_(values.mean(0))
            getattr(self, f"std{name}").copy_(values.std(0).clamp_min(1e-3 * values.std()))


def load_lifter(path: str | Path) -> Lifter:
    """The lifter of a file of `save_weights`; ValueError naming it if it is no such."""
    about = read_meta(path)
    lifter = Lifter(**about["config"]) if about.get("model") == "Lifter" else Lifter(8)
    load_weights(lifter, path)
    return lifter.eval()


def layer(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """Linear, batch norm, ReLU, dropout: figure 1 of the paper."""
    return nn.Sequential(
        nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout)
    )


def own_frame(poses: Tensor) -> Tensor:
    """Points [P, K, 2] of poses [P, K, 3] about the mean of those seen, in units of their spread.

    So neither the place in the frame nor its resolution matters. Missing keypoints become 0.
    """
    seen = (poses[..., 2:] > 0).to(poses.dtype)
    count = seen.sum(1, keepdim=True).clamp_min(1)
    xy = poses[..., :2]
    xy = (xy - (xy * seen).sum(1, keepdim=True) / count) * seen
    spread = ((xy**2).sum((1, 2), keepdim=True) / count).sqrt()
    return xy / spread.clamp_min(1e-3)


def occlude(
    poses: Tensor, points: Tensor, occlusion: Occlusion, skeleton: Skeleton,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Poses [P, K, 3] and points [P, K, 3] mirrored, moved and partly hidden at random."""
    n, k = poses.shape[:2]
    u = torch.rand(n, 3, generator=generator)
    flipped = (u[:, 0] < occlusion.flip).view(n, 1, 1)
    sign2, sign3 = torch.tensor([-1.0, 1, 1]), torch.tensor([-1.0, 1, 1])
    poses = torch.where(flipped, (poses * sign2)[:, skeleton.flip_index], poses)
    points = torch.where(flipped, (points * sign3)[:, skeleton.flip_index], points)
    extent = (poses[..., :2].amax(1) - poses[..., :2].amin(1)).amax(1).view(n, 1, 1)
    noise = torch.randn(n, k, 2, generator=generator) * occlusion.jitter * extent
    seen = poses[..., 2] > 0
    hidden = torch.rand(n, k, generator=generator) < occlusion.drop
    y = poses[..., 1]
    low, high = y.amin(1, keepdim=True), y.amax(1, keepdim=True)
    below = y > low + (high - low) * (0.4 + 0.5 * u[:, 2:])
    hidden |= below & (u[:, 1:2] < occlusion.cut)
    hidden &= (seen & ~hidden).sum(1, keepdim=True) >= 4  # of less no one could tell
    shown = (seen & ~hidden).unsqueeze(-1)
    return torch.cat([(poses[..., :2] + noise) * shown, poses[..., 2:] * shown], -1), points


def fit_lifter(
    model: Lifter, poses: Tensor, points: Tensor, schedule: Schedule, *,
    occlusion: Occlusion = Occlusion(), max_norm: float = 1.0, validation: int = 0, seed: int = 0,
    checkpoint: Path | None = None,
) -> History:
    """Train the lifter on 2D poses [N, K, 3] and their 3D points [N, K, 3], millimetres.

    poses in pixels with visibility, points in camera axes, any root. The loss is the mean squared
    error of normalised coordinates; each weight matrix is kept within the Frobenius norm
    `max_norm`, as in the paper (0: not at all). The last `validation` poses are held out, and the
    weights of their least error are kept. Resumes as `loop.minimise`; ValueError if the two differ
    in number.
    """
    if poses.shape != points.shape:
        raise ValueError(f"lifting: {list(poses.shape)} poses for {list(points.shape)} points")
    n = len(poses) - validation
    model.measure(poses[:n], points[:n])
    goal = (model.from_root(points.to(model.mean3d)) - model.mean3d) / model.std3d
    matrices = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]

    def losses(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        index = batch_index(n, schedule.batch_size, seed, step)
        seen, truth = occlude(poses[index], points[index], occlusion, model.skeleton, generator)
        seen, truth = seen.to(model.mean2d), truth.to(model.mean3d)
        truth = (model.from_root(truth) - model.mean3d) / model.std3d
        return {"points": ((model.normalised(seen) - truth) ** 2).mean()}

    @torch.no_grad()
    def clip() -> None:
        for matrix in matrices if max_norm else ():
            matrix.mul_((max_norm / matrix.norm().clamp_min(1e-12)).clamp_max(1))

    @torch.no_grad()
    def score() -> float:
        return -float(((model.normalised(poses[n:].to(goal)) - goal[n:]) ** 2).mean())

    identity = repr((asdict(schedule), asdict(occlusion), max_norm, validation, seed, len(poses),
                     round(float(points.double().sum()), 3), start_of(model)))  # fmt: skip
    return minimise(
        model, losses, schedule, identity=identity, score=score if validation else None,
        after_step=clip, weight_decay=0.0, seed=seed, checkpoint=checkpoint, title="lifter",
    )
