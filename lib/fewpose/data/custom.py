"""A folder of custom data: annotations.json (COCO keypoints), images/ and videos/.

`python -m fewpose world jump --out FOLDER` writes an example; README.md in this folder explains the format.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from fewpose.data.coco import cut_people
from fewpose.data.coco_file import LabelledImage, Person, listed_videos, load_coco, read_coco_file
from fewpose.data.file_names import candidate_videos, normalised, shown_few
from fewpose.data.images import warn, warn_skipped
from fewpose.data.pose_data import SPLITS, PoseData
from fewpose.data.video import VIDEOS


def read_custom(folder: str | Path, size: tuple[int, int], cropped: bool = False) -> PoseData:
    """The labelled people of annotations.json in three splits, as `read_people` reads them.

    Images that name their `split` keep it; if none does, a quarter of the videos becomes `test` and a sixth `val`.
    ValueError with fewer than three videos to split, for a split without a person, and as in `coco.read_coco`.
    """
    path = Path(folder) / "annotations.json"
    people, named = read_people(folder, size, cropped)
    people = people if named else replace(people, split=split_videos(people.video, path))
    for split in SPLITS:
        if not (people.split == split).any():
            raise ValueError(
                f"{path}: nobody is labelled in images of the split {split!r}; name "
                f"{', '.join(SPLITS)}, or no split at all"
            )
    return people


def read_people(folder: str | Path, size: tuple[int, int], cropped: bool = False) -> tuple[PoseData, bool]:
    """The labelled people of annotations.json on whole images, in frames of `size` (H, W); whether splits are named.

    `cropped` cuts each image to the person's box, a quarter larger (`coco.read_coco`). An image without `video_id`
    belongs to the video in videos/ whose name its file name contains (`candidate_videos`). Videos are named like their
    files, however the labels spell them (`normalised`). Images whose video is not certain are named in a warning; they
    are left out, unless they name their split and no video is like them. Where there are no videos and no image names
    one, each image counts as a video. Without named splits all are `train`. ValueError if only some images name theirs,
    if no image can be matched to videos/ and none names its split, and as in `coco.read_coco`.
    """
    folder = Path(folder)
    file = read_coco_file(folder / "annotations.json")
    path = file.path
    has_split = [image.split is not None for image in file.images]
    if any(has_split) and not all(has_split):
        named = [image.name for image in file.images if image.split is None]
        raise ValueError(f"{path}: only some images name their split; name all or none (without: {shown_few(named)})")
    people = with_videos(file.people, {normalised(f.stem): f.stem for f in video_files(folder)}, any(has_split), path)
    images = folder / "images" if (folder / "images").is_dir() else folder
    data = cut_people(file, people, images, size, whole=not cropped)
    tell_several(people, path, whole=not cropped)
    return data, all(has_split)


def with_videos(people: list[Person], videos: dict[str, str], placed: bool, path: Path) -> list[Person]:
    """The people with the video of their images, named like one of `videos` (normalised: file's) if it is there.

    An image that may be of several videos is left out, one of none too unless its split is given (`placed`) or no image
    has a video at all. Warnings name them, and images and videos that the other side lacks.
    """
    images = list(dict.fromkeys(person.image for person in people))
    named: dict[LabelledImage, LabelledImage] = {}
    ambiguous, unknown = [], []
    for image in images:
        names = [image.video] if image.video else candidate_videos(image.name, videos.values())
        if len(names) > 1:
            ambiguous.append(f"{image.name} ({' or '.join(names)})")
        elif names:
            named[image] = replace(image, video=videos.get(normalised(names[0]), names[0]))
        else:
            unknown.append(image)
    if ambiguous:
        warn(
            f"{path.name}: file names of {len(ambiguous)} images contain several videos' names, skipped: "
            f"{shown_few(ambiguous)}; name their `video_id`"
        )
    if unknown and not named and videos and not placed:
        raise ValueError(
            f"{path}: no image is of a video in videos/, so frames of one may end up in both training and test: images "
            f"are named {shown_few([image.name for image in unknown])}, videos {shown_few(sorted(videos.values()))}; "
            "name each image's `video_id`, or its `split`"
        )
    if unknown and not named:
        warn(
            f"{path.name}: no image names its video (`video_id`): each counts as a video by itself, "
            "and frames of one video may end up in both training and test"
        )
    elif unknown:
        names = shown_few([image.name for image in unknown])
        then = "each counts as a video by itself" if placed else "skipped"
        warn(f"{path.name}: {len(unknown)} images are of no known video, {then}: {names}; name their `video_id`")
    if placed or not named:
        named.update((image, image) for image in unknown)
    tell_unmatched([image.video for image in named.values() if image.video], videos, path)
    return [replace(person, image=named[person.image]) for person in people if person.image in named]


def tell_unmatched(used: list[str], videos: dict[str, str], path: Path) -> None:
    """Warn of videos that images name and videos/ lacks, and of files there that no image is of."""
    lacking = [name for name in dict.fromkeys(used) if normalised(name) not in videos]
    if videos and lacking:
        warn(f"{path.name}: no file in videos/ is named like {len(lacking)} videos of images: {shown_few(lacking)}")
    others = sorted(set(videos.values()) - set(used))
    if others and used:
        warn(f"{path.name}: no labelled image is of {len(others)} files in videos/: {shown_few(others)}")


def tell_several(people: list[Person], path: Path, whole: bool) -> None:
    """Warn of images with several labelled people, which the sports notebooks do not expect."""
    count = Counter(person.image.name for person in people)
    if several := [name for name, number in count.items() if number > 1]:
        then = "the same frame has several poses" if whole else "each is a frame of its own"
        warn(
            f"{path.name}: several people are labelled in {len(several)} images ({shown_few(several)}), {then}: "
            'mark one of each with `"main": true`'
        )


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


# ---- videos -----------------------------------------------------------------------------------------------------


def training_videos(folder: str | Path, people: PoseData) -> list[Path]:
    """The files in videos/ that certainly show nobody of validation and test; ValueError if there is none.

    While a video of validation or test has no file, a file that no image is of may be that one: it is left out and
    named in a warning, unless the label file lists both in `videos`.
    """
    folder = Path(folder)
    videos = all_videos(folder)
    held_out = {normalised(name) for name in people.video[people.split != "train"]}
    training = {normalised(name) for name in people.video[people.split == "train"]}
    lost = sorted(held_out - {normalised(path.stem) for path in videos})
    listed = videos_in(folder / "annotations.json") if lost else set()
    unsure = [
        path
        for path in videos
        if (name := normalised(path.stem)) not in held_out | training and not {name, *lost} <= listed and lost
    ]
    names = shown_few([path.name for path in unsure])
    why = (
        f"no file in videos/ is named like a video of validation or test images ({shown_few(lost)}), and {names} may "
        "be one: rename files or `video_id`, or list all in `videos` of annotations.json"
    )
    pool = [path for path in videos if normalised(path.stem) not in held_out and path not in unsure]
    if not pool:
        raise ValueError(
            f"{folder / 'videos'} holds no video outside of validation and test" + f"; {why}" * bool(unsure)
        )
    if unsure:
        warn(f"videos: {len(unsure)} files are left out: {why}")
    return pool


def videos_in(labels: Path) -> set[str]:
    """The videos that a label file lists, normalised; none if there is no such file."""
    return (
        {normalised(name) for name in listed_videos(load_coco(labels), labels).values()} if labels.is_file() else set()
    )


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
