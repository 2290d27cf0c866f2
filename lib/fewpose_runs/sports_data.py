"""The data of the sports notebooks, for each data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from fewpose.crops import MARGIN, crop_maps, person_boxes
from fewpose.data.custom import read_custom, training_videos, video_files
from fewpose.data.images import warn_skipped
from fewpose.data.lsp import read_lsp, read_lspet
from fewpose.data.near_duplicates import drop_near_duplicates
from fewpose.data.pose_data import SPLITS, PoseData, concatenate, draw_labels, split_validation
from fewpose.data.video import read_video, read_videos
from fewpose.feature_cache import cache_features
from fewpose.geometry import transform_points, warp
from fewpose.metrics.pck import reference_length
from fewpose.models.factory import pretrained
from fewpose.models.teacher.yolox import yolox_tiny
from fewpose.skeleton import Skeleton
from fewpose.training import Schedule, schedule_in
from fewpose_runs.profiles import read_manifest
from fewpose_runs.runs import Run, find_run
from fewpose_video.cropped import crop_video, read_cropped
from fewpose_worlds import worlds

# Parameters that must be equal in two runs that share a network.
SAME = {
    "dataset",
    "data_path",
    "frames",
    "videos",
    "world_seed",
    "size",
    "width",
    "labels",
    "network",
    "weights",
    "cached_views",
    "seed",
}
RATE = 12.5  # frames per second of the test video that poses are drawn on
SHOWN = 60  # maximum of its frames


@dataclass(frozen=True)
class SportsSplit:
    """The data of a sports notebook.

    labelled    the few frames whose labels are used for training
    unlabelled  all other training frames and, with `raw_every`, frames of the training videos, without their labels
    held_back   the frames of `unlabelled` with their ground truth, to audit pseudo labels, never to train on
    val, test   frames of other videos, with their labels
    """

    labelled: PoseData
    unlabelled: PoseData
    held_back: PoseData
    val: PoseData
    test: PoseData

    @property
    def skeleton(self) -> Skeleton:
        return self.test.skeleton

    @property
    def audited(self) -> bool:
        """Whether a keypoint of the unlabelled frames has ground truth, to audit pseudo labels with."""
        return bool((self.held_back.poses[..., 2] > 0).any())

    def __str__(self) -> str:
        parts = ("labelled", "unlabelled", "val", "test")
        text = ", ".join(f"{len(getattr(self, part))} {part}" for part in parts) + " frames"
        unknown = len(self.unlabelled) and not self.audited
        return text + ("; without ground truth of the unlabelled ones no audit of their labels" if unknown else "")


def load_sports(run: Run) -> SportsSplit:
    """The data that a notebook's parameters name, split by video, with the few labels drawn by its seed.

    With `cached_views` networks are trained on cached features of labelled and unlabelled frames (`feature_cache`).
    ValueError for a skeleton without the keypoints that PCK is relative to.
    """
    p = {"raw_every": 0, "raw_path": "", "raw_rate": 200, **run.parameters}
    shared = p["frames"], p["videos"], p["width"], run.cache
    seed = p["world_seed"]
    frames = read_frames(p["dataset"], run.path(p["data_path"]), *shared[:2], p["size"], *shared[2:], seed)
    reference_length(frames.poses[:1], frames.skeleton)  # what PCK needs, before any work
    train, val, test = (frames.subset(split) for split in SPLITS)
    few, rest = draw_labels(train, p["labels"], run.seed)
    pool = [train]
    if p["raw_every"]:
        path = run.path(p["raw_path"] or p["data_path"])
        rate = p["raw_rate"]
        pool.append(read_raw(p["dataset"], path, frames, *shared[:3], p["raw_every"], run.cache, rate, seed))
    network, folder = pretrained_network(run, train.skeleton), run.cache / "features"
    train, *raw = (cache_features(network, part, p["cached_views"], folder) for part in pool)
    held_back = concatenate(train.subset(rest), *raw)
    return SportsSplit(train.subset(few), held_back.unlabelled(), held_back, val, test)


def pretrained_network(run: Run, skeleton: Skeleton) -> nn.Module:
    """The network that a notebook's parameters name, with pretrained weights, on the run's device."""
    p = run.parameters
    return pretrained(p["network"], skeleton, run.path(p["weights"]), run.seed).to(run.device)


def read_frames(
    dataset: str, path: str | Path, frames: int, videos: int, size: int, width: int, cache: Path, world_seed: int = 0
) -> PoseData:
    """Labelled frames in three splits: `dataset` is "jump", "lsp" or "custom".

    jump and custom: squares of `size` pixels that show the whole image or, with a `width`, frames of size x width
    cropped to the person. jump: `frames` frames of `videos` videos of the jump world `world_seed`, kept in
    `cache`. lsp: the folder `path` of
    Leeds Sports Pose, always whole images in 256x192; at least 100 of its training images are validation, those that
    show the scene of a test image are skipped with a warning. custom: the folder `path` as described in `data.custom`.
    ValueError for another data set.
    """
    if dataset == "jump":
        labelled = worlds.jump(frames, rendered_side(size, width), world_seed, cache, videos)
        return cut_to_person(labelled, (size, width)) if width else labelled
    if dataset == "lsp":
        people = read_lsp(path)
        test = people.subset("test")
        train = drop_near_duplicates(people.subset("train"), test)
        return split_validation(concatenate(train, test), frames=100)
    if dataset == "custom":
        return read_custom(path, (size, width or size), cropped=width > 0)
    raise ValueError(f'dataset: "jump", "lsp" or "custom", not "{dataset}"')


def rendered_side(size: int, width: int) -> int:
    """The side in pixels of the jump world's frames: at least 256 if crops of `size` are taken from them."""
    return max(size, 256) if width else size


def first_training(
    run: Run, supervised_run: str, schedule: Schedule, name: str = "supervised.pt"
) -> tuple[Schedule, Path]:
    """Schedule and checkpoint of the supervised training that a sports notebook begins with.

    They are those of the finished `supervised_run` in its profile, if one is named; else `schedule` and the run's
    checkpoint `name`. ValueError says what to run first, or which parameter differs from that run's: the network would
    be trained again and overwrite that run's.
    """
    if not supervised_run:
        return schedule, run.checkpoint(name)
    folder = find_run(run.profile, "sports", supervised_run)
    before = read_manifest(folder)["parameters"]
    for key in sorted(SAME & before.keys() & run.parameters.keys()):
        if before[key] != run.parameters[key]:
            raise ValueError(
                f"{key} is {run.parameters[key]!r} here and {before[key]!r} in the run "
                f"{supervised_run}, whose network this run starts from: make them equal"
            )
    return schedule_in(before), folder / "checkpoints" / "supervised.pt"


def cut_to_person(people: PoseData, size: tuple[int, int]) -> PoseData:
    """The same people in frames of `size` (H, W) around the box of their labelled keypoints.

    The crop is a quarter larger than the box, as in `data.coco`, and black outside the original frame.
    """
    maps = crop_maps(person_boxes(people.poses, people.size, 1), size, MARGIN)
    parts = zip(people.frames.split(64), maps.split(64), strict=True)
    frames = torch.cat([warp(f.float(), m, size).round().to(torch.uint8) for f, m in parts])
    poses = transform_points(maps, people.poses)
    poses[people.poses[..., 2] == 0] = 0
    return replace(people, frames=frames, poses=poses)


def read_raw(
    dataset: str,
    path: str | Path,
    labelled: PoseData,
    frames: int,
    videos: int,
    width: int,
    every: int,
    cache: Path,
    rate: float = 200,
    world_seed: int = 0,
) -> PoseData:
    """Unlabelled frames like those of `labelled`: every n-th of the training videos (Ludwig et al., section 4.3.1).

    With a `width` a detector finds the person to crop to. jump: its training videos, first rendered to MP4 files of
    `rate` frames per second. lsp: every n-th image of the folder `path` of LSP Extended. custom: the files in
    `path`/videos.
    """
    size = labelled.size
    if dataset == "lsp":
        images = read_lspet(path, size, every).unlabelled()
        return drop_near_duplicates(images, labelled.subset(labelled.split != "train"))
    if dataset == "jump":
        paths = worlds.jump_videos(frames, rendered_side(size[0], width), world_seed, cache, videos, "train", rate)
    else:
        paths = training_videos(path, labelled)
    if width:
        return read_cropped(paths, labelled.skeleton, every, size, yolox_tiny(), cache)
    return read_videos(paths, labelled.skeleton, every, size)


def read_test_video(
    dataset: str,
    path: str | Path,
    size: int,
    width: int,
    test: set[str],
    frames: int,
    videos: int,
    cache: Path,
    world_seed: int = 0,
) -> Tensor | None:
    """Frames [T, 3, size, size or width] uint8 of one of the `test` videos, to draw poses on.

    With a `width` they are cropped to the person. jump: the first test video at RATE frames per second. custom: the
    first in `path`/videos that can be read, every other frame; broken ones are named in a warning. T is SHOWN at most.
    None if there is no video (lsp has none).
    """
    if dataset == "jump":
        side = rendered_side(size, width)
        paths, every = worlds.jump_videos(frames, side, world_seed, cache, videos, "test", RATE, limit=1), 1
    else:
        paths = video_files(path) if dataset == "custom" else []
        paths, every = [path for path in paths if path.stem in test], 2
    found, broken = None, []
    for file in paths:
        try:
            if width:
                found = crop_video(file, every, (size, width), yolox_tiny(), cache, SHOWN)
            else:
                found, _ = read_video(file, every, (size, size), SHOWN)
            break
        except ValueError:
            broken.append(file.name)
    warn_skipped("videos", "broken or truncated,", broken)
    return found
