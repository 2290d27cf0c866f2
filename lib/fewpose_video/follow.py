"""One person through a film: which of the boxes found in each frame are theirs."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

LOOK_BACK = 25  # frames in which the person may be missed before they count as lost
FREE = 0.35  # of their size people may move or grow in a frame, their size at most while missed
AWAY = 10.0  # what each size beyond that costs, in frames of a person fully seen
LOST = 25.0  # and what it costs at most, to go on with somebody elsewhere or after a cut
SMOOTHED = (3, 5)  # frames whose median the box of each frame is


def follow(found: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The box [T, 4] of one person in each of T frames, NaN where nobody is.

    found: boxes [P, 4] (x0, y0, x1, y1 in pixels) and scores [P] of each frame. The path through the boxes is taken
    on which most is seen: a box is worth its score times its height (or width) relative to the largest of the film,
    and a step costs the way of its middle and the change of its size (see FREE, AWAY and LOST). Where the person was
    missed for LOOK_BACK frames at most the box moves evenly from the one before to the one after.
    """
    path = best_path(found)
    boxes = torch.full((len(found), 4), torch.nan)
    for t, i in path:
        boxes[t] = found[t][0][i]
    for (one, _), (other, _) in pairwise(path):
        if 1 < other - one <= LOOK_BACK:
            share = torch.arange(1, other - one)[:, None] / (other - one)
            boxes[one + 1 : other] = boxes[one] + share * (boxes[other] - boxes[one])
    return smoothed(boxes)


def best_path(found: list[tuple[Tensor, Tensor]]) -> list[tuple[int, int]]:
    """Frame and row of each box on the path of `follow`; frames without one are left out."""
    sizes = [(boxes[:, 2:] - boxes[:, :2]).amax(1) for boxes, _ in found]
    largest = max((float(s.max()) for s in sizes if len(s)), default=1.0)
    worth = [scores * size / largest for (_, scores), size in zip(found, sizes, strict=True)]
    values: list[Tensor] = []  # of the best path that ends in each box
    before: list[list[tuple[int, int] | None]] = []
    best, end = 0.0, None  # of all paths that ended so far
    for t, (boxes, _) in enumerate(found):
        value, came = worth[t].clone(), [None] * len(boxes)
        if end is not None and best > LOST:
            value, came = value + best - LOST, [end] * len(boxes)
        for s in range(max(0, t - LOOK_BACK), t):
            if not len(boxes) or not len(found[s][0]):
                continue
            beyond = way(found[s][0], boxes) - min(1.0, FREE * (t - s))
            cost = (AWAY * beyond).clamp(0, LOST)
            total, row = (values[s][:, None] - cost).max(0)
            for i in (total + worth[t] > value).nonzero()[:, 0].tolist():
                value[i], came[i] = total[i] + worth[t][i], (s, int(row[i]))
        values.append(value)
        before.append(came)
        if len(value) and float(value.max()) > best:
            best, end = float(value.max()), (t, int(value.argmax()))
    path = []
    while end is not None:
        path.append(end)
        end = before[end[0]][end[1]]
    return path[::-1]


def way(one: Tensor, other: Tensor) -> Tensor:
    """Way and growth [P, Q] from boxes [P, 4] to boxes [Q, 4], relative to their sizes."""
    middles = [(b[:, :2] + b[:, 2:]) / 2 for b in (one, other)]
    sizes = [(b[:, 2:] - b[:, :2]).amax(1).clamp_min(1e-6) for b in (one, other)]
    mean = (sizes[0][:, None] * sizes[1]).sqrt()
    return torch.cdist(*middles) / mean + (sizes[0][:, None] / sizes[1]).log().abs()


def smoothed(boxes: Tensor) -> Tensor:
    """Boxes [T, 4] with each edge the median of its neighbours in time, before as many as after.

    Beside an end or a row of NaN, which stays, the neighbours are fewer.
    """
    out = boxes
    for width in SMOOTHED:
        if len(boxes) >= width:
            half = width // 2
            median = boxes.unfold(0, width, 1).median(-1).values  # NaN where one of them is
            inner = torch.where(median.isnan(), out[half:-half], median)
            out = torch.cat([out[:half], inner, out[-half:]])
    return out
