"""Augmentation of frames with several people, for detector and student: one frame or a mosaic of four."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fewpose import geometry
from fewpose.augment import jitter_colour
from fewpose.crops import cut_crops


@dataclass(frozen=True)
class Mosaic:
    """How training images are made of frames.

    An image of `size` (H, W) has one tile or, with probability `prob`, four. Each frame is scaled to fit its tile times
    a random factor in `zoom`, and mirrored with probability `flip`. Mosaics show small people and crowds even if the
    frames show one large person each. `colour` is the strength of `augment.jitter_colour`.
    """

    size: tuple[int, int] = (240, 320)
    prob: float = 0.5
    zoom: tuple[float, float] = (0.6, 1.4)
    flip: float = 0.5
    colour: float = 0.3


@dataclass(frozen=True)
class Tile:
    """Where frame `frame` of a data set lies in a training image.

    `matrix` [1, 2, 3] maps pixels of the frame to pixels of the tile, which is of `size` (H, W) and has its upper
    left corner at `corner` (x, y); `flipped`: the frame is mirrored.
    """

    frame: int
    matrix: Tensor
    size: tuple[int, int]
    corner: tuple[int, int]
    flipped: bool


def draw_mosaic(
    read: Callable[[int], Tensor], index: Tensor, mosaic: Mosaic, generator: torch.Generator
) -> tuple[Tensor, list[Tile]]:
    """A training image [3, h, w] in 0..255 and its tiles: of the four frames `index`, or of their first.

    `read(i)` gives frame i, [1, 3, H, W].
    """
    side = 2 if torch.rand(1, generator=generator) < mosaic.prob else 1
    height, width = mosaic.size[0] // side, mosaic.size[1] // side
    image, tiles = None, []
    for number, i in enumerate(index[: side**2].tolist()):
        frame = read(i)
        matrix, flipped = place(frame.shape[-2:], (height, width), mosaic, generator)
        left, top = number % side * width, number // side * height
        tiles.append(Tile(i, matrix, (height, width), (left, top), flipped))
        if image is None:
            image = torch.zeros(3, *mosaic.size, device=frame.device)
        first = torch.zeros(1, dtype=torch.long, device=frame.device)
        crop = cut_crops(frame, first, matrix.to(frame.device), (height, width))
        image[:, top : top + height, left : left + width] = crop[0]
    if mosaic.colour:
        image = jitter_colour(image[None], mosaic.colour, generator)[0]
    return image, tiles


def place(
    frame: tuple[int, int], tile: tuple[int, int], mosaic: Mosaic, generator: torch.Generator
) -> tuple[Tensor, bool]:
    """A random map [1, 2, 3] from a frame to a tile, given their sizes (H, W), and whether it mirrors the frame."""
    (h, w), (height, width) = frame, tile
    u = torch.rand(4, generator=generator)
    low, high = torch.tensor(mosaic.zoom).log()
    scale = min(height / h, width / w) * torch.exp(low + (high - low) * u[0])
    margin = torch.tensor([width, height]) - scale * torch.tensor([w, h])
    corner = margin * u[1:3]  # of the frame, in pixels from the tile's edge
    matrix = torch.zeros(1, 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[0, :, 2] = corner + 0.5 * scale - 0.5
    flipped = u[3:] < mosaic.flip
    return geometry.compose(matrix, geometry.mirror(w, flipped)), bool(flipped)


def move_boxes(boxes: Tensor, tile: Tile) -> tuple[Tensor, Tensor]:
    """Boxes [P, 4] of the tile's frame (pixels from its edge) in the training image, cut at the tile's border.

    Also which [P] to keep: those with at least a third of their area and 4 pixels of each side left.
    """
    corners = geometry.transform_points(tile.matrix, boxes.view(1, -1, 2) - 0.5).view(-1, 2, 2) + 0.5
    whole = torch.cat([corners.amin(1), corners.amax(1)], 1)
    cut = whole.clamp_min(0).minimum(whole.new_tensor([tile.size[1], tile.size[0]] * 2))
    area, left = ((b[:, 2:] - b[:, :2]).clamp_min(0).prod(1) for b in (whole, cut))
    large = (cut[:, 2:] - cut[:, :2]).amin(1) >= 4
    return cut + cut.new_tensor(tile.corner * 2), large & (left >= area / 3)
