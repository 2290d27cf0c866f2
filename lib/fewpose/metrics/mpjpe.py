"""MPJPE, the mean per joint position error of several people in 3D: Srivastav et al., section 3.2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from fewpose.metrics.oks import oks

# The eight joints that the paper averages, in the order of every array here.
UPPER_BODY = [f"{side}_{joint}" for joint in ("shoulder", "hip", "elbow", "wrist") for side in ("left", "right")]
HIPS = [UPPER_BODY.index("left_hip"), UPPER_BODY.index("right_hip")]
PROTOCOLS = ("one_to_one", "paper")


@dataclass(frozen=True)
class Scene3D:
    """The P true and D detected people of one frame.

    poses [P, K, 3] and found_poses [D, K, ≥2] are the 2D keypoints in pixels by which people are matched; boxes [P, 4]
    are x, y, width, height; joints [P, 8, 4] (x, y, z, visibility) and found_joints [D, 8, 3] are those of `UPPER_BODY`
    in mm, in the axes of the same camera. ValueError for other shapes or numbers that are not finite.
    """

    poses: np.ndarray
    boxes: np.ndarray
    joints: np.ndarray
    found_poses: np.ndarray
    found_joints: np.ndarray

    def __post_init__(self) -> None:
        people, found, k = len(self.poses), len(self.found_poses), np.shape(self.poses)[1:2]
        for name, shape in (
            ("poses", (people, *k, 3)),
            ("boxes", (people, 4)),
            ("joints", (people, 8, 4)),
            ("found_poses", (found, *k, *np.shape(self.found_poses)[2:])),
            ("found_joints", (found, 8, 3)),
        ):
            array = np.asarray(getattr(self, name), dtype=np.float64)
            if array.shape != shape:
                raise ValueError(f"{name} are {array.shape}, not {shape}")
            if not np.isfinite(array).all():
                row = int(np.argwhere(~np.isfinite(array))[0, 0])
                raise ValueError(f"{name}[{row}] is not finite")
            object.__setattr__(self, name, array)


@dataclass(frozen=True)
class Mpjpe:
    """Errors [N, 8] in mm of the N people compared, NaN where a joint does not count.

    `scene` [N] is the index of each person's frame, for bootstraps; `missed` is the number of people without a
    detection: a low error over few people means little.
    """

    errors: np.ndarray
    scene: np.ndarray
    missed: int

    @property
    def per_joint(self) -> np.ndarray:
        """Mean error [8] of each joint in mm, NaN for one that never counts."""
        counts = (~np.isnan(self.errors)).sum(0)
        return np.nansum(self.errors, axis=0) / np.where(counts > 0, counts, np.nan)

    @property
    def pairs(self) -> dict[str, float]:
        """Errors of shoulder, hip, elbow and wrist in mm, as in the paper's code."""
        means = self.per_joint.reshape(4, 2).mean(1)
        return dict(zip(("shoulder", "hip", "elbow", "wrist"), map(float, means), strict=True))

    @property
    def mean(self) -> float:
        """The MPJPE in mm: mean over the eight joints; NaN if one of them never counts."""
        return float(self.per_joint.mean())


def mpjpe(scenes: Sequence[Scene3D], sigmas: Sequence[float], protocol: str = "one_to_one") -> Mpjpe:
    """Distance between true and detected joints, both relative to the middle of the hips, without any alignment.

    `sigmas` [K] are the OKS constants of the 2D keypoints by which people are matched. Protocols:

    - "one_to_one": every detection is matched to one person at most, maximising the sum of OKS; people without a
      detection are `missed`. Joints without ground truth do not count, nor do people without both hips, the root.
    - "paper": every person is matched to the detection of highest OKS, however low, even if it is matched to others
      too; people are missed only in frames without detections. A joint without ground truth counts as an error of 0,
      as in the authors' code.

    People without any 3D joint do not count. ValueError for another protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    errors, place, missed = [np.empty((0, 8))], [], 0
    for i, scene in enumerate(scenes):
        seen = scene.joints[..., 3] > 0
        counted = seen.any(1) if protocol == "paper" else seen[:, HIPS].all(1)
        people = np.flatnonzero(counted)
        similarity = _similarity(scene, people, sigmas)  # [people, detections]
        if protocol == "one_to_one":
            taken, partner = linear_sum_assignment(similarity, maximize=True)
        elif similarity.size:
            taken, partner = np.arange(len(people)), similarity.argmax(1)
        else:
            taken = partner = np.empty(0, dtype=int)
        missed += len(people) - len(taken)
        people = people[taken]
        true, found = scene.joints[people, :, :3], scene.found_joints[partner]
        distance = np.linalg.norm(_from_root(true) - _from_root(found), axis=-1)
        errors.append(np.where(seen[people], distance, 0 if protocol == "paper" else np.nan))
        place += [i] * len(people)
    return Mpjpe(np.concatenate(errors), np.array(place, dtype=int), missed)


def _similarity(scene: Scene3D, people: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
    """OKS of each of the people with each detection; the area is that of the person's box."""
    count = len(scene.found_poses)
    person, detection = np.repeat(people, count), np.tile(np.arange(count), len(people))
    boxes = scene.boxes[person]
    values = oks(scene.found_poses[detection], scene.poses[person], boxes, boxes[:, 2:].prod(1), sigmas)
    return values.reshape(len(people), count)


def _from_root(joints: np.ndarray) -> np.ndarray:
    return joints - joints[:, HIPS].mean(1, keepdims=True)
