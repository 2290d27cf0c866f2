"""Films cut to the person, as the sports notebooks take them with a `width`."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from fewpose.data.coco import MARGIN
from fewpose.data.images import warn_skipped
from fewpose.data.pose_data import PoseData
from fewpose.data.video import check_every, frames_of, joined
from fewpose.models.teacher.box_fusion import Detector
from fewpose.skeleton import Skeleton
from fewpose_video.people import cut, find_person


def read_cropped(
    paths: Iterable[Path], skeleton: Skeleton, every: int, size: tuple[int, int], detector: Detector, cache: Path
) -> PoseData:
    """As `data.video.read_videos` in "train", each frame cut to the person as `read_coco` does.

    Films that are broken or show nobody are named in a warning and left out; ValueError if all are.
    """
    check_every(every)
    frames, names, skipped = [], [], []
    for path in paths:
        try:
            frames.append(crop_film(path, every, size, detector, cache))
        except ValueError:
            skipped.append(path.name)
            continue
        names += [path.stem] * len(frames[-1])
    warn_skipped("videos", "broken or without a person,", skipped)
    if not names:
        raise ValueError(f"no film shows a person, tried {', '.join(skipped) or 'none'}")
    return PoseData(
        joined(frames),
        torch.zeros(len(names), len(skeleton), 3),
        skeleton,
        np.array(names),
        np.full(len(names), "train"),
        "videos",
    )


def crop_film(
    path: Path, every: int, size: tuple[int, int], detector: Detector, cache: Path, most: int | None = None
) -> Tensor:
    """Every n-th frame [N, 3, H, W] uint8 of a film, cut to the person that `follow` finds.

    Frames without the person are left out, and those after the first `most` with them. ValueError if nobody is found,
    or the film is broken.
    """
    boxes = boxes_of(path, detector, cache)
    crops = []
    for number, _, picture in frames_of(path, every):
        box = boxes[number : number + 1]
        if not box.isnan().any():
            crops.append(cut([picture], box, size, MARGIN)[0])
        if len(crops) == most:
            break
    if not crops:
        raise ValueError(f"{path}: nobody was found in this film")
    return torch.cat(crops)


def boxes_of(path: Path, detector: Detector, cache: Path) -> Tensor:
    """The person's box [T, 4] in each frame of a film, kept in `cache`: it takes a while."""
    state, side = path.stat(), getattr(detector, "side", None)
    mark = zlib.crc32(f"{path.resolve()}/{state.st_size}/{state.st_mtime_ns}/{side}".encode())
    for weights in detector.state_dict().values():
        mark = zlib.crc32(weights.cpu().contiguous().numpy(), mark)
    kept = Path(cache) / "boxes" / f"{path.stem}_{mark:08x}.npy"
    if not kept.is_file():
        pictures = (picture for _, _, picture in frames_of(path))
        seen = tqdm(pictures, desc=f"{path.name}: the person", unit="frame", leave=False)
        boxes = find_person(detector, seen)
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part.npy")
        np.save(part, boxes.numpy())
        part.replace(kept)
    return torch.from_numpy(np.load(kept))
