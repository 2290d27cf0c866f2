"""Any COCO keypoint file with its images: custom labels, COCO itself, an exported world."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from fewpose import skeleton as skeletons
from fewpose.crops import MARGIN, crop_maps, cut_crops
from fewpose.data.images import drop_outside, read_image, warn, warn_skipped
from fewpose.data.pose_data import PoseData
from fewpose.data.video import VIDEOS
from fewpose.skeleton import Skeleton


def read_coco(
    annotations: str | Path,
    images: str | Path,
    size: tuple[int, int] = (256, 192),
    split: str = "train",
    whole: bool = False,
) -> PoseData:
    """One frame of `size` (H, W) for each labelled person: the box, a quarter larger, black outside.

    `whole` takes the whole image instead. All annotations with a labelled keypoint are read, of the first category
    that names keypoints (`read_skeleton`), except crowds; if any has the key `main`, only those where it is true. An
    annotation without a box, or with an empty one, gets that of its keypoints. Poses are in pixels of the crops,
    visibility as COCO defines it; in the file (0, 0) is the centre of the top-left pixel. `video` is the image's
    `video_id` (`video_of`) or else its file name; the image's `split` overrides the argument. Image files are searched
    for in `images`, then beside the annotations.

    Broken images are named in a warning and skipped, labels outside their image ignored. ValueError names the file
    and the annotation that is malformed, or the image whose size is not the one it was labelled at.
    """
    path = Path(annotations)
    content = load_coco(path)
    skeleton = read_skeleton(content, path)
    by_id = {image["id"]: image for image in content["images"]}
    people = _people(content, len(skeleton), by_id, path)
    files = find_images({by_id[i]["file_name"] for i in people}, Path(images), path.parent)

    crops, poses, video, splits, skipped = [], [], [], [], {}
    only = torch.zeros(1, dtype=torch.long)  # one image at a time
    for image_id, group in people.items():
        entry = by_id[image_id]
        image = read_image(files[entry["file_name"]])
        if image is None:
            skipped[entry["file_name"]] = len(group)
            continue
        check_size(entry, image, path)
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
        for keypoints, box in group:
            if whole:
                box = np.array([0, 0, image.shape[1], image.shape[0]], dtype=np.float64)
            matrix = crop_maps(torch.from_numpy(box)[None], size, 1 if whole else MARGIN)
            crop = cut_crops(pixels, only, matrix.float(), size)
            crops.append(crop.round().byte())
            poses.append((keypoints, matrix[0].numpy(), image.shape[:2]))
            video.append(video_of(entry, content))
            splits.append(entry.get("split", split))
    if not crops:
        raise ValueError(f"{path}: no labelled person with a readable image in {images}")
    warn_skipped(path.name, "images missing or broken,", skipped)

    stacked = np.stack([keypoints for keypoints, _, _ in poses])
    drop_outside(stacked, np.array([size for _, _, size in poses]), path.name)
    for pose, (_, matrix, _) in zip(stacked, poses, strict=True):
        pose[:, :2] = pose[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        pose[pose[:, 2] == 0] = 0
    return PoseData(
        torch.cat(crops), torch.from_numpy(stacked).float(), skeleton, np.array(video), np.array(splits), path.stem
    )


def read_skeleton(content: dict, path: Path) -> Skeleton:
    """The skeleton of the first category with keypoints: a known one if the names are the same.

    An unknown one gets its limbs from the file (pairs counted from 1) and 0.08 for every OKS sigma. Names are converted
    to lower case with underscores. ValueError for a left or right keypoint without its partner.
    """
    category = pose_category(content)
    names = tuple(str(name).strip().lower().replace(" ", "_").replace("-", "_") for name in category["keypoints"])
    for known in (skeletons.COCO, skeletons.JUMP, skeletons.LSP, skeletons.HALPE, skeletons.MVOR):
        if known.keypoints == names:
            return known
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"{path}: a category's keypoints must be names, each once")
    if not any(name.startswith("left_") for name in names):
        warn(f"{path.name}: no keypoint is named left_… and right_…, mirrored views swap no sides")
    try:
        limbs = tuple((names[a - 1], names[b - 1]) for a, b in category.get("skeleton", []) if min(a, b) > 0)
    except (IndexError, TypeError, ValueError):
        message = f"{path}: a category's skeleton must be pairs of 1 … {len(names)}"
        raise ValueError(message) from None
    try:
        return Skeleton(str(category.get("name", path.stem)), names, limbs, (0.08,) * len(names))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def pose_category(content: dict) -> dict | None:
    """The first category that names keypoints; labelling tools may list box categories before it."""
    return next((c for c in content["categories"] if c.get("keypoints")), None)


def video_of(entry: dict, content: dict) -> str:
    """The video of an image: its name without suffix or, without a `video_id`, the image's file name.

    A `video_id` may be the name or path itself or the id of an entry in the file's `videos`.
    """
    if "video_id" not in entry:
        return entry["file_name"]
    listed = {v.get("id"): v.get("file_name", v.get("name")) for v in content.get("videos", [])}
    name = str(listed.get(entry["video_id"]) or entry["video_id"])
    file = Path(name.replace("\\", "/"))
    return file.stem if file.suffix.lower() in VIDEOS else name


def check_size(entry: dict, image: np.ndarray, path: Path) -> None:
    """ValueError if an image [H, W, 3] is not of the size in its entry, or that size transposed."""
    labelled = entry.get("height"), entry.get("width")
    if all(labelled) and labelled not in (image.shape[:2], image.shape[1::-1]):
        raise ValueError(
            f"{path}: {entry['file_name']} was labelled with {labelled[1]}x{labelled[0]} pixels and has "
            f"{image.shape[1]}x{image.shape[0]}; use the images that were labelled"
        )


def find_images(names: Iterable[str], images: Path, beside: Path) -> dict[str, Path]:
    """Paths of the image files of a COCO file: tools write names, relative paths or old folders.

    A name is looked up in `images`, then in the folder `beside` the annotations, then by its last part anywhere in
    `images`, if exactly one file has that name.
    """
    found, everywhere = {}, None
    for name in names:
        relative = name.replace("\\", "/")
        found[name] = images / relative
        if found[name].is_file():
            continue
        if (beside / relative).is_file():
            found[name] = beside / relative
            continue
        everywhere = everywhere or sorted(images.rglob("*"))
        same_name = [path for path in everywhere if path.name == Path(relative).name]
        if len(same_name) == 1:
            found[name] = same_name[0]
    return found


def load_coco(path: Path) -> dict:
    """The content of a COCO keypoint file, keys whose value is null removed.

    ValueError naming the file if it is not one, or if two images share an id.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_hook=_without_null)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: give a COCO keypoint file") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f"{path} is not a COCO file: it has no list `{key}`")
    if not pose_category(content):
        raise ValueError(f"{path}: no category names keypoints")
    ids = set()
    for image in content["images"]:
        if "id" not in image or "file_name" not in image:
            raise ValueError(f"{path}: an image has no id or no file_name: {image}")
        if image["id"] in ids:
            raise ValueError(
                f"{path}: two images have the id {image['id']!r}, the second is "
                f"{image['file_name']}; renumber `images`, and `image_id` of their annotations"
            )
        ids.add(image["id"])
    return content


def _without_null(entry: dict) -> dict:
    """Some tools write null where others omit the key."""
    return {key: value for key, value in entry.items() if value is not None}


def _people(content: dict, count: int, by_id: dict, path: Path) -> dict[int, list]:
    """Keypoints [K, 3] and box of each person to read, by image id."""
    annotations, category = content["annotations"], pose_category(content)
    only_main = any("main" in annotation for annotation in annotations)
    people: dict[int, list] = {}
    others = 0
    for annotation in annotations:
        where = f"{path}, annotation {annotation.get('id', '?')}"
        if not annotation.get("keypoints"):  # a box or an outline
            continue
        expected = category.get("id")
        if expected is not None and annotation.get("category_id", expected) != expected:
            others += 1
            continue
        values = np.array(annotation["keypoints"], dtype=object).ravel()
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
    if others:
        warn(f"{path.name}: {others} poses of other categories than {category.get('name')!r} are skipped")
    return people


def _box(annotation: dict, points: np.ndarray, where: str) -> np.ndarray:
    """Corners of the annotation's bbox; where tools left it out or empty, of its keypoints."""
    try:
        box = np.array(annotation.get("bbox") or [0, 0, 0, 0], dtype=np.float64)
    except (TypeError, ValueError):
        box = np.array([np.nan])
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] < 0).any():
        raise ValueError(f"{where}: bbox must be four numbers: x, y, width, height")
    if box[2:].all():
        return np.concatenate([box[:2], box[:2] + box[2:]])
    return np.concatenate([points.min(0) - 0.5, points.max(0) + 0.5])
