"""The jump world: labelled stills of long and triple jumps, and the videos they are taken from.

It stands in for the videos of Ludwig et al., section 4.1: one athlete, site and panning camera a video, 200 frames a
second, 20 keypoints, splits by video in the paper's ratio.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from fewpose_worlds import store
from fewpose_worlds.body import rig
from fewpose_worlds.jump.motion import RATE
from fewpose_worlds.jump.video import draw_video, pick_frames, shoot

VERSION = 2
_RATIO = np.array([122, 18, 46]) / 186  # videos for training, validation and test in the paper
_STILLS = 25  # frames a video by default


def count_videos(frames: int, videos: int | None) -> int:
    """How many videos a world of so many frames has; ValueError for fewer than three."""
    if videos is None:
        videos = min(max(6, round(frames / _STILLS)), frames)
    if not 3 <= videos <= frames:
        raise ValueError(
            f"world jump: {frames} frames of {videos} videos; ask for three videos at least "
            "(training, validation, test), each with one frame or more"
        )
    return videos


def splits(videos: int, seed: int) -> list[str]:
    """The split of each video, at random in the paper's ratio 122 : 18 : 46, none of them empty."""
    counts = np.maximum(np.round(videos * _RATIO).astype(int), 1)
    counts[0] = videos - counts[1:].sum()
    names = np.repeat(["train", "val", "test"], counts)
    return np.random.default_rng([seed, 32]).permutation(names).tolist()


def tasks(frames: int, size: int, seed: int, videos: int) -> list[tuple]:
    """The arguments of `make_video` for each video."""
    share = np.full(videos, frames // videos) + (np.arange(videos) < frames % videos)
    return [
        (seed, index, int(n), size, split)
        for index, (n, split) in enumerate(zip(share, splits(videos, seed), strict=True))
    ]


def make_video(seed: int, index: int, n: int, size: int, split: str) -> store.Made:
    """n stills of video `index` of the world `seed`, spread over its phases."""
    video = draw_video(seed, index, size)
    times = pick_frames(np.random.default_rng([seed, 33, index]), video.motion.phases, n)
    shots = shoot(video, times, seed)
    about, persons = [], []
    for time, pose, pose3d, (left, top, right, bottom) in zip(
        times, shots.poses, shots.poses3d, shots.boxes, strict=True
    ):
        about.append(
            {"video_id": video.name, "frame": int(time), "split": split, "phase": str(video.motion.phases[time])}
        )
        width, height = right - left, bottom - top
        persons.append([store.person(pose, [left, top, width, height], width * height, pose3d, True)])
    return shots.images.transpose(0, 3, 1, 2), about, persons


def prepare() -> None:
    """What all processes share: the body model."""
    rig()


def write_video(seed: int, index: int, size: int, path: Path, rate: float = RATE) -> int:
    """Write video `index` of the world `seed` as MP4, `rate` frames of each second of the attempt.

    The athlete, site and camera are those of its stills. Returns the number of frames; ValueError for a rate above
    200 Hz, RuntimeError if the file cannot be written.
    """
    if not 1 <= rate <= RATE:
        raise ValueError(f"{path}: a rate of {rate} frames a second; ask for 1 to {RATE:.0f}")
    video = draw_video(seed, index, size)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.part.mp4")
    film = cv2.VideoWriter(str(unfinished), cv2.VideoWriter_fourcc(*"mp4v"), rate, (size, size))
    if not film.isOpened():
        raise RuntimeError(f"{path}: the video could not be opened for writing")
    times = np.arange(0, len(video.motion.roots), RATE / rate).astype(int)
    for first in tqdm(range(0, len(times), 50), desc=path.name, unit="50 frames", leave=False):
        for image in shoot(video, times[first : first + 50], seed).images:
            film.write(np.ascontiguousarray(image[..., ::-1]))
    film.release()
    os.replace(unfinished, path)
    return len(times)
