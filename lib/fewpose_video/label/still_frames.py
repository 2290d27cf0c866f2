"""Labelled frames as an image, for where no labeller is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from fewpose.data.images import letterbox, letterbox_map, read_image, to_frames
from fewpose.drawing import add_title, draw_pose_on
from fewpose.geometry import transform_points
from fewpose_video.label import label_file
from fewpose_video.label.label_file import LabelledFrame

TILE = (220, 260)  # H, W of a frame
COLUMNS, ROWS = 4, 3


def letterboxed(frames: Sequence[LabelledFrame], images: Path, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The images of frames letterboxed into `size`, [N, 3, H, W] uint8, and their labels there, [N, K, 3].

    Black where an image cannot be read.
    """
    pixels, poses = [], []
    for frame in frames:
        image = read_image(images / frame.file)
        image = np.zeros((*frame.size, 3), np.uint8) if image is None else image
        pixels.append(letterbox(image, size))
        pose = torch.tensor(frame.keypoints, dtype=torch.float32)[None]
        poses.append(transform_points(letterbox_map(image.shape[:2], size)[None], pose)[0])
    return to_frames(pixels), torch.stack(poses)


def contact_sheet(path: Path, images: Path) -> bytes:
    """PNG of the first frames of a label file with their labels, the labelled ones first."""
    skeleton = label_file.skeleton_of(path)
    frames = sorted(label_file.read_frames(path), key=lambda frame: not frame.started)[: COLUMNS * ROWS]
    tiles = []
    for frame, pixels, pose in zip(frames, *letterboxed(frames, images, TILE), strict=True):
        drawn = draw_pose_on(pixels.permute(1, 2, 0).numpy()[..., ::-1], pose, skeleton)
        tiles.append(add_title(drawn, "" if frame.started else "not labelled"))
    tiles += [np.full((*TILE, 3), 255, np.uint8)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    return cv2.imencode(".png", np.vstack(rows))[1].tobytes()
