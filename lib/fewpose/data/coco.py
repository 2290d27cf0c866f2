"""Any COCO keypoint file with its images: own labels, COCO itself, an exported world."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch

from .. import skeleton as skeletons
from ..skeleton import Skeleton
from . import PoseData
from .images import drop_outside, read_image, to_frames, warn, warn_skipped

MARGIN = 1.25  # the crop is this much larger than the person's box, as usual for COCO


def read_coco(
    annotations: str | Path, images: str | Path, size: tuple[int, int] = (256, 192),
    split: str = "train", whole: bool = False,
) -> PoseData:
    """One frame of `size` (H, W) a labelled person: its box, a quarter larger, black outside.
    `whole` takes the whole image instead, as for videos in which nobody is labelled.

    Every annotation with a labelled keypoint is read, except crowds; where annotations say `main`,
    only the main person. An annotation without box gets that of its keypoints. Poses are in pixels
    of the crops, visibility as COCO defines it; keypoints in the file count from the centre of the
    top-left pixel. `video` is the image's `video_id` or else its file, its own `split` goes before
    the one given. The skeleton is that of the file's first category (`read_skeleton`).

    Broken images are named in a warning and left out, labels outside their image ignored. A
    ValueError names the file and the annotation that is malformed.
    """
    path, folder = Path(annotations), Path(images)
    content = load_coco(path)
    skeleton = read_skeleton(content, path)
    by_id = {image["id"]: image for image in content["images"]}
    people = _people(content["annotations"], len(skeleton), by_id, path)

    crops, poses, video, splits, skipped = [], [], [], [], {}
    for image_id, group in people.items():
        entry = by_id[image_id]
        image = read_image(folder / entry["file_name"])
        if image is None:
            skipped[entry["file_name"]] = len(group)
            continue
        for keypoints, box in group:
            if whole:
                box = np.array([0, 0, image.shape[1], image.shape[0]])
            matrix = crop_map(box, size, 1 if whole else MARGIN)
            crops.append(cv2.warpAffine(image, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR))
            poses.append((keypoints, matrix, image.shape[:2]))
            video.append(str(entry.get("video_id", entry["file_name"])))
            splits.append(entry.get("split", split))
    if not crops:
        raise ValueError(f"{path}: no labelled person with a readable image in {folder}")
    warn_skipped(path.name, "images missing or broken,", skipped)

    stacked = np.stack([keypoints for keypoints, _, _ in poses])
    drop_outside(stacked, np.array([size for _, _, size in poses]), path.name)
    for pose, (_, matrix, _) in zip(stacked, poses, strict=True):
        pose[:, :2] = pose[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        pose[pose[:, 2] == 0] = 0
    return PoseData(
        to_frames(crops), torch.from_numpy(stacked).float(), skeleton, np.array(video),
        np.array(splits), path.stem,
    )


def read_skeleton(content: dict, path: Path) -> Skeleton:
    """The skeleton of `categories[0]`: one of ours if the keypoint names are the same.

    Another one takes its limbs from the file (pairs counted from 1) and 0.08 for every OKS sigma.
    Names are put into lower case with underscores. ValueError for a side without its partner.
    """
    category = content["categories"][0]
    names = tuple(
        str(name).strip().lower().replace(" ", "_").replace("-", "_")
        for name in category["keypoints"]
    )
    for known in (skeletons.COCO, skeletons.JUMP, skeletons.LSP, skeletons.HALPE, skeletons.MVOR):
        if known.keypoints == names:
            return known
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"{path}: categories[0].keypoints must be names, each once")
    if not any(name.startswith("left_") for name in names):
        warn(f"{path.name}: no keypoint is named left_… and right_…, mirrored views swap no sides")
    try:
        limbs = tuple(
            (names[a - 1], names[b - 1]) for a, b in category.get("skeleton", []) if min(a, b) > 0
        )
    except (IndexError, TypeError, ValueError):
        message = f"{path}: categories[0].skeleton must be pairs of 1 … {len(names)}"
        raise ValueError(message) from None
    try:
        return Skeleton(str(category.get("name", path.stem)), names, limbs, (0.08,) * len(names))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def crop_map(box: np.ndarray, size: tuple[int, int], margin: float = MARGIN) -> np.ndarray:
    """Map [2, 3] from pixels of the image to those of the crop of `size` (H, W) around a box.

    The box (x, y, width, height) is centred, its longer side relative to the crop fills 1 / margin.
    """
    x, y, width, height = box
    scale = min(size[1] / width, size[0] / height) / margin
    # A box spans pixel edges, its centre in centre-based pixels is half a pixel less.
    centre = np.array([x + width / 2 - 0.5, y + height / 2 - 0.5])
    offset = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2]) - scale * centre
    return np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])


def load_coco(path: Path) -> dict:
    """The content of a COCO keypoint file; ValueError naming it if it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: give a COCO keypoint file") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f"{path} is no COCO file: it has no list `{key}`")
    if not content["categories"] or not content["categories"][0].get("keypoints"):
        raise ValueError(f"{path}: its first category names no keypoints")
    for image in content["images"]:
        if "id" not in image or "file_name" not in image:
            raise ValueError(f"{path}: an image has no id or no file_name: {image}")
    return content


def _people(annotations: list, count: int, by_id: dict, path: Path) -> dict[int, list]:
    """Keypoints [K, 3] and box of each person to read, by image."""
    only_main = any("main" in annotation for annotation in annotations)
    people: dict[int, list] = {}
    for annotation in annotations:
        where = f"{path}, annotation {annotation.get('id', '?')}"
        values = np.array(annotation.get("keypoints", []), dtype=object).ravel()
        if len(values) != 3 * count:
            raise ValueError(f"{where}: {len(values)} numbers, {count} keypoints need {3 * count}")
        try:
            keypoints = values.astype(np.float64).reshape(count, 3)
        except (TypeError, ValueError):
            raise ValueError(f"{where}: keypoints must be numbers") from None
        labelled = keypoints[:, 2] > 0
        if not np.isfinite(keypoints[:, 2]).all() or not np.isfinite(keypoints[labelled]).all():
            raise ValueError(f"{where}: a keypoint is not a finite number")
        if annotation.get("image_id") not in by_id:
            raise ValueError(f"{where}: there is no image {annotation.get('image_id')!r}")
        if annotation.get("iscrowd") or not labelled.any():
            continue
        if only_main and not annotation.get("main"):
            continue
        keypoints[:, 2] = np.clip(keypoints[:, 2], 0, 2)
        box = _box(annotation, keypoints[labelled, :2], where)
        people.setdefault(annotation["image_id"], []).append((keypoints, box))
    return people


def _box(annotation: dict, points: np.ndarray, where: str) -> np.ndarray:
    box = annotation.get("bbox")
    if box is None:
        low, high = points.min(0) - 0.5, points.max(0) + 0.5
        return np.concatenate([low, high - low])
    box = np.array(box, dtype=np.float64) if np.shape(box) == (4,) else np.zeros(4)
    if not np.isfinite(box).all() or box[2] <= 0 or box[3] <= 0:
        raise ValueError(f"{where}: bbox must be x, y, width, height of a box that is not empty")
    return box
