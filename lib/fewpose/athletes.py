"""The athletes of the sports notebooks, whichever data they run on."""

from __future__ import annotations

from pathlib import Path

from . import worlds
from .data import PoseData, split_validation
from .data.lsp import read_lsp, read_lspet
from .data.own import read_own, read_own_videos
from .data.video import read_videos

WORLD = 7  # the jump world of all sports notebooks


def read_athletes(
    dataset: str, path: str | Path, frames: int, videos: int, size: int, cache: Path
) -> PoseData:
    """Labelled frames in three splits: `dataset` is "jump", "lsp" or "own".

    jump: `frames` rendered frames of `videos` videos, `size` pixels a side, kept in `cache`.
    lsp: the folder `path` of Leeds Sports Pose; 100 of its training images are validation.
    own: the folder `path` as `data.own` describes it, in frames of `size` pixels a side.
    """
    if dataset == "jump":
        return worlds.jump(frames, size, WORLD, cache, videos)
    if dataset == "lsp":
        return split_validation(read_lsp(path), frames=100)
    if dataset == "own":
        return read_own(path, size)
    raise ValueError(f'dataset: "jump", "lsp" or "own", not "{dataset}"')


def read_raw(
    dataset: str, path: str | Path, athletes: PoseData, frames: int, videos: int, every: int,
    cache: Path, rate: float = 200,
) -> PoseData:
    """Frames without labels: every n-th frame of the training videos' files (section 4.1).

    jump: its training videos as MP4 files of `rate` frames a second, written first. lsp: every
    n-th image of the folder `path` of LSP Extended. own: the files in `path`/videos.
    """
    size = athletes.size
    if dataset == "jump":
        films = worlds.jump_films(frames, size[0], WORLD, cache, videos, "train", rate)
        return read_videos(films, athletes.skeleton, every, size)
    if dataset == "lsp":
        images = read_lspet(path, size)
        return images.subset(range(0, len(images), every)).unlabelled()
    return read_own_videos(path, athletes, every)
