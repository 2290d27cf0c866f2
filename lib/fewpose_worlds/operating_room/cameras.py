"""The three cameras of the operating room: they hang from the ceiling and look down at the table.

Their positions, pitch and field of view are MVOR's, rounded; as rooms differ, all are changed a little each day.
"""

from __future__ import annotations

import numpy as np

from fewpose_worlds.render import Camera, look_at

VIEWS = 3
FOCAL = 538 / 640  # focal length over the frame's width: 61 degrees from side to side
# Azimuth (degrees) and distance (metres) from the middle of the room, height above the floor (metres), and downward
# pitch (degrees).
_RIG = ((183.0, 2.2, 2.57, 35.0), (12.0, 1.75, 2.67, 39.0), (115.0, 2.65, 2.83, 40.0))
_ROLL = 3.0  # degrees, standard deviation


def sample_cameras(rng: np.random.Generator, size: tuple[int, int]) -> list[Camera]:
    """The cameras of one day, which look towards the world's origin, for frames of size (height, width) pixels."""
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


def camera_matrix(camera: Camera) -> np.ndarray:
    """Camera matrix [3,3], camera frame to pixels (centre of the top-left pixel = (0, 0))."""
    return np.array([[camera.focal, 0, camera.centre[0]], [0, camera.focal, camera.centre[1]], [0, 0, 1]])


def camera_to_room(camera: Camera) -> np.ndarray:
    """Transform [4,4] of the camera frame to the room, in millimetres; the room's floor is z = 0."""
    out = np.eye(4)
    out[:3, :3] = camera.rotation.T
    out[:3, 3] = camera.position * 1000
    return out
