"""Random views of a batch of frames, and their exact inverses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from fewpose import geometry
from fewpose.skeleton import Skeleton
from fewpose.speed.threads import in_threads

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet, RGB in [0, 1]

LUMA = (0.299, 0.587, 0.114)
# What `normalise` does, as a matrix on red, green, blue and 1.
NORMALISE = np.column_stack([np.diag(1 / (255 * np.array(STD))), -np.array(MEAN) / STD])


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random views: Ludwig et al., section 4.2, which gives no numbers for flip and colour.

    flip is a probability, rotation in degrees, shift a fraction of the frame's side (40 px at 512). scale is as in
    HigherHRNet the part of the frame that is seen, so 1.5 zooms out. colour jitters brightness, contrast and saturation
    by factors 1 ± colour; 0 leaves the pixels unchanged.
    """

    flip: float = 0.5
    rotation: float = 30.0
    shift: float = 40 / 512
    scale: tuple[float, float] = (0.75, 1.5)
    colour: float = 0.3


@dataclass(frozen=True)
class View:
    """The transforms of a batch of frames: maps [N, 2, 3] from frame to view pixels, and flips.

    `flipped` [N] says which frames are mirrored; their left and right keypoints swap names.
    """

    matrix: Tensor
    flipped: Tensor
    skeleton: Skeleton

    def images(self, frames: Tensor) -> Tensor:
        """Frames [N, 3, H, W] as seen in the view, float32 in 0..255."""
        if frames.dtype == torch.uint8 and frames.device.type == "cpu":
            return geometry.warp_bytes(frames, self.matrix).float()
        return geometry.warp(frames.float(), self.matrix, frames.shape[-2:])

    def poses(self, poses: Tensor) -> Tensor:
        """Poses [N, K, 3] in frame pixels → view pixels."""
        return self.rename(geometry.transform_points(self.matrix, poses))

    def undo_poses(self, poses: Tensor) -> Tensor:
        """Poses [N, K, 3] in view pixels → frame pixels: the exact inverse of `poses`."""
        return geometry.transform_points(geometry.invert(self.matrix), self.rename(poses))

    def undo_heatmaps(self, heatmaps: Tensor, stride: int) -> Tensor:
        """Heat maps [N, K, h, w] of the view → of the frame."""
        matrix = geometry.at_stride(geometry.invert(self.matrix), stride)
        return geometry.warp(self.rename(heatmaps), matrix, heatmaps.shape[-2:])

    def shows(self, size: tuple[int, int], stride: int) -> Tensor:
        """Which cells [N, 1, h, w] of the frame's heat map of `size` (h, w) the view shows."""
        whole = torch.ones(len(self.matrix), 1, *size, device=self.matrix.device)
        matrix = geometry.at_stride(geometry.invert(self.matrix), stride)
        return geometry.warp(whole, matrix, size) > 0.99

    def to(self, device: torch.device | str) -> View:
        """The same view, its tensors on `device`."""
        return View(self.matrix.to(device), self.flipped.to(device), self.skeleton)

    def rename(self, values: Tensor) -> Tensor:
        """Swap left and right of [N, K, ...] where the view is mirrored; its own inverse."""
        mask = self.flipped.view(-1, *[1] * (values.ndim - 1))
        return torch.where(mask, values[:, self.skeleton.flip_index], values)


def base_view(n: int, skeleton: Skeleton, device: torch.device | str = "cpu") -> View:
    """The view of n frames as they are."""
    return View(geometry.identity(n, device), torch.zeros(n, dtype=bool, device=device), skeleton)


def flipped_view(n: int, width: int, skeleton: Skeleton, device: torch.device | str = "cpu") -> View:
    """The view of n frames of `width` pixels, mirrored."""
    flipped = torch.ones(n, dtype=bool, device=device)
    return View(geometry.mirror(width, flipped), flipped, skeleton)


def labelling_views(
    n: int,
    size: tuple[int, int],
    skeleton: Skeleton,
    augmentations: int,
    augmentation: Augmentation,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> list[View]:
    """Base view, flipped view and random augmentations of n frames (Ludwig et al. section 3.1)."""
    views = [base_view(n, skeleton, device), flipped_view(n, size[1], skeleton, device)]
    return views + [random_view(n, size, skeleton, augmentation, generator, device) for _ in range(augmentations)]


def random_view(
    n: int,
    size: tuple[int, int],
    skeleton: Skeleton,
    augmentation: Augmentation,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> View:
    """A random view of n frames of `size` (H, W); random numbers come from a CPU `generator`."""
    u = torch.rand(n, 5, generator=generator)
    flipped = (u[:, 0] < augmentation.flip).to(device)
    sign = 2 * u[:, 1:4] - 1
    low, high = augmentation.scale
    seen = low + (high - low) * u[:, 4]
    shift = sign[:, 1:3] * augmentation.shift * torch.tensor([size[1], size[0]])
    matrix = geometry.similarity(size, augmentation.rotation * sign[:, 0], 1 / seen, shift)
    matrix = geometry.compose(matrix.to(device), geometry.mirror(size[1], flipped))
    return View(matrix, flipped, skeleton)


def random_colours(n: int, strength: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random brightness, contrast and saturation of n images, each a factor 1 ± strength: [n, 3, 3] and [n, 3].

    As each is linear in the pixels, all three together are one matrix on the colours plus an offset, whose weights for
    the image's mean red, green and blue are the second result.
    """
    factors = 1 + strength * (2 * torch.rand(n, 3, generator=generator) - 1)
    brightness, contrast, saturation = factors.unbind(1)
    keep = saturation.view(-1, 1, 1)
    matrix = keep * torch.eye(3) + (1 - keep) * torch.tensor(LUMA).expand(3, 3)
    share = brightness * (1 - contrast)
    return (brightness * contrast).view(-1, 1, 1) * matrix, share.view(-1, 1) * torch.tensor(LUMA)


def jitter_colour(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Images [N, 3, H, W] (0..255) with `random_colours` applied."""
    n, _, h, w = images.shape
    matrix, share = (x.to(images.device) for x in random_colours(n, strength, generator))
    offset = (share * images.mean(dim=(2, 3))).sum(1).view(-1, 1, 1)
    out = torch.baddbmm(offset, matrix, images.reshape(n, 3, h * w))
    return out.view(n, 3, h, w).clamp_(0, 255)


def seen(view: View, frames: Tensor, colour: float, generator: torch.Generator) -> Tensor:
    """Frames [N, 3, H, W] through the view, colours jittered by `colour`, float32 in 0..255."""
    images = view.images(frames)
    return jitter_colour(images, colour, generator) if colour else images


def normalise(images: Tensor, out: Tensor | None = None) -> Tensor:
    """Images [N, 3, H, W] in 0..255 → what the networks read: ImageNet mean 0 and deviation 1."""
    mean = torch.tensor(MEAN, device=images.device).view(3, 1, 1)
    std = torch.tensor(STD, device=images.device).view(3, 1, 1)
    return torch.addcmul(-mean / std, images.float(), 1 / (255 * std), out=out)


def network_input(view: View, frames: Tensor, colour: float, generator: torch.Generator) -> Tensor:
    """The network input for frames [N, 3, H, W] in the view: `normalise(seen(…))`, channels last.

    uint8 frames on a CPU go through OpenCV one by one, so that each stays in the cache.
    """
    if frames.dtype != torch.uint8 or frames.device.type != "cpu":
        out = torch.empty(frames.shape, device=frames.device, memory_format=torch.channels_last)
        return normalise(seen(view, frames, colour, generator), out)
    n, _, height, width = frames.shape
    # NumPy allocates huge pages: a large batch takes half as long as with torch.empty
    out = np.empty((n, height, width, 3), np.float32)
    source, maps = frames.numpy(), view.matrix.numpy()
    if colour:
        mix, share = (x.numpy() for x in random_colours(n, colour, generator))

    def draw(part: slice) -> None:
        for i in range(part.start, part.stop):
            image, pixels = geometry.warped(source[i], maps[i]), out[i]
            pixels[:] = image
            if colour:
                offset = np.full((3, 1), share[i] @ cv2.mean(image)[:3])
                cv2.transform(pixels, np.hstack([mix[i], offset]), pixels)
                np.clip(pixels, 0, 255, pixels)
            cv2.transform(pixels, NORMALISE, pixels)

    in_threads(draw, n)
    return torch.from_numpy(out).permute(0, 3, 1, 2)


def example_views(
    frames: Tensor, poses: Tensor, skeleton: Skeleton, augmentation: Augmentation, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Frames [N, 3, H, W] uint8 and poses [N, K, 3] as one training step might see them."""
    generator = torch.Generator().manual_seed(seed)
    view = random_view(len(frames), frames.shape[-2:], skeleton, augmentation, generator)
    images = seen(view, frames, augmentation.colour, generator)
    return images.round().to(torch.uint8), view.poses(poses)
