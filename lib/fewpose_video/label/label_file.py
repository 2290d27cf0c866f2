"""`annotations.json`: the labels of a folder of frames, as COCO keypoints, written at every change.

Beside what COCO has, an image entry holds `video_id`, the number of its `frame` and the points that a network has
`suggested`, an annotation the keypoints that are `absent`. Only what a person has labelled is in `keypoints`. All else
that is in the file stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fewpose.data.coco_file import listed_videos, load_coco, pose_category, read_skeleton, video_of
from fewpose.data.keypoint_names import plain_name
from fewpose.disk import lock, write_text
from fewpose.skeleton import Skeleton

NAME = "annotations.json"


class ChangedElsewhere(ValueError):
    """Labels that somebody else has changed since they were read."""


@dataclass(frozen=True)
class LabelledFrame:
    """One frame and its labels.

    file       name of its image in images/
    size       H, W in pixels
    video      name of its video, the file's name if there is none
    number     of the frame in the video, -1 if unknown
    keypoints  [K, 3] x, y in pixels from the centre of the top-left one, and COCO's visibility: 0 not labelled,
               1 occluded, 2 visible
    absent     [K] keypoints that are not in the frame
    suggested  [S, 3] x, y and score of what a network predicted, S = K or 0; score 0 where it predicted nothing
    """

    file: str
    size: tuple[int, int]
    video: str
    number: int
    keypoints: np.ndarray
    absent: np.ndarray
    suggested: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))

    @property
    def done(self) -> bool:
        """Whether each keypoint is labelled or absent."""
        return bool(((self.keypoints[:, 2] > 0) | self.absent).all())

    @property
    def started(self) -> bool:
        """Whether a keypoint is labelled or absent."""
        return bool(((self.keypoints[:, 2] > 0) | self.absent).any())


def open_labels(folder: str | Path, skeleton: Skeleton) -> Path:
    """The file of a folder, made if it is not there.

    ValueError if the file that is there has other keypoints.
    """
    path = Path(folder) / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if not path.exists():
            write(path, {"images": [], "annotations": [], "categories": [category_of(skeleton)]})
            return path
        content = load_coco(path)
        written, wanted = pose_category(content, path), category_of(skeleton)
        there = tuple(map(plain_name, written["keypoints"]))
        if there != tuple(map(plain_name, skeleton.keypoints)):
            raise ValueError(
                f"{path} has the keypoints {', '.join(there)}; choose this skeleton, or label into another folder"
            )
        if any(written.get(key) != wanted.get(key) for key in ("skeleton", "flip_pairs", "pck_reference")):
            for key in ("skeleton", "flip_pairs", "pck_reference"):
                written.pop(key, None)
                written |= {key: wanted[key]} if key in wanted else {}
            write(path, content)
    return path


def category_of(skeleton: Skeleton) -> dict:
    """COCO's category of a skeleton, with its mirror partners and reference length."""
    category = {
        "id": 1,
        "name": skeleton.name,
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limb_index],
        "flip_pairs": [[skeleton.keypoints[a], skeleton.keypoints[b]] for a, b in skeleton.pair_index],
    }
    reference = skeleton.reference
    if reference is not None:
        category["pck_reference"] = list(reference) if isinstance(reference, tuple) else reference
    return category


def add_frames(path: Path, frames: Iterable[LabelledFrame]) -> None:
    """Add image entries for frames that have none, with what was suggested; their labels stay out."""
    with locked(path):
        content = load_coco(path)
        known = {entry["file_name"] for entry in content["images"]}
        free = next_id(content["images"])
        new = [frame for frame in frames if frame.file not in known]
        for number, frame in enumerate(new, start=free):
            height, width = frame.size
            entry = {"id": number, "file_name": frame.file, "width": width, "height": height}
            if frame.number >= 0:
                entry |= {"video_id": frame.video, "frame": frame.number}
            if len(frame.suggested):
                entry["suggested"] = [round(float(value), 2) for value in frame.suggested.ravel()]
            content["images"].append(entry)
        if new:
            write(path, content)


def read_frames(path: Path) -> list[LabelledFrame]:
    """All frames of a file with their labels, in the order of the file; errors of `load_coco`.

    Of several annotations of an image, the first is read (`checks.find_doubles` names them).
    """
    content = load_coco(path)
    category, listed = pose_category(content, path), listed_videos(content, path)
    names = [str(name) for name in category["keypoints"]]
    by_image: dict = {}
    for annotation in poses_in(content, category):
        by_image.setdefault(annotation["image_id"], annotation)
    return [
        frame_of(entry, by_image.get(entry["id"]), names, video_of(entry, listed, str(path)))
        for entry in content["images"]
    ]


def frame_of(entry: dict, annotation: dict | None, names: list[str], video: str | None) -> LabelledFrame:
    """The frame of an image entry and its annotation."""
    annotation = annotation or {}
    keypoints = np.array(annotation.get("keypoints") or [0] * 3 * len(names), float).reshape(len(names), 3)
    keypoints[keypoints[:, 2] <= 0] = 0
    absent = np.isin(names, annotation.get("absent", [])) & (keypoints[:, 2] == 0)
    suggested = np.array(entry.get("suggested") or [], float).reshape(-1, 3)
    size = entry.get("height", 0), entry.get("width", 0)
    number = entry.get("frame", -1)
    return LabelledFrame(entry["file_name"], size, video or entry["file_name"], number, keypoints, absent, suggested)


def save_frame(path: Path, frame: LabelledFrame, before: LabelledFrame) -> None:
    """Write the labels of one frame into the file, which is read anew.

    `before` is the frame as it was read: if the file has other labels by now, ChangedElsewhere is raised and nothing is
    written. ValueError if the frame is no longer in the file.
    """
    with locked(path):
        content = load_coco(path)
        category = pose_category(content, path)
        names = [str(name) for name in category["keypoints"]]
        entry = next((entry for entry in content["images"] if entry["file_name"] == frame.file), None)
        if entry is None:
            raise ValueError(f"{path} has no image {frame.file} any more")
        old = next((a for a in poses_in(content, category) if a["image_id"] == entry["id"]), None)
        if not same_labels(frame_of(entry, old, names, frame.video), before):
            raise ChangedElsewhere(f"{frame.file} was labelled elsewhere meanwhile")
        if not frame.started:
            content["annotations"] = [a for a in content["annotations"] if a is not old]
        elif old is None:
            new = {"id": next_id(content["annotations"]), "image_id": entry["id"]}
            new["category_id"] = category.get("id", 1)
            content["annotations"].append(new | annotation_of(frame, names))
        else:
            old.pop("absent", None)
            old |= annotation_of(frame, names)
        write(path, content)


def annotation_of(frame: LabelledFrame, names: list[str]) -> dict:
    """What the annotation of a frame says of its labels."""
    labelled = frame.keypoints[:, 2] > 0
    keypoints = np.where(labelled[:, None], frame.keypoints, 0)
    found = {"keypoints": plain_numbers(keypoints), "num_keypoints": int(labelled.sum()), "iscrowd": 0}
    x0, y0, x1, y1 = box_of(frame)
    found |= {"bbox": plain_numbers(np.array([x0, y0, x1 - x0, y1 - y0])), "area": round((x1 - x0) * (y1 - y0), 2)}
    if frame.absent.any():
        found["absent"] = [name for name, absent in zip(names, frame.absent, strict=True) if absent]
    return found


def box_of(frame: LabelledFrame) -> tuple[float, float, float, float]:
    """Corners of the box around the labelled keypoints, half a pixel larger, all 0 without any."""
    points = frame.keypoints[frame.keypoints[:, 2] > 0, :2]
    if not len(points):
        return 0.0, 0.0, 0.0, 0.0
    low, high = points.min(0) - 0.5, points.max(0) + 0.5
    return (*map(float, low), *map(float, high))


def plain_numbers(values: np.ndarray) -> list[float]:
    """Values in one list, to a hundredth, whole ones without a point."""
    rounded = [round(float(value), 2) for value in values.ravel()]
    return [int(value) if value == int(value) else value for value in rounded]


def same_labels(a: LabelledFrame, b: LabelledFrame) -> bool:
    """Whether two frames have the same labels to a hundredth of a pixel."""
    return np.allclose(a.keypoints, b.keypoints, atol=0.006) and np.array_equal(a.absent, b.absent)


def poses_in(content: dict, category: dict) -> list[dict]:
    """The annotations with keypoints of the category that is labelled."""
    wanted = category.get("id")
    return [a for a in content["annotations"] if a.get("keypoints") and a.get("category_id", wanted) == wanted]


def skeleton_of(path: Path) -> Skeleton:
    """The skeleton of a file, with the names as they are written there."""
    content = load_coco(path)
    category, skeleton = pose_category(content, path), read_skeleton(content, path)
    written = dict(zip(skeleton.keypoints, map(str, category["keypoints"]), strict=True))
    rename = lambda pairs: tuple((written[a], written[b]) for a, b in pairs)  # noqa: E731
    names, reference = tuple(written[name] for name in skeleton.keypoints), skeleton.reference
    pairs = rename((skeleton.keypoints[a], skeleton.keypoints[b]) for a, b in skeleton.pair_index)
    reference = rename([reference])[0] if isinstance(reference, tuple) else reference
    return Skeleton(skeleton.name, names, rename(skeleton.limbs), skeleton.sigmas, pairs, reference)


def next_id(entries: list[dict]) -> int:
    """A whole number above all ids."""
    return 1 + max((entry["id"] for entry in entries if isinstance(entry.get("id"), int)), default=0)


def locked(path: Path) -> AbstractContextManager[None]:
    """The lock that writers of a file take."""
    return lock(path.with_name(f".{path.name}.lock"))


def write(path: Path, content: dict) -> None:
    """Replace the file at once: a reader sees the old one or the new one."""
    write_text(path, json.dumps(content, ensure_ascii=False), sync=True)
