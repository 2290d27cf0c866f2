"""A folder of one's own: annotations.json (COCO keypoints), images/ and videos/.

It is what `python -m fewpose world jump --out FOLDER` writes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from . import PoseData
from .coco import load_coco, read_coco

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm")


def read_own(folder: str | Path, size: tuple[int, int], cropped: bool = False) -> PoseData:
    """The labelled people of annotations.json on whole images, in frames of `size` (H, W).

    `cropped` cuts each image to the person's box, a quarter larger (`coco.read_coco`).
    Images that name their `split` keep it; if none does, a quarter of the videos (`video_id`, else
    each image is one) becomes `test` and a sixth `val`. ValueError with fewer than three videos to
    deal out, and those of `coco.read_coco`.
    """
    path = Path(folder) / "annotations.json"
    images = Path(folder) / "images"
    named = ["split" in image for image in load_coco(path)["images"]]
    people = read_coco(path, images if images.is_dir() else folder, size, whole=not cropped)
    if all(named):
        return people
    if any(named):
        raise ValueError(f"{path}: only some images name their split; name all or none")
    return replace(people, split=deal_videos(people.video, path))


def deal_videos(video: np.ndarray, path: Path) -> np.ndarray:
    """A split for each frame, whole videos at a time, the same in every call."""
    names = np.unique(video)
    if len(names) < 3:
        raise ValueError(
            f"{path}: {len(names)} video(s) cannot be dealt to three splits; label "
            "frames of three or more and name them in `video_id`"
        )
    test, val = max(1, round(len(names) / 4)), max(1, round(len(names) / 6))
    order = np.random.default_rng(20212).permutation(names)
    split = np.full(len(video), "train")
    split[np.isin(video, order[:test])] = "test"
    split[np.isin(video, order[test : test + val])] = "val"
    return split


def training_films(folder: str | Path, people: PoseData) -> list[Path]:
    """The files in videos/ but those of test and validation; ValueError if there is none."""
    held_out = set(people.video[people.split != "train"])
    files = [path for path in films_of(folder) if path.stem not in held_out]
    if not files:
        place = Path(folder) / "videos"
        raise ValueError(f"{place} holds no video outside of validation and test")
    return files


def films_of(folder: str | Path) -> list[Path]:
    """The files in videos/, by name."""
    return sorted(p for p in (Path(folder) / "videos").glob("*") if p.suffix.lower() in VIDEOS)
