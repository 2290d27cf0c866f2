"""Frames with the boxes of all people in them, for detectors; from any COCO file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fewpose.data.coco import load_coco
from fewpose.data.images import letterbox, letterbox_map, read_image, to_frames, warn_skipped
from fewpose.data.pose_data import chosen


@dataclass
class BoxData:
    """Frames with any number P of people each.

    frames  [N, 3, H, W] uint8 RGB, possibly memory-mapped
    boxes   of each frame [P, 4] float32: x0, y0, x1, y1 in pixels from the frame's edge
    split   [N] 'train', 'val' or 'test'

    ValueError if the parts disagree or a box is not finite or empty.
    """

    frames: Tensor
    boxes: list[Tensor]
    split: np.ndarray
    name: str = "boxes"

    def __post_init__(self) -> None:
        if not len(self.frames) == len(self.boxes) == len(self.split):
            raise ValueError(
                f"{self.name}: {len(self.boxes)} lists of boxes and {len(self.split)} splits for "
                f"{len(self.frames)} frames"
            )
        for i, boxes in enumerate(self.boxes):
            sides = boxes[:, 2:] - boxes[:, :2] if boxes.ndim == 2 else None
            if sides is None or boxes.shape[1] != 4 or not torch.isfinite(boxes).all():
                raise ValueError(f"{self.name}: boxes of frame {i} must be finite, [P, 4]")
            if (sides <= 0).any():
                raise ValueError(f"{self.name}: frame {i} has a box without width or height")

    def __len__(self) -> int:
        return len(self.frames)

    def subset(self, which: np.ndarray | Tensor | str) -> BoxData:
        """The frames at the given indices, of a boolean mask, or of the named split."""
        index = chosen(which, self.split)
        t = torch.as_tensor(index, dtype=torch.long)
        boxes = [self.boxes[i] for i in index]
        return replace(self, frames=self.frames[t], boxes=boxes, split=self.split[index])


def read_boxes(annotations: str | Path, images: str | Path, size: tuple[int, int], split: str = "train") -> BoxData:
    """All images of a COCO file in frames of `size` (H, W), black around them, with their boxes.

    Images with crowds are left out: a detector would learn that these are nobody. Images without people stay. An
    image's own `split` goes before the one given. Broken images are named in a warning and left out; ValueError names
    file and annotation of a malformed box.
    """
    path = Path(annotations)
    content = load_coco(path)
    people = boxes_by_image(content, path)
    frames, boxes, splits, skipped = [], [], [], []
    for entry in content["images"]:
        if people.get(entry["id"], []) is None:
            continue
        image = read_image(Path(images) / entry["file_name"])
        if image is None:
            skipped.append(entry["file_name"])
            continue
        frames.append(letterbox(image, size))
        matrix = letterbox_map(image.shape[:2], size)
        own = torch.tensor(people.get(entry["id"], []), dtype=torch.float32).reshape(-1, 4)
        scale, offset = matrix[[0, 1], [0, 1]].repeat(2), matrix[:, 2].repeat(2)
        boxes.append((own - 0.5) * scale + offset + 0.5)
        splits.append(entry.get("split", split))
    if not frames:
        raise ValueError(f"{path}: no readable image without crowds in {images}")
    warn_skipped(path.name, "images missing or broken,", skipped)
    return BoxData(to_frames(frames), boxes, np.array(splits), path.stem)


def boxes_by_image(content: dict, path: Path) -> dict[int, list | None]:
    """Corners of the boxes of each image's people by its id; None where there is a crowd."""
    known = {image["id"] for image in content["images"]}
    people: dict[int, list | None] = {}
    for annotation in content["annotations"]:
        where = f"{path}, annotation {annotation.get('id', '?')}"
        image = annotation.get("image_id")
        if image not in known:
            raise ValueError(f"{where}: there is no image {image!r}")
        try:
            x, y, width, height = map(float, annotation.get("bbox") or ())
        except (TypeError, ValueError):
            raise ValueError(f"{where}: bbox must be x, y, width, height") from None
        if not np.isfinite([x, y, width, height]).all() or width <= 0 or height <= 0:
            raise ValueError(f"{where}: bbox {annotation['bbox']} is empty or not finite")
        if annotation.get("iscrowd"):
            people[image] = None
        elif people.setdefault(image, []) is not None:
            people[image].append([x, y, x + width, y + height])
    return people
