"""Heat-map targets and decoding against the joint-by-joint loops of the HRNet family."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fewpose import geometry
from fewpose.heatmaps import SIGMA, decode, gaussian_targets, smooth
from fewpose.skeleton import COCO

from .harness import Case, threads

STRIDE = 4


def targets(size: tuple[int, int] = (256, 192), batch: int = 32, device: str = "cpu") -> Case:
    """Targets at 1/4 of frames of `size` (H, W) against HigherHRNet's generator."""
    poses = random_poses(batch, size)
    poses_on, array, patch = poses.to(device), poses.numpy(), target_patch()
    return Case(
        lambda: gaussian_targets(poses_on, size, STRIDE),
        lambda: torch.from_numpy(np.stack([targets_loop(pose[None], size, patch) for pose in array])),
        batch,
        "poses/s",
        f"HigherHRNet's generator, {size[0]}x{size[1]}, batch {batch}, {len(COCO)} keypoints, {threads()}",
    )


def decoding(size: tuple[int, int] = (256, 192), batch: int = 64, device: str = "cpu", parser: bool = True) -> Case:
    """Decoding and the inverse transform to the frame against HigherHRNet's parser.

    Without `parser` against HRNet's get_final_preds, which finds the peaks of a batch at once.
    """
    maps, crops, frames = random_maps(batch, size)
    maps_on, crops = maps.to(device), crops.to(device)
    loop, name = parser_loop, "HigherHRNet's parser, one person per frame"
    if not parser:
        loop, name = final_predictions_loop, "HRNet's get_final_preds"
    return Case(
        lambda: geometry.transform_points(geometry.invert(crops), decode(maps_on, STRIDE)),
        lambda: loop(maps.numpy(), *frames),
        batch,
        "poses/s",
        f"{name}, {size[0]}x{size[1]}, batch {batch}, {len(COCO)} keypoints, {threads()}",
    )


def smooth_decoding(size: tuple[int, int] = (256, 192), batch: int = 128, device: str = "cpu") -> Case:
    """The same with smoothed maps, as `PoseModel.read` does it, against DARK's loop."""
    maps, crops, frames = random_maps(batch, size)
    maps_on, crops = maps.to(device), crops.to(device)
    return Case(
        lambda: geometry.transform_points(geometry.invert(crops), decode(smooth(maps_on), STRIDE)),
        lambda: dark_loop(maps.numpy(), *frames),
        batch,
        "poses/s",
        f"DARK's get_final_preds, {size[0]}x{size[1]}, batch {batch}, {len(COCO)} keypoints, {threads()}",
    )


def random_poses(batch: int, size: tuple[int, int]) -> Tensor:
    """Uniformly random poses [N, K, 3] in frames of `size` (H, W), every keypoint visible."""
    torch.manual_seed(0)
    extent = torch.tensor([size[1] - 1.0, size[0] - 1.0, 0.0])
    return torch.rand(batch, len(COCO), 3) * extent + torch.tensor([0.0, 0.0, 2.0])


def random_maps(batch: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, tuple[np.ndarray, np.ndarray]]:
    """Noisy heat maps [N, K, h, w] of crops, the transforms [N, 2, 3] from frame to crop, and HRNet's form of these.

    That is the centres [N, 2] in the frame and the frame pixels per crop pixel [N].
    """
    maps = gaussian_targets(random_poses(batch, size), size, STRIDE)
    maps += 0.02 * torch.randn_like(maps)
    centre, scale = 300 * torch.rand(batch, 2), 1 + torch.rand(batch)
    middle = torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2])
    linear = torch.eye(2) / scale.view(-1, 1, 1)
    crops = torch.cat([linear, (middle - centre / scale[:, None])[..., None]], -1)
    return maps, crops, (centre.numpy(), scale.numpy())


def targets_loop(people: np.ndarray, size: tuple[int, int], patch: np.ndarray) -> np.ndarray:
    """HigherHRNet's targets [K, h, w] of the people [P, K, 3] of one frame.

    The `patch` of 6σ + 3 cells is centred on the cell of each keypoint; where people overlap the higher value
    stays. NumPy rounds its corners and its numbers are double, as in the published generator.
    """
    h, w = size[0] // STRIDE, size[1] // STRIDE
    reach = len(patch) // 2
    maps = np.zeros((people.shape[1], h, w), np.float32)
    for pose in people:
        for k, (x, y, visible) in enumerate(pose):
            if not visible > 0:
                continue
            u, v = int(x / STRIDE), int(y / STRIDE)
            if not (0 <= u < w and 0 <= v < h):
                continue
            left, top = int(np.round(u - reach)), int(np.round(v - reach))
            right, bottom = int(np.round(u + reach + 1)), int(np.round(v + reach + 1))
            a, b = max(0, -left), min(right, w) - left
            c, d = max(0, -top), min(bottom, h) - top
            part = maps[k, max(0, top) : min(bottom, h), max(0, left) : min(right, w)]
            part[:] = np.maximum(part, patch[c:d, a:b])
    return maps


def target_patch(sigma: int = int(SIGMA)) -> np.ndarray:
    """The Gaussian, 6σ + 3 cells a side, that `targets_loop` places at keypoints."""
    offset = np.arange(6 * sigma + 3) - (3 * sigma + 1.0)
    return np.exp(-(offset**2 + offset[:, None] ** 2) / (2 * sigma**2))


def final_predictions_loop(maps: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """HRNet's poses [N, K, 3]: the highest cell, moved a quarter towards its higher neighbour, in the frame.

    A crop has its centre [N, 2] in the frame, and its pixels are scale [N] frame pixels wide.
    """
    found = highest_cells(maps)
    n, k, h, w = maps.shape
    for i in range(n):
        for j in range(k):
            one = maps[i][j]
            u = math.floor(found[i][j][0] + 0.5)
            v = math.floor(found[i][j][1] + 0.5)
            if 1 < u < w - 1 and 1 < v < h - 1:
                slope = np.array([one[v][u + 1] - one[v][u - 1], one[v + 1][u] - one[v - 1][u]])
                found[i][j][:2] += np.sign(slope) * 0.25
    return mapped_loop(found, centre, scale, (h, w))


def parser_loop(maps: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """HigherHRNet's poses [N, K, 3] of one person per frame, frame by frame as in its test code.

    Of the local maxima of 5x5 cells the highest is taken and moved a quarter towards its higher neighbour, joint by
    joint. There are no tags that assign joints to people.
    """
    n, _, h, w = maps.shape
    found = []
    for i in range(n):
        one = torch.from_numpy(maps[i : i + 1])
        kept = one * torch.eq(F.max_pool2d(one, 5, 1, 2), one).float()
        height, index = kept.flatten(2).topk(1)
        joints = torch.cat([index % w, index // w, height], -1)[0].numpy()
        for j, (u, v, high) in enumerate(joints):
            if not high > 0:
                continue
            x, y, cells = int(u), int(v), maps[i, j]
            right = cells[y, min(x + 1, w - 1)] > cells[y, max(x - 1, 0)]
            below = cells[min(y + 1, h - 1), x] > cells[max(y - 1, 0), x]
            joints[j, :2] = u + (0.25 if right else -0.25), v + (0.25 if below else -0.25)
        found.append(joints)
    return mapped_loop(np.stack(found), centre, scale, (h, w))


def dark_loop(maps: np.ndarray, centre: np.ndarray, scale: np.ndarray, kernel: int = 11) -> np.ndarray:
    """DARK's poses [N, K, 3]: smoothed maps, then one Newton step on their logarithm.

    Zhang et al., *Distribution-Aware Coordinate Representation* (CVPR 2020), equations 4 to 9;
    smoothing is in double, as in the published code.
    """
    found = highest_cells(maps)
    n, k, h, w = maps.shape
    border = (kernel - 1) // 2
    for i in range(n):
        for j in range(k):
            height = maps[i, j].max()
            padded = np.zeros((h + 2 * border, w + 2 * border))
            padded[border:-border, border:-border] = maps[i, j]
            one = cv2.GaussianBlur(padded, (kernel, kernel), 0)[border:-border, border:-border]
            one = np.log(np.maximum(one * (height / one.max()), 1e-10))
            u, v = int(found[i, j, 0]), int(found[i, j, 1])
            if 1 < u < w - 2 and 1 < v < h - 2:
                dx = 0.5 * (one[v, u + 1] - one[v, u - 1])
                dy = 0.5 * (one[v + 1, u] - one[v - 1, u])
                dxx = 0.25 * (one[v, u + 2] - 2 * one[v, u] + one[v, u - 2])
                dyy = 0.25 * (one[v + 2, u] - 2 * one[v, u] + one[v - 2, u])
                dxy = 0.25 * (one[v + 1, u + 1] - one[v - 1, u + 1] - one[v + 1, u - 1] + one[v - 1, u - 1])
                hessian = np.array([[dxx, dxy], [dxy, dyy]])
                if dxx * dyy - dxy**2 != 0:
                    found[i, j, :2] -= np.linalg.inv(hessian) @ np.array([dx, dy])
    return mapped_loop(found, centre, scale, (h, w))


def highest_cells(maps: np.ndarray) -> np.ndarray:
    """Column, row and height [N, K, 3] of the highest cell; zeros where nothing is above 0."""
    n, k, h, w = maps.shape
    flat = maps.reshape(n, k, -1)
    index, height = flat.argmax(2), flat.max(2)
    found = np.stack([index % w, index // w, height], -1).astype(np.float32)
    return found * (height > 0)[..., None]


def mapped_loop(found: np.ndarray, centre: np.ndarray, scale: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cells [N, K, 3] of heat maps of `size` (h, w) as points of the frame, one at a time."""
    out = found.copy()
    middle = (np.array(size[::-1]) * STRIDE - 1) / 2
    for i in range(len(found)):
        half = np.array([0, -0.5 * size[1] * STRIDE])
        crop, frame = three_points(middle, half), three_points(centre[i], half * scale[i])
        matrix = cv2.getAffineTransform(crop, frame)
        for j in range(found.shape[1]):
            x, y = (found[i, j, :2] + 0.5) * STRIDE - 0.5
            out[i, j, :2] = np.dot(matrix, np.array([x, y, 1.0]))
    return out


def three_points(centre: np.ndarray, up: np.ndarray, turn: float = 0.0) -> np.ndarray:
    """Of a crop, as HRNet finds its map: the centre, the middle of its top, and the corner left."""
    sine, cosine = np.sin(turn), np.cos(turn)
    points = np.zeros((3, 2), np.float32)
    points[0] = centre
    points[1] = centre + np.array([up[0] * cosine - up[1] * sine, up[0] * sine + up[1] * cosine])
    down = points[0] - points[1]
    points[2] = points[1] + np.array([-down[1], down[0]], np.float32)
    return points
