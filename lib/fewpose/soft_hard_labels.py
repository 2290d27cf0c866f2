"""Soft and hard labels of unlabelled frames by the teacher: Srivastav et al., section 2.2.

Hard labels are the keypoints that the teacher is sure of, soft labels all of them with its confidence; both go into
one COCO file, with the 3D that is lifted from each.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from fewpose.data.images import read_image, warn_skipped
from fewpose.models.teacher.paper.detector_training import partners
from fewpose.models.teacher.three_stages import People, Teacher, find_all, lift
from fewpose.skeleton import Skeleton

NEAR = 0.1  # of the longer side of a person's box: so near a keypoint is right
GRID = tuple(round(0.05 * i, 2) for i in range(1, 20))  # thresholds that are tried


@dataclass(frozen=True)
class Thresholds:
    """From which score on a person is labelled, and from which confidence on a hard keypoint.

    `box_f1` and `keypoint_f1` in % are what they reached on the validation set `chosen_on`.
    """

    box: float
    keypoint: float
    box_f1: float = float("nan")
    keypoint_f1: float = float("nan")
    chosen_on: str = ""


class Labelled(Protocol):
    """Frames with everybody's boxes and keypoints, as in `data.people.PeopleData`."""

    name: str
    frames: Tensor
    boxes: list[Tensor]
    keypoints: list[Tensor]
    skeleton: Skeleton


def choose_thresholds(teacher: Teacher, validation: Labelled, near: float = NEAR, batch: int = 8) -> Thresholds:
    """The thresholds of highest F1 on labelled frames.

    A box is right that overlaps a person nobody before it found by half. Of the people found whose keypoints are
    labelled, a keypoint is right within `near` of the longer side of the true box; one that is kept though no
    annotator marked it is wrong, one that is labelled and not kept is missed. ValueError without people.
    """
    if not any(len(boxes) for boxes in validation.boxes):
        raise ValueError(f"{validation.name}: thresholds need people to be chosen on")
    found = find_all(teacher, validation.frames, batch)
    everybody = sum(len(boxes) for boxes in validation.boxes)
    scores = torch.cat([people.scores for people in found])
    rows = [partners(p.boxes, b) for p, b in zip(found, validation.boxes, strict=True)]
    box, box_f1 = best_threshold(scores, torch.cat(rows) >= 0, everybody)
    confidence, right, labels = [], [], 0
    for people, row, boxes, truth in zip(found, rows, validation.boxes, validation.keypoints, strict=True):
        posed = torch.cat([(truth[..., 2] > 0).any(1), torch.tensor([False])])  # row −1: nobody
        kept = (people.scores >= box) & posed[row]
        own, true = people.keypoints[kept], truth[row[kept]]
        longer = (boxes[:, 2:] - boxes[:, :2]).amax(1)[row[kept], None]
        seen = true[..., 2] > 0
        distance = (own[..., :2] - true[..., :2]).norm(dim=-1)
        confidence.append(own[..., 2].flatten())
        right.append(((distance <= near * longer) & seen).flatten())
        labels += int(seen.sum())
    keypoint, keypoint_f1 = best_threshold(torch.cat(confidence), torch.cat(right), labels)
    return Thresholds(box, keypoint, box_f1, keypoint_f1, validation.name)


def best_threshold(scores: Tensor, right: Tensor, total: int) -> tuple[float, float]:
    """The threshold of `GRID` of highest F1, and its F1 in %; the lowest of several.

    scores [M] and right [M] of what was found, of `total` that were to be found.
    """
    values = []
    for threshold in GRID:
        kept = scores >= threshold
        values.append(200 * int((right & kept).sum()) / max(1, int(kept.sum()) + total))
    best = max(range(len(GRID)), key=lambda i: values[i])
    return GRID[best], values[best]


class ImageFiles(Sequence):
    """Image files as frames [3, H, W] uint8, read when they are asked for; None if broken."""

    def __init__(self, paths: Sequence[str | Path]):
        self.paths = [Path(path) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Tensor | None:
        image = read_image(self.paths[i])
        return None if image is None else torch.from_numpy(image).permute(2, 0, 1)

    def rows(self) -> list[dict]:
        """Their rows in a COCO file."""
        return [{"id": i, "file_name": path.name} for i, path in enumerate(self.paths)]


def write_labels(
    teacher: Teacher,
    frames: Sequence[Tensor | None] | Tensor,
    out: str | Path,
    thresholds: Thresholds,
    *,
    images: list[dict] | None = None,
    batch: int = 8,
    block: int = 64,
) -> Path:
    """Label every frame and write one COCO file `out`; the frames' rows are `images` (or 0, 1, …).

    Each annotation has `bbox` (x, y, width, height, pixels from the edge), `score`, `keypoints` (hard: 2 for a sure
    one, else 0, 0, 0), `keypoints_soft` (x, y, confidence) and the 3D lifted from each, `keypoints3d` and
    `keypoints3d_soft` (millimetres in the axes of the camera, middle of the hips at 0; all 0 where no hard keypoint
    is left). An empty frame has a row and no annotation, a frame that cannot be read (None) a row that says
    `"broken": true`.

    Every `block` frames a line goes into `<out>.partial`: a call after a kill goes on behind the last whole line and
    ends with the very file of an undisturbed one. A finished file of the same teacher, thresholds, rows and pictures
    is left as it is. ValueError if rows and frames differ in number or two rows have one id.
    """
    out = Path(out)
    images = [{"id": i, "file_name": f"{i:06d}.jpg"} for i in range(len(frames))] if images is None else images
    if len(images) != len(frames) or len({row["id"] for row in images}) != len(images):
        raise ValueError(f"{out}: {len(frames)} frames need as many rows in images, each with its own id")
    teacher.eval()
    about = describe(teacher, thresholds, images, batch, block, mark_of(frames))
    if finished(out) == about:
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.partial")
    done = resume(partial, about)
    blocks = list(torch.arange(len(frames)).split(block)) if len(frames) else []
    with (
        open(partial, "ab") as file,
        tqdm(
            total=len(frames),
            initial=min(done * block, len(frames)),
            desc="soft and hard labels",
            unit="frame",
            mininterval=2,
        ) as bar,
    ):
        for index in blocks[done:]:
            rows = [
                label_rows(teacher, frame, people, thresholds)
                for frame, people in look_at(teacher, [frames[int(i)] for i in index], batch)
            ]
            file.write(json.dumps(rows).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            bar.update(len(index))
    merge(partial, out, about, images, teacher.skeleton)
    partial.unlink()
    return out


def look_at(teacher: Teacher, frames: list[Tensor | None], batch: int) -> Iterator[tuple[Tensor | None, People | None]]:
    """Each frame with the people found in it; None and None for one that could not be read."""
    found = iter(find_all(teacher, [f for f in frames if f is not None], batch))
    for frame in frames:
        yield frame, None if frame is None else next(found)


def label_rows(teacher: Teacher, frame: Tensor | None, people: People | None, thresholds: Thresholds) -> dict:
    """The labels of one frame as JSON types: its size and the people above the threshold."""
    if people is None:
        return {"broken": True}
    kept = people.scores >= thresholds.box
    soft, soft3d = people.keypoints[kept], people.keypoints3d[kept]
    sure = soft[..., 2:] >= thresholds.keypoint
    hard = torch.cat([soft[..., :2], torch.full_like(soft[..., 2:], 2)], -1) * sure
    height, width = frame.shape[-2:]
    hard3d = lift(teacher, hard, (height, width)) * sure.any(1, keepdim=True)
    rows = []
    for i, (x0, y0, x1, y1) in enumerate(people.boxes[kept].tolist()):
        rows.append(
            {
                "bbox": rounded([x0, y0, x1 - x0, y1 - y0]),
                "area": round((x1 - x0) * (y1 - y0), 2),
                "score": round(float(people.scores[kept][i]), 5),
                "keypoints": rounded(hard[i]),
                "num_keypoints": int(sure[i].sum()),
                "keypoints_soft": rounded(soft[i], 4),
                "keypoints3d": rounded(hard3d[i], 1),
                "keypoints3d_soft": rounded(soft3d[i], 1),
            }
        )
    return {"width": width, "height": height, "people": rows}


def rounded(values: Tensor | list, digits: int = 2) -> list[float]:
    """Numbers in a row as JSON has them, short enough for tens of thousands of frames."""
    return np.round(np.asarray(values, dtype=np.float64).ravel(), digits).tolist()


def mark_of(frames: Sequence[Tensor | None] | Tensor) -> int:
    """A number that tells the pictures from others; of files, the files' sizes must do."""
    if isinstance(frames, ImageFiles):
        sizes = [path.stat().st_size if path.is_file() else -1 for path in frames.paths]
        return zlib.crc32(repr(sizes).encode())
    mark = 0
    for frame in frames:
        mark = zlib.crc32(b"" if frame is None else frame.contiguous().numpy(), mark)
    return mark


def describe(
    teacher: Teacher, thresholds: Thresholds, images: list[dict], batch: int, block: int, pictures: int
) -> dict:
    """What the labels depend on, `pictures` being their `mark_of`, as the file's `info`."""
    mark = zlib.crc32(json.dumps(images).encode(), pictures)
    for stage in (teacher.detector, teacher.pose, teacher.lifter):
        for name, value in stage.state_dict().items():
            mark = zlib.crc32(value.detach().cpu().contiguous().numpy(), zlib.crc32(name.encode(), mark))
    asked = {
        "scales": teacher.scales,
        "crop_scales": teacher.crop_scales,
        "flip": teacher.flip,
        "crop": teacher.crop,
        "floor": teacher.floor,
        "most": teacher.most,
    }
    chosen = {k: None if v != v else v for k, v in asdict(thresholds).items()}  # JSON has no NaN
    about = {
        "description": "soft and hard labels of a teacher",
        "thresholds": chosen,
        "teacher": asked,
        "frames": len(images),
        "batch": batch,
        "block": block,
        "mark": f"{mark:08x}",
    }
    return json.loads(json.dumps(about))


def finished(out: Path) -> dict | None:
    """The `info` of a finished file; None if there is none or it cannot be read."""
    try:
        return json.loads(out.read_text(encoding="utf-8")).get("info")
    except (OSError, ValueError, AttributeError):
        return None


def resume(partial: Path, about: dict) -> int:
    """How many blocks a partial file of the same labels holds; what is broken of it is cut off.

    A file of other labels is begun anew.
    """
    first = json.dumps(about).encode() + b"\n"
    done, size = 0, 0
    if partial.is_file():
        with open(partial, "rb") as file:
            if file.readline() == first:
                size = file.tell()
                while file.readline().endswith(b"\n"):
                    done, size = done + 1, file.tell()
    with open(partial, "r+b" if size else "wb") as file:
        file.truncate(size)
        if not size:
            file.write(first)
    return done


def merge(partial: Path, out: Path, about: dict, images: list[dict], skeleton: Skeleton) -> None:
    """Write the COCO file of a whole partial one, a line at a time, and put it in place at once."""
    category = {
        "id": 1,
        "name": "person",
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limb_index],
    }
    rows, broken, number = [], [], 0
    unfinished = out.with_name(f"{out.name}.unfinished")
    with open(partial, "rb") as lines, open(unfinished, "w", encoding="utf-8") as file:
        next(lines)
        file.write(f'{{"info": {json.dumps(about)}, "categories": {json.dumps([category])}, ')
        file.write('"annotations": [')
        frames = (frame for line in lines for frame in json.loads(line))
        for image, frame in zip(images, frames, strict=True):
            people = frame.pop("people", [])
            rows.append({**image, **frame})
            if frame.get("broken"):
                broken.append(str(image.get("file_name", image["id"])))
            for one in people:
                number += 1
                row = {"id": number, "image_id": image["id"], "category_id": 1, "iscrowd": 0, **one}
                file.write((",\n" if number > 1 else "\n") + json.dumps(row))
        file.write(f'], "images": {json.dumps(rows)}}}')
    os.replace(unfinished, out)
    warn_skipped(out.name, "frames broken,", broken)
