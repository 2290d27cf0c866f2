"""Augmentation of a batch and its poses (flip, similarity, colours, normalisation) against three libraries."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from fewpose.augment import MEAN, STD, Augmentation, network_input, random_view
from fewpose.skeleton import COCO

from .harness import Case, require, threads

RANGES = Augmentation()
ZOOM = (1 / RANGES.scale[1], 1 / RANGES.scale[0])  # the libraries want the magnification
COLOURS = (1 - RANGES.colour, 1 + RANGES.colour)


def augment(library: str, size: tuple[int, int], batch: int = 32, device: str = "cpu") -> Case:
    """Our augmentation on `device` against a library's on the CPU, for frames of `size` (H, W).

    Each turns uint8 frames [N, 3, H, W] and their poses into a float32 batch and the poses in it, with the ranges of
    `Augmentation` and new random numbers for every frame.
    """
    reference = {"albumentations": albumentations, "kornia": kornia, "torchvision": torchvision}
    torch.manual_seed(0)
    frames = smooth_frames(batch, size)
    poses = torch.rand(batch, len(COCO), 3) * torch.tensor([size[1], size[0], 2.0])
    frames_on, poses_on = frames.to(device), poses.to(device)
    generator = torch.Generator().manual_seed(0)

    def ours() -> tuple[Tensor, Tensor]:
        view = random_view(batch, size, COCO, RANGES, generator, device)
        return network_input(view, frames_on, RANGES.colour, generator), view.poses(poses_on)

    other = reference[library](frames, poses)
    return Case(ours, other, batch, "frames/s", f"{library}, batch {batch}, {threads()}")


def smooth_frames(batch: int, size: tuple[int, int]) -> Tensor:
    """Random frames [N, 3, H, W] uint8, smooth as photographs are."""
    coarse = 255 * torch.rand(batch, 3, 8, 8)
    return torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 255).byte()


def albumentations(frames: Tensor, poses: Tensor) -> Callable[[], object]:
    """Image by image with OpenCV, without swapping left and right keypoints.

    One image per thread, as many threads as torch has: faster than OpenCV's own threads within an image.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no query for updates
    A, cv2 = require("albumentations"), require("cv2")
    view = A.Compose(
        [
            A.HorizontalFlip(p=RANGES.flip),
            A.Affine(
                scale=ZOOM,
                translate_percent=(-RANGES.shift, RANGES.shift),
                rotate=(-RANGES.rotation, RANGES.rotation),
                p=1,
            ),
            A.ColorJitter(COLOURS, COLOURS, COLOURS, (0, 0), p=1),
            A.Normalize(MEAN, STD),
        ],
        keypoint_params=A.KeypointParams("xy", remove_invisible=False),
    )
    images = [frame.permute(1, 2, 0).contiguous().numpy() for frame in frames]
    points = poses[..., :2].numpy()
    pool = ThreadPoolExecutor(torch.get_num_threads())

    def augmented(i: int) -> dict:
        return view(image=images[i], keypoints=points[i])

    def work() -> tuple[Tensor, Tensor]:
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        results = list(pool.map(augmented, range(len(images))))
        cv2.setNumThreads(before)
        batch = np.stack([f["image"] for f in results])
        moved = np.stack([f["keypoints"] for f in results])
        return torch.from_numpy(batch).permute(0, 3, 1, 2), torch.from_numpy(moved)

    return work


def kornia(frames: Tensor, poses: Tensor) -> Callable[[], object]:
    """The whole batch at once, without swapping left and right keypoints."""
    K = require("kornia.augmentation")
    view = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=RANGES.flip),
        K.RandomAffine(RANGES.rotation, (RANGES.shift, RANGES.shift), ZOOM, p=1.0),
        K.ColorJitter(COLOURS, COLOURS, COLOURS, p=1.0),
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
        data_keys=["input", "keypoints"],
    )
    return lambda: view(frames.float() / 255, poses[..., :2])


def torchvision(frames: Tensor, poses: Tensor) -> Callable[[], object]:
    """Image by image, because one call draws one set of random numbers; left and right are not swapped."""
    from torchvision import tv_tensors
    from torchvision.transforms import InterpolationMode, v2

    view = v2.Compose(
        [
            v2.RandomHorizontalFlip(RANGES.flip),
            v2.RandomAffine(
                RANGES.rotation, (RANGES.shift, RANGES.shift), ZOOM, interpolation=InterpolationMode.BILINEAR
            ),
            v2.ColorJitter(COLOURS, COLOURS, COLOURS),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    size = tuple(frames.shape[-2:])

    def work() -> tuple[Tensor, Tensor]:
        results = [
            view(tv_tensors.Image(frame), tv_tensors.KeyPoints(pose, canvas_size=size))
            for frame, pose in zip(frames, poses[..., :2], strict=True)
        ]
        images, moved = zip(*results, strict=True)
        return torch.stack(images), torch.stack(moved)

    return work
