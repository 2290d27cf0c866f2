"""Events of gait, runs and jumps: when a foot touches the ground and leaves it, take-offs and landings.

A foot is on the ground while it is slow. With v the speed of its heel or toe relative to the ground, and L the length
of the leg in pixels, the slower of the two must have

    v / L < max(SLOW, SHARE · q),    q: the 95th percentile of v / L over both feet and the whole recording

Gaps shorter than SHORTEST are closed, then shorter contacts dropped; and those at the top of a jump, where feet are
slow, too: the foot is lower by TOP · L or more a moment (BESIDE) before and after.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewpose.skeleton import Skeleton
from fewpose_video.measure import find_keypoint
from fewpose_video.poses import VideoPoses
from fewpose_video.smoothing import fill_gaps, savitzky_golay, smooth, velocity

SLOW = 1.0  # leg lengths per second: a foot that walks reaches 4, one that sprints 18
SHARE = 0.15  # of the fast speeds, so that a sprint's short contacts are found despite the smoothing
TOP = 0.1  # leg lengths that a foot is lower before and after the top of a jump
BESIDE = 0.1  # seconds before and after a contact
SHORTEST = 0.04  # seconds of a contact, or of a gap between two
FLIGHT = 0.06  # seconds without a foot on the ground, from a take-off to a landing
WINDOW = 0.1  # seconds of the filter before speeds: contacts of a sprint are hardly longer
GAP = 0.1  # seconds for which a missing foot is interpolated
SIDES = ("left", "right")
GROUNDS = ("still", "moving camera", "treadmill")


@dataclass(frozen=True)
class Event:
    """What happens at a time: `seconds` and number of the frame that shows it first.

    what is "left contact", "left off", "right contact", "right off", "take-off" or "landing".
    """

    seconds: float
    frame: int
    what: str


def path_on_ground(
    poses: VideoPoses, person: int, ground: str = "still", motion: np.ndarray | None = None
) -> np.ndarray:
    """Where the keypoints of a person are relative to the ground, [T, K, 2] in pixels, but for a constant.

    ground is one of GROUNDS: "still" takes the pixels as they are; "moving camera" subtracts what the camera moves, the
    maps `motion` [T, 2, 3] of `camera.background_motion`; "treadmill" subtracts a belt that moves as the lowest heel or
    toe does at the median. ValueError for another ground, or a moving camera without its motion.
    """
    points = fill_gaps(poses.seconds, poses.poses[:, poses.people.index(person), :, :2], GAP)
    if ground == "still":
        return points
    if ground == "treadmill":
        return points - (poses.seconds - poses.seconds[0])[:, None, None] * belt(poses.seconds, points, poses.skeleton)
    if ground != "moving camera" or motion is None:
        raise ValueError(f"ground is one of {', '.join(GROUNDS)}, the second with the camera's motion, not {ground!r}")
    carried = np.einsum("tij,tkj->tki", motion[1:, :, :2], points[:-1]) + motion[1:, None, :, 2]
    steps = np.concatenate([points[:1], points[1:] - carried])
    path = np.nancumsum(steps, axis=0)
    path[np.isnan(steps)] = np.nan
    return path


def belt(seconds: np.ndarray, points: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Velocity [2] in pixels per second of a treadmill's belt under points [T, K, 2]."""
    feet = feet_of(points, skeleton).reshape(len(points), -1, 2)
    rates = velocity(seconds, smooth(seconds, feet, short))
    lowest = np.nan_to_num(feet[..., 1], nan=-np.inf).argmax(1)
    return np.nanmedian(rates[np.arange(len(rates)), lowest], axis=0)


def feet_of(points: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Heel and toe of both feet, [T, 2 sides, 2, 2] of points [T, K, 2]; ValueError if the skeleton lacks one."""
    names = [[f"{side}_{part}" for part in ("heel", "big_toe")] for side in SIDES]
    found = [[find_keypoint(points, skeleton, name) for name in foot] for foot in names]
    if any(point is None for foot in found for point in foot):
        raise ValueError(f"skeleton {skeleton.name} has no heels and toes: contacts of the feet cannot be told")
    return np.stack([np.stack(foot, 1) for foot in found], 1)


def leg_length(points: np.ndarray, skeleton: Skeleton) -> float:
    """Thigh and shank in pixels, the median over frames and sides; ValueError if hip, knee or ankle is missing."""
    joints = [[find_keypoint(points, skeleton, f"{s}_{n}") for n in ("hip", "knee", "ankle")] for s in SIDES]
    if any(point is None for leg in joints for point in leg):
        raise ValueError(f"skeleton {skeleton.name} lacks hip, knee or ankle: the leg's length is not known")
    return float(np.nanmedian([np.linalg.norm(np.diff(leg, axis=0), axis=-1).sum(0) for leg in joints]))


def short(values: np.ndarray, rate: float) -> np.ndarray:
    """Values [T, …] smoothed over WINDOW seconds."""
    return savitzky_golay(values, rate, WINDOW)


def foot_speeds(seconds: np.ndarray, path: np.ndarray, points: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Speed [T, 2] of the slower of heel and toe, left and right, in leg lengths per second.

    path [T, K, 2] is that of `path_on_ground`, unsmoothed, points [T, K, 2] are the pixels of the frames.
    """
    rates = velocity(seconds, smooth(seconds, feet_of(path, skeleton), short))
    return np.linalg.norm(rates, axis=-1).min(-1) / leg_length(points, skeleton)


def contacts(seconds: np.ndarray, path: np.ndarray, points: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Whether the left and the right foot is on the ground, [T, 2]; arguments as of `foot_speeds`."""
    speed = foot_speeds(seconds, path, points, skeleton)
    known = speed[np.isfinite(speed)]
    if not known.size:
        return np.zeros(speed.shape, bool)
    slow = np.nan_to_num(speed, nan=np.inf) < threshold(known)
    height = -feet_of(path, skeleton)[..., 1].max(-1) / leg_length(points, skeleton)  # of the lower of heel and toe
    rate = 1 / np.median(np.diff(seconds))
    frames, beside = (max(1, round(time * rate)) for time in (SHORTEST, BESIDE))
    on = [without_short(column, frames) for column in slow.T]
    return np.stack([without_tops(*column, beside) for column in zip(on, height.T, strict=True)], 1)


def threshold(speeds: np.ndarray) -> float:
    """The speed in leg lengths per second below which a foot is slow, from all speeds of a recording."""
    return max(SLOW, SHARE * float(np.percentile(speeds, 95)))


def without_short(on: np.ndarray, frames: int) -> np.ndarray:
    """Booleans [T] in which false runs of fewer than `frames` are closed, then true ones removed; not at the ends."""
    on = on.copy()
    for value in (False, True):
        for start, stop in stretches(on == value):
            if stop - start < frames and start > 0 and stop < len(on):
                on[start:stop] = not value
    return on


def without_tops(on: np.ndarray, height: np.ndarray, beside: int) -> np.ndarray:
    """Booleans [T] without the runs in which the height [T] in leg lengths is that of the top of a jump."""
    on = on.copy()
    for start, stop in stretches(on):
        if start >= beside and stop + beside <= len(on):
            around = max(height[start - beside], height[stop + beside - 1])
            if around < np.median(height[start:stop]) - TOP:
                on[start:stop] = False
    return on


def stretches(on: np.ndarray) -> list[tuple[int, int]]:
    """First frame and the one after the last of each run of true in booleans [T]."""
    edges = np.flatnonzero(np.diff(np.r_[False, on, False].astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def find_events(seconds: np.ndarray, on: np.ndarray, first: int = 0) -> list[Event]:
    """The events of contacts `on` [T, 2], in order; `first` is the number of the first frame.

    A take-off is when the last foot leaves the ground for at least FLIGHT seconds, the landing when the first touches
    it again. Contacts and flights that are cut by the start or the end have only the event that is seen.
    """
    found = []

    def add(t: int, what: str) -> None:
        if 0 < t < len(on):
            found.append(Event(float(seconds[t]), first + t, what))

    for side, column in zip(SIDES, on.T, strict=True):
        for start, stop in stretches(column):
            add(start, f"{side} contact")
            add(stop, f"{side} off")
    for start, stop in stretches(~on.any(1)):
        if seconds[min(stop, len(on) - 1)] - seconds[start] >= FLIGHT - 1e-9:
            add(start, "take-off")
            add(stop, "landing")
    return sorted(found, key=lambda event: (event.frame, event.what))
