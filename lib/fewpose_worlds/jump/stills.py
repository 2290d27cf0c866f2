"""The jump world: labelled stills of long and triple jumps, and the videos that they are taken from.

It stands in for the videos of Ludwig et al., section 4.1: in each video one athlete, one site and a panning camera,
200 frames a second; 20 keypoints, splits by video in the paper's ratio.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from fewpose.data.video import video_writer
from fewpose_worlds import store
from fewpose_worlds.jump.motion import RATE
from fewpose_worlds.jump.video import pick_frames, render_frames, sample_video

VERSION = 3  # of the images: one of the parameters that a cached world is compared by
_RATIO = np.array([122, 18, 46]) / 186  # videos for training, validation and test in the paper
CRF = 10  # of the videos: the sensor noise is kept
_STILLS = 25  # stills of a video by default


def count_videos(frames: int, videos: int | None) -> int:
    """The number of videos of a world of `frames` stills; ValueError for fewer than three."""
    if videos is None:
        videos = min(max(6, round(frames / _STILLS)), frames)
    if not 3 <= videos <= frames:
        raise ValueError(
            f"world jump: {frames} frames of {videos} videos; at least three videos are needed "
            "(training, validation, test), each with one frame or more"
        )
    return videos


def splits(videos: int, seed: int) -> list[str]:
    """The split of each video."""
    return store.random_splits(np.random.default_rng([seed, 32]), videos, _RATIO)


def tasks(frames: int, size: int, seed: int, videos: int) -> list[tuple]:
    """The arguments of `make_stills` for each video."""
    shares = store.even_shares(frames, videos)
    return [(seed, i, n, size, split) for i, (n, split) in enumerate(zip(shares, splits(videos, seed), strict=True))]


def make_stills(seed: int, index: int, n: int, size: int, split: str) -> store.Rendered:
    """n stills of video `index` of the world `seed`, spread over its phases."""
    video = sample_video(seed, index, size)
    phases = video.motion.phases
    times = pick_frames(np.random.default_rng([seed, 33, index]), phases, n)
    frames = render_frames(video, times, seed)
    metadata = [{"video_id": video.name, "frame": int(t), "split": split, "phase": str(phases[t])} for t in times]
    annotations = []
    for pose, pose3d, (left, top, right, bottom) in zip(frames.poses, frames.poses3d, frames.boxes, strict=True):
        width, height = right - left, bottom - top
        annotations.append([store.annotation(pose, [left, top, width, height], width * height, pose3d, True)])
    return frames.images.transpose(0, 3, 1, 2), metadata, annotations


def write_video(seed: int, index: int, size: int, path: Path, rate: float = RATE) -> int:
    """Write video `index` of the world `seed` as MP4 with `rate` frames a second; returns the number of frames.

    Athlete, site and camera are the stills'. ValueError for a rate above 200.
    """
    if not 1 <= rate <= RATE:
        raise ValueError(f"{path}: a rate of {rate} frames a second; rates from 1 to {RATE:.0f} are possible")
    video = sample_video(seed, index, size)
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(0, len(video.motion.roots), RATE / rate).astype(int)
    with video_writer(path, (size, size), rate, CRF) as write:
        for first in tqdm(range(0, len(times), 50), desc=path.name, unit="50 frames", leave=False):
            for image in render_frames(video, times[first : first + 50], seed).images:
                write(np.ascontiguousarray(image[..., ::-1]))
    return len(times)
