"""The metrics of the MVOR data set (Srivastav et al. 2018): PCK of ten joints and AP of boxes.

Both take parsed JSON or files: `camma_mvor_2018.json` and a list of COCO results.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fewpose.metrics import coco_ap
from fewpose.metrics.coco_files import Detections, Source, numbers, read_detections, read_ground_truth
from fewpose.skeleton import COCO, MVOR

OVERLAP = 0.3  # a detection may be of a person if it covers more than this share of the person's box
PAIRS = ("head", "shoulder", "hip", "elbow", "wrist")  # as published; "head" is head and neck


def pck(ground_truth: Source, detections: Source, at: float = 0.2) -> pd.DataFrame:
    """Hits, persons and PCK in percent of each joint, each published pair, and their mean.

    A row is (level, name, hits, persons, pck), level one of joint, pair, mean. Every person annotated with joints
    counts, and a joint without annotation or detection is a miss. A hit is within `at` of the longer side of the box
    around the person's true joints. The person's detection is the most confident of those that cover the box; it may
    be matched to others too. Detections hold 17 COCO keypoints (x, y, anything) in `coco_keypoints`, or else in
    `keypoints`, (0, 0) for a missing one. ValueError names file and row of what cannot be compared.
    """
    true = read_ground_truth(ground_truth)
    found = read_detections(detections, true)
    points = _present(numbers(true.rows, "keypoints", 3 * len(MVOR), true.name))
    predicted = _predicted(found)
    boxes, joints = _boxes(predicted), _as_mvor(predicted)
    results = pd.Series(np.arange(len(predicted))).groupby(found.image).indices

    counted = np.array([row.get("only_bbox", 0) == 0 for row in true.rows], dtype=bool)
    people = np.flatnonzero(counted & ~np.isnan(points).all((1, 2)))
    hits = np.zeros(len(MVOR), dtype=int)
    for person, box in zip(people, _boxes(points[people]), strict=True):
        here = results.get(true.image[person], [])
        match = _match(box, boxes[here], found.score[here])
        if match is not None:
            distance = np.linalg.norm(joints[here[match]] - points[person], axis=-1)
            scale = (box[2:] - box[:2] + 1).max()
            hits += distance <= at * scale  # False where NaN: missing here or there
    return _table(hits, len(people))


def box_ap(ground_truth: Source, detections: Source, as_published: bool = False) -> pd.DataFrame:
    """COCO's numbers for all boxes of MVOR, rows (metric, value), fractions; -1 without ground truth.

    AR…_50 is the recall at an IoU of 0.5 only, which MVOR reports for pose detectors. `as_published` reproduces a
    quirk of the published numbers: MVOR counts annotations from 0, and pycocotools takes id 0 for "not found".
    """
    stats = coco_ap.box_ap(ground_truth, detections, first_id=0 if as_published else 1)
    return pd.DataFrame(stats.items(), columns=["metric", "value"])


def _predicted(found: Detections) -> np.ndarray:
    keys = found.rows[0] if found.rows else {}
    if found.rows and not {"coco_keypoints", "keypoints"} & set(keys):
        raise ValueError(
            f"{found.name} has only boxes: PCK needs 17 COCO keypoints per person, in `coco_keypoints` or `keypoints`"
        )
    key = "coco_keypoints" if "coco_keypoints" in keys else "keypoints"
    return _present(found.numbers(key, 3 * len(COCO)))


def _present(flat: np.ndarray) -> np.ndarray:
    """Points [N, K, 2] of rows (x, y, v, …); NaN where x and y are 0, whatever v is."""
    points = flat.reshape(len(flat), flat.shape[1] // 3, 3)[..., :2]
    return np.where((points == 0).all(-1, keepdims=True), np.nan, points)


def _as_mvor(points: np.ndarray) -> np.ndarray:
    """MVOR's joints [N, 10, 2] from COCO's [N, 17, 2]: the head from those of its keypoints that were found."""
    p = {name: points[:, i] for i, name in enumerate(COCO.keypoints)}
    left, right = p["left_shoulder"], p["right_shoulder"]
    head = _first(
        (p["left_eye"] + p["right_eye"]) / 2,
        (p["left_ear"] + p["right_ear"]) / 2,
        p["nose"],
        p["right_eye"],
        p["left_eye"],
        p["right_ear"],
        p["left_ear"],
    )
    p |= {"head": head, "neck": _first((left + right) / 2, right, left)}
    return np.stack([p[name] for name in MVOR.keypoints], axis=1)


def _first(*points: np.ndarray) -> np.ndarray:
    """The first of several points [N, 2] that is not NaN."""
    chosen = points[0]
    for other in points[1:]:
        chosen = np.where(np.isnan(chosen), other, chosen)
    return chosen


def _boxes(points: np.ndarray) -> np.ndarray:
    """Boxes [N, 4] (x1, y1, x2, y2) around the points [N, K, 2] that are not NaN."""
    low = np.where(np.isnan(points), np.inf, points).min(1)
    high = np.where(np.isnan(points), -np.inf, points).max(1)
    return np.concatenate([low, high], axis=1)


def _match(box: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> int | None:
    """Which of the detections [N] is the person's, if any covers enough of the person's box."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.maximum(high - low + 1, 0).prod(1)
    covers = shared / (box[2:] - box[:2] + 1).prod() > OVERLAP
    if not covers.any():
        return None
    # With equal scores the first. The authors' code takes the first of the whole image, even if it covers nothing; no
    # published number depends on that.
    return int(np.where(covers, scores, -np.inf).argmax())


def _table(hits: np.ndarray, people: int) -> pd.DataFrame:
    pairs = hits.reshape(-1, 2).sum(1)
    rows = [("joint", name, n, people) for name, n in zip(MVOR.keypoints, hits, strict=True)]
    rows += [("pair", name, n, 2 * people) for name, n in zip(PAIRS, pairs, strict=True)]
    rows += [("mean", "mean", hits.sum(), hits.size * people)]
    table = pd.DataFrame(rows, columns=["level", "name", "hits", "persons"])
    return table.assign(pck=100 * table.hits / table.persons)
