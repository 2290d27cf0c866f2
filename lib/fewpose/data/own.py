"""A folder of one's own: annotations.json (COCO keypoints), images/ and videos/.

It is what `python -m fewpose world jump --out FOLDER` writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import SPLITS, PoseData
from .coco import load_coco, read_coco
from .images import warn, warn_skipped
from .video import VIDEOS


def read_own(folder: str | Path, size: tuple[int, int], cropped: bool = False) -> PoseData:
    """The labelled people of annotations.json on whole images, in frames of `size` (H, W).

    `cropped` cuts each image to the person's box, a quarter larger (`coco.read_coco`).
    An image without `video_id` is of the film in videos/ whose name its own file's holds
    (`film_named`), else a video of its own; a warning if that is all we know.
    Images that name their `split` keep it; if none does, a quarter of the videos becomes `test` and
    a sixth `val`. ValueError with fewer than three videos to deal out, for a split without a
    person, and those of `coco.read_coco`.
    """
    path = Path(folder) / "annotations.json"
    images = Path(folder) / "images"
    entries = load_coco(path)["images"]
    named = ["split" in entry for entry in entries]
    people = read_coco(path, images if images.is_dir() else folder, size, whole=not cropped)
    films = {film.stem for film in films_of(folder)}
    nameless = {e["file_name"]: film_named(e["file_name"], films) or e["file_name"]
                for e in entries if "video_id" not in e}  # fmt: skip
    video = np.array([nameless.get(name, name) for name in people.video])
    if len(nameless) == len(entries) and not films & set(video):
        warn(f"{path.name}: no image names its film (`video_id`): each counts as a video of its "
             "own, and frames of one film may lie in training and in test")
    if any(named) and not all(named):
        raise ValueError(f"{path}: only some images name their split; name all or none")
    people = replace(people, video=video, split=people.split if all(named)
                     else deal_videos(video, path))  # fmt: skip
    for split in SPLITS:
        if not (people.split == split).any():
            raise ValueError(f"{path}: nobody is labelled in images of the split {split!r}; name "
                             f"{', '.join(SPLITS)}, or no split at all")  # fmt: skip
    return people


def film_named(image: str, films: Iterable[str]) -> str | None:
    """The film whose name an image's file, or a folder that it is in, holds; the longest name wins.

    run1_0120.jpg, run1/0120.jpg and 5f3a-run1_0120.jpg are of run1; run10_0120.jpg is not.
    """
    for film in sorted(films, key=len, reverse=True):
        if re.search(rf"(?<![^\W_]){re.escape(film)}(?![^\W_])", image):
            return film
    return None


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
    """The files in videos/ but those of test and validation; ValueError if there is none.

    A warning if no film is named as one of those videos: then we cannot know which to hold back.
    """
    held_out = set(people.video[people.split != "train"])
    films = all_films(folder)
    files = [path for path in films if path.stem not in held_out]
    if not files:
        raise ValueError(f"{Path(folder) / 'videos'} holds no film outside of validation and test")
    if len(files) == len(films):
        warn("no film in videos/ is named as a video of validation or test images: if one shows "
             "them, name it in their `video_id`, else it is learned from")
    return files


def all_films(folder: str | Path) -> list[Path]:
    """The files in videos/; others are named in a warning. ValueError if there is no film."""
    place, films = Path(folder) / "videos", films_of(folder)
    others = [p.name for p in sorted(place.glob("*")) if p not in films and p.name[0] != "."]
    warn_skipped("videos", "files that are no films,", others)
    if not films:
        raise ValueError(f"{place} holds no film: {', '.join(VIDEOS)}")
    return films


def films_of(folder: str | Path) -> list[Path]:
    """The films in videos/, by name."""
    return sorted(p for p in (Path(folder) / "videos").glob("*") if p.suffix.lower() in VIDEOS)
