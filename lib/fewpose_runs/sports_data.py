"""The athletes of the sports notebooks, whichever data they run on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from fewpose.data.coco import MARGIN
from fewpose.data.custom import films_of, read_own, training_films
from fewpose.data.images import warn_skipped
from fewpose.data.lsp import read_lsp, read_lspet
from fewpose.data.near_duplicates import without_neighbours
from fewpose.data.pose_data import PoseData, concatenate, split_validation
from fewpose.data.video import read_video, read_videos
from fewpose.geometry import transform_points, warp
from fewpose.models.teacher.crops import crop_maps, person_boxes
from fewpose.models.teacher.yolox import yolox_tiny
from fewpose.training import Schedule, schedule_in
from fewpose_runs.profiles import read_manifest
from fewpose_runs.runs import Run, find_run
from fewpose_video.cropped import crop_film, read_cropped
from fewpose_worlds import worlds

WORLD = 7  # the jump world of all sports notebooks
# What two runs must agree in that share a network.
SAME = {"dataset", "data_path", "frames", "videos", "size", "width", "labels", "network", "weights", "views", "seed"}
FILM = 12.5  # frames a second of a film that is looked at
SHOWN = 60  # frames of it at most


def read_athletes(
    dataset: str, path: str | Path, frames: int, videos: int, size: int, width: int, cache: Path
) -> PoseData:
    """Labelled frames in three splits: `dataset` is "jump", "lsp" or "own".

    They show whole pictures in squares of `size` pixels or, with a `width`, the person cut out, in frames of size x
    width. lsp is 256x192 and whole whatever they say. jump: `frames` rendered frames of `videos` videos, kept in
    `cache`. lsp: the folder `path` of Leeds Sports Pose; 100 of its training images are validation, those that show
    the scene of a test image are left out with a warning. own: the folder `path` as `data.own` describes it.
    """
    if dataset == "jump":
        athletes = worlds.jump(frames, size, WORLD, cache, videos)
        return cut_to_person(athletes, (size, width)) if width else athletes
    if dataset == "lsp":
        people = read_lsp(path)
        test = people.subset("test")
        train = without_neighbours(people.subset("train"), test)
        return split_validation(concatenate(train, test), frames=100)
    if dataset == "own":
        return read_own(path, (size, width or size), cropped=width > 0)
    raise ValueError(f'dataset: "jump", "lsp" or "own", not "{dataset}"')


def first_training(
    run: Run, supervised_run: str, schedule: Schedule, name: str = "supervised.pt"
) -> tuple[Schedule, Path]:
    """Schedule and checkpoint of the supervised training that a sports notebook begins with.

    They are those of the finished `supervised_run` of its profile, if one is named; else `schedule` and the run's own
    checkpoint `name`. ValueError says what to run first, or which parameter of that run is another here: its network
    would be trained anew, over its own.
    """
    if not supervised_run:
        return schedule, run.checkpoint(name)
    folder = find_run(run.profile, "sports", supervised_run)
    told = read_manifest(folder)["parameters"]
    for key in sorted(SAME & told.keys() & run.parameters.keys()):
        if told[key] != run.parameters[key]:
            raise ValueError(
                f"{key} is {run.parameters[key]!r} here and {told[key]!r} in the run "
                f"{supervised_run}, whose network is to be the first: make them equal"
            )
    return schedule_in(told), folder / "checkpoints" / "supervised.pt"


def cut_to_person(people: PoseData, size: tuple[int, int]) -> PoseData:
    """The same people in frames of `size` (H, W) around the box of their labelled keypoints.

    A quarter larger than the box, as `data.coco` cuts; black outside of the old frame.
    """
    maps = crop_maps(person_boxes(people.poses, people.size, 1), size, MARGIN)
    parts = zip(people.frames.split(64), maps.split(64), strict=True)
    frames = torch.cat([warp(f.float(), m, size).round().to(torch.uint8) for f, m in parts])
    poses = transform_points(maps, people.poses)
    poses[people.poses[..., 2] == 0] = 0
    return replace(people, frames=frames, poses=poses, views=None)


def read_raw(
    dataset: str,
    path: str | Path,
    athletes: PoseData,
    frames: int,
    videos: int,
    width: int,
    every: int,
    cache: Path,
    rate: float = 200,
) -> PoseData:
    """Frames without labels: every n-th frame of the training videos' files (section 4.1).

    In frames as those of `athletes`: with a `width` a detector finds the person to be cut out. jump: its training
    videos as MP4 files of `rate` frames a second, written first. lsp: every n-th image of the folder `path` of LSP
    Extended. own: the files in `path`/videos.
    """
    size = athletes.size
    if dataset == "lsp":
        images = read_lspet(path, size)
        images = images.subset(range(0, len(images), every)).unlabelled()
        return without_neighbours(images, athletes.subset(athletes.split != "train"))
    if dataset == "jump":
        films = worlds.jump_films(frames, size[0], WORLD, cache, videos, "train", rate)
    else:
        films = training_films(path, athletes)
    if width:
        return read_cropped(films, athletes.skeleton, every, size, yolox_tiny(), cache)
    return read_videos(films, athletes.skeleton, every, size)


def read_test_film(
    dataset: str, path: str | Path, size: int, width: int, test: set[str], frames: int, videos: int, cache: Path
) -> Tensor | None:
    """Frames [T, 3, size, size or width] uint8 of a film of one of the `test` videos, to draw on.

    With a `width` the person is found and cut out. jump: the first test video, FILM frames a second. own: the first
    film in `path`/videos that can be read, every other frame; broken ones are named in a warning. T is SHOWN at most.
    None where there is no film (lsp has none).
    """
    if dataset == "jump":
        films, every = worlds.jump_films(frames, size, WORLD, cache, videos, "test", FILM, most=1), 1
    else:
        films = films_of(path) if dataset == "own" else []
        films, every = [film for film in films if film.stem in test], 2
    found, broken = None, []
    for film in films:
        try:
            if width:
                found = crop_film(film, every, (size, width), yolox_tiny(), cache, SHOWN)
            else:
                found, _ = read_video(film, every, (size, size), SHOWN)
            break
        except ValueError:
            broken.append(film.name)
    warn_skipped("videos", "broken or truncated,", broken)
    return found
