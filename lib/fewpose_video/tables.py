"""The CSV files of `predict`: poses, and what is measured on them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from fewpose.skeleton import Skeleton
from fewpose_video.formats import replacing
from fewpose_video.measure import angles, facing_right
from fewpose_video.poses import VideoPoses
from fewpose_video.smoothing import velocity

COLUMNS = ("video", "frame", "seconds", "person", "keypoint", "x", "y", "score")
COLUMNS_3D = ("x3d", "y3d", "z3d")  # millimetres in the camera's axes, the middle of the hips at 0
COLUMNS_METRES = ("x_m", "y_m")  # metres from the lower left corner of the frame, y up


def write_poses(poses: VideoPoses, path: Path) -> tuple[Path, ...]:
    """A row for each frame, person in it and keypoint; of a frame without people with empty person, x and y."""
    header = list(COLUMNS)
    if poses.poses3d is not None:
        header += COLUMNS_3D
    if poses.metres_per_pixel is not None:
        header += COLUMNS_METRES
    return write_rows(path, header, pose_rows(poses))


def read_poses(path: Path, skeleton: Skeleton, size: tuple[int, int]) -> VideoPoses:
    """The poses in a file of `write_poses`, whose keypoints are those of `skeleton`; frames of `size` (H, W).

    ValueError naming the file if it has other columns or keypoints.
    """
    import pandas as pd  # here, as it takes half a second

    table = pd.read_csv(path, encoding="utf-8", dtype={"video": str})
    if missing := [name for name in COLUMNS if name not in table]:
        raise ValueError(f"{path} has no column {missing[0]}: it is no file of poses that `predict` wrote")
    if unknown := set(table.keypoint) - set(skeleton.keypoints):
        raise ValueError(f"{path}: {sorted(unknown)[0]} is no keypoint of {skeleton.name}")
    frames = table.drop_duplicates("frame")
    people = tuple(sorted(table.person.dropna().astype(int).unique().tolist()))
    shape = (len(frames), len(people), len(skeleton))
    poses, poses3d = np.full((*shape, 3), np.nan), np.full((*shape, 3), np.nan)
    poses[..., 2] = 0
    there = table[table.person.notna()]
    row = np.searchsorted(frames.frame, there.frame)
    column = np.searchsorted(people, there.person.astype(int))
    cell_of = row, column, there.keypoint.map(skeleton.index).to_numpy(int)
    poses[cell_of] = there[["x", "y", "score"]]
    known = set(COLUMNS_3D) <= set(table)
    if known:
        poses3d[cell_of] = there[list(COLUMNS_3D)]
    ratio = (there.x_m / there.x)[there.x > 1] if "x_m" in table else there.x[:0]
    return VideoPoses(
        source=str(table.video.iloc[0]),
        size=size,
        seconds=frames.seconds.to_numpy(float),
        people=people,
        poses=poses,
        skeleton=skeleton,
        poses3d=poses3d if known else None,
        metres_per_pixel=float(ratio.median()) if len(ratio) else None,
        first=int(frames.frame.iloc[0]),
    )


def pose_rows(poses: VideoPoses) -> Iterator[list]:
    """The rows of `write_poses`."""
    names = poses.skeleton.keypoints
    more = (3 if poses.poses3d is not None else 0) + (2 if poses.metres_per_pixel is not None else 0)
    for t, seconds in enumerate(poses.seconds):
        start = [poses.source, poses.first + t, f"{seconds:.4f}"]
        present = np.flatnonzero(np.isfinite(poses.poses[t, ..., 0]).any(-1))
        if not len(present):
            yield from ([*start, "", name, "", "", 0, *[""] * more] for name in names)
        for p in present.tolist():
            for k, (name, (x, y, score)) in enumerate(zip(names, poses.poses[t, p].tolist(), strict=True)):
                row = [*start, poses.people[p], name, cell(x, 2), cell(y, 2), f"{score:.4f}"]
                if poses.poses3d is not None:
                    row += [cell(v, 1) for v in poses.poses3d[t, p, k].tolist()]
                if poses.metres_per_pixel is not None:
                    x, y = x * poses.metres_per_pixel, (poses.size[0] - 1 - y) * poses.metres_per_pixel
                    row += [cell(x, 4), cell(y, 4)]
                yield row


def write_angles(poses: VideoPoses, path: Path) -> tuple[Path, ...]:
    """The angles of `measure.angles` in degrees, one a column; a row for each frame and person."""
    found = []
    for p in range(len(poses.people)):
        points = poses.poses[:, p].astype(float)
        found.append(angles(points, poses.skeleton, facing_right(poses.seconds, points, poses.skeleton)))
    names = list(dict.fromkeys(name for table in found for name in table))

    def rows() -> Iterator[list]:
        for t, p, start in frames_and_people(poses):
            yield [*start, *(cell(found[p][name][t], 2) for name in names)]

    return write_rows(path, [*COLUMNS[:4], *(name.replace(" ", "_") for name in names)], rows())


def write_velocities(poses: VideoPoses, path: Path) -> tuple[Path, ...]:
    """Velocity of each keypoint: vx to the right, vy down, speed; in m/s if the scale is known, else in pixels/s."""
    unit = "px/s" if poses.metres_per_pixel is None else "m/s"
    flat = poses.poses[..., :2].astype(float) * (poses.metres_per_pixel or 1.0)
    rates = velocity(np.asarray(poses.seconds, float), flat)
    speeds = np.linalg.norm(rates, axis=-1)

    def rows() -> Iterator[list]:
        for t, p, start in frames_and_people(poses):
            for k, name in enumerate(poses.skeleton.keypoints):
                yield [*start, name, *(cell(v, 4) for v in (*rates[t, p, k], speeds[t, p, k])), unit]

    return write_rows(path, [*COLUMNS[:5], "vx", "vy", "speed", "unit"], rows())


def frames_and_people(poses: VideoPoses) -> Iterator[tuple[int, int, list]]:
    """Indices of each frame and person who is in it, and the first cells of their rows."""
    for t, p in np.argwhere(np.isfinite(poses.poses[..., 0]).any(-1)).tolist():
        yield t, p, [poses.source, poses.first + t, f"{poses.seconds[t]:.4f}", poses.people[p]]


def cell(value: float, digits: int) -> str:
    """A number with so many decimals, nothing for NaN."""
    return f"{value:.{digits}f}" if np.isfinite(value) else ""


def write_rows(path: Path, header: list, rows: Iterable[list]) -> tuple[Path]:
    """A CSV file with a header, complete or not there."""
    with replacing(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return (path,)


# What `--format` takes beside `formats.FORMATS`.
MEASURES = {
    "angles": ("_angles.csv", write_angles),
    "velocities": ("_velocities.csv", write_velocities),
    "raw": ("_raw.csv", write_poses),  # the poses as the network gives them, beside the smoothed ones
}
