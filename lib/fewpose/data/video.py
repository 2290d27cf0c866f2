"""Frames of video files, without labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from fewpose.data.edit_list import is_fragmented, shown_share
from fewpose.data.images import letterbox, to_frames, warn_skipped
from fewpose.data.pose_data import PoseData
from fewpose.skeleton import Skeleton

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".ts", ".mts", ".m2ts")
COUNTED = (".mp4", ".mov", ".m4v", ".3gp")  # their headers count frames, others give a duration


def read_video(
    path: str | Path, every: int = 1, size: tuple[int, int] | None = None, limit: int | None = None
) -> tuple[Tensor, np.ndarray]:
    """Every n-th frame of a video, from the first: frames [N, 3, H, W] uint8 RGB and their numbers.

    With `size` (H, W) each is letterboxed; N is at most `limit`. Errors as for `iter_frames`.
    """
    images, numbers = [], []
    for number, _, image in islice(iter_frames(path, every), limit):
        images.append(letterbox(image, size) if size else image)
        numbers.append(number)
    return to_frames(images), np.array(numbers)


def iter_frames(path: str | Path, every: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
    """Number, seconds since the first and image [H, W, 3] uint8 RGB of every n-th frame in order.

    Frames are decoded in order, as seeking is not exact in every codec. ValueError if the file cannot be opened, or if
    it ends earlier than its header says (except MP4s trimmed by an edit list, as phones do).
    """
    check_every(every)
    video = open_video(path)
    try:
        announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        rate = video.get(cv2.CAP_PROP_FPS)
        step = 1 / usable_rate(rate)
        number, yielded, first, seconds = 0, 0, 0.0, -step
        while video.grab():
            position = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
            first = first if number else position
            # The last frames of an MPEG, or all of a file without timestamps, are reported to be at 0.
            seconds = position - first if position - first > seconds else seconds + step
            if number % every == 0:
                read, image = video.retrieve()
                if not read:
                    break
                yield number, seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                yielded += 1
            number += 1
    finally:
        video.release()
    announced = round(announced * shown_share(Path(path)))
    # Headers of complete files may count a frame or two that no decoder delivers.
    complete = number >= announced - max(2, announced // 100)
    if Path(path).suffix.lower() not in COUNTED or is_fragmented(Path(path)):
        # announced is estimated from the duration, wrong where the rate varies or the sound is longer; an AVI counts
        # the empty frames of a camera that was too slow
        complete |= seconds * rate >= 0.9 * announced
    if not yielded or not complete:
        raise ValueError(f"{path} is broken: it ends after {number} of {announced} frames")


def check_every(every: int) -> None:
    """ValueError unless `every` is at least 1."""
    if every < 1:
        raise ValueError(f"every must be 1 or more, not {every}")


def open_video(path: str | Path) -> cv2.VideoCapture:
    """A video to be read and released; ValueError if there is none or it cannot be opened."""
    if not Path(path).is_file():
        raise ValueError(f"there is no video {path}")
    # absolute, as FFmpeg takes the start of "10:30 sprint.mp4" for a protocol
    video = cv2.VideoCapture(str(Path(path).absolute()))
    if not video.isOpened():
        raise ValueError(f"{path} is broken or not a video: it cannot be opened")
    return video


def frame_rate(path: str | Path) -> float:
    """Frames per second: the mean if the rate varies, 25 where the file gives none.

    Errors as for `open_video`, and if the rate varies as for `iter_frames`.
    """
    video = open_video(path)
    rate = usable_rate(video.get(cv2.CAP_PROP_FPS))
    video.set(cv2.CAP_PROP_FORMAT, -1)  # packets, not decoded: an hour of video takes a moment
    times = []
    while video.grab():
        times.append(video.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    video.release()
    length = max(times, default=0) - min(times, default=0)
    if not length or abs(length * rate - (len(times) - 1)) <= 2:
        return rate
    times = [seconds for _, seconds, _ in iter_frames(path)]  # decoded: some packets hold no frame
    return usable_rate(round((len(times) - 1) / times[-1], 2)) if times[-1] else rate


def usable_rate(rate: float) -> float:
    """The rate that a file gives, 25 where it gives none."""
    return rate if 0 < rate < 10000 else 25.0


def read_videos(
    paths: Iterable[str | Path], skeleton: Skeleton, every: int = 1, size: tuple[int, int] = (256, 256)
) -> PoseData:
    """Unlabelled frames of several videos; broken ones are named in a warning and skipped.

    `video` holds the file names without suffix, poses are all 0. ValueError if none can be read.
    """
    check_every(every)
    frames, names, skipped = [], [], []
    for path in paths:
        try:
            frames.append(read_video(path, every, size)[0])
        except ValueError:
            skipped.append(Path(path).name)
            continue
        names += [Path(path).stem] * len(frames[-1])
    if not frames:
        raise ValueError(f"no video can be read, tried {', '.join(skipped) or 'none'}")
    warn_skipped("videos", "broken or truncated,", skipped)
    poses = torch.zeros(len(names), len(skeleton), 3)
    return PoseData(
        concatenate_videos(frames), poses, skeleton, np.array(names), np.full(len(names), "train"), "videos"
    )


def concatenate_videos(videos: list[Tensor]) -> Tensor:
    """Frames [N, 3, H, W] of all videos, as `torch.cat` but emptying the list, so that none is held twice."""
    if len(videos) == 1:
        return videos.pop()
    end = sum(map(len, videos))
    frames = videos[0].new_empty(end, *videos[0].shape[1:])
    while videos:
        video = videos.pop()
        frames[end - len(video) : end] = video
        end -= len(video)
    return frames
