"""Poses drawn onto pixels, and the MP4 files that such frames are written to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.colors import to_rgb
from torch import Tensor

from fewpose.skeleton import Skeleton

CODES = ("vp09", "mp4v")  # browsers play the first; the second is written wherever OpenCV is
LEFT, RIGHT, MIDDLE, TRUTH = "#ff9f1c", "#2ec4f3", "#b8f35c", "#ffffff"
SHOWN = 0.05  # least confidence of a keypoint that is drawn


def side_colour(skeleton: Skeleton, *indices: int) -> str:
    """One colour for left, one for right, one for what joins or lies between them."""
    sides = {skeleton.keypoints[i].split("_")[0] for i in indices}
    if sides <= {"left"} or sides <= {"left", "neck"}:
        return LEFT
    return RIGHT if sides <= {"right"} or sides <= {"right", "neck"} else MIDDLE


@contextmanager
def film_writer(path: Path, size: tuple[int, int], rate: float) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that adds a picture [H, W, 3] BGR of `size` to an MP4 of `rate` frames a second.

    The file is there when all is written, and not at all after an error; RuntimeError if OpenCV can write none.
    Codecs halve the sides of colours, so an odd last row or column is left out.
    """
    height, width = (side - side % 2 for side in size)
    # absolute, as `data.video.open_video` reads: FFmpeg takes "10:30 run.mp4" for a protocol
    # hidden: what a kill leaves of it is no video to any reader
    part = path.absolute().with_name(f".{path.stem}.part.mp4")
    for code in CODES:
        film = cv2.VideoWriter(str(part), cv2.VideoWriter_fourcc(*code), rate, (width, height))
        if film.isOpened():
            break
    else:
        raise RuntimeError(f"{path}: OpenCV can write no MP4 here")
    try:
        yield lambda picture: film.write(np.ascontiguousarray(picture[:height, :width]))
        film.release()
        os.replace(part, path)
    finally:
        film.release()
        part.unlink(missing_ok=True)


def drawn(picture: np.ndarray, pose: Tensor, skeleton: Skeleton) -> np.ndarray:
    """A copy of a picture [H, W, 3] BGR with the limbs and keypoints of a pose [K, 3]."""
    picture, shown = picture.copy(), pose[:, 2] > SHOWN
    thick = max(1, round(max(picture.shape[:2]) / 500))
    # 1/16 of a pixel: whole pixels would make limbs tremble from frame to frame
    points = (pose[:, :2] * 16).round().int().tolist()
    for a, b in skeleton.limb_index:
        if shown[a] and shown[b]:
            cv2.line(picture, points[a], points[b], bgr(side_colour(skeleton, a, b)), thick, cv2.LINE_AA, 4)
    for k in torch.nonzero(shown).flatten().tolist():
        colour = bgr(side_colour(skeleton, k))
        cv2.circle(picture, points[k], 24 * thick, colour, -1, cv2.LINE_AA, 4)
    return picture


def titled(picture: np.ndarray, name: str) -> np.ndarray:
    """The picture with a name in its upper left corner, in place; returned."""
    size = picture.shape[1] / 640
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(
            picture, name, (4, int(28 * size) + 2), cv2.FONT_HERSHEY_SIMPLEX, size, colour, thickness, cv2.LINE_AA
        )
    return picture


def bgr(colour: str) -> tuple[int, int, int]:
    """A colour of matplotlib as OpenCV draws it."""
    return tuple(round(255 * c) for c in to_rgb(colour)[::-1])
