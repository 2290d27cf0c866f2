"""Box AP, keypoint AP and MPJPE of people in test frames, with bootstraps over days: Srivastav et al., section 3.2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from fewpose.data.multi_person import PeopleData
from fewpose.metrics.bootstrap import resample
from fewpose.metrics.coco_ap import MAX_POSES
from fewpose.metrics.mpjpe import PROTOCOLS, UPPER_BODY, Mpjpe, Scene3D, mpjpe
from fewpose.metrics.oks import oks
from fewpose.metrics.resampled_ap import Matches, average_precision, match_images
from fewpose.models.people import People

METRICS = ("box_ap", "keypoint_ap", "mpjpe")
MAX_BOXES = 100  # of an image, those of highest score, as COCO counts boxes


@dataclass(frozen=True)
class Evidence:
    """The matches of one network on N test frames, from which each metric follows on any resample of the days.

    boxes, keypoints  detections matched to people by IoU and by OKS
    joints            for each protocol the 3D errors of the matched people
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
        """The metric [resamples] with days drawn with replacement; networks of the same seed are paired."""
        days, unit = np.unique(self.day, return_inverse=True)
        drawn = resample(len(days), resamples, seed)
        weights = np.stack([(drawn == day).sum(1) for day in range(len(days))], 1).astype(float)
        if metric == "mpjpe":
            return _mpjpe_samples(self.joints[protocol], unit, weights)
        return average_precision(self._matches(metric), unit, weights)

    def count(self, metric: str) -> int:
        """How many people the metric counts: all true ones, or those compared in 3D."""
        if metric == "mpjpe":
            return len(self.joints["one_to_one"].errors)
        return int(self._matches(metric).people.sum())

    def _matches(self, metric: str) -> Matches:
        if metric not in METRICS:
            raise ValueError(f"metric is one of {', '.join(METRICS)}, not {metric!r}")
        return self.boxes if metric == "box_ap" else self.keypoints


def evaluate(found: Sequence[People], ground_truth: PeopleData) -> Evidence:
    """Compare the people found in each of N frames with the ground truth.

    Keypoint AP counts people with a labelled keypoint (visibility > 0) and ranks detections by the score of the box.
    In 3D a joint counts if its keypoint is labelled. ValueError if the numbers of frames or of keypoints differ.
    """
    if len(found) != len(ground_truth.day):
        raise ValueError(f"{ground_truth.name}: {len(found)} predictions for {len(ground_truth.day)} frames")
    overlaps, similarities, scenes = [], [], []
    for i, people in enumerate(found):
        if people.keypoints.shape[1] != len(ground_truth.skeleton):
            raise ValueError(
                f"{ground_truth.name}: found poses of frame {i} have {people.keypoints.shape[1]} "
                f"keypoints, the true ones {len(ground_truth.skeleton)}"
            )
        overlaps.append(box_iou(people.boxes.double(), ground_truth.boxes[i].double()).numpy())
        similarities.append(_similarity(people, ground_truth, i))
        scenes.append(_scene(people, ground_truth, i))
    scores = [_array(people.scores) for people in found]
    counted = [np.ones(len(boxes), bool) for boxes in ground_truth.boxes]
    posed = [(_array(poses)[..., 2] > 0).any(1) for poses in ground_truth.keypoints]
    return Evidence(
        match_images(overlaps, scores, counted, MAX_BOXES),
        match_images(similarities, scores, posed, MAX_POSES),
        {protocol: mpjpe(scenes, ground_truth.skeleton.sigmas, protocol) for protocol in PROTOCOLS},
        np.asarray(ground_truth.day),
    )


def _mpjpe_samples(result: Mpjpe, unit: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """MPJPE [R] of weighted days, mean over the joints' means; NaN where a joint never counts."""
    sums, counts = np.zeros((2, weights.shape[1], 8))
    np.add.at(sums, unit[result.scene], np.nan_to_num(result.errors))
    np.add.at(counts, unit[result.scene], ~np.isnan(result.errors))
    total = weights @ counts
    return ((weights @ sums) / np.where(total > 0, total, np.nan)).mean(1)


def _similarity(people: People, ground_truth: PeopleData, i: int) -> np.ndarray:
    """OKS [D, P] of the poses found in frame i with the true ones."""
    poses, predicted = _array(ground_truth.keypoints[i]), _array(people.keypoints)
    d, p = (index.ravel() for index in np.indices((len(predicted), len(poses))))
    boxes, areas = _corner_and_size(ground_truth.boxes[i]), _array(ground_truth.areas[i])
    values = oks(predicted[d], poses[p], boxes[p], areas[p], ground_truth.skeleton.sigmas)
    return values.reshape(len(predicted), len(poses))


def _scene(people: People, ground_truth: PeopleData, i: int) -> Scene3D:
    index = [ground_truth.skeleton.index(name) for name in UPPER_BODY]
    poses = _array(ground_truth.keypoints[i])
    joints = np.concatenate([_array(ground_truth.keypoints3d[i]), poses[..., 2:]], axis=-1)[:, index]
    return Scene3D(
        poses,
        _corner_and_size(ground_truth.boxes[i]),
        joints,
        _array(people.keypoints),
        _array(people.keypoints3d)[:, index],
    )


def _corner_and_size(boxes: Tensor) -> np.ndarray:
    """x, y, width, height of boxes x0, y0, x1, y1 [N, 4]."""
    boxes = _array(boxes)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _array(values: Tensor) -> np.ndarray:
    return torch.as_tensor(values).detach().cpu().double().numpy()
