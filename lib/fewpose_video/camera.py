"""How a camera that pans and zooms moves the background, so that speeds can be told relative to the ground."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

MOST = 480  # longer side in pixels of the images in which the background is followed
CORNERS = 300  # points to follow from one frame to the next
ENOUGH = 12  # of them that must agree
TRAVEL = 0.05  # of the width
AROUND = 0.2  # of a person's size, what is left out around them


def background_motion(images: Iterable[np.ndarray], poses: np.ndarray) -> np.ndarray:
    """Maps [T, 2, 3] from pixels of the frame before to those of each frame that move the background; NaN if unknown.

    images [H, W, 3] uint8, T of them, in which people with poses [T, P, K, 3] are left out. Corners of the background
    are followed (Lucas and Kanade), and a turn, a zoom and a shift are fitted to most of them (RANSAC). The first map
    is the identity. Right for a camera that turns and zooms in one place; one that travels moves what is near more.
    """
    maps = np.full((len(poses), 2, 3), np.nan)
    maps[0] = np.eye(2, 3)
    before, free = None, None
    for t, (image, people) in enumerate(zip(images, poses, strict=True)):
        factor = min(1.0, MOST / max(image.shape[:2]))
        grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None, None, factor, factor, cv2.INTER_AREA)
        if before is not None:
            found = follow(before, grey, free)
            if found is not None:
                found[:, 2] /= factor
                maps[t] = found
        before, free = grey, without_people(grey.shape, people * factor)
    return maps


def moves(maps: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether a camera with the maps of `background_motion`, of images of `size` (H, W), moves rather than trembles.

    It does if the middle of the background travels by more than TRAVEL of the image's width.
    """
    middle = np.array([size[1] / 2, size[0] / 2])
    steps = np.nan_to_num(maps[:, :, :2] @ middle + maps[:, :, 2] - middle)
    return bool(np.ptp(steps.cumsum(0), axis=0).max() > TRAVEL * size[1])


def without_people(shape: tuple[int, int], poses: np.ndarray) -> np.ndarray:
    """A mask [H, W] uint8 that is 0 around the people with poses [P, K, 2 or more]."""
    mask = np.full(shape, 255, np.uint8)
    for pose in poses[..., :2]:
        known = pose[np.isfinite(pose[:, 0])]
        if len(known):
            low, high = known.min(0), known.max(0)
            margin = AROUND * (high - low).max()
            (x0, y0), (x1, y1) = (np.maximum(0, end).astype(int) for end in (low - margin, high + margin))
            mask[y0:y1, x0:x1] = 0
    return mask


def follow(before: np.ndarray, now: np.ndarray, free: np.ndarray) -> np.ndarray | None:
    """The map [2, 3] that moves most corners of the grey image `before`, where `free` is not 0; None if too few."""
    corners = cv2.goodFeaturesToTrack(before, CORNERS, 0.005, 5, mask=free)
    if corners is None or len(corners) < ENOUGH:
        return None
    moved, there, _ = cv2.calcOpticalFlowPyrLK(before, now, corners, None, winSize=(21, 21), maxLevel=4)
    there = there.ravel() > 0
    if there.sum() < ENOUGH:
        return None
    found, agree = cv2.estimateAffinePartial2D(corners[there], moved[there], ransacReprojThreshold=1.0)
    return found if found is not None and agree.sum() >= ENOUGH else None
