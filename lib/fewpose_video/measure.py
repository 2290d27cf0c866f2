"""What people read off poses: angles of joints and segments, and how many metres a pixel is.

The angles follow Sports2D 0.8 (BSD-3): seen in the image, in degrees, of a person who faces right; who faces left is
mirrored first. Flexion and dorsiflexion are positive and 0 in a straight, upright stance; segments are measured
against the horizontal, counter-clockwise, thus upright a trunk has 90 and a thigh −90. Other than there, both wrists
are measured alike (Sports2D takes the left one around the finger), and an angle goes on beyond ±180 instead of
by half turns (by half turns only for pelvis and shoulders, whose ends look alike).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import uniform_filter1d

from fewpose.skeleton import Skeleton

FACING_WINDOW = 1.0  # seconds over which the direction of the feet is averaged
FORESHORTENING = 1.063  # Sports2D's: segments seldom lie in the plane of the image, and look this much shorter
ANKLE_HEIGHT = 0.039  # of a person's height (Winter, 2009), for skeletons without heels
HALF_TURN = ("pelvis", "shoulders")

# What skeletons without these keypoints have instead: the middle of two others, or another name.
MIDDLES = {
    "hip": ("left_hip", "right_hip"),
    "neck": ("left_shoulder", "right_shoulder"),
    "shoulders": ("left_shoulder", "right_shoulder"),
}
ALIASES = {f"{s}_{a}": f"{s}_{b}" for s in ("left", "right") for a, b in (("big_toe", "toe"), ("index", "hand"))}


def _angles(side: str) -> dict[str, tuple[str, int, int]]:
    """Keypoints, offset and sign of a side's angles: around the middle one of 3, between a-b and c-d of 4."""
    joints = {
        "ankle": ("S_knee S_ankle S_big_toe S_heel", 90, 1),
        "knee": ("S_ankle S_knee S_hip", -180, 1),
        "hip": ("S_knee S_hip hip neck", 0, -1),
        "shoulder": ("S_elbow S_shoulder hip neck", 0, -1),
        "elbow": ("S_wrist S_elbow S_shoulder", 180, -1),
        "wrist": ("S_elbow S_wrist S_index", -180, 1),
    }
    segments = {
        "foot": "S_big_toe S_heel",
        "shank": "S_ankle S_knee",
        "thigh": "S_knee S_hip",
        "arm": "S_elbow S_shoulder",
        "forearm": "S_wrist S_elbow",
        "hand": "S_index S_wrist",
    }
    both = joints | {name: (keypoints, 0, -1) for name, keypoints in segments.items()}
    return {f"{side} {name}": (text.replace("S_", f"{side}_"), *rest) for name, (text, *rest) in both.items()}


ANGLES = {
    **_angles("right"),
    **_angles("left"),
    "pelvis": ("left_hip right_hip", 0, -1),
    "trunk": ("neck hip", 0, -1),
    "shoulders": ("left_shoulder right_shoulder", 0, -1),
    "head": ("head neck", 0, -1),
}


def angles(points: np.ndarray, skeleton: Skeleton, facing: np.ndarray) -> dict[str, np.ndarray]:
    """Those of ANGLES that a skeleton has the keypoints for, [T] degrees without jumps, NaN where one is absent.

    points [T, K, 2 or more] are x and y in pixels (y down) of one person, facing [T] is that of `facing_right`.
    """
    points = points[..., :2] * np.stack([facing, np.ones(len(facing))], -1)[:, None]
    result = {}
    for name, (keypoints, offset, sign) in ANGLES.items():
        found = [find_keypoint(points, skeleton, keypoint) for keypoint in keypoints.split()]
        if all(point is not None for point in found):
            period = 180 if name in HALF_TURN else 360
            result[name] = unwrap(sign * (direction(*found) + offset), period)
    return result


def direction(*points: np.ndarray) -> np.ndarray:
    """Degrees [T] of b→a of two points [T, 2] to the x axis, from b→c to b→a of three, from c→d to a→b of four."""
    if len(points) == 2:
        x, y = (points[0] - points[1]).T
        return np.degrees(np.arctan2(y, x))
    a, b, c, d = points if len(points) == 4 else (points[1], points[0], points[1], points[2])
    (ux, uy), (vx, vy) = (b - a).T, (d - c).T
    return np.degrees(np.arctan2(vx * uy - vy * ux, ux * vx + uy * vy))


def unwrap(angle: np.ndarray, period: float) -> np.ndarray:
    """Degrees [T] that go on over NaN with the smallest steps; whole periods off so that their mean is nearest to 0."""
    out, seen = angle.copy(), np.isfinite(angle)
    if seen.any():
        # into one period first, as Sports2D does, so that a first value of 180 is -180
        goes_on = np.unwrap((angle[seen] + period / 2) % period - period / 2, period=period)
        out[seen] = goes_on - period * np.round(goes_on.mean() / period)
    return out


def facing_right(seconds: np.ndarray, points: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """1 where a person with points [T, K, 2 or more] faces right, −1 where left, [T].

    By the feet, averaged over FACING_WINDOW so that a swinging one does not turn the person around (Sports2D takes each
    frame alone); in skeletons without heels and toes by the direction in which the hips moved in the whole video.
    """
    feet = [[find_keypoint(points, skeleton, f"{s}_{n}") for n in ("big_toe", "heel")] for s in ("left", "right")]
    if all(point is not None for foot in feet for point in foot):
        forward = np.nansum([toe[:, 0] - heel[:, 0] for toe, heel in feet], 0)
        frames = round(FACING_WINDOW / np.median(np.diff(seconds))) if len(seconds) > 1 else 1
        forward = uniform_filter1d(forward, max(1, frames), mode="nearest")
    else:
        hips = find_keypoint(points, skeleton, "hip")
        x = hips[np.isfinite(hips[:, 0]), 0] if hips is not None else np.zeros(0)
        forward = np.full(len(seconds), x[-1] - x[0] if len(x) else 0.0)
    return np.where(forward >= 0, 1.0, -1.0)


def find_keypoint(points: np.ndarray, skeleton: Skeleton, name: str) -> np.ndarray | None:
    """Points [T, D] of a keypoint in [T, K, D], by MIDDLES or ALIASES where the skeleton lacks it, or None."""
    if ALIASES.get(name) in skeleton.keypoints:
        name = ALIASES[name]
    if name in skeleton.keypoints:
        return points[:, skeleton.index(name)]
    if name in MIDDLES and all(side in skeleton.keypoints for side in MIDDLES[name]):
        return sum(points[:, skeleton.index(side)] for side in MIDDLES[name]) / 2
    return None


def metres_per_pixel(metres: float, start: np.ndarray, end: np.ndarray) -> float:
    """From a length known in metres between two pixels [2], or two keypoints [T, 2] (the median of the frames).

    ValueError if the two are never seen together or are the same.
    """
    lengths = np.linalg.norm(np.asarray(start, float) - np.asarray(end, float), axis=-1)
    lengths = lengths[np.isfinite(lengths)]
    if not lengths.size or not np.median(lengths) > 0 or not metres > 0:
        raise ValueError(f"{metres:g} m do not give a scale: the two ends are the same or never seen together")
    return float(metres / np.median(lengths))


def height_in_pixels(points: np.ndarray, skeleton: Skeleton) -> float:
    """Height of a person with points [T, K, 2 or more] in pixels, which Sports2D sums from heel to head.

    The mean of the middle half of the frames in which hips and knees are bent by less than 90 degrees (of all, if there
    are none), times FORESHORTENING. A known height in metres divided by it is metres per pixel. ValueError if the
    skeleton lacks one of these keypoints, or they are never seen together.
    """

    def length(a: str, b: str) -> np.ndarray:
        ends = [find_keypoint(points[..., :2], skeleton, name) for name in (a, b)]
        if any(end is None for end in ends):
            raise ValueError(f"skeleton {skeleton.name} lacks {a} or {b}, which the height of a person needs")
        return np.linalg.norm(ends[0] - ends[1], axis=-1)

    heels = "left_heel" in skeleton.keypoints
    chain = ("heel", "ankle", "knee", "hip", "shoulder")[0 if heels else 1 :]
    sides = [length(f"{s}_{a}", f"{s}_{b}") for s in ("left", "right") for a, b in pairwise(chain)]
    # to the top of the head: both factors are Sports2D's
    head = 1.008 * length("shoulders", "head") if "head" in skeleton.keypoints else 1.5 * length("shoulders", "nose")
    heights = (sum(sides) / 2 + head) / (1 if heels else 1 - ANKLE_HEIGHT)
    bent = angles(points, skeleton, np.ones(len(points)))
    upright = np.mean([np.abs(bent[f"{s} {n}"]) for s in ("left", "right") for n in ("knee", "hip")], 0) < 90
    seen = np.isfinite(heights)
    if not seen.any():
        raise ValueError("the height of a person needs a frame in which they are seen from feet to head")
    heights = np.sort(heights[seen & upright if (seen & upright).any() else seen])
    quarter = len(heights) // 4
    return float(FORESHORTENING * heights[quarter : len(heights) - quarter].mean())
