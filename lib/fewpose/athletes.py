"""The athletes of the sports notebooks, whichever data they run on."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from . import worlds
from .data import PoseData, concatenate, split_validation
from .data.images import warn_skipped
from .data.lsp import read_lsp, read_lspet
from .data.neighbours import without_neighbours
from .data.own import films_of, read_own, read_own_videos, training_films
from .data.video import read_video, read_videos
from .films.own import crop_film, read_cropped
from .models.yolox import yolox_tiny

WORLD = 7  # the jump world of all sports notebooks
FILM = 12.5  # frames a second of a film that is looked at
SHOWN = 60  # frames of it at most


def read_athletes(
    dataset: str, path: str | Path, frames: int, videos: int, size: int, cache: Path
) -> PoseData:
    """Labelled frames in three splits: `dataset` is "jump", "lsp", "own" or "own_cropped".

    jump: `frames` rendered frames of `videos` videos, `size` pixels a side, kept in `cache`.
    lsp: the folder `path` of Leeds Sports Pose; 100 of its training images are validation, those
    that show the scene of a test image are left out with a warning.
    own: the folder `path` as `data.own` describes it, in frames of `size` pixels a side;
    own_cropped: the same, cut to the person, by the labels' boxes or what `films.follow` finds.
    """
    if dataset == "jump":
        return worlds.jump(frames, size, WORLD, cache, videos)
    if dataset == "lsp":
        people = read_lsp(path)
        test = people.subset("test")
        train = without_neighbours(people.subset("train"), test)
        return split_validation(concatenate(train, test), frames=100)
    if dataset in ("own", "own_cropped"):
        return read_own(path, size, cropped=dataset == "own_cropped")
    raise ValueError(f'dataset: "jump", "lsp", "own" or "own_cropped", not "{dataset}"')


def read_raw(
    dataset: str, path: str | Path, athletes: PoseData, frames: int, videos: int, every: int,
    cache: Path, rate: float = 200,
) -> PoseData:
    """Frames without labels: every n-th frame of the training videos' files (section 4.1).

    jump: its training videos as MP4 files of `rate` frames a second, written first. lsp: every
    n-th image of the folder `path` of LSP Extended. own and own_cropped: the files in
    `path`/videos.
    """
    size = athletes.size
    if dataset == "jump":
        films = worlds.jump_films(frames, size[0], WORLD, cache, videos, "train", rate)
        return read_videos(films, athletes.skeleton, every, size)
    if dataset == "lsp":
        images = read_lspet(path, size)
        images = images.subset(range(0, len(images), every)).unlabelled()
        return without_neighbours(images, athletes.subset(athletes.split != "train"))
    if dataset == "own_cropped":
        films = training_films(path, athletes)
        return read_cropped(films, athletes.skeleton, every, size, yolox_tiny(), cache)
    return read_own_videos(path, athletes, every)


def read_test_film(
    dataset: str, path: str | Path, size: int, test: set[str], frames: int, videos: int,
    cache: Path,
) -> Tensor | None:
    """Frames [T, 3, size, size] uint8 of a film of one of the `test` videos, to draw poses on.

    jump: the first test video, FILM frames a second. own: the first film in `path`/videos that can
    be read, every other frame; broken ones are named in a warning. T is SHOWN at most. None where
    there is no film (lsp has none).
    """
    if dataset == "jump":
        films, every = worlds.jump_films(
            frames, size, WORLD, cache, videos, "test", FILM, most=1), 1
    else:
        films = films_of(path) if dataset in ("own", "own_cropped") else []
        films, every = [film for film in films if film.stem in test], 2
    found, broken = None, []
    for film in films:
        try:
            if dataset == "own_cropped":
                found = crop_film(film, every, (size, size), yolox_tiny(), cache)[:SHOWN]
            else:
                found = read_video(film, every, (size, size))[0][:SHOWN]
            break
        except ValueError:
            broken.append(film.name)
    warn_skipped("videos", "broken or truncated,", broken)
    return found
