"""How far angles and speeds may be off, from errors that were calibrated on labels (`fewpose.metrics.conformal`).

Where there are labels the errors of angles are calibrated as those of keypoints are: `angle_errors`, in degrees.

Where only the keypoints' are known, pixels become degrees by sampling. The radius r of a keypoint holds its true place
in a share c of the frames (`coverage`). Its error is taken as normal and alike in x and y, and independent of those of
other keypoints: such an error is within r with the probability c if

    r = σ √(−2 ln(1 − c)),  thus  σ = r / √(−2 ln(1 − c)):  σ = r / 2.15 for 90 %.

Poses with such errors are drawn, and the band of an angle is what c of the drawn ones are within. Where limbs are long
this is the first order: a segment of length L between ends of σ₁ and σ₂ turns by √(σ₁² + σ₂²) / L radians. Errors are
no such: most are smaller, some are swapped legs. On rendered jumps bands for 90 % held for 95 % of the angles, and were
2.5 times as wide at the knee as calibrated ones (which held for 93 %).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from fewpose.metrics.conformal import ErrorBands
from fewpose.skeleton import Skeleton
from fewpose_video.measure import HALF_TURN, angles
from fewpose_video.networks import BOX_MARGIN, PoseNetwork
from fewpose_video.poses import VideoPoses
from fewpose_video.smoothing import smooth, velocity

ANGLES_FILE = "angle_errors.json"  # beside the weights and their errors.json
DRAWS = 300  # poses for a frame
BLOCK = 100  # frames at once
SCALE_WINDOW = 1.0  # seconds over which the size of a person is taken: a tucked one is no smaller
MEMORY = np.geomspace(0.002, 2, 25)  # seconds for which an error may last


def angle_skeleton(skeleton: Skeleton) -> Skeleton:
    """The angles of `measure.angles` in place of keypoints, for `conformal.calibrate` of `angle_errors`."""
    names = tuple(angles(np.zeros((1, len(skeleton), 2)), skeleton, np.ones(1)))
    return Skeleton("angles", names, (), (0.08,) * len(names))


def angle_errors(predicted: np.ndarray, ground_truth: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Differences [N, A] in degrees between the angles of poses [N, K, 3] and of their labels, NaN where unlabelled.

    The columns are those of `angle_skeleton`.
    """
    labelled = np.where(ground_truth[..., 2:] > 0, ground_truth, np.nan)
    right = np.ones(len(predicted))  # the direction changes signs alone
    found, true = (angles(poses[..., :2].astype(float), skeleton, right) for poses in (predicted, labelled))
    errors = [np.abs(wrap(found[name] - true[name], name)) for name in found]
    return np.stack(errors, 1) if errors else np.zeros((len(predicted), 0))  # animals have none of these angles


def wrap(degrees: np.ndarray, name: str) -> np.ndarray:
    """Differences of the angle `name` as the nearest ones to 0."""
    period = 180 if name in HALF_TURN else 360
    return (degrees + period / 2) % period - period / 2


def input_pixels(points: np.ndarray, network: PoseNetwork, seconds: np.ndarray) -> np.ndarray:
    """How many pixels of the frame one pixel of the network's input is, [T], for a person with points [T, K, 2].

    `predict` crops frames so that keypoints which span w x h pixels fill the same part of the input H x W as those of
    the training did: BOX_MARGIN · margin · max(w / W, h / H), the median over SCALE_WINDOW around each frame.
    """
    span = np.full(points.shape[::2], np.nan)
    seen = np.isfinite(points[..., 0]).any(1)
    span[seen] = np.nanmax(points[seen], 1) - np.nanmin(points[seen], 1)
    size = (span / np.array(network.size[::-1])).max(1) * BOX_MARGIN * network.margin
    around = np.abs(seconds[:, None] - seconds) <= SCALE_WINDOW / 2
    return np.array([np.nanmedian(size[near]) if seen[near].any() else np.nan for near in around])


def person_radii(poses: VideoPoses, person: int, network: PoseNetwork, bands: ErrorBands) -> np.ndarray:
    """The calibrated radius of each keypoint of a person in pixels of the frame, [T, K].

    NaN where the keypoint is absent or interpolated, which nothing is calibrated for.
    """
    pose = poses.poses[:, poses.people.index(person)]
    radius = np.array([bands.radius.get(name) or np.nan for name in poses.skeleton.keypoints], float)
    scale = input_pixels(pose[..., :2].astype(float), network, poses.seconds)
    return np.where(pose[..., 2] > 0, scale[:, None] * radius, np.nan)


def spread(radius: float | np.ndarray, coverage: float) -> float | np.ndarray:
    """σ of errors in x and in y of which the share `coverage` is within the radius."""
    return radius / math.sqrt(-2 * math.log(1 - coverage))


def propagated_bands(
    points: np.ndarray, radius: np.ndarray, skeleton: Skeleton, facing: np.ndarray, coverage: float = 0.9, seed: int = 0
) -> dict[str, np.ndarray]:
    """How far each of `measure.angles` may be off, [T] degrees to both sides; NaN where a radius is unknown.

    points [T, K, 2] and radius [T, K] in pixels, facing [T] as there.
    """
    generator, sigma = np.random.default_rng(seed), spread(radius, coverage)
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, len(points), BLOCK):
        here = slice(start, start + BLOCK)
        centre = angles(points[here], skeleton, facing[here])
        noise = generator.standard_normal((DRAWS, *points[here].shape)) * sigma[here, :, None]
        drawn = angles((points[here] + noise).reshape(-1, *points.shape[1:]), skeleton, np.tile(facing[here], DRAWS))
        parts.append({})
        for name, values in drawn.items():
            off = np.abs(wrap(values.reshape(DRAWS, -1) - centre[name], name))
            parts[-1][name] = np.quantile(off, coverage, axis=0)
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def angle_bands(
    poses: VideoPoses,
    person: int,
    radius: np.ndarray,
    facing: np.ndarray,
    calibrated: ErrorBands | None,
    coverage: float,
) -> dict[str, np.ndarray]:
    """The band of each of `measure.angles` of a person, [T] degrees to both sides: calibrated, or else propagated.

    radius [T, K] is that of `person_radii`; an angle has a band where all its keypoints have one.
    """
    points = poses.poses[:, poses.people.index(person), :, :2].astype(float)
    found = propagated_bands(points, radius, poses.skeleton, facing, coverage)
    for name, propagated in found.items():
        degrees = calibrated and calibrated.radius.get(name)
        if degrees:
            found[name] = np.where(np.isfinite(propagated), degrees, np.nan)
    return found


def velocity_gain(rate: float, smoother: str | Callable | None) -> float:
    """How much larger per second the band of a velocity is than that of the position or angle, at `rate` frames/s.

    Errors of neighbouring frames resemble each other, but how much is not calibrated. They are taken as a process whose
    correlation falls to 1/e within a time τ (Ornstein and Uhlenbeck), smoothed and differentiated as the poses are; the
    τ of MEMORY with the largest result is taken.
    """
    frames = 2 * round(rate / 2) + 1  # a second
    seconds = np.arange(frames) / rate
    unit = np.eye(frames)  # columns are impulses
    smoothed = smooth(seconds, unit, smoother) if smoother else unit
    weights = velocity(seconds, smoothed)[frames // 2]
    lag = np.abs(seconds[:, None] - seconds)
    return float(max(np.sqrt(weights @ np.exp(-lag / tau) @ weights) for tau in MEMORY))


def speed_bands(
    radius: float | np.ndarray, rate: float, smoother: str | Callable | None, coverage: float = 0.9
) -> float | np.ndarray:
    """How far the speed of a keypoint may be off to both sides, in pixels per second, for a radius in pixels."""
    return NormalDist().inv_cdf((1 + coverage) / 2) * spread(radius, coverage) * velocity_gain(rate, smoother)
