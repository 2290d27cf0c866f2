"""Frames of video files, without labels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..skeleton import Skeleton
from . import PoseData
from .images import letterbox, to_frames, warn_skipped


def read_video(
    path: str | Path, every: int = 1, size: tuple[int, int] | None = None
) -> tuple[Tensor, np.ndarray]:
    """Every n-th frame of a video, from the first: frames [N, 3, H, W] uint8 RGB and their numbers.

    Frames are decoded one after the other, never sought: seeking is not exact in every codec. With
    `size` (H, W) each is scaled to fit, black around it. ValueError if the file cannot be opened or
    ends before its header says.
    """
    if every < 1:
        raise ValueError(f"{path}: every must be 1 or more, not {every}")
    if not Path(path).is_file():
        raise ValueError(f"there is no video {path}")
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise ValueError(f"{path} is broken or no video: it cannot be opened")
        announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        images, numbers, number = [], [], 0
        while video.grab():
            if number % every == 0:
                read, image = video.retrieve()
                if not read:
                    break
                image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                images.append(letterbox(image, size) if size else image)
                numbers.append(number)
            number += 1
    finally:
        video.release()
    # Headers of whole files may count a frame or two that no decoder delivers.
    if not images or number < announced - max(2, announced // 100):
        raise ValueError(f"{path} is broken: it ends after {number} of {announced} frames")
    return to_frames(images), np.array(numbers)


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
