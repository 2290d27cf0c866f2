"""COCO's average precision, kept so that it can be had again for any resample of the images.

Matching is done once; a bootstrap weighs what was matched. With weights 1 it is COCO's own AP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Matches:
    """The D detections of N images, image after image and by falling score in each.

    image    [D] place of the image among the N
    score    [D]
    hit      [10, D] whether it found somebody, at each of THRESHOLDS
    ignored  [10, D] whether it found somebody who does not count, and counts itself for nothing
    truths   [N] how many people of each image count
    """

    image: np.ndarray
    score: np.ndarray
    hit: np.ndarray
    ignored: np.ndarray
    truths: np.ndarray


def match_images(
    similarities: Sequence[np.ndarray], scores: Sequence[np.ndarray], counted: Sequence[np.ndarray], most: int
) -> Matches:
    """Who was found by which detection, image by image as COCO decides it.

    similarities [D, P] of each image's detections with its people, scores [D], counted [P] whether a person is to be
    found at all. Only the `most` most confident detections of an image count.
    """
    images, kept_scores = [np.empty(0, int)], [np.empty(0)]
    hits = [np.empty((len(THRESHOLDS), 0), bool)]
    ignored = [np.empty((len(THRESHOLDS), 0), bool)]
    for i, (similarity, score, counts) in enumerate(zip(similarities, scores, counted, strict=True)):
        order = np.argsort(-score, kind="stable")[:most]
        hit, skipped = _match(similarity[order], counts)
        images.append(np.full(len(order), i))
        kept_scores.append(score[order])
        hits.append(hit)
        ignored.append(skipped)
    truths = np.array([int(counts.sum()) for counts in counted], dtype=int)
    return Matches(
        np.concatenate(images), np.concatenate(kept_scores), np.concatenate(hits, 1), np.concatenate(ignored, 1), truths
    )


def _match(similarity: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Detections [D, P] by falling score take the likest person left: hit, ignored [10, D]."""
    detections, people = similarity.shape
    hit = np.zeros((len(THRESHOLDS), detections), bool)
    ignored = hit.copy()
    free = np.ones((len(THRESHOLDS), people), bool)
    for d in range(detections if people else 0):
        near = free & (similarity[d] >= THRESHOLDS[:, None])
        # Who does not count is taken only where nobody else is left; of equals COCO takes the last.
        real = near & counts
        near = np.where(real.any(1, keepdims=True), real, near)
        best = people - 1 - np.where(near, similarity[d], -1)[:, ::-1].argmax(1)
        rows = np.flatnonzero(near.any(1))
        free[rows, best[rows]] = False
        hit[rows, d] = counts[best[rows]]
        ignored[rows, d] = ~counts[best[rows]]
    return hit, ignored


def average_precision(
    matches: Matches, unit: np.ndarray | None = None, weights: np.ndarray | None = None
) -> np.ndarray:
    """COCO's AP [R] in percent, mean over the ten thresholds; NaN where nobody is to be found.

    Image n counts weights[r, unit[n]] times in resample r: unit [N] is the place of its day among U and weights [R,
    U] how often each day was drawn. Without both every image counts once.
    """
    if unit is None or weights is None:
        unit, weights = np.zeros(len(matches.truths), dtype=int), np.ones((1, 1))
    units = weights.shape[1]
    people = weights @ np.bincount(unit, weights=matches.truths, minlength=units)
    order = np.argsort(-matches.score, kind="stable")
    of = unit[matches.image[order]]
    values = np.zeros(len(weights))
    for hit, ignored in zip(matches.hit[:, order], matches.ignored[:, order], strict=True):
        # Precision is needed at the hits alone: between two of them it only falls.
        places = np.flatnonzero(hit)
        found = weights @ _counts(hit, of, units, places)
        answers = weights @ _counts(~ignored, of, units, places)
        precision = found / (answers + np.spacing(1))
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        values += _mean_precision(found, people, precision)
    return np.where(people > 0, 100 * values / len(THRESHOLDS), np.nan)


def _counts(mask: np.ndarray, of: np.ndarray, units: int, places: np.ndarray) -> np.ndarray:
    """How many of each unit [U] there are up to each of `places`: [U, places]."""
    return np.stack([np.cumsum(mask & (of == u))[places] for u in range(units)])


def _mean_precision(found: np.ndarray, people: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Mean [R] of the precision at the first hit with each recall of RECALLS, 0 where none has it.

    found and precision [R, hits], people [R].
    """
    padded = np.concatenate([precision, np.zeros((len(precision), 1))], axis=1)
    out = np.zeros(len(found))
    for r in np.flatnonzero(people > 0):
        out[r] = padded[r, np.searchsorted(found[r] / people[r], RECALLS)].mean()
    return out
