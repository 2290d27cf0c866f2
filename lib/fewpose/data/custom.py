"""A folder of one's own: annotations.json (COCO keypoints), images/ and videos/.

It is what `python -m fewpose world jump --out FOLDER` writes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from fewpose.data.coco import load_coco, read_coco
from fewpose.data.images import warn, warn_skipped
from fewpose.data.pose_data import SPLITS, PoseData
from fewpose.data.video import VIDEOS


def read_own(folder: str | Path, size: tuple[int, int], cropped: bool = False) -> PoseData:
    """The labelled people of annotations.json on whole images, in frames of `size` (H, W).

    `cropped` cuts each image to the person's box, a quarter larger (`coco.read_coco`). An image without `video_id` is
    of the film in videos/ whose name its own file's holds (`film_named`), else a video of its own; a warning if that
    is all we know, or a guess. A video is named as its film is, however `folded` names of both are written. Images
    that name their `split` keep it; if none does, a quarter of the videos becomes `test` and a sixth `val`.
    ValueError with fewer than three videos to deal out, for a split without a person, and those of `coco.read_coco`.
    """
    path = Path(folder) / "annotations.json"
    images = Path(folder) / "images"
    entries = load_coco(path)["images"]
    named = ["split" in entry for entry in entries]
    people = read_coco(path, images if images.is_dir() else folder, size, whole=not cropped)
    films = {folded(film.stem): film.stem for film in films_of(folder)}
    nameless = {
        e["file_name"]: film_named(e["file_name"], films.values()) or e["file_name"]
        for e in entries
        if "video_id" not in e
    }
    guessed = [name for name in nameless if holds_several(name, films.values())]
    if guessed:
        warn(
            f"{path.name}: names of {len(guessed)} images hold those of several films: "
            f"{guessed[0]} is taken to be of {nameless[guessed[0]]}; name their `video_id`"
        )
    video = np.array([nameless.get(name) or films.get(folded(name), name) for name in people.video])
    if len(nameless) == len(entries) and not set(films.values()) & set(video):
        warn(
            f"{path.name}: no image names its film (`video_id`): each counts as a video of its "
            "own, and frames of one film may lie in training and in test"
        )
    if any(named) and not all(named):
        raise ValueError(f"{path}: only some images name their split; name all or none")
    people = replace(people, video=video, split=people.split if all(named) else deal_videos(video, path))
    for split in SPLITS:
        if not (people.split == split).any():
            raise ValueError(
                f"{path}: nobody is labelled in images of the split {split!r}; name "
                f"{', '.join(SPLITS)}, or no split at all"
            )
    return people


def film_named(image: str, films: Iterable[str]) -> str | None:
    """The film whose name an image's file, or a folder that it is in, holds; the longest name wins.

    Of equally long ones the leftmost. run1_0120.jpg, run1/0120.jpg and 5f3a-run1_0120.jpg are of run1; run10_0120.jpg
    is not.
    """
    found = films_in(image, films)
    return found[0][2] if found else None


def holds_several(image: str, films: Iterable[str]) -> bool:
    """Whether an image's name holds another film's beside that of `film_named`, not just in it."""
    found = films_in(image, films)
    own = [(start, end) for start, end, film in found if film == found[0][2]]
    return not all(any(a <= start and end <= b for a, b in own) for start, end, _ in found)


def films_in(image: str, films: Iterable[str]) -> list[tuple[int, int, str]]:
    """Start, end and film of each place where an image's name holds a film's, the best first."""
    found = [
        (*match.span(), film)
        for film in films
        for match in re.finditer(rf"(?<![^\W_]){re.escape(folded(film))}(?![^\W_])", folded(image))
    ]
    return sorted(found, key=lambda place: (place[0] - place[1], place))


def folded(name: str) -> str:
    """A name as we compare it: cameras and tools change its case, macOS takes accents apart."""
    return unicodedata.normalize("NFC", name).casefold()


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
    held_out = {folded(name) for name in people.video[people.split != "train"]}
    films = all_films(folder)
    files = [path for path in films if folded(path.stem) not in held_out]
    if not files:
        raise ValueError(f"{Path(folder) / 'videos'} holds no film outside of validation and test")
    if len(files) == len(films):
        warn(
            "no film in videos/ is named as a video of validation or test images: if one shows "
            "them, name it in their `video_id`, else it is learned from"
        )
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
