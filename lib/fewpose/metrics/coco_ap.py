"""Average precision of boxes and of keypoints as COCO defines it, equal to pycocotools.

The evaluator is faster-coco-eval; the OKS, which it computes pose by pose in Python, are computed by `oks` all at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from fewpose.metrics.coco_files import Detections, GroundTruth, Source, numbers, read_detections, read_ground_truth
from fewpose.metrics.oks import oks

BOXES = "AP AP50 AP75 AP_small AP_medium AP_large AR1 AR10 AR100 AR_small AR_medium AR_large".split()
KEYPOINTS = "AP AP50 AP75 AP_medium AP_large AR AR50 AR75 AR_medium AR_large".split()
MAX_POSES = 20  # of an image, those of highest score, as COCO counts keypoints


def box_ap(ground_truth: Source, detections: Source, first_id: int = 1) -> dict[str, float]:
    """COCO's twelve numbers for boxes (x, y, width, height) by name, fractions from 0 to 1.

    Also AR1_50, AR10_50, AR100_50: recall at an IoU of 0.5. A number is -1 without ground truth. Annotations without
    `area` get that of their box; without `iscrowd` they are not crowds. With `first_id` 0 the first annotation is never
    matched, as if a file numbered them from 0: pycocotools takes id 0 for "no match". ValueError names what cannot be
    compared.
    """
    true = read_ground_truth(ground_truth)
    found = read_detections(detections, true)
    boxes = found.numbers("bbox", 4)
    evaluator = COCOeval_faster(
        _ground_truth(true, *_boxes_and_areas(true), first_id),
        _detections(true, found, boxes[:, 2] * boxes[:, 3], boxes),
        "bbox",
    )
    stats = _stats(evaluator, BOXES)
    recall = evaluator.eval["recall"][0, :, 0]  # [category, number of detections] at IoU 0.5
    for column, limit in enumerate((1, 10, 100)):
        known = recall[:, column][recall[:, column] > -1]
        stats[f"AR{limit}_50"] = float(known.mean()) if len(known) else -1.0
    return stats


def keypoint_ap(ground_truth: Source, detections: Source, sigmas: Sequence[float]) -> dict[str, float]:
    """COCO's ten numbers for keypoints by name, fractions from 0 to 1; -1 without ground truth.

    `sigmas` [K] are the OKS constants, `Skeleton.sigmas`, for any number K of keypoints; every pose has 3K numbers
    (x, y in pixels, visibility or confidence). ValueError names what cannot be compared.
    """
    true = read_ground_truth(ground_truth)
    found = read_detections(detections, true)
    count = len(sigmas)
    poses = numbers(true.rows, "keypoints", 3 * count, true.name).reshape(-1, count, 3)
    predicted = found.numbers("keypoints", 3 * count).reshape(-1, count, 3)
    boxes, areas = _boxes_and_areas(true)
    if found.rows and found.rows[0].get("bbox"):  # results with boxes have the areas of these
        sizes = found.numbers("bbox", 4)[:, 2:]
    else:
        sizes = np.ptp(predicted[..., :2], axis=1)
    labelled = (poses[..., 2] > 0).sum(1)
    evaluator = _KeypointEval(
        _ground_truth(true, boxes, areas, 1, labelled),
        _detections(true, found, sizes.prod(1)),
        "keypoints",
        kpt_oks_sigmas=sigmas,
    )
    i, j = _pairs(true, found)
    similarity = oks(predicted[i], poses[j], boxes[j], areas[j], sigmas)
    evaluator.similarity = _by_image(true, found, i, j, similarity)
    return _stats(evaluator, KEYPOINTS)


class _KeypointEval(COCOeval_faster):
    """The evaluator with precomputed similarities."""

    similarity: dict[tuple[int, int], np.ndarray]

    def computeOks(self, imgId: int, catId: int) -> np.ndarray:
        return self.similarity[imgId, catId]


def _pairs(ground_truth: GroundTruth, found: Detections) -> tuple[np.ndarray, np.ndarray]:
    """Indices [P], [P] of every detection, by falling score, with each annotation of its image and category.

    Image after image; of the detections of an image only the first `MAX_POSES`.
    """
    true_group, group = _groups(ground_truth, ground_truth), _groups(ground_truth, found)
    count = len(ground_truth.images) * len(ground_truth.categories)
    annotations, results = np.argsort(true_group, kind="stable"), np.lexsort((-found.score, group))
    rank = np.arange(len(results)) - np.searchsorted(group[results], group[results])
    results = results[rank < MAX_POSES]

    sizes = np.bincount(true_group, minlength=count)
    starts, times = (np.cumsum(sizes) - sizes)[group[results]], sizes[group[results]]
    step = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    return np.repeat(results, times), annotations[np.repeat(starts, times) + step]


def _by_image(
    ground_truth: GroundTruth, found: Detections, i: np.ndarray, j: np.ndarray, values: np.ndarray
) -> dict[tuple[int, int], np.ndarray]:
    """Values of `_pairs` as [detections, annotations] for each image and category."""
    group, kinds = _groups(ground_truth, found)[i], len(ground_truth.categories)
    people = np.bincount(_groups(ground_truth, ground_truth))
    present, starts = np.unique(group, return_index=True)
    return {
        (int(g) // kinds, int(g) % kinds): table.reshape(-1, people[g])
        for g, table in zip(present, np.split(values, starts)[1:], strict=True)
    }


def _groups(ground_truth: GroundTruth, rows: GroundTruth | Detections) -> np.ndarray:
    return rows.image * len(ground_truth.categories) + rows.category


def _boxes_and_areas(ground_truth: GroundTruth) -> tuple[np.ndarray, np.ndarray]:
    boxes = numbers(ground_truth.rows, "bbox", 4, ground_truth.name)
    sizes = (boxes[:, 2] * boxes[:, 3]).tolist()
    given = [{"area": row.get("area", a)} for row, a in zip(ground_truth.rows, sizes, strict=True)]
    return boxes, numbers(given, "area", 1, ground_truth.name)[:, 0]


def _ground_truth(
    ground_truth: GroundTruth, boxes: np.ndarray, areas: np.ndarray, first_id: int, labelled: np.ndarray | None = None
) -> COCO:
    rows = _coco_rows(ground_truth.image, ground_truth.category, areas, boxes, first_id)
    for i, (row, annotation) in enumerate(zip(rows, ground_truth.rows, strict=True)):
        row["iscrowd"] = int(annotation.get("iscrowd") or 0)
        if labelled is not None:
            row["num_keypoints"] = int(annotation.get("num_keypoints", labelled[i]))
    return _coco(ground_truth, rows)


def _detections(
    ground_truth: GroundTruth, found: Detections, areas: np.ndarray, boxes: np.ndarray | None = None
) -> COCO:
    rows = _coco_rows(found.image, found.category, areas, boxes, 1)
    for row, score in zip(rows, found.score.tolist(), strict=True):
        row["score"] = score
    return _coco(ground_truth, rows)


def _coco_rows(
    image: np.ndarray, category: np.ndarray, areas: np.ndarray, boxes: np.ndarray | None, first_id: int
) -> list[dict]:
    """Rows as the evaluator reads them, with new ids: those in files may repeat or be text."""
    columns = zip(image.tolist(), category.tolist(), areas.tolist(), strict=True)
    rows = [
        {"id": first_id + i, "image_id": place, "category_id": kind, "area": area}
        for i, (place, kind, area) in enumerate(columns)
    ]
    if boxes is not None:
        for row, box in zip(rows, boxes.tolist(), strict=True):
            row["bbox"] = box
    return rows


def _coco(ground_truth: GroundTruth, rows: list[dict]) -> COCO:
    images = [{"id": i} for i in range(len(ground_truth.images))]
    categories = [{"id": i} for i in range(len(ground_truth.categories))]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found annotation id 0")  # that of first_id=0
        return COCO({"images": images, "annotations": rows, "categories": categories})


def _stats(evaluator: COCOeval_faster, names: Sequence[str]) -> dict[str, float]:
    evaluator.run()
    return dict(zip(names, map(float, evaluator.stats), strict=True))
