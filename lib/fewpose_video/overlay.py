"""Frames with poses drawn on them, and with faces and places made unrecognisable."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import torch

from fewpose.drawing import MIN_CONFIDENCE, draw_pose_on
from fewpose.skeleton import Skeleton

BACKGROUNDS = ("video", "12x", "blank")
LOW = 12  # times lower than the video's is the resolution of a background in which nobody can be recognised
FACE = ("nose", "eye", "ear", "head")  # parts of the names of keypoints on the head
RADIUS = 0.15  # of a head with some margin, in lengths of the person
HEAD = 1 / 3  # upper part of a person's box in which the head is
TILES = 5  # across a blurred head


def draw(
    image: np.ndarray,
    poses: np.ndarray,
    people: Iterable[int],
    skeleton: Skeleton,
    background: str = "video",
    hidden: np.ndarray | None = None,
) -> np.ndarray:
    """An image [H, W, 3] RGB as BGR with poses [P, K, 3] drawn; with the IDs of `people` if there are several.

    background is one of BACKGROUNDS. With boxes `hidden` [N, 4] of everybody in it, heads are blurred: those of the
    poses, and the upper parts of these boxes.
    """
    if background == "blank":
        image = np.zeros_like(image)
    else:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if background == "12x":
        image = lower_resolution(image, max(2, round(min(image.shape[:2]) / LOW)))
    elif background == "video" and hidden is not None:
        for x0, y0, x1, y1 in [*map(face_box, poses, [skeleton] * len(poses)), *map(top_of, hidden)]:
            blur(image, x0, y0, x1, y1)
    people = list(people)
    for person, pose in zip(people, poses, strict=True):
        shown = pose[:, 2] > MIN_CONFIDENCE
        if not shown.any():
            continue
        image = draw_pose_on(image, torch.from_numpy(np.nan_to_num(pose)), skeleton)
        if len(people) > 1:
            write_id(image, person, pose[shown, :2])
    return image


def lower_resolution(image: np.ndarray, side: int) -> np.ndarray:
    """An image whose shorter side was shrunk to `side` pixels in between."""
    height, width = image.shape[:2]
    factor = side / min(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(image, size, None, 0, 0, cv2.INTER_AREA)
    return cv2.resize(small, (width, height), None, 0, 0, cv2.INTER_LINEAR)


def face_box(pose: np.ndarray, skeleton: Skeleton) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 around the head of a pose [K, 3]; NaN if none of its keypoints is there."""
    indices = [k for k, name in enumerate(skeleton.keypoints) if any(part in name for part in FACE)]
    known = pose[np.isfinite(pose[:, 0]), :2]
    head = pose[indices][np.isfinite(pose[indices, 0]), :2]
    if not len(head):
        return (np.nan,) * 4
    (x, y), length = head.mean(0), np.ptp(known, axis=0).max()
    radius = max(RADIUS * length, 1.3 * np.abs(head - (x, y)).max())
    return x - radius, y - radius, x + radius, y + radius


def top_of(box: np.ndarray) -> tuple[float, float, float, float]:
    """The part of a person's box [4] in which the head is, with a margin above."""
    x0, y0, x1, y1 = box
    return x0, y0 - 0.05 * (y1 - y0), x1, y0 + HEAD * (y1 - y0)


def blur(image: np.ndarray, x0: float, y0: float, x1: float, y1: float) -> None:
    """Blur a rectangle of an image [H, W, 3], in place; nothing for NaN or outside."""
    if not np.isfinite([x0, y0, x1, y1]).all():
        return
    part = image[max(0, int(y0)) : max(0, int(np.ceil(y1))), max(0, int(x0)) : max(0, int(np.ceil(x1)))]
    if part.size:
        part[:] = lower_resolution(part, min(TILES, *part.shape[:2]))


def write_id(image: np.ndarray, person: int, points: np.ndarray) -> None:
    """The ID of a person above their points [N, 2], in place."""
    size = max(image.shape[:2]) / 1200
    x, y = points[:, 0].mean(), points[:, 1].min() - 12 * size
    place = round(float(x)), max(round(30 * size), round(float(y)))
    for colour, thick in (((0, 0, 0), 4), ((255, 255, 255), 2)):
        thick = max(1, round(thick * size))
        cv2.putText(image, str(person), place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)
