"""The cameras of the operating room: three that hang from the ceiling and look down at one table.

Where they hang, how steeply they look and how wide they see is that of MVOR's rig, rounded; every day hangs it up
anew, turned, shifted and bent a little, as rooms differ.
"""

from __future__ import annotations

import numpy as np

from fewpose_worlds.render import Camera, look_at

VIEWS = 3
FOCAL = 538 / 640  # of the picture's width: 61 degrees from side to side
# Azimuth (degrees) and distance (metres) from the middle of the scene, height over the floor (metres), and how far
# below the horizon the camera looks (degrees).
_RIG = ((183.0, 2.2, 2.57, 35.0), (12.0, 1.75, 2.67, 39.0), (115.0, 2.65, 2.83, 40.0))
_ROLL = 3.0  # degrees: standard deviation of how crookedly they hang


def hang(rng: np.random.Generator, size: tuple[int, int]) -> list[Camera]:
    """The three cameras of one day, pictures of size (height, width) pixels.

    They look at the middle of the scene, the world's origin; floor at z = 0, metres.
    """
    height, width = size
    turn = rng.uniform(0, 360)
    cameras = []
    for azimuth, distance, up, below in _RIG:
        angle = np.radians(azimuth + turn + rng.normal(0, 8))
        away = distance * rng.uniform(0.9, 1.25)
        position = np.array([np.cos(angle) * away, np.sin(angle) * away, up + rng.normal(0, 0.07)])
        aim = angle + np.pi + np.radians(rng.normal(0, 6))
        down = np.tan(np.radians(below + rng.normal(0, 2)))
        target = position + np.array([np.cos(aim), np.sin(aim), -down])
        roll = np.radians(rng.normal(0, _ROLL))
        cameras.append(look_at(position, target, FOCAL * width, width, height, roll))
    return cameras


def matrix(camera: Camera) -> np.ndarray:
    """Camera matrix [3,3]: pixels (centre of the top-left pixel = (0, 0)) of the camera frame."""
    return np.array([[camera.focal, 0, camera.centre[0]], [0, camera.focal, camera.centre[1]], [0, 0, 1]])


def to_room(camera: Camera) -> np.ndarray:
    """Camera frame to room [4,4], millimetres: the room's floor is z = 0, its origin the scene."""
    out = np.eye(4)
    out[:3, :3] = camera.rotation.T
    out[:3, 3] = camera.position * 1000
    return out
