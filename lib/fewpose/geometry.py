"""Affine maps of points, images and heat maps, and their exact inverses.

A map is a matrix [N, 2, 3] that takes pixel coordinates (x, y) of a source image to those of a target image; the
centre of the top-left pixel is (0, 0).
"""

from __future__ import annotations

from math import radians, tan

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

ANGLE = 60.0  # assumed field of view of a camera in degrees, along the longer side of its image


def identity(n: int, device: torch.device | str = "cpu") -> Tensor:
    """The map [n, 2, 3] that leaves everything where it is."""
    return torch.eye(2, 3, device=device).expand(n, 2, 3).clone()


def similarity(size: tuple[int, int], degrees: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Maps [N, 2, 3] that rotate and scale an image of `size` (H, W) about its centre, then shift it.

    degrees [N] are clockwise on the screen, scale [N] > 1 enlarges, shift [N, 2] is in pixels of the target.
    """
    assert degrees.shape == scale.shape == shift.shape[:1], "one angle, scale and shift per image"
    height, width = size
    centre = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=shift.device)
    angle = torch.deg2rad(degrees)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    linear = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    offset = centre + shift - linear @ centre
    return torch.cat([linear, offset[..., None]], dim=-1)


def mirror(width: int, flipped: Tensor) -> Tensor:
    """Maps [N, 2, 3] that swap left and right of an image where `flipped` [N]: x -> W - 1 - x."""
    matrix = identity(len(flipped), flipped.device)
    matrix[:, 0, 0] = torch.where(flipped, -1.0, 1.0)
    matrix[:, 0, 2] = torch.where(flipped, width - 1.0, 0.0)
    return matrix


def compose(second: Tensor, first: Tensor) -> Tensor:
    """The map that applies `first` and then `second`, all [N, 2, 3]."""
    linear = second[..., :2] @ first[..., :2]
    offset = second[..., :2] @ first[..., 2:] + second[..., 2:]
    return torch.cat([linear, offset], dim=-1)


def invert(matrix: Tensor) -> Tensor:
    """The exact inverse [N, 2, 3] of each map."""
    linear = torch.linalg.inv(matrix[..., :2])
    return torch.cat([linear, -linear @ matrix[..., 2:]], dim=-1)


def transform_points(matrix: Tensor, points: Tensor) -> Tensor:
    """Points [N, K, 2 or more] under the maps [N, 2, 3]; what follows x and y is kept."""
    assert matrix.shape[0] == points.shape[0], "one map for each set of points"
    xy = points[..., :2] @ matrix[..., :2].transpose(-1, -2) + matrix[..., 2].unsqueeze(-2)
    return torch.cat([xy, points[..., 2:]], dim=-1)


def inside(poses: Tensor, size: tuple[int, int]) -> Tensor:
    """Which keypoints [N, K] of poses [N, K, 2 or more] lie in an image of `size` (H, W)."""
    x, y = poses[..., 0], poses[..., 1]
    return (x >= 0) & (y >= 0) & (x <= size[1] - 1) & (y <= size[0] - 1)


def warp(images: Tensor, matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """Images [N, C, H, W] resampled bilinearly into targets of `size` (H', W'); outside is 0.

    matrix [N, 2, 3] maps source pixels to target pixels. Heat maps are warped likewise, with the maps of `at_stride`.
    """
    assert matrix.shape == (len(images), 2, 3), "one map per image"
    h, w = images.shape[-2:]
    grid = sampling_grid(invert(matrix.float()), (h, w), size)
    return F.grid_sample(images, grid.to(images.dtype), align_corners=False)


def sampling_grid(back: Tensor, source: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The grid [N, H', W', 2] for `F.grid_sample`, from maps [N, 2, 3] of target to source pixels.

    Pixel x of a source of width W has the grid coordinate (2x + 1)/W - 1. Several times as fast on a CPU as
    F.affine_grid, which multiplies matrices of three columns.
    """
    height, width = size
    x = torch.arange(width, device=back.device)
    y = torch.arange(height, device=back.device)[:, None]
    grid = back.new_empty(len(back), height, width, 2)
    for axis, side in enumerate((source[1], source[0])):
        a, b, c = (2 / side * back[:, axis, :, None, None]).unbind(1)
        torch.add(a * x, b * y + (c + (1 / side - 1)), out=grid[..., axis])
    return grid


def warp_bytes(images: Tensor, matrix: Tensor) -> Tensor:
    """As `warp`, for images [N, 3, H, W] uint8 on a CPU into targets of their size, still uint8.

    By OpenCV, four times as fast: it rounds positions to 1/32 of a pixel and values to whole levels.
    """
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    for image, target, one in zip(images.numpy(), out.numpy(), matrix.numpy(), strict=True):
        cv2.split(warped(image, one), tuple(target))
    return out


def warped(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """One image [3, H, W] uint8 under a map [2, 3] as in `warp_bytes`, but [H, W, 3]."""
    return cv2.warpAffine(cv2.merge(tuple(image)), matrix, image.shape[:0:-1])


def at_stride(matrix: Tensor, stride: int) -> Tensor:
    """The same maps between heat maps of stride s, whose cell u has its centre at pixel (u + 0.5) s - 0.5."""
    centre = (stride - 1) / 2
    linear = matrix[..., :2]
    full = torch.full_like(matrix[..., 2:], centre)
    return torch.cat([linear, (linear @ full + matrix[..., 2:] - full) / stride], dim=-1)


def rays(poses: Tensor, size: tuple[int, int] | Tensor) -> Tensor:
    """Poses [P, K, 3] in pixels as rays: x / z and y / z in the axes of the camera; the third value is kept.

    size is (H, W) of the image, or [P, 2] of each person's image. The camera is assumed to have a field of view of
    `ANGLE` along the longer side and its principal point in the middle of the image.
    """
    sides = torch.as_tensor(size, dtype=poses.dtype, device=poses.device).expand(len(poses), 2)
    focal = sides.amax(1) / (2 * tan(radians(ANGLE) / 2))
    middle = (sides.flip(1) - 1) / 2
    xy = (poses[..., :2] - middle[:, None]) / focal[:, None, None]
    return torch.cat([xy, poses[..., 2:]], -1)


def assumed_camera(size: tuple[int, int]) -> Tensor:
    """The camera matrix [3, 3] that `rays` assumes for images of `size` (H, W)."""
    focal = max(size) / (2 * tan(radians(ANGLE) / 2))
    return torch.tensor([[focal, 0, (size[1] - 1) / 2], [0, focal, (size[0] - 1) / 2], [0, 0, 1]])


def place_in_camera(points: Tensor, poses: Tensor, camera: Tensor) -> Tensor:
    """Shifts [P, 3] to add to points, in their unit, so that they project to the poses.

    points [P, K, 3] in the axes of the camera, with any origin; poses [P, K, 3] (x, y in pixels, weight, 0 for not
    seen); camera [3, 3]. The shift t is the least squares solution of camera (X + t) ~ (x, y, 1), which is linear in t.
    NaN where fewer than two keypoints are seen.
    """
    pixels = torch.cat([poses[..., :2], torch.ones_like(poses[..., :1])], -1).double()
    rays, points = pixels @ torch.linalg.inv(camera.double()).T, points.double()
    weight = poses[..., 2].double().clamp_min(0)
    # for both axes a: (X + t)_a - ray_a (Z + t_z) = 0
    left = torch.zeros(*points.shape[:2], 2, 3, dtype=torch.float64)
    left[..., 0, 0] = left[..., 1, 1] = 1
    left[..., 2] = -rays[..., :2]
    right = rays[..., :2] * points[..., 2:] - points[..., :2]
    left, right = left * weight[..., None, None], right * weight[..., None]
    shift = torch.linalg.lstsq(left.flatten(1, 2), right.flatten(1).unsqueeze(-1), driver="gelsd")
    enough = ((weight > 0).sum(1) >= 2)[:, None]
    return torch.where(enough, shift.solution[..., 0], torch.nan).to(poses.dtype)


def turn_to(directions: Tensor) -> Tensor:
    """The smallest rotations [N, 3, 3] that take the z axis to unit vectors [N, 3] of positive z."""
    x, y, z = directions.unbind(-1)
    share = 1 / (1 + z)
    rows = [1 - x * x * share, -x * y * share, x, -x * y * share, 1 - y * y * share, y, -x, -y, z]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))
