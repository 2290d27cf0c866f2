"""Three stages that need no training, for a world in which people are bright rectangles.

A person is a grey rectangle with a red, a green and two blue spots: head, neck and two hands.
"""

import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import nn

from fewpose.models.lifting import Lifter
from fewpose.models.pose_model import PoseModel
from fewpose.models.teacher.three_stages import Teacher
from fewpose.skeleton import Skeleton

SPOTS = Skeleton(
    "spots",
    ("head", "neck", "left_hip", "right_hip"),
    (("head", "neck"), ("neck", "left_hip"), ("neck", "right_hip")),
    (0.1,) * 4,
)


class Rectangles(nn.Module):
    """Stage 1: the box of each connected region that is brighter than 100, scored by its grey."""

    def __init__(self, side):
        super().__init__()
        self.side, self.frames_seen = side, 0
        self.unused = nn.Parameter(torch.zeros(1))

    def boxes(self, images):
        found = []
        self.frames_seen += len(images)
        for image in images:
            labels, count = ndimage.label((image.mean(0) > 50).numpy())
            boxes = (
                torch.tensor([[s[1].start, s[0].start, s[1].stop, s[0].stop] for s in ndimage.find_objects(labels)])
                .reshape(-1, 4)
                .float()
            )
            found.append((boxes, torch.full((count,), 0.9)))
        return found


class Spots(PoseModel):
    """Stage 2: heat maps of colours; of two blue spots the left one of the person is at the right.

    Mirrored images give mirrored maps with the hands' names swapped.
    """

    strides = (4,)
    keypoints = 4

    def forward(self, images):
        x = F.avg_pool2d(images, 4).clamp_min(0) / 3
        red, green, blue = ((x[:, i] - x[:, (i + 1) % 3]).clamp_min(0) for i in range(3))
        ramp = torch.linspace(0, 1, x.shape[-1])
        return [torch.stack([red, green, blue * ramp, blue * (1 - ramp)], 1)]


def person(frame, x, y, size=24):
    """Draw somebody of `size` pixels with the upper left corner at x, y; may leave the frame."""
    h, w = frame.shape[-2:]
    yy, xx = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    inside = (xx >= x) & (xx < x + size) & (yy >= y) & (yy < y + size)
    frame[:, inside] = 80
    points = [(0.5, 0.25), (0.5, 0.55), (0.8, 0.8), (0.2, 0.8)]
    for (px, py), colour in zip(points, (0, 1, 2, 2), strict=True):
        near = (xx + 0.5 - x - px * size) ** 2 + (yy + 0.5 - y - py * size) ** 2 < (size / 10) ** 2
        frame[:, near & inside] = 60
        frame[colour, near & inside] = 255
    return torch.tensor([[x + px * size - 0.5, y + py * size - 0.5] for px, py in points])


def toy_teacher(side=64, **options):
    torch.manual_seed(0)
    lifter = Lifter(8, skeleton=SPOTS)
    return Teacher(Rectangles(side), Spots(), lifter, (64, 64), SPOTS, **options).eval()


def toy_frames(counts, size=(64, 96)):
    """Frames uint8 with so many people each, at most eight, and the true keypoints."""
    frames = torch.full((len(counts), 3, *size), 10, dtype=torch.uint8)
    poses = []
    for frame, count in zip(frames, counts, strict=True):
        places = [(2 + 24 * (i % 4), 6 + 30 * (i // 4)) for i in range(count)]
        poses.append([person(frame, x, y, 20) for x, y in places])
    return frames, poses
