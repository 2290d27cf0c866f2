"""Bodies in many poses, and random cameras that see them in 2D and 3D, to train the lifter.

Nothing is rendered. No camera and no pose is taken from the operating-room world: the poses are those of the everyday
world and hands at work in any position before the body; cameras have any height.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from fewpose.made_once import made_once
from fewpose_worlds import people
from fewpose_worlds.body import JOINT_INDEX, KEYPOINTS, SIDES, pose_keypoints
from fewpose_worlds.everyday import poses

BATCH = 128
STATURE = 1.72, 0.09  # metres: mean and deviation of adults
CALM = ("stand", "walk", "reach", "bend", "sit")  # kinds of everyday poses drawn more often
_SOLE = 0.03  # metres from the heel's keypoint down to the floor
# Cameras, in degrees: how high above a person's hips; how far the person is, at most, left or right of the optical axis
# and above or below it; the standard deviation of the roll.
ABOVE, ASIDE, BEYOND, ROLL = (-5, 75), 29, 23, 5
DISTANCE = 1.5, 7  # metres from a person's hips to the camera


def body_poses(count: int, seed: int = 0, cache: Path | None = None) -> Tensor:
    """Points [count, 17, 3] of posed adults: millimetres, z up, the middle of the hips at 0.

    40 % are people at work (`sample_work_pose`), 30 % calm everyday poses, 30 % any everyday poses. cache is the
    folder that keeps them. ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"poses for the lifter: a count of {count}; at least 1 is needed")

    def sample() -> np.ndarray:
        made = [sample_bodies(np.random.default_rng([seed, 61, part])) for part in range(-(-count // BATCH))]
        return np.concatenate(made)[:count].astype(np.float32)

    if cache is None:
        return torch.from_numpy(sample())
    path = Path(cache) / f"bodies_{count}_seed{seed}.npy"
    with made_once(path) as part:
        if part is not None:
            np.save(part, sample())
    return torch.from_numpy(np.load(path))


def sample_bodies(rng: np.random.Generator) -> np.ndarray:
    """Points [BATCH, 17, 3] of one batch of bodies, as of `body_poses`."""
    phenotypes = np.stack([people.sample_phenotype(rng, bool(rng.random() < 0.2)) for _ in range(BATCH)])
    phenotypes[:, 1] = np.maximum(phenotypes[:, 1], 0.58)  # the age of adults
    rotations = []
    for kind in rng.choice(["work", "calm", "any"], BATCH, p=[0.4, 0.3, 0.3]):
        if kind == "work":
            rotations.append(sample_work_pose(rng))
        else:
            rotations.append(poses.sample_pose(rng, str(rng.choice(CALM)) if kind == "calm" else None)[0])
    points, rest = pose_keypoints(phenotypes, np.stack(rotations))
    at = {name: rest[:, KEYPOINTS.index(name), 2] for name in ("head", "left_heel", "right_heel")}
    stature = at["head"] - (at["left_heel"] + at["right_heel"]) / 2 + _SOLE
    wanted = rng.normal(*STATURE, BATCH).clip(1.45, 2.0)
    points = points[:, :17] * (1000 * wanted / stature)[:, None, None]
    return points - points[:, 11:13].mean(1, keepdims=True)


def sample_work_pose(rng: np.random.Generator) -> np.ndarray:
    """Local rotations [21,3,3] of a person who stands, walks, sits or crouches with hands in any position."""
    u = rng.uniform
    a = poses.key_pose(rng, str(rng.choice(["stand", "walk", "sit", "crouch"], p=[0.5, 0.3, 0.15, 0.05])))
    lean, bend = (u(-5, 40), u(-5, 40)) if rng.random() < 0.5 else (u(-5, 10), u(-5, 15))
    poses.trunk(a, lean, bend, u(-30, 30), u(-12, 12))
    for side in SIDES:
        poses.arm(a, side, u(-30, 110), u(3, 50), u(-60, 30), u(0, 130))
    for joint in ("neck", "head"):
        a[JOINT_INDEX[joint]] += u(-20, 10), u(-8, 8), u(-30, 30)
    a += rng.normal(0, 0.5, a.shape) * poses.joint_deviations()
    if rng.random() < 0.5:
        a = a[poses.SWAP] * (1, -1, -1)
    return Rotation.from_euler("XYZ", a, degrees=True).as_matrix()


def views(bodies: Tensor) -> Callable:
    """A function (count, generator) that gives `see` of so many random bodies of [N, K, 3], for `fit_lifter`."""

    def sample(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(bodies), (count,), generator=generator)
        return see(bodies[index], generator)

    return sample


def see(bodies: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rays and points [N, K, 3] of bodies [N, K, 3], each seen by a random camera.

    Rays as of `geometry.rays`, all visible; points in millimetres in the camera frame (x right, y down, z forward).
    """

    def u(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(bodies), generator=generator)

    around, above = u(0, 2 * pi), torch.deg2rad(u(*ABOVE))
    place = direction(around, above) * 1000 * u(*DISTANCE)[:, None]
    # The azimuth of the optical axis; from steeply above, a degree of azimuth is a smaller angle.
    azimuth = around + pi + torch.deg2rad(u(-1, 1) * ASIDE) / above.cos().clamp_min(0.3)
    forward = direction(azimuth, torch.deg2rad(u(-1, 1) * BEYOND) - above)
    right = torch.stack([azimuth.sin(), -azimuth.cos(), torch.zeros(len(bodies))], -1)
    down = torch.linalg.cross(forward, right)
    roll = torch.deg2rad(torch.randn(len(bodies), generator=generator) * ROLL)[:, None]
    axes = [roll.cos() * right + roll.sin() * down, roll.cos() * down - roll.sin() * right, forward]
    points = (bodies - place[:, None]) @ torch.stack(axes, -1)
    # No point is nearer to the camera than 0.4 m.
    far = (400 - points[..., 2].amin(1)).clamp_min(0)
    away = points.mean(1)
    points = points + (far / away[:, 2].clamp_min(100))[:, None, None] * away[:, None]
    depth = points[..., 2:]
    return torch.cat([points[..., :2] / depth, torch.ones_like(depth)], -1), points


def direction(azimuth: Tensor, elevation: Tensor) -> Tensor:
    """Unit vectors [N, 3] of azimuths and elevations [N] in radians, z up."""
    level = elevation.cos()
    return torch.stack([azimuth.cos() * level, azimuth.sin() * level, elevation.sin()], -1)
