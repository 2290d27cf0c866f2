"""Keypoints of all people at once from the heat maps of a Keypoint R-CNN's head.

He et al., *Mask R-CNN* (2017), section 5. torchvision resizes the map of one person after another
to its box by cubic convolution and takes the highest pixel; here the same pixel is found from the
few places where it can be.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

A = -0.75  # of cubic convolution, as torch has it
OVERSHOOT = 0.1875  # the most that its outer two weights take away
NEAR = 3  # cells about the peak whose probability is a keypoint's confidence


@torch.no_grad()
def decode(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Keypoints [P, K, 3] and their logits [P, K] from logits [P, K, S, S] of boxes [P, 4].

    Boxes x0, y0, x1, y1 and keypoints are in pixels from the frame's edge, as torchvision has them
    (a pixel's centre lies at 0.5); x and y are those of torchvision's `heatmaps_to_keypoints`. The
    third is the confidence, the share of the softmax over all S² cells that lies within `NEAR`
    cells of the peak.
    """
    people, k, size = logits.shape[:3]
    if not people:
        return logits.new_zeros(0, k, 3), logits.new_zeros(0, k)
    maps = logits.reshape(-1, size, size).float()
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp_min(1).float()
    pixels = sides.ceil()  # of the map resized, x and y
    tables = [cubic(pixels[:, axis], size) for axis in (1, 0)]
    padded = F.pad(maps[:, None], (2, 2, 2, 2), mode="replicate")[:, 0].contiguous()
    # The best pixel about the highest cell, and all squares that promise more.
    m = torch.arange(len(maps), device=maps.device).repeat(4)
    top = maps.flatten(1).argmax(1)
    v = torch.cat([top // size + i for i in (0, 0, 1, 1)])
    u = torch.cat([top % size + i for i in (0, 1, 0, 1)])
    first = best_pixel(padded, m, v, u, k, tables)
    m2, v2, u2 = squares_above(padded, first[0].view(4, -1).amax(0))
    more = best_pixel(padded, m2, v2, u2, k, tables)
    m = torch.cat([m, m2])
    value, y, x = (torch.cat(parts) for parts in zip(first, more, strict=True))
    peak = value.new_full((len(maps),), -torch.inf).scatter_reduce(0, m, value, "amax")
    # Of several pixels as high the first in reading order, as torchvision's argmax.
    per_map = pixels.repeat_interleave(k, 0)
    order = torch.where(value == peak[m], y * per_map[m, 0] + x, torch.inf)
    order = torch.full_like(peak, torch.inf).scatter_reduce(0, m, order, "amin")
    place = torch.stack([order % per_map[:, 0], (order / per_map[:, 0]).floor()], -1)
    place = ((place + 0.5) / per_map).view(people, k, 2)
    xy = boxes[:, None, :2] + place * sides[:, None]
    third = confidence(maps, place.view(-1, 2)).view(people, k, 1)
    return torch.cat([xy, third], -1), peak.view(people, k)


def squares_above(padded: Tensor, floor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Squares (m, v, u) of maps padded by two cells [M, S + 4, S + 4] that may exceed floor [M].

    Square (v, u) lies between the centres of cells v − 1, v and u − 1, u. The cubic between two
    cells is at most their maximum and `OVERSHOOT` of what the outer two lie below it; first along
    x, then along y.
    """
    wide = padded.shape[-1]
    flat = padded.flatten()  # neighbours by shifts; what crosses a border is left out below

    def along(low: Tensor, high: Tensor, step: int) -> tuple[Tensor, Tensor]:
        n = len(low) - 3 * step
        a, b, c, d = (low[i * step : i * step + n] for i in range(4))
        least = torch.minimum(b, c)
        below = torch.minimum(a, d)
        if high is not low:
            a, b, c, d = (high[i * step : i * step + n] for i in range(4))
        most = torch.maximum(b, c)
        above = torch.maximum(a, d).sub_(least).clamp_min_(0)
        below = below.neg_().add_(most).clamp_min_(0)
        return least.sub_(above, alpha=OVERSHOOT), most.add_(below, alpha=OVERSHOOT)

    least, most = along(*along(flat, flat, 1), wide)
    # Rounding never hides the peak.
    most = most.add_(least.sub_(most).abs_(), alpha=1e-5)
    most = F.pad(most, (0, len(flat) - len(most)), value=-torch.inf).view(len(padded), -1)
    m, at = (most > floor[:, None]).nonzero(as_tuple=True)
    v, u = at // wide, at % wide
    inside = (v < wide - 3) & (u < wide - 3)
    return m[inside], v[inside], u[inside]


def best_pixel(
    padded: Tensor, m: Tensor, v: Tensor, u: Tensor, k: int, tables: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Value, row and column [C] of the highest pixel in squares (v, u) [C] of maps m [C].

    k maps are of one person; tables are `cubic` of all people along y and x. −∞ where a square has
    no pixel.
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

    pixels [P] are those of an axis of each map resized; also which pixels these are,
    [P, S + 1, n], −1: none. Pixel p of P lies at (p + 0.5) · S / P − 0.5, in cells.
    """
    square = torch.arange(size + 1, device=pixels.device)
    scale = size / pixels[:, None]
    first = ((square - 0.5) / scale - 0.5).ceil().clamp_min(0)
    n = int((pixels.max() / size).ceil()) + 1
    p = first[..., None] + torch.arange(n, device=pixels.device)
    t = (p + 0.5) * scale[..., None] - 0.5 - (square[:, None] - 1)  # from cell square − 1
    there = (t < 1) & (p < pixels[:, None, None])
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
