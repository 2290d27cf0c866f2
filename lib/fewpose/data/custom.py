"""A folder of custom data: annotations.json (COCO keypoints), images/ and videos/.

`python -m fewpose world jump --out FOLDER` writes an example; README.md in this folder explains the format.
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


def read_custom(folder: str | Path, size: tuple[int, int], cropped: bool = False) -> PoseData:
    """The labelled people of annotations.json on whole images, in frames of `size` (H, W).

    `cropped` cuts each image to the person's box, a quarter larger (`coco.read_coco`). An image without `video_id`
    belongs to the video in videos/ whose name its file name contains (`match_video`), else it counts as a video by
    itself; a warning says if no image can be matched or a match is a guess. Videos are named like their files,
    however the labels spell them (`normalised`). Images that name their `split` keep it; if none does, a quarter of
    the videos becomes `test` and a sixth `val`. ValueError with fewer than three videos to split, for a split
    without a person, and as in `coco.read_coco`.
    """
    path = Path(folder) / "annotations.json"
    images = Path(folder) / "images"
    entries = load_coco(path)["images"]
    has_split = ["split" in entry for entry in entries]
    people = read_coco(path, images if images.is_dir() else folder, size, whole=not cropped)
    videos = {normalised(file.stem): file.stem for file in video_files(folder)}
    matched = {
        e["file_name"]: match_video(e["file_name"], videos.values()) or e["file_name"]
        for e in entries
        if "video_id" not in e
    }
    guessed = [name for name in matched if is_ambiguous(name, videos.values())]
    if guessed:
        warn(
            f"{path.name}: file names of {len(guessed)} images contain several videos' names: "
            f"{guessed[0]} is assumed to be of {matched[guessed[0]]}; name their `video_id`"
        )
    video = np.array([matched.get(name) or videos.get(normalised(name), name) for name in people.video])
    if len(matched) == len(entries) and not set(videos.values()) & set(video):
        warn(
            f"{path.name}: no image names its video (`video_id`): each counts as a video by itself, "
            "and frames of one video may end up in both training and test"
        )
    if any(has_split) and not all(has_split):
        raise ValueError(f"{path}: only some images name their split; name all or none")
    people = replace(people, video=video, split=people.split if all(has_split) else split_videos(video, path))
    for split in SPLITS:
        if not (people.split == split).any():
            raise ValueError(
                f"{path}: nobody is labelled in images of the split {split!r}; name "
                f"{', '.join(SPLITS)}, or no split at all"
            )
    return people


def match_video(image: str, videos: Iterable[str]) -> str | None:
    """The video whose name is part of an image's file name or of a folder in its path; the longest name wins.

    Among equally long ones the leftmost wins. run1_0120.jpg, run1/0120.jpg and 5f3a-run1_0120.jpg are of run1;
    run10_0120.jpg is not.
    """
    matches = find_matches(image, videos)
    return matches[0][2] if matches else None


def is_ambiguous(image: str, videos: Iterable[str]) -> bool:
    """Whether an image's name contains another video's name outside that of `match_video`."""
    matches = find_matches(image, videos)
    best = [(start, end) for start, end, video in matches if video == matches[0][2]]
    return not all(any(a <= start and end <= b for a, b in best) for start, end, _ in matches)


def find_matches(image: str, videos: Iterable[str]) -> list[tuple[int, int, str]]:
    """Start, end and video of each place where an image's name contains a video's, the best first."""
    matches = [
        (*match.span(), video)
        for video in videos
        for match in re.finditer(rf"(?<![^\W_]){re.escape(normalised(video))}(?![^\W_])", normalised(image))
    ]
    return sorted(matches, key=lambda match: (match[0] - match[1], match))


def normalised(name: str) -> str:
    """A name for comparison: cameras and tools change case, macOS decomposes accents."""
    return unicodedata.normalize("NFC", name).casefold()


def split_videos(video: np.ndarray, path: Path) -> np.ndarray:
    """A split for each frame, whole videos at a time, the same in every call."""
    names = np.unique(video)
    if len(names) < 3:
        raise ValueError(
            f"{path}: {len(names)} video(s) cannot be divided into three splits; label "
            "frames of three or more and name them in `video_id`"
        )
    test, val = max(1, round(len(names) / 4)), max(1, round(len(names) / 6))
    order = np.random.default_rng(20212).permutation(names)
    split = np.full(len(video), "train")
    split[np.isin(video, order[:test])] = "test"
    split[np.isin(video, order[test : test + val])] = "val"
    return split


def training_videos(folder: str | Path, people: PoseData) -> list[Path]:
    """The files in videos/ except those of test and validation; ValueError if there is none.

    A warning if no file is named like one of those videos: then it is unknown which to hold out.
    """
    held_out = {normalised(name) for name in people.video[people.split != "train"]}
    videos = all_videos(folder)
    training = [path for path in videos if normalised(path.stem) not in held_out]
    if not training:
        raise ValueError(f"{Path(folder) / 'videos'} holds no video outside of validation and test")
    if len(training) == len(videos):
        warn(
            "no file in videos/ is named like a video of validation or test images: if one shows "
            "them, name it in their `video_id`, else it is used for training"
        )
    return training


def all_videos(folder: str | Path) -> list[Path]:
    """The videos in videos/; other files are named in a warning. ValueError if there is no video."""
    place, videos = Path(folder) / "videos", video_files(folder)
    others = [p.name for p in sorted(place.glob("*")) if p not in videos and p.name[0] != "."]
    warn_skipped("videos", "files that are no videos,", others)
    if not videos:
        raise ValueError(f"{place} holds no video: {', '.join(VIDEOS)}")
    return videos


def video_files(folder: str | Path) -> list[Path]:
    """The videos in videos/, by name, without hidden files."""
    return sorted(p for p in (Path(folder) / "videos").glob("[!.]*") if p.suffix.lower() in VIDEOS)
