"""Frames of video files, without labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..skeleton import Skeleton
from . import PoseData
from .edit_list import shown_share
from .images import letterbox, to_frames, warn_skipped

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".ts",
          ".mts", ".m2ts")  # fmt: skip
COUNTED = (".mp4", ".mov", ".m4v", ".3gp", ".avi")  # their headers count frames, others seconds


def read_video(
    path: str | Path, every: int = 1, size: tuple[int, int] | None = None
) -> tuple[Tensor, np.ndarray]:
    """Every n-th frame of a video, from the first: frames [N, 3, H, W] uint8 RGB and their numbers.

    With `size` (H, W) each is scaled to fit, black around it. Errors as for `frames_of`.
    """
    images, numbers = [], []
    for number, image in frames_of(path, every):
        images.append(letterbox(image, size) if size else image)
        numbers.append(number)
    return to_frames(images), np.array(numbers)


def frames_of(path: str | Path, every: int = 1) -> Iterator[tuple[int, np.ndarray]]:
    """Number and picture [H, W, 3] uint8 RGB of every n-th frame of a video, one after the other.

    Frames are decoded in order, never sought: seeking is not exact in every codec. ValueError if
    the file cannot be opened, or at the end if that comes before its header says (a cut in an MP4,
    as phones trim films, is no damage).
    """
    if every < 1:
        raise ValueError(f"{path}: every must be 1 or more, not {every}")
    video = open_video(path)
    try:
        announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        number, given, at = 0, 0, 0.0
        while video.grab():
            if number % every == 0:
                read, image = video.retrieve()
                if not read:
                    break
                yield number, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                given += 1
            number += 1
            at = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
        rate = video.get(cv2.CAP_PROP_FPS)
    finally:
        video.release()
    announced = round(announced * shown_share(Path(path)))
    # Headers of whole files may count a frame or two that no decoder delivers.
    whole = number >= announced - max(2, announced // 100)
    if Path(path).suffix.lower() not in COUNTED:
        # announced is a guess from the length of picture and sound, wrong where the rate varies
        whole |= at * rate >= 0.9 * announced
    if not given or not whole:
        raise ValueError(f"{path} is broken: it ends after {number} of {announced} frames")


def open_video(path: str | Path) -> cv2.VideoCapture:
    """A video to be read and released; ValueError if there is none or it cannot be opened."""
    if not Path(path).is_file():
        raise ValueError(f"there is no video {path}")
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise ValueError(f"{path} is broken or no video: it cannot be opened")
    return video


def frame_rate(path: str | Path) -> float:
    """Frames a second by the file's header, 25 where it has none; errors as for `open_video`."""
    video = open_video(path)
    rate = video.get(cv2.CAP_PROP_FPS)
    video.release()
    return rate if 0 < rate < 10000 else 25.0


def read_videos(
    paths: Iterable[str | Path], skeleton: Skeleton, every: int = 1,
    size: tuple[int, int] = (256, 256), split: str = "train",
) -> PoseData:
    """Unlabelled frames of several videos; broken ones are named in a warning and left out.

    `video` holds the file names without suffix, poses are all 0. ValueError if none can be read.
    """
    frames, names, skipped = [], [], []
    for path in paths:
        try:
            some, _ = read_video(path, every, size)
        except ValueError:
            skipped.append(Path(path).name)
            continue
        frames.append(some)
        names += [Path(path).stem] * len(some)
    if not frames:
        raise ValueError(f"no video can be read, tried {', '.join(skipped) or 'none'}")
    warn_skipped("videos", "broken or truncated,", skipped)
    poses = torch.zeros(len(names), len(skeleton), 3)
    return PoseData(
        torch.cat(frames), poses, skeleton, np.array(names), np.full(len(names), split), "videos"
    )
