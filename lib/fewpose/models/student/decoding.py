"""Keypoints from the heat maps of a Keypoint R-CNN's head, for all people at once.

He et al., *Mask R-CNN* (2017), section 5. torchvision resizes the maps of one person after another to the box by cubic
convolution and takes the highest pixel. `decode` finds the same pixel by interpolating only where it can be.

`expect` takes the softmax for probabilities and puts each keypoint where the expected OKS is highest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fewpose import heatmaps

A = -0.75  # of cubic convolution, as torch has it
OVERSHOOT = 0.1875  # the largest sum of its outer two weights, half way between two cells
PORTION = 32  # so many maps fit into a processor's cache
NEAR = 3  # cells about the peak whose probability is a keypoint's confidence
PERSON = 0.53  # share of a box that its person covers, as HRNet's evaluation has it


@torch.no_grad()
def decode(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Keypoints [P, K, 3] and their logits [P, K] from logits [P, K, S, S] of boxes [P, 4].

    Boxes x0, y0, x1, y1 and keypoints are in pixels from the frame's edge, as torchvision has them (a pixel's centre
    lies at 0.5); x and y are those of torchvision's `heatmaps_to_keypoints`. The third is the confidence, the share
    of the softmax over all S² cells that lies within `NEAR` cells of the peak.
    """
    people, k, size = logits.shape[:3]
    if not people:
        return logits.new_zeros(0, k, 3), logits.new_zeros(0, k)
    maps = logits.reshape(-1, size, size).float()
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp_min(1).float()
    pixels = sides.ceil()  # of the map resized, x and y
    tables = [cubic(pixels[:, axis], size) for axis in (1, 0)]
    padded = F.pad(maps[:, None], (2, 2, 2, 2), mode="replicate")[:, 0].contiguous()
    per_map = pixels.repeat_interleave(k, 0)
    # The best pixel around the highest cell, and all squares that may hold a higher one.
    m = torch.arange(len(maps), device=maps.device).repeat(4)
    top = maps.flatten(1).argmax(1)
    v = squares_around(top // size, per_map[:, 1], size)[[0, 0, 1, 1]].flatten()
    u = squares_around(top % size, per_map[:, 0], size)[[0, 1, 0, 1]].flatten()
    first = best_pixel(padded, m, v, u, k, tables)
    floor = first[0].view(4, -1).amax(0)
    parts = zip(padded.split(PORTION), floor.split(PORTION), strict=True)
    candidates = [squares_above(*part, n * PORTION) for n, part in enumerate(parts)]
    m2, v2, u2 = (torch.cat(x) for x in zip(*candidates, strict=True))
    (_, rows), (_, columns) = tables
    has_pixels = (rows[m2 // k, v2, 0] >= 0) & (columns[m2 // k, u2, 0] >= 0)  # small boxes have gaps
    m2, v2, u2 = m2[has_pixels], v2[has_pixels], u2[has_pixels]
    more = best_pixel(padded, m2, v2, u2, k, tables)
    m = torch.cat([m, m2])
    value, y, x = (torch.cat(parts) for parts in zip(first, more, strict=True))
    peak = value.new_full((len(maps),), -torch.inf).scatter_reduce(0, m, value, "amax")
    # Of several pixels as high the first in reading order, as torchvision's argmax.
    order = torch.where(value == peak[m], y * per_map[m, 0] + x, torch.inf)
    order = torch.full_like(peak, torch.inf).scatter_reduce(0, m, order, "amin")
    place = torch.stack([order % per_map[:, 0], (order / per_map[:, 0]).floor()], -1)
    place = ((place + 0.5) / per_map).view(people, k, 2)
    xy = boxes[:, None, :2] + place * sides[:, None]
    third = confidence(maps, place.view(-1, 2)).view(people, k, 1)
    return torch.cat([xy, third], -1), peak.view(people, k)


@torch.no_grad()
def expect(logits: Tensor, boxes: Tensor, sigmas: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Keypoints [P, K, 3] where the expected OKS is highest, and that OKS [P, K].

    Arguments, frame and third as for `decode`, with the OKS constants [K] of the keypoints. With the softmax p over
    cells g, of a person who covers A pixels, the cell c of highest Σ_g p(g) exp(−|c − g|² / 2 A (2σ)²) is taken, to a
    fraction of a cell. A broad hill wins over a narrow, higher peak, the more so the larger the keypoint's σ: for a
    hip, not for an eye.
    """
    maps, size = logits.float(), logits.shape[-1]
    probability = maps.flatten(2).softmax(-1).view_as(maps)
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp_min(1).float()
    width = 2 * sides.new_tensor(sigmas) * (PERSON * sides.prod(1, keepdim=True)).sqrt()
    cells = torch.arange(size, device=sides.device, dtype=sides.dtype)
    squared = (cells[:, None] - cells).square()

    def gaussians(axis: int) -> Tensor:
        in_cells = width * size / sides[:, axis, None]
        return torch.exp(-squared / (2 * in_cells[..., None, None] ** 2))

    found = heatmaps.decode(gaussians(1) @ probability @ gaussians(0), 1)
    place = (found[..., :2] + 0.5) / size
    third = confidence(maps.flatten(0, 1), place.flatten(0, 1)).view_as(found[..., 2:])
    xy = boxes[:, None, :2] + place * sides[:, None]
    return torch.cat([xy, third], -1), found[..., 2]


def squares_around(cell: Tensor, pixels: Tensor, size: int) -> Tensor:
    """Along one axis of `pixels` [M] pixels, the squares [2, M] of the two pixels next to cells [M]."""
    p = ((cell + 0.5) * pixels / size - 0.5).floor()
    p = torch.stack([p, p + 1]).clamp_min(0).minimum(pixels - 1)
    return ((p + 0.5) * size / pixels + 0.5).floor().long()


def squares_above(padded: Tensor, floor: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Squares (m, v, u) of maps padded by two cells [M, S + 4, S + 4] that may exceed floor [M].

    `number` is that of the first map. Square (v, u) lies between the centres of cells v − 1, v and u − 1, u. A cubic
    between cells of values a ≥ b, whose outer neighbours are m or more, is a + 0.1875 d² / (d + (a − b) / 0.75) at
    most with d = b − m, or a if d is negative. First along x, then along y, where a and b are such bounds and m is
    one from below, simpler and less tight.
    """
    wide = padded.shape[-1]
    flat = padded.flatten()  # neighbours by shifts; those across a border are dropped below
    outer, inner = torch.maximum(flat[:-3], flat[3:]), torch.minimum(flat[1:-2], flat[2:-1])
    least = outer.sub_(inner).clamp_min_(0).mul_(-OVERSHOOT).add_(inner)
    most, scale = bound(least, bound(flat, flat, 1), wide), floor.abs() + 1
    most = F.pad(most, (0, len(flat) - len(most)), value=-torch.inf).view(len(padded), -1)
    # The margin keeps rounding from hiding the peak.
    m, at = (most > (floor - 1e-5 * scale)[:, None]).nonzero(as_tuple=True)
    v, u = at // wide, at % wide
    inside = (v < wide - 3) & (u < wide - 3)
    return m[inside] + number, v[inside], u[inside]


def bound(low: Tensor, high: Tensor, step: int) -> Tensor:
    """Upper bounds of cubics between the inner two of four values `step` apart, each low … high."""
    n = len(low) - 3 * step
    b, c = high[step : step + n], high[2 * step : 2 * step + n]
    a, b = torch.maximum(b, c), torch.minimum(b, c)
    d = (b - torch.minimum(low[:n], low[3 * step : 3 * step + n])).clamp_min_(0)
    slope = torch.sub(a, b, out=b).div_(0.75).add_(d).add_(1e-9)
    return a.addcdiv_(d.square_(), slope, value=OVERSHOOT)


def best_pixel(
    padded: Tensor, m: Tensor, v: Tensor, u: Tensor, k: int, tables: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Value, row and column [C] of the highest pixel in squares (v, u) [C] of maps m [C].

    k maps are of one person; tables are `cubic` of all people along y and x. −∞ where a square has no pixel.
    """
    steps = torch.arange(4, device=padded.device)
    wide = padded.shape[-1]
    corner = (m * wide + v) * wide + u
    patch = padded.view(-1)[corner[:, None, None] + steps[:, None] * wide + steps]
    (weights_y, rows), (weights_x, columns) = tables
    person = m // k
    wy, y, wx, x = weights_y[person, v], rows[person, v], weights_x[person, u], columns[person, u]
    values = wy @ patch @ wx.transpose(1, 2)  # [C, rows, columns]
    values.masked_fill_((y < 0)[:, :, None] | (x < 0)[:, None], -torch.inf)
    best, at = values.flatten(1).max(1)
    row, column = at // x.shape[1], at % x.shape[1]
    return best, y.gather(1, row[:, None])[:, 0], x.gather(1, column[:, None])[:, 0]


def cubic(pixels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Weights [P, S + 1, n, 4] of the four cells about each square for each of its pixels.

    pixels [P] are those of an axis of each map resized; also which pixels these are, [P, S + 1, n], −1: none. Pixel p
    of P lies at (p + 0.5) · S / P − 0.5, in cells.
    """
    square = torch.arange(size + 1, device=pixels.device)
    scale = size / pixels[:, None]
    first = ((square - 0.5) / scale - 0.5).ceil().clamp_min(0)
    n = int((pixels.max() / size).ceil()) + 1
    p = first[..., None] + torch.arange(n, device=pixels.device)
    t = (p + 0.5) * scale[..., None] - 0.5 - (square[:, None] - 1)  # from cell square − 1
    there = (t < 1 + 1e-4) & (p < pixels[:, None, None])
    t = t.clamp(0, 1)
    near, far = torch.stack([t, 1 - t], -1), torch.stack([1 + t, 2 - t], -1)
    inner = ((A + 2) * near - (A + 3)) * near**2 + 1
    outer = ((A * far - 5 * A) * far + 8 * A) * far - 4 * A
    weights = torch.stack([outer[..., 0], inner[..., 0], inner[..., 1], outer[..., 1]], -1)
    return weights, torch.where(there, p, -1)


def confidence(maps: Tensor, place: Tensor) -> Tensor:
    """Share [M] of the softmax of maps [M, S, S] within `NEAR` cells of place [M, 2] in 0 … 1."""
    size = maps.shape[-1]
    u, v = (place * size).floor().long().clamp(0, size - 1).unbind(1)
    cells = torch.arange(-NEAR, NEAR + 1, device=maps.device) + NEAR
    around = F.pad(maps, (NEAR,) * 4, value=-torch.inf)
    m = torch.arange(len(maps), device=maps.device)[:, None, None]
    patch = around[m, (v[:, None] + cells)[:, :, None], (u[:, None] + cells)[:, None]]
    return (patch.flatten(1).logsumexp(1) - maps.flatten(1).logsumexp(1)).exp()
