"""Frames of video files, without labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from fewpose.data.edit_list import fragmented, shown_share
from fewpose.data.images import letterbox, to_frames, warn_skipped
from fewpose.data.pose_data import PoseData
from fewpose.skeleton import Skeleton

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".ts", ".mts", ".m2ts")
COUNTED = (".mp4", ".mov", ".m4v", ".3gp")  # their headers count frames, others seconds


def read_video(
    path: str | Path, every: int = 1, size: tuple[int, int] | None = None, most: int | None = None
) -> tuple[Tensor, np.ndarray]:
    """Every n-th frame of a video, from the first: frames [N, 3, H, W] uint8 RGB and their numbers.

    With `size` (H, W) each is scaled to fit, black around it; the first `most` of them. Errors as for `frames_of`.
    """
    images, numbers = [], []
    for number, _, image in islice(frames_of(path, every), most):
        images.append(letterbox(image, size) if size else image)
        numbers.append(number)
    return to_frames(images), np.array(numbers)


def frames_of(path: str | Path, every: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
    """Number, seconds since the first and picture [H, W, 3] uint8 RGB of every n-th frame in order.

    Frames are decoded in order, never sought: seeking is not exact in every codec. ValueError if the file cannot be
    opened, or at the end if that comes before its header says (a cut in an MP4, as phones trim films, is no damage).
    """
    check_every(every)
    video = open_video(path)
    try:
        announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        rate = video.get(cv2.CAP_PROP_FPS)
        step = 1 / usable(rate)
        number, given, first, seconds = 0, 0, 0.0, -step
        while video.grab():
            at = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
            first = first if number else at
            # The last frames of an MPEG, or all of a file without a clock, are said to be at 0.
            seconds = at - first if at - first > seconds else seconds + step
            if number % every == 0:
                read, image = video.retrieve()
                if not read:
                    break
                yield number, seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                given += 1
            number += 1
    finally:
        video.release()
    announced = round(announced * shown_share(Path(path)))
    # Headers of whole files may count a frame or two that no decoder delivers.
    whole = number >= announced - max(2, announced // 100)
    if Path(path).suffix.lower() not in COUNTED or fragmented(Path(path)):
        # announced is a guess from the length of picture and sound, wrong where the rate varies; an AVI counts the
        # empty frames of a camera that was too slow
        whole |= seconds * rate >= 0.9 * announced
    if not given or not whole:
        raise ValueError(f"{path} is broken: it ends after {number} of {announced} frames")


def check_every(every: int) -> None:
    """ValueError unless every n-th frame can be taken."""
    if every < 1:
        raise ValueError(f"every must be 1 or more, not {every}")


def open_video(path: str | Path) -> cv2.VideoCapture:
    """A video to be read and released; ValueError if there is none or it cannot be opened."""
    if not Path(path).is_file():
        raise ValueError(f"there is no video {path}")
    # absolute, for FFmpeg takes the start of "10:30 sprint.mp4" for a protocol
    video = cv2.VideoCapture(str(Path(path).absolute()))
    if not video.isOpened():
        raise ValueError(f"{path} is broken or no video: it cannot be opened")
    return video


def frame_rate(path: str | Path) -> float:
    """Frames a second: the mean where they vary, 25 where the file says none.

    Errors as for `open_video`, and where they vary as for `frames_of`.
    """
    video = open_video(path)
    rate = usable(video.get(cv2.CAP_PROP_FPS))
    video.set(cv2.CAP_PROP_FORMAT, -1)  # packets, not decoded: an hour of film takes a moment
    times = []
    while video.grab():
        times.append(video.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    video.release()
    length = max(times, default=0) - min(times, default=0)
    if not length or abs(length * rate - (len(times) - 1)) <= 2:
        return rate
    times = [seconds for _, seconds, _ in frames_of(path)]  # decoded: some packets show no frame
    return usable(round((len(times) - 1) / times[-1], 2)) if times[-1] else rate


def usable(rate: float) -> float:
    """The rate that a file gives, 25 where it gives none."""
    return rate if 0 < rate < 10000 else 25.0


def read_videos(
    paths: Iterable[str | Path],
    skeleton: Skeleton,
    every: int = 1,
    size: tuple[int, int] = (256, 256),
    split: str = "train",
) -> PoseData:
    """Unlabelled frames of several videos; broken ones are named in a warning and left out.

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
    return PoseData(joined(frames), poses, skeleton, np.array(names), np.full(len(names), split), "videos")


def joined(films: list[Tensor]) -> Tensor:
    """Frames [N, 3, H, W] of one film after the other, as of `torch.cat` but never held twice.

    The list is emptied on the way.
    """
    if len(films) == 1:
        return films.pop()
    end = sum(map(len, films))
    frames = films[0].new_empty(end, *films[0].shape[1:])
    while films:
        film = films.pop()
        frames[end - len(film) : end] = film
        end -= len(film)
    return frames
