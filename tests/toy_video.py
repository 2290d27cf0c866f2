"""A video in which somebody of `toy_teacher` walks."""

import cv2
import torch

from toy_teacher import person


def write_toy_video(path, frames=12, size=(97, 161), people=True):
    """A person of 40 pixels moves by 4 pixels a frame; returns the keypoints of the ground truth [T, 4, 2]."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 20, size[::-1])
    keypoints = []
    for t in range(frames):
        frame = torch.full((3, *size), 10, dtype=torch.uint8)
        if people:
            keypoints.append(person(frame, 20 + 4 * t, 30, 40))
        video.write(frame.permute(1, 2, 0).numpy()[..., ::-1].copy())
    video.release()
    return torch.stack(keypoints) if people else None
