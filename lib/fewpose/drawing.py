"""Poses drawn on images."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from matplotlib.colors import to_rgb
from torch import Tensor

from fewpose.skeleton import Skeleton

LEFT, RIGHT, MIDDLE, GROUND_TRUTH = "#ff9f1c", "#2ec4f3", "#b8f35c", "#ffffff"
MIN_CONFIDENCE = 0.05  # of a keypoint that is drawn


def side_colour(skeleton: Skeleton, *indices: int) -> str:
    """One colour for left, one for right, one for keypoints and limbs in the middle."""
    sides = {skeleton.sides[i] or skeleton.keypoints[i] for i in indices}
    if sides <= {"left"} or sides <= {"left", "neck"}:
        return LEFT
    return RIGHT if sides <= {"right"} or sides <= {"right", "neck"} else MIDDLE


def draw_pose_on(image: np.ndarray, pose: Tensor, skeleton: Skeleton) -> np.ndarray:
    """A copy of an image [H, W, 3] BGR with the limbs and keypoints of a pose [K, 3]."""
    image, shown = image.copy(), pose[:, 2] > MIN_CONFIDENCE
    thick = max(1, round(max(image.shape[:2]) / 500))
    # 1/16 of a pixel: with whole pixels limbs would jitter from frame to frame
    points = (pose[:, :2] * 16).round().int().tolist()
    for a, b in skeleton.limb_index:
        if shown[a] and shown[b]:
            cv2.line(image, points[a], points[b], bgr(side_colour(skeleton, a, b)), thick, cv2.LINE_AA, 4)
    for k in torch.nonzero(shown).flatten().tolist():
        cv2.circle(image, points[k], 24 * thick, bgr(side_colour(skeleton, k)), -1, cv2.LINE_AA, 4)
    return image


def add_title(image: np.ndarray, title: str) -> np.ndarray:
    """The image with a title in its upper left corner, in place; returned."""
    size = image.shape[1] / 640
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        place = (4, int(28 * size) + 2)
        cv2.putText(image, title, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thickness, cv2.LINE_AA)
    return image


def bgr(colour: str) -> tuple[int, int, int]:
    """A matplotlib colour as OpenCV's blue, green, red."""
    return tuple(round(255 * c) for c in to_rgb(colour)[::-1])
