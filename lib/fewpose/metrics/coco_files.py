"""The rows of COCO files as arrays, checked: true annotations and detected results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Source = dict | list | str | Path  # parsed JSON, or the file that holds it


@dataclass(frozen=True)
class GroundTruth:
    """The annotations, in the order of the file.

    `images` maps image ids to indices, ascending, `categories` likewise category ids as text; `image` and `category`
    [N] are the indices of each annotation. `rows` are the annotations themselves, `name` names their file in messages.
    """

    images: dict[int, int]
    categories: dict[str, int]
    image: np.ndarray
    category: np.ndarray
    rows: list[dict]
    name: str


@dataclass(frozen=True)
class Detections:
    """The results, as in `GroundTruth`, with `score` [N].

    `places` [N] are the row numbers in the file: results of other categories are ignored.
    """

    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    rows: list[dict]
    name: str
    places: np.ndarray

    def numbers(self, key: str, count: int) -> np.ndarray:
        """`key` of every row as [N, count]; ValueError names the first that is not finite."""
        return numbers(self.rows, key, count, self.name, self.places)


def read_ground_truth(source: Source) -> GroundTruth:
    """Annotations of a COCO file; if it lists no categories, those that it uses.

    ValueError names file and annotation where an image, an id or a category is missing.
    """
    content, name = _load(source, "ground truth")
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f"{name} is not a COCO ground truth: it has no list `{key}`")
    ids = [_whole(image, "id", f"{name}, images[{i}]") for i, image in enumerate(content["images"])]
    images = {id: place for place, id in enumerate(sorted(set(ids)))}
    rows, where = content["annotations"], f"{name}, annotations"
    used = {str(row.get("category_id")) for row in rows if isinstance(row, dict)}
    entries = content.get("categories") or []
    listed = {str(entry.get("id")) for entry in entries if isinstance(entry, dict)}
    categories = {id: place for place, id in enumerate(sorted(listed or used))}
    image = _images(rows, images, where)
    for i, row in enumerate(rows):
        if str(row.get("category_id")) not in categories:
            raise ValueError(f"{where}[{i}]: no category {row.get('category_id')!r} in the file")
    category = np.array([categories[str(row.get("category_id"))] for row in rows], dtype=int)
    return GroundTruth(images, categories, image, category, rows, where)


def read_detections(source: Source, ground_truth: GroundTruth) -> Detections:
    """COCO results for the images of the ground truth; results of other categories are ignored, as COCO does.

    ValueError names file and result where the image is unknown or the score is not a finite number.
    """
    rows, name = _load(source, "detections")
    if not isinstance(rows, list):
        raise ValueError(f"{name} is not a list of COCO results, each with image_id and score")
    image, score = _images(rows, ground_truth.images, name), numbers(rows, "score", 1, name)[:, 0]
    kinds = [ground_truth.categories.get(str(row.get("category_id")), -1) for row in rows]
    category = np.array(kinds, dtype=int)
    known = np.flatnonzero(category >= 0)
    if len(rows) and not len(known):
        found = rows[0].get("category_id")
        raise ValueError(f"{name}: no result has a category of the ground truth, the first has {found!r}")
    kept = [rows[i] for i in known]
    return Detections(image[known], category[known], score[known], kept, name, known)


def numbers(rows: list[dict], key: str, count: int, where: str, places: Sequence[int] | None = None) -> np.ndarray:
    """`key` of every row as [N, count]; ValueError names the first that is not finite numbers.

    Rows are named by their number in the file, `places`, or else by that among `rows`.
    """
    try:
        array = np.array([row[key] for row in rows], dtype=np.float64).reshape(len(rows), count)
        if np.isfinite(array).all():
            return array
    except (KeyError, TypeError, ValueError):
        pass
    for i, row in zip(range(len(rows)) if places is None else places, rows, strict=True):
        if key not in row:
            raise ValueError(f"{where}[{i}] has no `{key}`")
        values = np.array(row[key], dtype=object).ravel()
        if len(values) != count:
            raise ValueError(f"{where}[{i}]: `{key}` holds {len(values)} numbers, not {count}")
        try:
            finite = np.isfinite(values.astype(np.float64)).all()
        except (TypeError, ValueError):
            finite = False
        if not finite:
            raise ValueError(f"{where}[{i}]: `{key}` must be finite numbers, not {row[key]}")
    return np.array([np.ravel(row[key]) for row in rows], dtype=np.float64)


def _load(source: Source, name: str) -> tuple[dict | list, str]:
    if not isinstance(source, str | Path):
        return source, name
    try:
        return json.loads(Path(source).read_text(encoding="utf-8")), str(source)
    except FileNotFoundError:
        raise ValueError(f"{source} is missing: give the JSON file of the {name}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{source} cannot be read as JSON: {error}") from None


def _images(rows: list, images: dict[int, int], where: str) -> np.ndarray:
    """Index of each row's image among `images`."""
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"{where}[{i}] is not an object with image_id but {row!r:.40}")
        id = row.get("image_id")
        if not isinstance(id, int | float) or id not in images:
            raise ValueError(f"{where}[{i}]: the ground truth has no image {id!r}")
    return np.array([images[row["image_id"]] for row in rows], dtype=int)


def _whole(row: dict, key: str, where: str) -> int:
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, int):
        raise ValueError(f"{where}: `{key}` must be a whole number, not {value!r}")
    return value
