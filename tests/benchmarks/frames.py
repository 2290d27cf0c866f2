"""Where frames come from: videos read once against seeking, and worlds drawn by all cores."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from fewpose.data.video import read_video
from fewpose_worlds import store
from fewpose_worlds.everyday import stills

from .harness import Line


def reading(frames: int = 200, size: int = 256, batch: int = 16) -> Line:
    """A random batch of a video's frames, decoded once before, against seeking each in the file."""
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "video.mp4"
    write_video(path, frames, size)
    kept, _ = read_video(path)
    rng = np.random.default_rng(0)
    video = cv2.VideoCapture(str(path))

    def seeking() -> Tensor:
        found = []
        for number in rng.integers(0, frames, batch).tolist():
            video.set(cv2.CAP_PROP_POS_FRAMES, number)
            _, image = video.read()
            found.append(torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).permute(2, 0, 1))
        return torch.stack(found)

    def close() -> None:
        video.release()
        folder.cleanup()

    return Line(
        lambda: kept[torch.from_numpy(rng.integers(0, frames, batch))],
        seeking,
        batch,
        "frames/s",
        f"cv2.VideoCapture sought for each frame, {size}x{size} MP4 of {frames} frames, batch {batch}",
        close=close,
    )


def write_video(path: Path, frames: int, size: int) -> None:
    """A video of a blurred pattern that moves."""
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.integers(0, 255, (size, 2 * size, 3), np.uint8), (0, 0), 3)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 50, (size, size))
    for t in range(frames):
        video.write(np.ascontiguousarray(np.roll(scene, -3 * t, axis=1)[:, :size]))
    video.release()


def world(size: int, scenes: int = 4) -> Line:
    """Frames of the everyday world drawn by all cores against one; processes stay for the line."""
    stills.prepare()
    pool, count = store.processes(), store.workers()
    for _ in range(count):
        pool.submit(stills.prepare)  # loading the body model is counted to neither
    tasks = [(0, i, stills.SCENE, size) for i in range(scenes)]

    def one_core() -> list:
        # a process too: this one has other work, and threads, behind it
        return pool.submit(_in_turn, tasks).result()

    return Line(
        lambda: list(pool.map(stills.make_scene, *zip(*tasks, strict=True))),
        one_core,
        scenes * stills.SCENE,
        "frames/s",
        f"the same in one process, everyday world {size}x{size}, {scenes} scenes, {count} processes",
        close=pool.shutdown,
    )


def _in_turn(tasks: list[tuple]) -> list:
    return [stills.make_scene(*task) for task in tasks]
