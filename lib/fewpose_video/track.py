"""Whom to follow in a video: which of the linked people are chosen, and the boxes of each."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from fewpose_video.identity import MAX_GAP, SHOT, Detections, change, link_people

FREE_CHANGE = 0.35  # movement and growth per frame without cost, in sizes of the person; at most 1 over a gap
CHANGE_COST = 10.0  # per size of movement beyond that, in frames of a fully visible person
SWITCH_COST = 10.0  # of following somebody with another ID; low, as it may be the same person after a wild movement
JUMP_COST = 25.0  # maximum of these costs together, and that of switching to somebody elsewhere or after a cut
SURE = 0.5  # score that a person must reach once if they are seen in fewer than SHOT frames
MEDIANS = (3, 5)  # widths in frames of the median filters that smooth the boxes


def track_person(detections: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The box [T, 4] of the main person in each of T frames, and their ID [T]; NaN and -1 where nobody is found.

    detections: boxes [P, 4] (x0, y0, x1, y1 in pixels) and scores [P] of each frame. Followed is who `choose_people`
    calls the largest. IDs count those followed: 0 is the first, 1 whoever comes next after a cut, a jump or a long
    absence, and so on. Boxes are filled in and smoothed as those of `boxes_of`.
    """
    found: Detections = [(boxes, scores, None) for boxes, scores in detections]
    chosen = choose_people(found, link_people(found), "largest")
    seen = [int(ids.max()) if len(ids) else -1 for ids in chosen]
    boxes, numbers = torch.full((len(found), 4), torch.nan), torch.full((len(found),), -1)
    for number, person in enumerate(dict.fromkeys(p for p in seen if p >= 0)):
        own = boxes_of(found, chosen, person)
        theirs = ~own.isnan().any(1) & torch.tensor([p in (-1, person) for p in seen])
        boxes[theirs], numbers[theirs] = own[theirs], number
    return boxes, numbers


def choose_people(detections: Detections, ids: list[Tensor], people: str | int, every: int = 1) -> list[Tensor]:
    """IDs [P] in every n-th frame as `link_people` gave them, -1 for those not chosen.

    people: "all", except for a few uncertain boxes here and there; the ID of one person; or "largest", who is on the
    path through the boxes of highest total value: a box is worth its score times its longer side relative to the
    largest in the video, and a step costs movement, growth and another ID (see the constants), so that the path may go
    on with somebody else where the first is gone. ValueError for an ID that is not there, or another word.
    """
    frames: dict[int, int] = {}
    best: dict[int, float] = {}
    for (_, scores, _), row in zip(detections, ids, strict=True):
        for person, score in zip(row.tolist(), scores.tolist(), strict=True):
            frames[person] = frames.get(person, 0) + 1
            best[person] = max(best.get(person, 0.0), score)
    if people == "largest":
        path = dict(best_path(detections, ids, every))
        return [torch.where(torch.arange(len(row)) == path.get(t, -1), row, -1) for t, row in enumerate(ids)]
    if people == "all":
        chosen = [p for p in frames if best[p] >= SURE or frames[p] * every >= min(SHOT, len(detections))]
    elif people in frames:
        chosen = [people]
    else:
        raise ValueError(f"people is largest, all or one of the IDs {sorted(frames)}, not {people!r}")
    return [torch.where(torch.isin(row, torch.tensor(chosen, dtype=row.dtype)), row, -1) for row in ids]


def boxes_of(detections: Detections, ids: list[Tensor], person: int, every: int = 1) -> Tensor:
    """The box [T, 4] of a person in each of T frames, NaN where absent for longer than MAX_GAP frames.

    T reaches from the first detection to the last one of every n-th frame. The boxes are smoothed by `smooth`, and
    shorter gaps are interpolated linearly.
    """
    boxes = torch.full((len(ids), 4), torch.nan)
    seen = [t for t, row in enumerate(ids) if (row == person).any()]
    for t in seen:
        boxes[t] = detections[t][0][ids[t] == person][0]
    boxes = smooth(fill(boxes, seen, MAX_GAP // every))
    if every == 1:
        return boxes
    out = boxes.new_full((max(0, (len(boxes) - 1) * every + 1), 4), torch.nan)
    out[::every] = boxes
    known = (~boxes.isnan().any(1)).nonzero()[:, 0] * every
    return fill(out, known.tolist(), every)


def fill(boxes: Tensor, known: list[int], gap: int) -> Tensor:
    """Boxes [T, 4], in place, with the rows between `known` ones up to `gap` apart interpolated linearly; returned."""
    for start, end in pairwise(known):
        if 1 < end - start <= gap:
            share = torch.arange(1, end - start)[:, None] / (end - start)
            boxes[start + 1 : end] = boxes[start] + share * (boxes[end] - boxes[start])
    return boxes


def best_path(detections: Detections, ids: list[Tensor], every: int = 1) -> list[tuple[int, int]]:
    """Index and row of each box on the path of the largest person; frames without one are left out."""
    sizes = [(boxes[:, 2:] - boxes[:, :2]).amax(1) for boxes, _, _ in detections]
    largest = max((float(s.max()) for s in sizes if len(s)), default=1.0)
    worth = [every * scores * size / largest for (_, scores, _), size in zip(detections, sizes, strict=True)]
    values: list[Tensor] = []  # of the best path that ends in each box
    previous: list[list[tuple[int, int] | None]] = []  # box of that path before each box
    best, end = 0.0, None  # of all paths so far
    for t, (boxes, _, _) in enumerate(detections):
        value, before = worth[t].clone(), [None] * len(boxes)
        if end is not None and best > JUMP_COST:
            value, before = value + best - JUMP_COST, [end] * len(boxes)
        for s in range(max(0, t - MAX_GAP // every), t):
            if not len(boxes) or not len(detections[s][0]):
                continue
            free = min(1.0, FREE_CHANGE * (t - s) * every)
            excess = torch.from_numpy(change(detections[s][0].numpy(), boxes.numpy())) - free
            switch = SWITCH_COST * (ids[s][:, None] != ids[t])
            cost = (CHANGE_COST * excess.clamp_min(0) + switch).clamp_max(JUMP_COST)
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
