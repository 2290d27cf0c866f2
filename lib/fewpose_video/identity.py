"""Who is who in a video with several people: boxes of the same person get the same ID."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from torch import Tensor

from fewpose.metrics.oks import oks

Detections = list[tuple[Tensor, Tensor, Tensor | None]]  # of each frame: boxes [P, 4], scores [P], keypoints [P, K, 3]

MAX_GAP = 25  # frames in which a person may be missed before they count as lost
MAX_STEP = 0.5  # movement and growth from one frame to the next beyond what was predicted, in sizes of the person
DRIFT = 0.05  # how much more it may be for each frame in which they were missed
MAX_DRIFT = 1.5  # and what it may be at most
GAPS = (3, MAX_GAP)  # short gaps are closed first: longer tracks show better where people are heading
FIT = 8  # frames from which a person's velocity is estimated
PRIOR = 2.0  # frames² that pull this velocity towards 0: from two frames it would be mostly jitter
STILL = 0.5  # extra cost of not having gone on as before; they may have turned round behind something
POSE = 0.5  # cost of an entirely different pose, in sizes
SIGMA = 0.08  # of all keypoints: of a skeleton of one's own none are known
NOBODY = MAX_DRIFT + STILL + POSE  # cost of ending a track
SHOT = 5  # frames that somebody must be seen before and after a cut, or it may be a false detection


@dataclass
class Track:
    """Boxes of one person: `rows` [n] in the detections of `frames` [n], `boxes` [n, 4], `poses` n times [K, 3]."""

    frames: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)
    poses: list[np.ndarray | None] = field(default_factory=list)

    def add(self, later: Track) -> None:
        """Append a later track of the same person."""
        for name in ("frames", "rows", "boxes", "poses"):
            getattr(self, name).extend(getattr(later, name))

    def velocity(self, part: slice) -> np.ndarray:
        """Movement [2] of the centre per frame in a part of the track."""
        boxes, times = np.array(self.boxes[part]), np.array(self.frames[part], float)
        centres, times = (boxes[:, :2] + boxes[:, 2:]) / 2, times - times.mean()
        return times @ (centres - centres.mean(0)) / (times @ times + PRIOR)


def link_people(detections: Detections, every: int = 1) -> list[Tensor]:
    """IDs [P] of the people in each frame: 0, 1, … in order of first appearance, the same for the same person.

    detections of every n-th frame: boxes [P, 4] (x0, y0, x1, y1 in pixels), scores [P], and keypoints [P, K, 3] in
    pixels or None. First boxes are followed from frame to frame as long as they move as predicted; then the ends of
    these tracks are joined to the beginnings of later ones, all of the video at once, across up to MAX_GAP frames. A
    frame in which all people are elsewhere than before is a cut, and nobody keeps their ID across it.
    """
    tracks = follow(detections, every)
    cuts = find_cuts(tracks, every)
    for gap in GAPS:
        tracks = join(tracks, max(gap, every), cuts)
    ids = [torch.full((len(boxes),), -1) for boxes, _, _ in detections]
    for person, track in enumerate(tracks):
        for frame, row in zip(track.frames, track.rows, strict=True):
            ids[frame // every][row] = person
    return ids


def follow(detections: Detections, every: int) -> list[Track]:
    """Tracks without gaps, by their first frame."""
    tracks: list[Track] = []
    active: list[Track] = []
    for t, (boxes, _, keypoints) in enumerate(detections):
        poses = [None] * len(boxes) if keypoints is None else keypoints.double().numpy()
        rows = enumerate(zip(boxes.double().numpy(), poses, strict=True))
        found = [Track([t * every], [i], [b], [p]) for i, (b, p) in rows]
        costs = link_costs(active, found)
        continued = dict.fromkeys(range(len(found)))
        for i, j in zip(*linear_sum_assignment(np.minimum(costs, NOBODY)), strict=True):
            if np.isfinite(costs[i, j]):
                active[i].add(found[j])
                continued[j] = active[i]
        tracks += [new for j, new in enumerate(found) if continued[j] is None]
        active = [continued[j] or new for j, new in enumerate(found)]
    return tracks


def join(tracks: list[Track], gap: int, cuts: Iterable[int]) -> list[Track]:
    """Tracks joined across up to `gap` frames but not across cuts, at the lowest total cost."""
    shots = np.searchsorted(sorted(cuts), [[t.frames[0], t.frames[-1]] for t in tracks], "right").reshape(-1, 2)
    starts = np.array([track.frames[0] for track in tracks])
    links = [(i, len(tracks) + i, NOBODY) for i in range(len(tracks))]  # to nobody
    for i, track in enumerate(tracks):
        low, high = np.searchsorted(starts, [track.frames[-1] + 1, track.frames[-1] + gap + 1])
        costs = link_costs([track], tracks[low:high])[0]
        reachable = np.isfinite(costs) & (shots[low:high, 0] == shots[i, 1])
        links += [(i, low + j, costs[j] + 1e-6) for j in np.flatnonzero(reachable)]  # 0 would mean no link
    if not tracks:
        return []
    rows, columns, costs = map(np.array, zip(*links, strict=True))
    graph = coo_array((costs, (rows, columns)), shape=(len(tracks), 2 * len(tracks))).tocsr()
    following = dict(zip(*min_weight_full_bipartite_matching(graph), strict=True))
    for i in reversed(range(len(tracks))):
        if following[i] < len(tracks):
            tracks[i].add(tracks[following[i]])
    continuing = {j for j in following.values() if j < len(tracks)}
    return [track for j, track in enumerate(tracks) if j not in continuing]


def find_cuts(tracks: list[Track], every: int) -> list[int]:
    """First frames after a cut: everybody seen before is gone and somebody else is there."""
    lasting = [track for track in tracks if len(track.frames) >= SHOT]
    cuts = {t.frames[0] for t in lasting} & {t.frames[-1] + every for t in lasting}
    return sorted(cuts - {frame for track in tracks for frame in track.frames[1:]})


def link_costs(tracks: list[Track], later: list[Track]) -> np.ndarray:
    """How unlikely each of N tracks goes on as one of M later ones, [N, M] in sizes of the person; infinite if not."""
    if not tracks or not later:
        return np.zeros((len(tracks), len(later)))
    ends, starts = (np.array([t.boxes[i] for t in group]) for group, i in ((tracks, -1), (later, 0)))
    gaps = np.array([t.frames[0] for t in later]) - np.array([t.frames[-1] for t in tracks])[:, None]
    there = gaps[..., None] * np.array([t.velocity(slice(-FIT, None)) for t in tracks])[:, None]
    back = gaps[..., None] * np.array([t.velocity(slice(FIT)) for t in later])
    single = np.array([len(t.frames) == 1 for t in later])  # they have no velocity yet
    back = np.where(single[:, None], there, back)
    moving = (change(ends, starts, there) + change(ends, starts, back)) / 2
    still = change(ends, starts)
    costs = np.minimum(moving, still + STILL)
    costs[np.minimum(moving, still) > np.minimum(MAX_STEP + DRIFT * (gaps - 1), MAX_DRIFT)] = np.inf
    for i, j in np.argwhere(np.isfinite(costs)):
        shift = there[i, j] if moving[i, j] < still[i, j] + STILL else 0
        costs[i, j] += POSE * (1 - similarity(tracks[i].poses[-1], later[j].poses[0], starts[j], shift))
    return costs


def change(boxes: np.ndarray, later: np.ndarray, shift: np.ndarray | float = 0) -> np.ndarray:
    """Movement beyond `shift` [N, M, 2] plus growth [N, M] from boxes [N, 4] to later ones [M, 4], in their sizes."""
    centres = [(b[:, :2] + b[:, 2:]) / 2 for b in (boxes, later)]
    sizes = [(b[:, 2:] - b[:, :2]).max(1).clip(1e-6) for b in (boxes, later)]
    distance = np.linalg.norm(centres[1] - centres[0][:, None] - shift, axis=-1)
    return distance / np.sqrt(sizes[0][:, None] * sizes[1]) + abs(np.log(sizes[0][:, None] / sizes[1]))


def similarity(pose: np.ndarray | None, later: np.ndarray | None, box: np.ndarray, shift: np.ndarray | float) -> float:
    """OKS of a later pose [K, 3] in a box [4] with an earlier one that was shifted; 1 without keypoints."""
    if pose is None or later is None:
        return 1.0
    seen = np.isfinite(pose).all(1) & np.isfinite(later).all(1) & (pose[:, 2] > 0) & (later[:, 2] > 0)
    if not seen.any():
        return 1.0
    earlier, area = pose[None, seen, :2] + shift, np.prod(box[None, 2:] - box[None, :2], 1)
    return float(oks(earlier, later[None, seen], box[None], area, [SIGMA] * seen.sum())[0])
