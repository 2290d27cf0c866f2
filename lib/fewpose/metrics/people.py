"""How well the people of test frames were found, with all that a bootstrap over days needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fewpose.metrics.coco_ap import MOST_POSES
from fewpose.metrics.mpjpe import PROTOCOLS, UPPER_BODY, Mpjpe, Scene3D, mpjpe
from fewpose.metrics.oks import oks
from fewpose.metrics.pck import resample
from fewpose.metrics.resampled_ap import Matches, average_precision, match_images
from fewpose.skeleton import Skeleton

METRICS = ("box_ap", "keypoint_ap", "mpjpe")
MOST_BOXES = 100  # the most confident of an image, as COCO has it for boxes


class Found(Protocol):
    """The people found in one frame, as `models.teacher.People`."""

    boxes: Tensor
    scores: Tensor
    keypoints: Tensor
    keypoints3d: Tensor


class Labelled(Protocol):
    """Frames with their true people, as `data.multi_person.PeopleData`."""

    name: str
    boxes: list[Tensor]
    keypoints: list[Tensor]
    keypoints3d: list[Tensor]
    areas: list[Tensor]
    day: np.ndarray
    skeleton: Skeleton


@dataclass(frozen=True)
class Evidence:
    """What one network did on N test frames: enough for each metric on any resample of its days.

    boxes, keypoints  who was found, by the overlap of boxes and by OKS
    joints            by protocol the errors in 3D of those who were compared
    day               [N] names of the frames' days
    """

    boxes: Matches
    keypoints: Matches
    joints: dict[str, Mpjpe]
    day: np.ndarray

    def value(self, metric: str, protocol: str = "one_to_one") -> float:
        """One of METRICS: AP in percent or MPJPE in mm; NaN where there is nothing to count."""
        if metric == "mpjpe":
            return self.joints[protocol].mean
        return float(average_precision(self._matches(metric))[0])

    def samples(self, metric: str, protocol: str = "one_to_one", resamples: int = 1000, seed: int = 0) -> np.ndarray:
        """The metric [resamples] with days drawn with replacement; the same seed pairs networks."""
        days, unit = np.unique(self.day, return_inverse=True)
        drawn = resample(len(days), resamples, seed)
        weights = np.stack([(drawn == day).sum(1) for day in range(len(days))], 1).astype(float)
        if metric == "mpjpe":
            return _mpjpe_samples(self.joints[protocol], unit, weights)
        return average_precision(self._matches(metric), unit, weights)

    def count(self, metric: str) -> int:
        """How many people the metric is about: those to be found, or those compared in 3D."""
        if metric == "mpjpe":
            return len(self.joints["one_to_one"].errors)
        return int(self._matches(metric).truths.sum())

    def _matches(self, metric: str) -> Matches:
        if metric not in METRICS:
            raise ValueError(f"metric is one of {', '.join(METRICS)}, not {metric!r}")
        return self.boxes if metric == "box_ap" else self.keypoints


def evaluate(found: Sequence[Found], truth: Labelled) -> Evidence:
    """Hold the people found in each of N frames against the true ones.

    Both as in `People` and `PeopleData`: boxes x0, y0, x1, y1 and keypoints in pixels of the frame, 3D in mm in the
    axes of the camera. Keypoint AP counts people with a labelled keypoint (visibility > 0) and ranks by the score of
    the box. In 3D a joint counts whose keypoint is labelled: where the others are no annotator could tell. ValueError
    if the numbers of frames or of keypoints differ.
    """
    if len(found) != len(truth.day):
        raise ValueError(f"{truth.name}: {len(found)} answers for {len(truth.day)} frames")
    overlaps, likenesses, scenes = [], [], []
    for i, people in enumerate(found):
        if people.keypoints.shape[1] != len(truth.skeleton):
            raise ValueError(
                f"{truth.name}: found poses of frame {i} have {people.keypoints.shape[1]} "
                f"keypoints, the true ones {len(truth.skeleton)}"
            )
        overlaps.append(overlap(_corner_and_size(people.boxes), _corner_and_size(truth.boxes[i])))
        likenesses.append(_likeness(people, truth, i))
        scenes.append(_scene(people, truth, i))
    scores = [_array(people.scores) for people in found]
    everybody = [np.ones(len(boxes), bool) for boxes in truth.boxes]
    posed = [(_array(poses)[..., 2] > 0).any(1) for poses in truth.keypoints]
    return Evidence(
        match_images(overlaps, scores, everybody, MOST_BOXES),
        match_images(likenesses, scores, posed, MOST_POSES),
        {protocol: mpjpe(scenes, truth.skeleton.sigmas, protocol) for protocol in PROTOCOLS},
        np.asarray(truth.day),
    )


def overlap(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union [D, P] of boxes x, y, width, height: [D, 4] with [P, 4]."""
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    ends = found[:, :2] + found[:, 2:], truth[:, :2] + truth[:, 2:]
    high = np.minimum(ends[0][:, None], ends[1][None])
    shared = np.maximum(high - low, 0).prod(-1)
    return shared / (found[:, 2:].prod(1)[:, None] + truth[:, 2:].prod(1) - shared)


def _mpjpe_samples(result: Mpjpe, unit: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """MPJPE [R] of weighted days, mean over the joints' means; NaN where a joint never counts."""
    sums, counts = np.zeros((2, weights.shape[1], 8))
    np.add.at(sums, unit[result.scene], np.nan_to_num(result.errors))
    np.add.at(counts, unit[result.scene], ~np.isnan(result.errors))
    total = weights @ counts
    return ((weights @ sums) / np.where(total > 0, total, np.nan)).mean(1)


def _likeness(people: Found, truth: Labelled, i: int) -> np.ndarray:
    """OKS [D, P] of the poses found in frame i with the true ones."""
    poses, guesses = _array(truth.keypoints[i]), _array(people.keypoints)
    d, p = (index.ravel() for index in np.indices((len(guesses), len(poses))))
    boxes, areas = _corner_and_size(truth.boxes[i]), _array(truth.areas[i])
    values = oks(guesses[d], poses[p], boxes[p], areas[p], truth.skeleton.sigmas)
    return values.reshape(len(guesses), len(poses))


def _scene(people: Found, truth: Labelled, i: int) -> Scene3D:
    index = [truth.skeleton.index(name) for name in UPPER_BODY]
    poses = _array(truth.keypoints[i])
    joints = np.concatenate([_array(truth.keypoints3d[i]), poses[..., 2:]], axis=-1)[:, index]
    return Scene3D(
        poses, _corner_and_size(truth.boxes[i]), joints, _array(people.keypoints), _array(people.keypoints3d)[:, index]
    )


def _corner_and_size(boxes: Tensor) -> np.ndarray:
    """x, y, width, height of boxes x0, y0, x1, y1 [N, 4]."""
    boxes = _array(boxes)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _array(values: Tensor) -> np.ndarray:
    return torch.as_tensor(values).detach().cpu().double().numpy()
