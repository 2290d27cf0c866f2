"""Crops of all people in frames, to train top-down networks on."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from fewpose import geometry
from fewpose.crops import crop_maps, cut_crops
from fewpose.data.labels import LabelledPeople
from fewpose.data.pose_data import PoseData
from fewpose.disk import reserved_array
from fewpose.made_once import made_once


def person_crops(people: LabelledPeople, frames: PoseData, size: tuple[int, int], folder: Path) -> PoseData:
    """A frame of `size` (H, W) around each person that has a keypoint, cut as in `fewpose.crops`.

    `frames` are those of `people` with their splits and videos. The crops are stored in one file in `folder`, named by
    people and sizes, and read from it in later calls.
    """
    frame_of = [i for i, poses in enumerate(people.hard) for _ in range(len(poses))]
    boxes, poses = torch.cat(people.boxes), torch.cat(people.hard)
    kept = (poses[..., 2] > 0).any(1)
    index, boxes, poses = torch.tensor(frame_of)[kept], boxes[kept], poses[kept]
    maps = crop_maps(boxes, size)
    fingerprint = zlib.crc32(boxes.numpy(), zlib.crc32(index.numpy()))
    height, width = frames.size
    name = f"crops_{people.name}_{height}x{width}_to_{size[0]}x{size[1]}_{fingerprint:08x}"
    path = Path(folder) / f"{name}.npy"
    with made_once(path, size=len(index) * 3 * size[0] * size[1]) as part:
        if part is not None:
            stored = reserved_array(part, (len(index), 3, *size))
            for rows in tqdm(torch.arange(len(index)).split(16), desc="crops", leave=False):
                unique, local = index[rows].unique(return_inverse=True)
                cut = cut_crops(people.frames[unique], local, maps[rows], size)
                stored[rows.numpy()] = cut.round().clamp(0, 255).byte().numpy()
            stored.flush()
            del stored  # Windows moves no open file
    crops = torch.from_numpy(np.load(path, mmap_mode="c"))
    poses = geometry.transform_points(maps, poses) * (poses[..., 2:] > 0)
    return PoseData(
        crops, poses, people.skeleton, frames.video[index.numpy()], frames.split[index.numpy()], f"{people.name} crops"
    )
