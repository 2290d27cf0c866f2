"""Films cut to the person, as the sports notebooks take them with a `width`."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..data import PoseData
from ..data.coco import MARGIN
from ..data.images import warn_skipped
from ..data.video import frames_of
from ..models.box_fusion import Detector
from ..skeleton import Skeleton
from .people import cut, find_person


def read_cropped(
    paths: Iterable[Path], skeleton: Skeleton, every: int, size: tuple[int, int],
    detector: Detector, cache: Path,
) -> PoseData:
    """As `data.video.read_videos` in "train", each frame cut to the person as `read_coco` does.

    Films that are broken or show nobody are named in a warning and left out; ValueError if all are.
    """
    frames, names, skipped = [], [], []
    for path in paths:
        try:
            some = crop_film(path, every, size, detector, cache)
        except ValueError:
            skipped.append(path.name)
            continue
        frames.append(some)
        names += [path.stem] * len(some)
    warn_skipped("videos", "broken or without a person,", skipped)
    if not names:
        raise ValueError(f"no film shows a person, tried {', '.join(skipped) or 'none'}")
    return PoseData(
        torch.cat(frames), torch.zeros(len(names), len(skeleton), 3), skeleton, np.array(names),
        np.full(len(names), "train"), "videos",
    )


def crop_film(
    path: Path, every: int, size: tuple[int, int], detector: Detector, cache: Path
) -> Tensor:
    """Every n-th frame [N, 3, H, W] uint8 of a film, cut to the person that `follow` finds.

    Frames without the person are left out; ValueError if that are all, or the film is broken.
    """
    boxes = boxes_of(path, detector, cache)
    crops = []
    for number, picture in frames_of(path, every):
        box = boxes[number : number + 1]
        if not box.isnan().any():
            crops.append(cut([picture], box, size, MARGIN)[0])
    if not crops:
        raise ValueError(f"{path}: nobody was found in this film")
    return torch.cat(crops)


def boxes_of(path: Path, detector: Detector, cache: Path) -> Tensor:
    """The person's box [T, 4] in each frame of a film, kept in `cache`: it takes a while."""
    state = path.stat()
    mark = zlib.crc32(f"{path.resolve()}/{state.st_size}/{state.st_mtime_ns}".encode())
    kept = Path(cache) / "boxes" / f"{path.stem}_{mark:08x}.npy"
    if not kept.is_file():
        pictures = (picture for _, picture in frames_of(path))
        seen = tqdm(pictures, desc=f"{path.name}: the person", unit="frame", leave=False)
        boxes = find_person(detector, seen)
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part.npy")
        np.save(part, boxes.numpy())
        part.replace(kept)
    return torch.from_numpy(np.load(kept))
