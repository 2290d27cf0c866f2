"""Poses of a video in which two people walk, made up."""

import numpy as np

from fewpose.skeleton import HALPE
from fewpose_video.poses import VideoPoses

# A person who stands and faces right, in pixels, in the order of HALPE.
STANDING = np.array(
    "205 60 203 56 207 56 198 58 212 58 185 100 215 102 180 140 222 141 176 178 226 180 190 190 210 191 191 250 "
    "212 251 190 310 211 312 201 40 200 98 200 190 200 325 222 327 198 326 220 328 186 322 207 324".split(),
    float,
).reshape(-1, 2)


def walking(people=(3, 8), frames=20, rate=29.97, **fields):
    """They move by 2 pixels a frame, each joint a little in its own way; in frame 7 nobody is there, in frame 5 one has
    no left shoulder."""
    time = np.arange(frames)[:, None, None, None]
    own = np.random.default_rng(1).uniform(-4, 4, (frames, len(people), len(HALPE), 2))
    position = STANDING + time * (2, 0) + np.arange(len(people))[:, None, None] * (200, 10) + own
    poses = np.concatenate([position, np.random.default_rng(2).uniform(0.2, 1, (*own.shape[:3], 1))], -1)
    if frames > 7 and people:
        poses[5, 0, HALPE.index("left_shoulder")] = poses[7] = (np.nan, np.nan, 0)
    given = {"source": "walk.mp4", "size": (400, 640), "seconds": np.arange(frames) / rate, "skeleton": HALPE} | fields
    return VideoPoses(people=people, poses=poses, **given)
