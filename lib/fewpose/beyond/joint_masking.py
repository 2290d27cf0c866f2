"""A mean teacher whose student sees views that hide joints, by joint cutout or joint cut-mix; not in the papers.

After Xie et al. (ICCV 2021, section 3.3) and Huang et al. (CVPR 2023, section 3.4). The public code of both masks the
wrong places (it swaps width and height, or x and y); here patches lie at their joints, as the tests check.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fewpose.augment import MEAN, View, normalise, random_view, seen
from fewpose.mean_teacher import Consistency

JITTER = 10 / 256  # deviation of a patch's centre from its joint, in parts of the image's height
HALF = (10 / 256, 20 / 256)  # range of half the side of a patch, likewise


def joint_cutout(images: Tensor, poses: Tensor, generator: torch.Generator, holes: int = 5) -> Tensor:
    """Images [N, 3, H, W] (0..255) with grey patches over `holes` random joints each.

    poses [N, K, 3] in pixels of these images; joints of visibility (or score) 0 are never chosen.
    """
    out = images.clone()
    grey = 255 * torch.tensor(MEAN, device=images.device).view(3, 1, 1)
    for i, box in patches(images, poses, generator, holes):
        out[i][box] = grey
    return out


def joint_cutmix(images: Tensor, poses: Tensor, generator: torch.Generator, holes: int = 3) -> Tensor:
    """Images [N, 3, H, W] with patches over random joints, cut around joints of another image.

    A patch shows somebody else's joint, so that the hidden one must be inferred from the rest of the body. poses as for
    `joint_cutout`; the other image is the next one of the batch.
    """
    out, (height, width) = images.clone(), images.shape[-2:]
    known = [[(x, y) for x, y, score in pose if score > 0] for pose in poses.tolist()]
    for i, (_, rows, columns) in patches(images, poses, generator, holes):
        other = (i + 1) % len(images)
        seen = known[other]
        h, w = rows.stop - rows.start, columns.stop - columns.start
        if not len(seen) or not h or not w:
            continue
        x, y = seen[torch.randint(len(seen), (), generator=generator).item()]
        left = min(max(round(x) - w // 2, 0), width - w)
        top = min(max(round(y) - h // 2, 0), height - h)
        out[i, :, rows, columns] = images[other, :, top : top + h, left : left + w]
    return out


def patches(
    images: Tensor, poses: Tensor, generator: torch.Generator, holes: int
) -> list[tuple[int, tuple[slice, slice, slice]]]:
    """(image, box) of `holes` patches per image, each over one of its joints, clipped to the image."""
    height, width = images.shape[-2:]
    found = []
    for i, pose in enumerate(poses.cpu()):
        seen = pose[pose[:, 2] > 0, :2]
        if not len(seen):
            continue
        joints = seen[torch.randint(len(seen), (holes,), generator=generator)]
        centres = joints + height * JITTER * torch.randn(holes, 2, generator=generator)
        low, high = HALF
        halves = height * (low + (high - low) * torch.rand(holes, generator=generator))
        for (x, y), half in zip(centres.tolist(), halves.tolist(), strict=True):
            rows = slice(clip(y - half, height), clip(y + half + 1, height))
            columns = slice(clip(x - half, width), clip(x + half + 1, width))
            found.append((i, (slice(None), rows, columns)))
    return found


def clip(value: float, limit: int) -> int:
    """A coordinate rounded and kept within 0 … limit."""
    return min(max(round(value), 0), limit)


HIDE = {"cutout": joint_cutout, "cutmix": joint_cutmix}


@dataclass
class MaskedConsistency(Consistency):
    """The consistency loss where joints are covered in the student's images: `hide` is a key of HIDE or empty."""

    hide: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hide and self.hide not in HIDE:
            raise ValueError(f"hide is empty or one of {', '.join(HIDE)}, not {self.hide!r}")

    def settings(self) -> str:
        """As `Consistency.settings`."""
        return super().settings() + self.hide

    def student_view(self, index: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[View, Tensor]:
        """As `Consistency.student_view`, with patches over joints where the teacher predicts them."""
        if not self.hide:
            return super().student_view(index, labels, generator)
        data, device = self.unlabelled, labels.device
        view = random_view(len(index), data.size, data.skeleton, self.augmentation, generator, device)
        images = seen(view, data.frames[index].to(device), self.augmentation.colour, generator)
        images = normalise(HIDE[self.hide](images, view.poses(labels), generator))
        return view, data.network_input(images.contiguous(memory_format=torch.channels_last))
