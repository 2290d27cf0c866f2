"""What is kept of frames where privacy counts: small images, and a manifest that proves it.

Srivastav et al. (2020), section 3.3, show that poses can be estimated from frames downsampled 8 to 12 times, in which
nobody is recognised.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from fewpose.data.images import read_image
from fewpose.low_resolution import enlarged, reduced

MANIFEST = "manifest.csv"
LEAST = 8  # times that frames are downsampled


def keep_frames(
    frames: Tensor, folder: str | Path, factor: float, video: Sequence[str], number: Sequence[int]
) -> pd.DataFrame:
    """Write frames [N, 3, H, W] uint8, downsampled `factor` times, as PNG files into a folder of their own.

    They are named after their `video` and their `number` in it, [N] both. The manifest, which is returned too, has a
    row for each file: file, sha256, width, height, factor, video, frame. What an earlier call kept there is removed.
    ValueError for a factor below LEAST or above the frames' size, and if the folder holds other files.
    """
    folder = Path(folder)
    if not LEAST <= factor <= min(frames.shape[-2:]):
        raise ValueError(f"frames are kept downsampled {LEAST} to {min(frames.shape[-2:])} times, not {factor:g}")
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MANIFEST).is_file():
            raise ValueError(f"{folder} holds other files: give a folder for kept frames alone, nothing is replaced")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).touch()  # a killed call leaves a folder that the next one may clear
    rows = []
    for frame, name, at in zip(frames, video, number, strict=True):
        small = reduced(frame[None], factor)[0].permute(1, 2, 0).contiguous().numpy()
        path = folder / f"{name}_{int(at):06}.png"
        Image.fromarray(small).save(path)
        rows.append(
            {
                "file": path.name,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "width": small.shape[1],
                "height": small.shape[0],
                "factor": factor,
                "video": name,
                "frame": int(at),
            }
        )
    manifest = pd.DataFrame(rows)
    manifest.to_csv(folder / MANIFEST, index=False)
    return manifest


def read_kept(folder: str | Path, size: tuple[int, int]) -> Tensor:
    """The kept frames, enlarged to [N, 3, H, W] uint8 of `size`, in the order of the manifest.

    They equal `low_resolution.low_resolution` of the frames that they were made of. Errors of `check_kept`.
    """
    manifest = check_kept(folder, size)
    frames = torch.empty(len(manifest), 3, *size, dtype=torch.uint8)
    for i, name in enumerate(manifest["file"]):
        small = torch.from_numpy(read_image(Path(folder) / name)).permute(2, 0, 1)
        frames[i] = enlarged(small[None], size)[0]
    return frames


def check_kept(folder: str | Path, size: tuple[int, int]) -> pd.DataFrame:
    """The manifest of a folder, once it is proved: its files, and no others, are there, unchanged and small.

    size (H, W) is that of the frames they were made of. ValueError names the file that is not as it should be.
    """
    folder = Path(folder)
    manifest = pd.read_csv(folder / MANIFEST, dtype={"file": str, "video": str})
    others = {path.name for path in folder.iterdir()} - {MANIFEST, *manifest["file"]}
    if others:
        raise ValueError(f"{folder}: {sorted(others)[0]} is not in the manifest")
    for row in manifest.itertuples():
        path = folder / row.file
        if not path.is_file():
            raise ValueError(f"{path} is in the manifest, but it is not there")
        if hashlib.sha256(path.read_bytes()).hexdigest() != row.sha256:
            raise ValueError(f"{path} has changed since it was written")
        with Image.open(path) as image:
            limit = (int(size[1] / row.factor), int(size[0] / row.factor))
            if row.factor < LEAST or image.size != limit or image.size != (row.width, row.height):
                raise ValueError(f"{path} has {image.size[0]}x{image.size[1]} pixels, not at most 1/{LEAST} of {size}")
    return manifest
