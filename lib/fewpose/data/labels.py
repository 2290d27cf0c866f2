"""Frames with soft and hard labels of all people, to train a student on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fewpose.data.coco_file import check_repeated, id_of, load_coco, size_of
from fewpose.data.multi_person import check_people
from fewpose.skeleton import COCO, Skeleton

_PARTS = ("hard", "soft", "hard3d", "soft3d")
_KEYS = ("keypoints", "keypoints_soft", "keypoints3d", "keypoints3d_soft")


@dataclass
class LabelledPeople:
    """Frames with any number P of people each, labelled twice.

    frames  [N, 3, H, W] uint8 RGB, or a sequence of such frames [3, H, W] of any sizes
    boxes   of each frame [P, 4]: x0, y0, x1, y1 in pixels from the frame's edge
    hard    of each frame [P, K, 3]: x, y in pixels (the centre of the top-left pixel is (0, 0)) and
            visibility, 0 where the teacher was not confident
    soft    of each frame [P, K, 3]: x, y and confidence, 0 … 1
    hard3d, soft3d  of each frame [P, K, 3]: millimetres in the axes of the camera, lifted from
            hard and soft; all 0 for a person without
    use     [M] indices of the frames to train on

    ValueError naming the frame if the parts disagree or a number is not finite.
    """

    frames: Sequence[Tensor] | Tensor
    boxes: list[Tensor]
    hard: list[Tensor]
    soft: list[Tensor]
    hard3d: list[Tensor]
    soft3d: list[Tensor]
    use: Tensor
    skeleton: Skeleton = COCO
    name: str = "labels"

    def __post_init__(self) -> None:
        n, k = len(self.frames), len(self.skeleton)
        for part in ("boxes", *_PARTS):
            if len(getattr(self, part)) != n:
                raise ValueError(f"{self.name}: {part} must have one entry for each of {n} frames")
        for i in range(n):
            people = len(self.boxes[i])
            for part in ("boxes", *_PARTS):
                shape = (people, 4) if part == "boxes" else (people, k, 3)
                check_people(self.name, part, i, getattr(self, part)[i], shape)

    def __len__(self) -> int:
        return len(self.use)


def ground_truth_labels(
    frames: Tensor,
    boxes: list[Tensor],
    keypoints: list[Tensor],
    points: list[Tensor],
    skeleton: Skeleton,
    name: str,
    which: Sequence[int] | None = None,
) -> LabelledPeople:
    """Ground truth in place of a teacher's labels: hard and soft are the same, with full confidence.

    Parts as in `PeopleData`; `which` are the frames to train on, by default all.
    """
    use = torch.as_tensor(range(len(frames)) if which is None else which, dtype=torch.long)
    soft = []
    for people in keypoints:
        confidence = (people[..., 2:] > 0).to(people.dtype)
        soft.append(torch.cat([people[..., :2], confidence], -1))
    return LabelledPeople(frames, boxes, keypoints, soft, points, points, use, skeleton, name)


def read_labels(path: str | Path, frames: Sequence[Tensor] | Tensor, skeleton: Skeleton = COCO) -> LabelledPeople:
    """The labels that `label_files.write_labels` wrote for these frames, in the same order.

    `use` excludes broken frames and those without people: a teacher that finds nobody may be wrong, and the student
    would learn people as background. ValueError names file and annotation of what is missing, malformed or there
    twice, and says if the file is of another skeleton or of frames of another size.
    """
    path = Path(path)
    try:
        content = load_coco(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a readable file of labels ({error})") from error
    images, annotations = content["images"], content["annotations"]
    if len(images) != len(frames):
        raise ValueError(f"{path} labels {len(images)} frames, there are {len(frames)}")
    names = [category.get("keypoints") for category in content["categories"]]
    if list(skeleton.keypoints) not in names:
        raise ValueError(f"{path} labels other keypoints than those of the skeleton {skeleton.name}: {names}")
    for key in ("images", "annotations"):
        check_repeated(content[key], key, path)
    index = {id_of(image.get("id"), f"{path}: the id of an image"): i for i, image in enumerate(images)}
    if isinstance(frames, Tensor):
        check_frame_sizes(images, tuple(frames.shape[-2:]), path)
    rows: list[list[dict]] = [[] for _ in images]
    for annotation in annotations:
        where = f"{path}, annotation {annotation.get('id', '?')}"
        image = id_of(annotation.get("image_id"), f"{where}: image_id")
        if image not in index:
            raise ValueError(f"{where}: there is no image {annotation.get('image_id')!r}")
        rows[index[image]].append(_parts(annotation, where, len(skeleton)))
    parts = {
        part: [
            torch.tensor(np.array([row[part] for row in group]), dtype=torch.float32).reshape(-1, *shape)
            for group in rows
        ]
        for part, shape in (("boxes", (4,)), *((part, (len(skeleton), 3)) for part in _PARTS))
    }
    use = [i for i, group in enumerate(rows) if group and not images[i].get("broken")]
    return LabelledPeople(frames, **parts, use=torch.tensor(use, dtype=torch.long), skeleton=skeleton, name=path.name)


def check_frame_sizes(images: list[dict], size: tuple[int, int], path: Path) -> None:
    """ValueError if an image was labelled at another size (height, width)."""
    for image in images:
        labelled = size_of(image, f"{path}: the image {image.get('id')}")
        if labelled not in (None, size):
            raise ValueError(
                f"{path}: the image {image.get('id')} was labelled with {labelled[1]}x{labelled[0]} pixels, the frames "
                f"have {size[1]}x{size[0]}: use the frames that were labelled"
            )


def _parts(annotation: dict, where: str, k: int) -> dict[str, np.ndarray]:
    parts = {}
    for part, key, n in (("boxes", "bbox", 4), *zip(_PARTS, _KEYS, [3 * k] * 4, strict=True)):
        try:
            value = np.asarray(annotation[key], dtype=np.float64)
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{where}: {key} is missing or not numbers") from None
        if value.shape != (n,) or not np.isfinite(value).all():
            raise ValueError(f"{where}: {key} must be {n} finite numbers")
        parts[part] = value if part == "boxes" else value.reshape(k, 3)
    x, y, width, height = parts["boxes"]
    if width <= 0 or height <= 0:
        raise ValueError(f"{where}: bbox {annotation['bbox']} is empty")
    parts["boxes"] = np.array([x, y, x + width, y + height])
    parts["soft"][:, 2] = parts["soft"][:, 2].clip(0, 1)
    return parts
