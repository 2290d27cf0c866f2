"""COCO's average precision on any resample of the images.

Matching is done once; a bootstrap weights the matches. With weights of 1 it is COCO's own AP.
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

    image    [D] index of the image
    score    [D]
    hit      [10, D] whether it matches a person, at each of THRESHOLDS
    ignored  [10, D] whether it matches a person who does not count: then it does not count either
    people   [N] how many people of each image count
    """

    image: np.ndarray
    score: np.ndarray
    hit: np.ndarray
    ignored: np.ndarray
    people: np.ndarray


def match_images(
    similarities: Sequence[np.ndarray], scores: Sequence[np.ndarray], counted: Sequence[np.ndarray], limit: int
) -> Matches:
    """Match detections and people image by image, as COCO does.

    similarities [D, P] of each image's detections with its people, scores [D], counted [P] whether a person counts.
    Of each image only the `limit` detections of highest score count.
    """
    images, kept_scores = [np.empty(0, int)], [np.empty(0)]
    hits = [np.empty((len(THRESHOLDS), 0), bool)]
    ignored = [np.empty((len(THRESHOLDS), 0), bool)]
    for i, (similarity, score, counts) in enumerate(zip(similarities, scores, counted, strict=True)):
        order = np.argsort(-score, kind="stable")[:limit]
        hit, skipped = _match(similarity[order], counts)
        images.append(np.full(len(order), i))
        kept_scores.append(score[order])
        hits.append(hit)
        ignored.append(skipped)
    people = np.array([int(counts.sum()) for counts in counted], dtype=int)
    return Matches(
        np.concatenate(images), np.concatenate(kept_scores), np.concatenate(hits, 1), np.concatenate(ignored, 1), people
    )


def _match(similarity: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Match detections [D, P], by falling score, to the most similar person left: hit, ignored [10, D]."""
    detections, people = similarity.shape
    hit = np.zeros((len(THRESHOLDS), detections), bool)
    ignored = hit.copy()
    free = np.ones((len(THRESHOLDS), people), bool)
    for d in range(detections if people else 0):
        near = free & (similarity[d] >= THRESHOLDS[:, None])
        # People who do not count are matched only if no other is left; of equals COCO takes the last.
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
    """COCO's AP [R] in percent, mean over the ten thresholds; NaN where nobody counts.

    Image n counts weights[r, unit[n]] times in resample r: unit [N] is the index of its day among U, and weights
    [R, U] says how often each day was drawn. Without both every image counts once.
    """
    if unit is None or weights is None:
        unit, weights = np.zeros(len(matches.people), dtype=int), np.ones((1, 1))
    units = weights.shape[1]
    people = weights @ np.bincount(unit, weights=matches.people, minlength=units)
    order = np.argsort(-matches.score, kind="stable")
    of = unit[matches.image[order]]
    values = np.zeros(len(weights))
    for hit, ignored in zip(matches.hit[:, order], matches.ignored[:, order], strict=True):
        # precision is needed only at hits: between two of them it falls
        hits = np.flatnonzero(hit)
        found = weights @ _counts(hit, of, units, hits)
        detections = weights @ _counts(~ignored, of, units, hits)
        precision = found / (detections + np.spacing(1))
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        values += _mean_precision(found, people, precision)
    return np.where(people > 0, 100 * values / len(THRESHOLDS), np.nan)


def _counts(mask: np.ndarray, of: np.ndarray, units: int, at: np.ndarray) -> np.ndarray:
    """How many of each unit [U] there are up to each index of `at` [H]: [U, H]."""
    return np.stack([np.cumsum(mask & (of == u))[at] for u in range(units)])


def _mean_precision(found: np.ndarray, people: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Mean [R] of the precision at the first hit with each recall of RECALLS, 0 where none has it.

    found and precision [R, hits], people [R].
    """
    padded = np.concatenate([precision, np.zeros((len(precision), 1))], axis=1)
    out = np.zeros(len(found))
    for r in np.flatnonzero(people > 0):
        out[r] = padded[r, np.searchsorted(found[r] / people[r], RECALLS)].mean()
    return out
