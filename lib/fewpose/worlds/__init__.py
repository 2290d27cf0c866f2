"""The embedded data: rendered worlds with exact truth, made once and kept in a cache."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..data import PoseData
from ..skeleton import COCO
from . import store


def everyday(frames: int, size: int, seed: int = 0, cache: Path | None = None) -> PoseData:
    """The everyday world: frames [N,3,S,S] of all sorts of people, 17 COCO keypoints in pixels.

    cache is the folder that keeps worlds between calls (None: made in memory each time). A smaller
    world of one seed is the beginning of a larger one. ValueError for sizes that make no picture.
    """
    from . import everyday_frames as world

    _check("everyday", frames, size)
    folder = None if cache is None else Path(cache) / f"everyday_{frames}x{size}_seed{seed}"
    tasks = [
        (seed, scene, min(world.SCENE, frames - scene * world.SCENE), size)
        for scene in range(-(-frames // world.SCENE))
    ]
    parameters = {"name": "everyday", "version": world.VERSION, "frames": frames, "size": size,
                  "seed": seed}  # fmt: skip
    return store.generate(world.make_scene, tasks, frames, size, COCO, parameters, folder,
                          world.prepare)  # fmt: skip


def export(world: str, frames: int, size: int, seed: int, out: Path) -> Path:
    """Write a world to the folder `out` for other programs: images/*.jpg and annotations.json.

    ValueError for an unknown world or a size that makes no picture; returns the folder.
    """
    if world != "everyday":
        raise ValueError(f"unknown world {world!r}; the worlds are: everyday, jump")
    with tempfile.TemporaryDirectory() as work:
        everyday(frames, size, seed, Path(work))
        store.export_images(next(Path(work).iterdir()), Path(out))
    return Path(out)


def _check(world: str, frames: int, size: int) -> None:
    if frames < 1 or not 32 <= size <= 1024:
        raise ValueError(
            f"world {world}: {frames} frames of {size} pixels; ask for at least 1 frame and a "
            "size from 32 to 1024"
        )
