"""Tracking of one person through a video: which of the boxes detected in each frame are theirs."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

MAX_GAP = 25  # frames in which the person may be missed before they count as lost
FREE_CHANGE = 0.35  # movement and growth per frame without cost, in sizes of the person; at most 1 over a gap
CHANGE_COST = 10.0  # per size of movement beyond that, in frames of a fully visible person
JUMP_COST = 25.0  # maximum of this cost, and that of switching to somebody elsewhere or after a cut
MEDIANS = (3, 5)  # widths in frames of the median filters that smooth the boxes


def track_person(detections: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The box [T, 4] of one person in each of T frames, NaN where they are not found.

    detections: boxes [P, 4] (x0, y0, x1, y1 in pixels) and scores [P] of each frame. The result is the path through the
    boxes of highest total value: a box is worth its score times its longer side relative to the largest in the video,
    and a step costs the movement of its centre and the change of its size (see FREE_CHANGE, CHANGE_COST and JUMP_COST).
    Boxes of up to MAX_GAP missing frames are interpolated linearly.
    """
    path = best_path(detections)
    boxes = torch.full((len(detections), 4), torch.nan)
    for t, i in path:
        boxes[t] = detections[t][0][i]
    for (start, _), (end, _) in pairwise(path):
        if 1 < end - start <= MAX_GAP:
            share = torch.arange(1, end - start)[:, None] / (end - start)
            boxes[start + 1 : end] = boxes[start] + share * (boxes[end] - boxes[start])
    return smooth(boxes)


def best_path(detections: list[tuple[Tensor, Tensor]]) -> list[tuple[int, int]]:
    """Frame and row of each box on the path of `track_person`; frames without one are left out."""
    sizes = [(boxes[:, 2:] - boxes[:, :2]).amax(1) for boxes, _ in detections]
    largest = max((float(s.max()) for s in sizes if len(s)), default=1.0)
    worth = [scores * size / largest for (_, scores), size in zip(detections, sizes, strict=True)]
    values: list[Tensor] = []  # of the best path that ends in each box
    previous: list[list[tuple[int, int] | None]] = []  # box of that path before each box
    best, end = 0.0, None  # of all paths so far
    for t, (boxes, _) in enumerate(detections):
        value, before = worth[t].clone(), [None] * len(boxes)
        if end is not None and best > JUMP_COST:
            value, before = value + best - JUMP_COST, [end] * len(boxes)
        for s in range(max(0, t - MAX_GAP), t):
            if not len(boxes) or not len(detections[s][0]):
                continue
            excess = relative_change(detections[s][0], boxes) - min(1.0, FREE_CHANGE * (t - s))
            cost = (CHANGE_COST * excess).clamp(0, JUMP_COST)
            total, row = (values[s][:, None] - cost).max(0)
            for i in (total + worth[t] > value).nonzero()[:, 0].tolist():
                value[i], before[i] = total[i] + worth[t][i], (s, int(row[i]))
        values.append(value)
        previous.append(before)
        if len(value) and float(value.max()) > best:
            best, end = float(value.max()), (t, int(value.argmax()))
    path = []
    while end is not None:
        path.append(end)
        end = previous[end[0]][end[1]]
    return path[::-1]


def relative_change(boxes: Tensor, later: Tensor) -> Tensor:
    """Movement and growth [P, Q] from boxes [P, 4] to later ones [Q, 4], relative to their sizes."""
    centres = [(b[:, :2] + b[:, 2:]) / 2 for b in (boxes, later)]
    sizes = [(b[:, 2:] - b[:, :2]).amax(1).clamp_min(1e-6) for b in (boxes, later)]
    mean = (sizes[0][:, None] * sizes[1]).sqrt()
    return torch.cdist(*centres) / mean + (sizes[0][:, None] / sizes[1]).log().abs()


def smooth(boxes: Tensor) -> Tensor:
    """Boxes [T, 4] with each edge replaced by the median over neighbouring frames, as many before as after.

    Rows of NaN stay, and boxes next to them or to an end are smoothed less.
    """
    out = boxes
    for width in MEDIANS:
        if len(boxes) >= width:
            half = width // 2
            median = boxes.unfold(0, width, 1).median(-1).values  # NaN where one of them is
            inner = torch.where(median.isnan(), out[half:-half], median)
            out = torch.cat([out[:half], inner, out[-half:]])
    return out
