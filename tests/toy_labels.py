"""A folder of frames to label: somebody of `toy_teacher` walks, and a network has suggested two of four points."""

import cv2
import numpy as np
import torch

from fewpose_video.label.label_file import LabelledFrame, add_frames, open_labels
from toy_teacher import SPOTS, person

SIZE = (97, 161)


def write_toy_labels(folder, frames=3, skeleton=SPOTS, suggested=2):
    """Frames of `run.mp4`, 12 apart; the path of the label file and the ground truth [T, 4, 2]."""
    (folder / "images").mkdir(parents=True)
    found, truth = [], []
    for t in range(frames):
        frame = torch.full((3, *SIZE), 10, dtype=torch.uint8)
        truth.append(person(frame, 20 + 8 * t, 30, 40).numpy())
        name = f"run_{12 * t:06}.png"
        cv2.imwrite(str(folder / "images" / name), frame.permute(1, 2, 0).numpy()[..., ::-1])
        points = np.zeros((len(skeleton), 3))
        points[:suggested] = np.column_stack([truth[-1], np.full(4, 0.9)])[:suggested]
        shape = len(skeleton)
        found.append(LabelledFrame(name, SIZE, "run.mp4", 12 * t, np.zeros((shape, 3)), np.zeros(shape, bool), points))
    path = open_labels(folder, skeleton)
    add_frames(path, found)
    return path, np.stack(truth)
