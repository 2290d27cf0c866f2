"""Bodies in many poses, and what cameras all about them see in 2D and 3D, for the lifter.

Posed, not drawn. No camera and no pose of the operating room is among them: people do all that everyday people do,
and whatever hands can do before a body, under cameras of all heights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from fewpose_worlds import people
from fewpose_worlds.body import JOINTS, KEYPOINTS, pose_keypoints
from fewpose_worlds.everyday import poses

BATCH = 128
STATURE = 1.72, 0.09  # metres: mean and deviation of adults
CALM = ("stand", "walk", "reach", "bend", "sit")  # kinds of everyday poses drawn more often
_J = {name: i for i, name in enumerate(JOINTS)}
_SOLE = 0.03  # metres from the heel's keypoint down to the floor


@dataclass(frozen=True)
class Cameras:
    """Where cameras are: metres away from a person's hips, degrees above their height.

    The person stands up to `aside` degrees left or right and `beyond` degrees above or below of what the camera looks
    at; `roll` is the deviation in degrees of how crookedly it hangs.
    """

    distance: tuple[float, float] = (1.5, 7)
    above: tuple[float, float] = (-5, 75)
    aside: float = 29
    beyond: float = 23
    roll: float = 5


def body_poses(count: int, seed: int = 0, cache: Path | None = None) -> Tensor:
    """Points [count, 17, 3] of posed adults: millimetres, z up, the middle of the hips at 0.

    Four of ten stand, walk or sit with hands and back in any position of work, three are calm everyday poses, three
    any. cache is the folder that keeps them. ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"poses for the lifter: {count} asked; ask for 1 at least")
    path = None if cache is None else Path(cache) / f"bodies_{count}_seed{seed}.npy"
    if path is not None and path.is_file():
        return torch.from_numpy(np.load(path))
    made = [make(np.random.default_rng([seed, 61, part])) for part in range(-(-count // BATCH))]
    bodies = np.concatenate(made)[:count].astype(np.float32)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, bodies)
        unfinished.replace(path)
    return torch.from_numpy(bodies)


def make(rng: np.random.Generator) -> np.ndarray:
    """Points [BATCH, 17, 3] of one batch of bodies, as `body_poses`."""
    looks = np.stack([people.phenotypes(rng, bool(rng.random() < 0.2)) for _ in range(BATCH)])
    looks[:, 1] = np.maximum(looks[:, 1], 0.58)  # the age of adults
    rotations = []
    for kind in rng.choice(["work", "calm", "any"], BATCH, p=[0.4, 0.3, 0.3]):
        rotations.append(
            at_work(rng) if kind == "work" else poses.sample(rng, str(rng.choice(CALM)) if kind == "calm" else None)[0]
        )
    points, rest = pose_keypoints(looks, np.stack(rotations))
    at = {name: rest[:, KEYPOINTS.index(name), 2] for name in ("head", "left_heel", "right_heel")}
    stature = at["head"] - (at["left_heel"] + at["right_heel"]) / 2 + _SOLE
    wanted = rng.normal(*STATURE, BATCH).clip(1.45, 2.0)
    points = points[:, :17] * (1000 * wanted / stature)[:, None, None]
    return points - points[:, 11:13].mean(1, keepdims=True)


def at_work(rng: np.random.Generator) -> np.ndarray:
    """Local rotations [21,3,3] of somebody who does something with the hands."""
    u = rng.uniform
    a = poses._key_pose(rng, str(rng.choice(["stand", "walk", "sit", "crouch"], p=[0.5, 0.3, 0.15, 0.05])))
    lean, bend = (u(-5, 40), u(-5, 40)) if rng.random() < 0.5 else (u(-5, 10), u(-5, 15))
    poses.trunk(a, lean, bend, u(-30, 30), u(-12, 12))
    for side in ("left", "right"):
        poses.arm(a, side, u(-30, 110), u(3, 50), u(-60, 30), u(0, 130))
    for joint in ("neck", "head"):
        a[_J[joint]] += u(-20, 10), u(-8, 8), u(-30, 30)
    a += rng.normal(0, 0.5, a.shape) * poses._looseness()
    if rng.random() < 0.5:
        a = a[poses.SWAP] * (1, -1, -1)
    return Rotation.from_euler("XYZ", a, degrees=True).as_matrix()


def views(bodies: Tensor, cameras: Cameras = Cameras()) -> Callable:
    """What `fit_lifter` draws from: any number of bodies [N, K, 3] at random, as `see` has them."""

    def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(bodies), (count,), generator=generator)
        return see(bodies[index], generator, cameras)

    return draw


def see(bodies: Tensor, generator: torch.Generator, cameras: Cameras = Cameras()) -> tuple[Tensor, Tensor]:
    """What a random camera sees of each of bodies [N, K, 3]: rays and points, both [N, K, 3].

    Rays as of `geometry.rays`, all seen; points in millimetres in the axes of that camera (x right, y down, z away).
    """

    def u(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(bodies), generator=generator)

    around, above = u(0, 2 * pi), torch.deg2rad(u(*cameras.above))
    place = direction(around, above) * 1000 * u(*cameras.distance)[:, None]
    # It looks from there past the person, over whose head a degree of azimuth is less of an angle.
    azimuth = around + pi + torch.deg2rad(u(-1, 1) * cameras.aside) / above.cos().clamp_min(0.3)
    forward = direction(azimuth, torch.deg2rad(u(-1, 1) * cameras.beyond) - above)
    right = torch.stack([azimuth.sin(), -azimuth.cos(), torch.zeros(len(bodies))], -1)
    down = torch.linalg.cross(forward, right)
    roll = torch.deg2rad(torch.randn(len(bodies), generator=generator) * cameras.roll)[:, None]
    axes = [roll.cos() * right + roll.sin() * down, roll.cos() * down - roll.sin() * right, forward]
    points = (bodies - place[:, None]) @ torch.stack(axes, -1)
    # Nobody stretches a hand through the lens.
    far = (400 - points[..., 2].amin(1)).clamp_min(0)
    away = points.mean(1)
    points = points + (far / away[:, 2].clamp_min(100))[:, None, None] * away[:, None]
    depth = points[..., 2:]
    return torch.cat([points[..., :2] / depth, torch.ones_like(depth)], -1), points


def direction(azimuth: Tensor, elevation: Tensor) -> Tensor:
    """Unit vectors [N, 3] towards azimuth and elevation [N] in radians, z up."""
    level = elevation.cos()
    return torch.stack([azimuth.cos() * level, azimuth.sin() * level, elevation.sin()], -1)
