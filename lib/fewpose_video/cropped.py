"""Videos cropped to the person, as the sports notebooks read them with a `width`."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from fewpose.crops import MARGIN
from fewpose.data.images import warn_skipped
from fewpose.data.pose_data import PoseData
from fewpose.data.video import check_every, concatenate_videos, iter_frames
from fewpose.made_once import made_once
from fewpose.models.teacher.box_fusion import Detector
from fewpose.skeleton import Skeleton
from fewpose_video.people import crop_boxes, find_person


def read_cropped(
    paths: Iterable[Path], skeleton: Skeleton, every: int, size: tuple[int, int], detector: Detector, cache: Path
) -> PoseData:
    """As `data.video.read_videos` with split "train", each frame cropped to the person as `read_coco` does.

    Videos that are broken or show nobody are named in a warning and skipped; ValueError if all are.
    """
    check_every(every)
    frames, names, skipped = [], [], []
    for path in paths:
        try:
            frames.append(crop_video(path, every, size, detector, cache))
        except ValueError:
            skipped.append(path.name)
            continue
        names += [path.stem] * len(frames[-1])
    warn_skipped("videos", "broken or without a person,", skipped)
    if not names:
        raise ValueError(f"no video shows a person, tried {', '.join(skipped) or 'none'}")
    return PoseData(
        concatenate_videos(frames),
        torch.zeros(len(names), len(skeleton), 3),
        skeleton,
        np.array(names),
        np.full(len(names), "train"),
        "videos",
    )


def crop_video(
    path: Path, every: int, size: tuple[int, int], detector: Detector, cache: Path, limit: int | None = None
) -> Tensor:
    """Every n-th frame [N, 3, H, W] uint8 of a video, cropped to the person that `find_person` finds.

    Frames without the person are left out; N is at most `limit`. ValueError if nobody is found, or the video is broken.
    """
    boxes = cached_boxes(path, detector, cache)
    crops = []
    for number, _, image in iter_frames(path, every):
        box = boxes[number : number + 1]
        if not box.isnan().any():
            crops.append(crop_boxes([image], box, size, MARGIN)[0])
        if len(crops) == limit:
            break
    if not crops:
        raise ValueError(f"{path}: nobody was found in this video")
    return torch.cat(crops)


def cached_boxes(path: Path, detector: Detector, cache: Path) -> Tensor:
    """The person's box [T, 4] in each frame of a video, stored in `cache` as detection is slow."""
    state, side = path.stat(), getattr(detector, "side", None)
    # PyAV: another reader may count frames otherwise; IDs: without them the path took other boxes
    fingerprint = zlib.crc32(f"{path.resolve()}/{state.st_size}/{state.st_mtime_ns}/{side}/PyAV/IDs".encode())
    for weights in detector.state_dict().values():
        fingerprint = zlib.crc32(weights.cpu().contiguous().numpy(), fingerprint)
    stored = Path(cache) / "boxes" / f"{path.stem}_{fingerprint:08x}.npy"
    with made_once(stored) as part:
        if part is not None:
            images = (image for _, _, image in iter_frames(path))
            bar = tqdm(images, desc=f"{path.name}: finding the person", unit="frame", leave=False)
            boxes, _ = find_person(detector, bar)
            np.save(part, boxes.numpy())
    return torch.from_numpy(np.load(stored))
