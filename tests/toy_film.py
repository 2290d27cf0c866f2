"""A film in which somebody of `toy_teacher` walks."""

import cv2
import torch

from toy_teacher import person


def write_film(path, frames=12, size=(97, 161), people=True):
    """Somebody of 40 pixels walks by 4 pixels a frame; the true keypoints [T, 4, 2]."""
    film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 20, size[::-1])
    truth = []
    for t in range(frames):
        frame = torch.full((3, *size), 10, dtype=torch.uint8)
        if people:
            truth.append(person(frame, 20 + 4 * t, 30, 40))
        film.write(frame.permute(1, 2, 0).numpy()[..., ::-1].copy())
    film.release()
    return torch.stack(truth) if people else None
