"""Everyday poses in 2D and 3D for the lifter: posed, not drawn, and seen from all sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import people, poses
from .body import pose_bodies
from .render import look_at

VIEWS = 8  # cameras that look at each body
BATCH = 32


def lifting_poses(count: int, seed: int = 0, cache: Path | None = None) -> tuple[Tensor, Tensor]:
    """2D poses [count, 17, 3] and their 3D points [count, 17, 3] of everyday people.

    poses in pixels of a picture 1000 wide, visibility 2; points in millimetres in the axes of the
    camera (x right, y down, z away). Half of the people stand, walk or reach. Cameras are 2 to 7
    metres away and up to 65 degrees above the person, who may be far from the middle of the
    picture. cache is the folder that keeps them between calls. ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"lifting poses: {count} asked; ask for 1 at least")
    path = None if cache is None else Path(cache) / f"lifting_{count}_seed{seed}.npz"
    if path is not None and path.is_file():
        with np.load(path) as kept:
            return torch.from_numpy(kept["poses"]), torch.from_numpy(kept["points"])
    flat, deep = [], []
    for part in range(-(-count // (VIEWS * BATCH))):
        some = make(np.random.default_rng([seed, 61, part]))
        flat.append(some[0])
        deep.append(some[1])
    found = [np.concatenate(x)[:count].astype(np.float32) for x in (flat, deep)]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, poses=found[0], points=found[1])
        unfinished.replace(path)
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


def make(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Poses and points [VIEWS · BATCH, 17, 3] of one batch of bodies."""
    rotations = []
    for _ in range(BATCH):
        kind = str(rng.choice(["stand", "walk", "reach"])) if rng.random() < 0.5 else None
        rotations.append(poses.sample(rng, kind)[0])
    looks = np.stack([people.phenotypes(rng, bool(rng.random() < 0.45)) for _ in range(BATCH)])
    bodies = pose_bodies(looks, np.stack(rotations), np.zeros((BATCH, 3)))
    flat, deep = [], []
    for keypoints in bodies.keypoints[:, :17].astype(np.float64):
        middle = keypoints[11:13].mean(0)
        for _ in range(VIEWS):
            side, up = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(-5, 65))
            away = rng.uniform(2, 7)
            ray = np.array([np.cos(side) * np.cos(up), np.sin(side) * np.cos(up), np.sin(up)])
            place = middle + away * ray
            # The person stands up to a quarter of the distance from what the camera looks at.
            target = middle + rng.uniform(-0.25, 0.25, 3) * away
            camera = look_at(place, target, 800.0, 1000, 1000, np.radians(rng.normal(0, 5)))
            pixels, _ = camera.project(keypoints)
            flat.append(np.concatenate([pixels, np.full((17, 1), 2.0)], 1))
            deep.append(camera.to_camera(keypoints) * 1000)
    return np.stack(flat), np.stack(deep)
