"""Label files: the soft and hard labels of whole data sets in COCO's format; a killed run loses no finished shard."""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from fewpose.data.images import read_image, warn_skipped
from fewpose.made_once import made_in_shards, made_once
from fewpose.models.teacher.three_stages import Teacher, find_all
from fewpose.skeleton import Skeleton
from fewpose.soft_hard_labels import SoftHardLabels, Thresholds, soft_and_hard

DESCRIPTION = "soft and hard labels of a teacher"


class ImageFiles(Sequence):
    """Image files as frames [3, H, W] uint8, each read on access; None if it is broken."""

    def __init__(self, paths: Sequence[str | Path]):
        self.paths = [Path(path) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Tensor | None:
        image = read_image(self.paths[i])
        return None if image is None else torch.from_numpy(image).permute(2, 0, 1)

    def rows(self) -> list[dict]:
        """The `images` of a COCO file for them."""
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

    Each annotation has `bbox` (x, y, width, height, pixels from the edge), `score`, and of `SoftHardLabels` h_2d as
    `keypoints`, s_2d as `keypoints_soft`, h_3d as `keypoints3d` and s_3d as `keypoints3d_soft` (millimetres in the
    axes of the camera, middle of the hips at 0). An empty frame has a row and no annotation, a frame that cannot be
    read (None) a row with `"broken": true`.

    Every `block` frames are a shard, a file in the folder `<out>.shards`: a call after a kill makes only those that are
    missing, calls at the same time share them, and all end with the same file as an uninterrupted one. A finished file
    of the same teacher, thresholds, rows and frames is left as it is. ValueError if rows and frames differ in number,
    two rows share an id, or `out` is another file.
    """
    out = Path(out)
    images = [{"id": i, "file_name": f"{i:06d}.jpg"} for i in range(len(frames))] if images is None else images
    if len(images) != len(frames) or len({row["id"] for row in images}) != len(images):
        raise ValueError(f"{out}: {len(frames)} frames need as many rows in images, each with its own id")
    teacher.eval()
    info = fingerprint(teacher, thresholds, images, frames, batch, block)
    before = finished(out)
    if before == info:
        return out
    if out.exists() and (not isinstance(before, dict) or before.get("description") != DESCRIPTION):
        raise ValueError(f"{out} holds something else than labels of a teacher: give another file, nothing is replaced")
    blocks = list(torch.arange(len(frames)).split(block)) if len(frames) else []
    shards = shard_paths(out, info, len(blocks))
    with tqdm(total=len(frames), desc="soft and hard labels", unit="frame", mininterval=2) as bar:
        bar.update(sum(len(index) for index, shard in zip(blocks, shards, strict=True) if shard.exists()))

        def make(number: int, part: Path) -> None:
            index = blocks[number]
            rows = list(label(teacher, [frames[int(i)] for i in index], thresholds, batch))
            part.write_text(json.dumps(rows), encoding="utf-8")
            bar.update(len(index))

        made_in_shards(shards, make)
    with made_once(out, lambda: finished(out) == info) as part:
        if part is not None:
            merge(shards, part, info, images, teacher.skeleton)
    remove_shards(out)
    return out


def shard_paths(out: Path, info: dict, count: int) -> list[Path]:
    """Paths of the shards of a label file, in a folder that exists; shards of another `info` are removed."""
    folder = out.with_name(f"{out.name}.shards")
    about = folder / "info.json"
    with made_once(about, lambda: about.is_file() and json.loads(about.read_text(encoding="utf-8")) == info) as part:
        if part is not None:
            for path in folder.glob("*.json"):
                path.unlink()
            part.write_text(json.dumps(info), encoding="utf-8")
    return [folder / f"{number:06d}.json" for number in range(count)]


def remove_shards(out: Path) -> None:
    """Remove the folder of shards at once, so that other processes see all of them or no folder."""
    folder = out.with_name(f"{out.name}.shards")
    trash = out.with_name(f".{out.name}.shards")
    with contextlib.suppress(OSError):  # on Windows, while another process has a file open there; or it has gone
        folder.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def label(teacher: Teacher, frames: list[Tensor | None], thresholds: Thresholds, batch: int) -> Iterator[dict]:
    """Size and people of each frame as JSON types."""
    found = iter(find_all(teacher, [f for f in frames if f is not None], batch))
    for frame in frames:
        if frame is None:
            yield {"broken": True}
            continue
        height, width = frame.shape[-2:]
        labels = soft_and_hard(teacher, next(found), (height, width), thresholds)
        yield {"width": width, "height": height, "people": annotations(labels)}


def annotations(labels: SoftHardLabels) -> list[dict]:
    """COCO's annotations of one frame's people, without their ids."""
    rows = []
    for i, (x0, y0, x1, y1) in enumerate(labels.boxes.tolist()):
        rows.append(
            {
                "bbox": rounded([x0, y0, x1 - x0, y1 - y0]),
                "area": round((x1 - x0) * (y1 - y0), 2),
                "score": round(float(labels.scores[i]), 5),
                "keypoints": rounded(labels.h_2d[i]),
                "num_keypoints": int((labels.h_2d[i, :, 2] > 0).sum()),
                "keypoints_soft": rounded(labels.s_2d[i], 4),
                "keypoints3d": rounded(labels.h_3d[i], 1),
                "keypoints3d_soft": rounded(labels.s_3d[i], 1),
            }
        )
    return rows


def rounded(values: Tensor | list, digits: int = 2) -> list[float]:
    """Numbers as a flat list, rounded so that files of tens of thousands of frames stay small."""
    return np.round(np.asarray(values, dtype=np.float64).ravel(), digits).tolist()


def fingerprint(
    teacher: Teacher,
    thresholds: Thresholds,
    images: list[dict],
    frames: Sequence[Tensor | None] | Tensor,
    batch: int,
    block: int,
) -> dict:
    """All that the labels depend on: the file's `info`."""
    crc = zlib.crc32(json.dumps(images).encode(), fingerprint_of_frames(frames))
    for stage in (teacher.detector, teacher.pose, teacher.lifter):
        for name, value in stage.state_dict().items():
            crc = zlib.crc32(value.detach().cpu().contiguous().numpy(), zlib.crc32(name.encode(), crc))
    options = ("scales", "crop_scales", "flip", "crop", "floor", "limit")
    info = {
        "description": DESCRIPTION,
        "thresholds": {k: None if v != v else v for k, v in asdict(thresholds).items()},  # JSON has no NaN
        "teacher": {name: getattr(teacher, name) for name in options},
        "frames": len(images),
        "batch": batch,
        "block": block,
        "fingerprint": f"{crc:08x}",
    }
    return json.loads(json.dumps(info))


def fingerprint_of_frames(frames: Sequence[Tensor | None] | Tensor) -> int:
    """The CRC of all pixels; of image files, of their bytes."""
    crc = 0
    if isinstance(frames, ImageFiles):
        for path in frames.paths:
            crc = zlib.crc32(path.read_bytes() if path.is_file() else b"missing", crc)
        return crc
    for frame in frames:
        crc = zlib.crc32(b"" if frame is None else frame.contiguous().numpy(), crc)
    return crc


def finished(out: Path) -> dict | None:
    """The `info` of a finished file; None if there is none or it cannot be read."""
    try:
        return json.loads(out.read_text(encoding="utf-8")).get("info")
    except (OSError, ValueError, AttributeError):
        return None


def merge(shards: list[Path], out: Path, info: dict, images: list[dict], skeleton: Skeleton) -> None:
    """Write the COCO file of all shards, one after the other."""
    category = {
        "id": 1,
        "name": "person",
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limb_index],
    }
    rows, broken, number = [], [], 0
    with open(out, "w", encoding="utf-8") as file:
        file.write(f'{{"info": {json.dumps(info)}, "categories": {json.dumps([category])}, ')
        file.write('"annotations": [')
        frames = (frame for shard in shards for frame in json.loads(shard.read_text(encoding="utf-8")))
        for image, frame in zip(images, frames, strict=True):
            people = frame.pop("people", [])
            rows.append({**image, **frame})
            if frame.get("broken"):
                broken.append(str(image.get("file_name", image["id"])))
            for person in people:
                number += 1
                row = {"id": number, "image_id": image["id"], "category_id": 1, "iscrowd": 0, **person}
                file.write((",\n" if number > 1 else "\n") + json.dumps(row))
        file.write(f'], "images": {json.dumps(rows)}}}')
    warn_skipped(out.name.removeprefix(".part_"), "frames broken,", broken)
