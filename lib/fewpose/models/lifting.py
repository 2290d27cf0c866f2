"""Stage 3 of the teacher: a residual network that lifts one person's 2D keypoints to 3D.

Martinez et al., *A simple yet effective baseline for 3D human pose estimation* (ICCV 2017), section 3; Srivastav et
al., section 2.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewpose import geometry
from fewpose.losses import joint_distance
from fewpose.models.pose_model import Network
from fewpose.models.weights import load_weights, read_meta
from fewpose.skeleton import COCO, Skeleton
from fewpose.training import History, Schedule, minimise, weights_fingerprint

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Occlusion:
    """How training perturbs true keypoints, so that the lifter can deal with predicted ones.

    All are moved by noise with a standard deviation of up to `jitter`, drawn for each person, relative to the pose's
    size. A keypoint is hidden with probability `drop`; with probability `cut` all below a random height are, as if
    behind a table. Hidden keypoints have noise of up to `guess`; for a share `missing` of people they are missing, as
    in hard labels. `flip` is the probability of mirroring a person.
    """

    jitter: float = 0.05
    drop: float = 0.1
    cut: float = 0.3
    guess: float = 0.3
    missing: float = 0.4
    flip: float = 0.5


class Lifter(Network, nn.Module):
    """Linear 2K + 2 → width, two residual blocks of two layers, linear → 3K.

    Each layer is linear, batch norm, ReLU, dropout. The inputs are the direction of the person, and the keypoints as
    seen by a camera turned in that direction, relative to their mean and in units of their spread. The output is in the
    axes of that camera and then rotated back. The pose is thus independent of the position in the frame, which the
    paper's lifter must learn from pixels. Inputs and outputs are normalised by mean and standard deviation of each
    coordinate over a training set, which are saved with the weights. Missing keypoints are set to the mean, 0.
    """

    def __init__(self, width: int = 1024, blocks: int = 2, dropout: float = 0.5, skeleton: Skeleton = COCO):
        super().__init__()
        self.keypoints = k = len(skeleton)
        self.config = dict(width=width, blocks=blocks, dropout=dropout)
        self.skeleton = skeleton
        self.first = layer(2 * k + 2, width, dropout)
        self.blocks = nn.ModuleList(
            nn.Sequential(layer(width, width, dropout), layer(width, width, dropout)) for _ in range(blocks)
        )
        self.last = nn.Linear(width, 3 * k)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)
        for name, n in (("mean2d", 2), ("std2d", 2), ("mean3d", 3), ("std3d", 3)):
            fill = torch.zeros if name.startswith("mean") else torch.ones
            self.register_buffer(name, fill(k, n))

    def forward(self, rays: Tensor) -> Tensor:
        """Rays [P, K, 3] (`geometry.rays`, missing where the third value is 0) → [P, K, 3] millimetres.

        In the axes of the camera (x right, y down, z away), the middle of the hips at 0.
        """
        turn = geometry.turn_to(middle_ray(rays))
        points = self.root_relative(self.normalised(rays) * self.std3d + self.mean3d)
        return points @ turn.mT

    def normalised(self, rays: Tensor) -> Tensor:
        """The output of the last layer: normalised 3D in the axes of the turned camera."""
        if tuple(rays.shape[1:]) != (self.keypoints, 3):
            raise ValueError(f"the lifter reads poses [P, {self.keypoints}, 3], not {list(rays.shape)}")
        middle, seen = middle_ray(rays), rays[..., 2:] > 0
        flat = centred(turn_rays(rays, geometry.turn_to(middle)))
        x = ((flat - self.mean2d) / self.std2d * seen).flatten(1)
        x = self.first(torch.cat([x, 2 * middle[:, :2]], 1))
        for block in self.blocks:
            x = x + block(x)
        return self.last(x).view(len(rays), self.keypoints, 3)

    def target(self, rays: Tensor, points: Tensor) -> Tensor:
        """The target of `normalised` for points [P, K, 3] in the axes of the camera."""
        own = self.root_relative(points) @ geometry.turn_to(middle_ray(rays))
        return (own - self.mean3d) / self.std3d

    def root_relative(self, points: Tensor) -> Tensor:
        """Points [P, K, 3] relative to the middle of the hips."""
        hips = [self.skeleton.index("left_hip"), self.skeleton.index("right_hip")]
        return points - points[:, hips].mean(1, keepdim=True)

    @torch.no_grad()
    def set_statistics(self, rays: Tensor, points: Tensor) -> None:
        """Set mean and standard deviation to those of a training set, rays and points [P, K, 3] as in `fit_lifter`.

        ValueError unless two poses or more have all keypoints.
        """
        whole = (rays[..., 2] > 0).all(1)
        if whole.sum() < 2:
            raise ValueError("the lifter needs at least two poses with all keypoints")
        turn = geometry.turn_to(middle_ray(rays))
        own = self.root_relative(points) @ turn
        for name, values in (("2d", centred(turn_rays(rays, turn)[whole])), ("3d", own)):
            getattr(self, f"mean{name}").copy_(values.mean(0))
            getattr(self, f"std{name}").copy_(values.std(0).clamp_min(1e-3 * values.std()))


def load_lifter(path: str | Path) -> Lifter:
    """The lifter in a file of `save_weights`; ValueError naming a file that does not hold one."""
    about = read_meta(path)
    lifter = Lifter(**about["config"]) if about.get("model") == "Lifter" else Lifter(8)
    load_weights(lifter, path)
    return lifter.eval()


def layer(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """Linear, batch norm, ReLU, dropout: figure 1 of Martinez et al."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout))


def middle_ray(rays: Tensor) -> Tensor:
    """Unit vectors [P, 3] to the mean of each person's visible keypoints; straight ahead if there are none."""
    seen = rays[..., 2:] > 0
    xy = torch.where(seen, rays[..., :2], 0).sum(1) / seen.sum(1).clamp_min(1)
    return F.normalize(F.pad(xy, (0, 1), value=1.0), dim=-1)


def turn_rays(rays: Tensor, turn: Tensor) -> Tensor:
    """Rays [P, K, 3] as cameras turned by `turn` [P, 3, 3] see them."""
    along = F.pad(rays[..., :2], (0, 1), value=1.0) @ turn
    return torch.cat([along[..., :2] / along[..., 2:].clamp_min(0.1), rays[..., 2:]], -1)


def centred(poses: Tensor) -> Tensor:
    """Points [P, K, 2] of poses [P, K, 3] relative to the mean of the visible ones, in units of their spread.

    Missing keypoints become 0.
    """
    seen = (poses[..., 2:] > 0).to(poses.dtype)
    count = seen.sum(1, keepdim=True).clamp_min(1)
    xy = poses[..., :2]
    xy = (xy - (xy * seen).sum(1, keepdim=True) / count) * seen
    spread = ((xy**2).sum((1, 2), keepdim=True) / count).sqrt()
    return xy / spread.clamp_min(1e-4)


def occlude(
    rays: Tensor, points: Tensor, occlusion: Occlusion, skeleton: Skeleton, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rays and points [P, K, 3] mirrored, moved and partly hidden at random."""
    n, k = rays.shape[:2]

    def u(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    mirrored = (u(n, 1, 1) < occlusion.flip) * torch.tensor([-2.0, 0, 0]) + 1
    flipped = mirrored[..., :1] < 0
    rays = torch.where(flipped, (rays * mirrored)[:, skeleton.flip_index], rays)
    points = torch.where(flipped, (points * mirrored)[:, skeleton.flip_index], points)
    y, seen = rays[..., 1], rays[..., 2] > 0
    low, high = y.amin(1, keepdim=True), y.amax(1, keepdim=True)
    hidden = (u(n, k) < occlusion.drop) | ((y > low + (high - low) * (0.4 + 0.5 * u(n, 1))) & (u(n, 1) < occlusion.cut))
    hidden &= (seen & ~hidden).sum(1, keepdim=True) >= 4  # fewer do not determine a pose
    far = torch.where(hidden, occlusion.guess * u(n, k), occlusion.jitter * u(n, 1))
    extent = (rays[..., :2].amax(1) - rays[..., :2].amin(1)).amax(1).view(n, 1, 1)
    noise = torch.randn(n, k, 2, generator=generator) * far[..., None] * extent
    shown = (seen & ~(hidden & (u(n, 1) < occlusion.missing))).unsqueeze(-1)
    return torch.cat([(rays[..., :2] + noise) * shown, rays[..., 2:] * shown], -1), points


def fit_lifter(
    model: Lifter,
    draw: Draw,
    schedule: Schedule,
    *,
    occlusion: Occlusion = Occlusion(),
    max_norm: float = 1.0,
    validation: int = 2048,
    seed: int = 0,
    checkpoint: Path | None = None,
) -> History:
    """Train the lifter on samples of `draw`: rays [n, K, 3] and points [n, K, 3] in millimetres.

    Points are in the axes of the camera, with any root. The loss is their mean distance in metres, as in MPJPE
    (Martinez et al.: the mean squared error of normalised coordinates). The Frobenius norm of each weight matrix is
    limited to `max_norm`, as in that paper (0: no limit). `validation` samples drawn first determine mean and standard
    deviation, as many more the error by which the best weights are chosen. Resumes as `training.minimise`.
    """
    device = model.mean2d.device

    def batch(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        seen, ground_truth = occlude(*draw(count, generator), occlusion, model.skeleton, generator)
        return seen.to(device), ground_truth.to(device)

    generator = torch.Generator().manual_seed(seed)
    rays, points = draw(validation, generator)
    model.set_statistics(rays.to(device), points.to(device))
    held_out, ground_truth = batch(validation, generator)
    matrices = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]

    def error(seen: Tensor, points: Tensor) -> Tensor:
        return joint_distance(model(seen), model.root_relative(points))

    def losses(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"points": error(*batch(schedule.batch_size, generator))}

    @torch.no_grad()
    def clip() -> None:
        for matrix in matrices if max_norm else ():
            matrix.mul_((max_norm / matrix.norm().clamp_min(1e-12)).clamp_max(1))

    @torch.no_grad()
    def score() -> float:
        return -float(error(held_out, ground_truth))

    settings = schedule, occlusion, max_norm, validation, seed
    drawn = round(float(points.double().sum()), 3)
    return minimise(
        model,
        losses,
        schedule,
        fingerprint=repr((settings, drawn, weights_fingerprint(model))),
        score=score,
        after_step=clip,
        weight_decay=0.0,
        seed=seed,
        checkpoint=checkpoint,
        title="lifter",
    )
