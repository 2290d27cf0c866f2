"""Where people were in a room and for how long: their places on the floor, and person-minutes in cells of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fewpose.geometry import assumed_camera, place_in_camera
from fewpose.models.people import People
from fewpose.skeleton import Skeleton

CONFIDENCE = 0.1  # of an ankle that says where the feet are
SMOOTH = 5  # frames of the running median over the places of a person


def find_places(
    found: Sequence[People], ids: Sequence[Tensor], minutes: float, size: tuple[int, int], skeleton: Skeleton
) -> pd.DataFrame:
    """The places of the people of one video, a row for each person and frame.

    found in N successive frames of `size` (H, W), with the IDs [P] of `identity.link_people`, -1 for nobody;
    `minutes` that a frame stands for. The columns:

    frame, person, minutes
    x, y          of the feet in pixels: between the ankles, or the middle of the box's lower side where these are
                  hidden
    right, ahead  of the hips in metres, on the floor: to the right of the camera, and away from it (`to_floor`)

    Places are running medians over SMOOTH frames of a person.
    """
    camera = assumed_camera(size)
    ankles = [skeleton.index(f"{side}_ankle") for side in ("left", "right")]
    rows, hips, bodies = [], [], []
    for t, (people, own) in enumerate(zip(found, ids, strict=True)):
        shift = place_in_camera(people.keypoints3d, people.keypoints, camera)
        for i in (own >= 0).nonzero()[:, 0].tolist():
            feet = people.keypoints[i, ankles]
            x0, _, x1, y1 = people.boxes[i].tolist()
            seen = bool((feet[:, 2] >= CONFIDENCE).all())
            x, y = feet[:, :2].mean(0).tolist() if seen else ((x0 + x1) / 2, y1)
            rows.append({"frame": t, "person": int(own[i]), "minutes": minutes, "x": x, "y": y})
            hips.append(shift[i])
            bodies.append(people.keypoints3d[i])
    table = pd.DataFrame(rows, columns=["frame", "person", "minutes", "x", "y"])
    table = table.astype(dict.fromkeys(("minutes", "x", "y"), float))  # without people, too
    floor = to_floor(torch.stack(hips), torch.stack(bodies), skeleton) if rows else np.zeros((0, 2))
    table[["right", "ahead"]] = floor
    places = ["x", "y", "right", "ahead"]
    smooth = table.groupby("person")[places].rolling(SMOOTH, center=True, min_periods=1).median()
    table[places] = smooth.droplevel(0)
    return table


def to_floor(points: Tensor, bodies: Tensor, skeleton: Skeleton) -> np.ndarray:
    """Points [P, 3] in mm in the axes of a camera as metres [P, 2] on the floor: right of the camera, and ahead of it.

    Upwards is the mean direction from the ankles to the shoulders of bodies [Q, K, 3], in the same axes, as most
    people stand.
    """
    low, high = (
        bodies[:, [skeleton.index(f"{side}_{joint}") for side in ("left", "right")]].mean(1)
        for joint in ("ankle", "shoulder")
    )
    up = torch.nn.functional.normalize((high - low).double().sum(0), dim=0)
    right = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    right = torch.nn.functional.normalize(right - (right @ up) * up, dim=0)
    ahead = torch.linalg.cross(up, right)
    return (points.double() @ torch.stack([right, ahead], 1) / 1000).numpy()


def person_minutes(
    x: np.ndarray, y: np.ndarray, minutes: np.ndarray, cell: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minutes [Y, X] in square cells around places x, y [N] that stand for `minutes` [N], and edges [X + 1], [Y + 1].

    Their sum is that of the minutes of all places that are known: those with NaN are left out.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y, minutes = x[known], y[known], minutes[known]
    edges = [
        np.arange(np.floor(min(v, default=0) / cell), np.floor(max(v, default=0) / cell) + 2) * cell for v in (x, y)
    ]
    values, _, _ = np.histogram2d(y, x, [edges[1], edges[0]], weights=minutes)
    return values, *edges
