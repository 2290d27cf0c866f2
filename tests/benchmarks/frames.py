"""Sources of frames: videos decoded once against seeking, worlds rendered by all cores against one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from fewpose.data.video import read_video
from fewpose_worlds import store
from fewpose_worlds.body import load_model
from fewpose_worlds.everyday import stills
from fewpose_worlds.worlds import ABOVE

from .harness import Case


def reading(frames: int = 200, size: int = 256, batch: int = 16) -> Case:
    """A random batch of frames from a video that was decoded once, against seeking each frame in the file."""
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "video.mp4"
    write_video(path, frames, size)
    decoded, _ = read_video(path)
    rng = np.random.default_rng(0)
    video = cv2.VideoCapture(str(path))

    def seeking() -> Tensor:
        batch_frames = []
        for number in rng.integers(0, frames, batch).tolist():
            video.set(cv2.CAP_PROP_POS_FRAMES, number)
            _, image = video.read()
            batch_frames.append(torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).permute(2, 0, 1))
        return torch.stack(batch_frames)

    def close() -> None:
        video.release()
        folder.cleanup()

    return Case(
        lambda: decoded[torch.from_numpy(rng.integers(0, frames, batch))],
        seeking,
        batch,
        "frames/s",
        f"cv2.VideoCapture seeking each frame, {size}x{size} MP4 of {frames} frames, batch {batch}",
        close=close,
    )


def write_video(path: Path, frames: int, size: int) -> None:
    """A video of a moving blurred pattern."""
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.integers(0, 255, (size, 2 * size, 3), np.uint8), (0, 0), 3)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 50, (size, size))
    for t in range(frames):
        video.write(np.ascontiguousarray(np.roll(scene, -3 * t, axis=1)[:, :size]))
    video.release()


def world(size: int, scenes: int = 4) -> Case:
    """Frames of the everyday world rendered by all cores against one, in processes that are started before."""
    load_model()
    pool, count = store.processes(), store.workers()
    for _ in range(count):
        pool.submit(load_model)  # so that loading the body model is not timed
    tasks = [(0, i, stills.SCENE, size, ABOVE) for i in range(scenes)]

    def one_core() -> list:
        # in a worker too: the main process has other threads and memory
        return pool.submit(_in_turn, tasks).result()

    return Case(
        lambda: list(pool.map(stills.make_scene, *zip(*tasks, strict=True))),
        one_core,
        scenes * stills.SCENE,
        "frames/s",
        f"the same in one process, everyday world {size}x{size}, {scenes} scenes, {count} processes",
        close=pool.shutdown,
    )


def _in_turn(tasks: list[tuple]) -> list:
    return [stills.make_scene(*task) for task in tasks]
