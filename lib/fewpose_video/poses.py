"""The poses of a whole video, as they are measured and written in other formats."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fewpose.skeleton import Skeleton


@dataclass(frozen=True)
class VideoPoses:
    """The poses of P people in the T frames of a video.

    source   file name of the video
    size     H, W of its upright frames in pixels
    seconds  [T] time of each frame, rising
    people   the P IDs of the people, one a column
    poses    [T, P, K, 3]: x and y in pixels of the frame, and score; x and y NaN and score 0 where a person or keypoint
             is absent. A keypoint with score 0 and a position was interpolated.
    skeleton        its K keypoints
    poses3d         [T, P, K, 3]: millimetres in the camera's axes (x right, y down, z away), NaN where absent
    metres_per_pixel  at the distance of the people, where it is known (`measure.metres_per_pixel`)
    first    number of the first of these frames in the video

    ValueError names the video and what does not fit.
    """

    source: str
    size: tuple[int, int]
    seconds: np.ndarray
    people: tuple[int, ...]
    poses: np.ndarray
    skeleton: Skeleton
    poses3d: np.ndarray | None = None
    metres_per_pixel: float | None = None
    first: int = 0

    def __post_init__(self) -> None:
        shape = (len(self.seconds), len(self.people), len(self.skeleton), 3)
        if not len(self.seconds):
            raise ValueError(f"{self.source}: no frames")
        if self.poses.shape != shape:
            raise ValueError(f"{self.source}: poses of shape {self.poses.shape} instead of {shape}")
        if self.poses3d is not None and self.poses3d.shape != shape:
            raise ValueError(f"{self.source}: poses3d of shape {self.poses3d.shape} instead of {shape}")
        if not np.isfinite(self.seconds).all() or (np.diff(self.seconds) <= 0).any():
            frame = int(np.argmin(np.diff(self.seconds, prepend=-np.inf) > 0))
            raise ValueError(f"{self.source}: seconds do not rise at frame {frame}: {self.seconds[frame]}")
        if len(set(self.people)) < len(self.people):
            raise ValueError(f"{self.source}: two people have the same ID: {self.people}")
        absent = np.isnan(self.poses[..., :2])
        wrong = (absent[..., 0] != absent[..., 1]) | (absent[..., 0] & (self.poses[..., 2] != 0))
        wrong |= np.isinf(self.poses).any(-1) | np.isnan(self.poses[..., 2])
        if wrong.any():
            t, p, k = np.argwhere(wrong)[0]
            where = f"{self.skeleton.keypoints[k]} of person {self.people[p]} in frame {t}"
            raise ValueError(f"{self.source}: {where} is {self.poses[t, p, k]}; absent is NaN, NaN, 0")

    @property
    def rate(self) -> float:
        """Frames per second, from the median time between two; 25 for a single frame."""
        return float(1 / np.median(np.diff(self.seconds))) if len(self.seconds) > 1 else 25.0

    def between(self, start: float, end: float) -> VideoPoses:
        """The frames from `start` to `end` seconds; ValueError if there is none."""
        here = np.flatnonzero((self.seconds >= start) & (self.seconds <= end))
        if not len(here):
            raise ValueError(f"{self.source}: no frame from {start:g} to {end:g} s, it has {self.seconds[-1]:.2f} s")
        cut = slice(here[0], here[-1] + 1)
        poses3d = None if self.poses3d is None else self.poses3d[cut]
        first = self.first + int(here[0])
        return replace(self, seconds=self.seconds[cut], poses=self.poses[cut], poses3d=poses3d, first=first)
