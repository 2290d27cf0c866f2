"""The embedded data: rendered worlds with exact truth, made once and kept in a cache."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from fewpose.data.labels import LabelledPeople, ground_truth_labels
from fewpose.data.multi_person import BoxData, PeopleData
from fewpose.data.pose_data import PoseData
from fewpose.skeleton import COCO, JUMP
from fewpose_worlds import store

ABOVE = 0.08  # share of the everyday cameras that look down from a height


def everyday(frames: int, size: int, seed: int = 0, cache: Path | None = None, above: float = ABOVE) -> PoseData:
    """The everyday world: frames [N,3,S,S] of all sorts of people, 17 COCO keypoints in pixels.

    cache is the folder that keeps worlds between calls (None: made in memory each time). `above` is the share of the
    cameras that look down from a height. A smaller world of one seed is the beginning of a larger one. ValueError for
    sizes that make no picture.
    """
    from fewpose_worlds.everyday import stills as world

    _check("everyday", frames, size)
    folder = None if cache is None else everyday_folder(frames, size, seed, cache, above)
    tasks = [
        (seed, scene, min(world.SCENE, frames - scene * world.SCENE), size, above)
        for scene in range(-(-frames // world.SCENE))
    ]
    parameters = {"name": "everyday", "version": world.VERSION, "frames": frames, "size": size, "seed": seed}
    if above != ABOVE:
        parameters["above"] = above
    return store.generate(world.make_scene, tasks, frames, size, COCO, parameters, folder, world.prepare)


def everyday_folder(frames: int, size: int, seed: int, cache: Path, above: float = ABOVE) -> Path:
    """Where `everyday` keeps its frames and the annotations of everybody in them."""
    views = "" if above == ABOVE else f"_above{above:g}"
    return Path(cache) / f"everyday_{frames}x{size}{views}_seed{seed}"


def everyday_boxes(frames: int, size: int, seed: int, cache: Path) -> BoxData:
    """The everyday world with the boxes of all people in each frame; arguments as `everyday`."""
    data = everyday(frames, size, seed, cache)
    corners: list[list] = [[] for _ in range(frames)]
    path = everyday_folder(frames, size, seed, cache) / "annotations.json"
    for annotation in json.loads(path.read_text())["annotations"]:
        x, y, width, height = annotation["bbox"]
        corners[annotation["image_id"]].append([x, y, x + width, y + height])
    boxes = [torch.tensor(group).reshape(-1, 4).float() for group in corners]
    return BoxData(data.frames, boxes, data.split, name=data.name)


def everyday_people(frames: int, size: int, seed: int, cache: Path, above: float = ABOVE) -> LabelledPeople:
    """The everyday world with the true labels of all people in each frame, to learn from "train".

    Arguments as `everyday`; with `use` replaced the other splits serve.
    """
    data = everyday(frames, size, seed, cache, above)
    folder = everyday_folder(frames, size, seed, cache, above)
    coco = json.loads((folder / "annotations.json").read_text())
    parts = store.people_of(coco, frames, len(COCO))
    return ground_truth_labels(data.frames, *parts, COCO, data.name, np.flatnonzero(data.split == "train"))


def jump(frames: int, size: int, seed: int = 0, cache: Path | None = None, videos: int | None = None) -> PoseData:
    """The jump world: labelled stills of long and triple jumps, 20 JUMP keypoints in pixels.

    Stills are spread over time and phases of `videos` videos (default: 25 stills a video), which are split in the
    paper's ratio 122 : 18 : 46; cache as for `everyday`. ValueError for sizes that make no picture, fewer than three
    videos, or fewer frames than videos.
    """
    from fewpose_worlds.jump import stills as world

    _check("jump", frames, size)
    videos = world.count_videos(frames, videos)
    folder = None
    if cache is not None:
        folder = Path(cache) / f"jump_{frames}x{size}_{videos}videos_seed{seed}"
    parameters = {
        "name": "jump",
        "version": world.VERSION,
        "frames": frames,
        "size": size,
        "seed": seed,
        "videos": videos,
    }
    return store.generate(
        world.make_video, world.tasks(frames, size, seed, videos), frames, size, JUMP, parameters, folder, world.prepare
    )


def jump_video(seed: int, index: int, size: int, path: Path) -> int:
    """Write video `index` of the jump world `seed` as an MP4 of 200 Hz, frames of size x size.

    Athlete, site and camera are those of the stills. Returns the number of frames; ValueError for a size that makes
    no picture, RuntimeError if the file cannot be written.
    """
    from fewpose_worlds.jump import stills as world

    _check("jump", 1, size)
    return world.write_video(seed, index, size, Path(path))


def jump_videos(
    frames: int,
    size: int,
    seed: int,
    cache: Path,
    videos: int | None = None,
    split: str = "train",
    rate: float = 200,
    limit: int | None = None,
) -> list[Path]:
    """MP4 files in `cache` of the first `limit` videos of a split of `jump(frames, size, seed, videos=videos)`.

    They are named as the stills' `video`, have `rate` frames a second, and existing ones are kept. Errors as for
    `jump_video`.
    """
    from fewpose_worlds.jump import stills as world
    from fewpose_worlds.jump.video import video_name

    _check("jump", frames, size)
    videos = world.count_videos(frames, videos)
    folder = Path(cache) / f"jump_videos_{size}px_{rate:g}Hz_seed{seed}_version{world.VERSION}"
    chosen = [i for i, name in enumerate(world.splits(videos, seed)) if name == split][:limit]
    paths = [folder / f"{video_name(i)}.mp4" for i in chosen]
    todo = [(seed, i, size, path, rate) for i, path in zip(chosen, paths, strict=True) if not path.exists()]
    if todo:
        world.prepare()
    for _ in tqdm(
        store.in_order(world.write_video, todo), total=len(todo), desc="jump videos", unit="video", leave=False
    ):
        pass
    return paths


def operating_room(
    frames: int, size: tuple[int, int] = (480, 640), seed: int = 0, cache: Path | None = None, days: int | None = None
) -> PeopleData:
    """The operating-room world: three ceiling cameras over clinicians at work, 17 COCO keypoints.

    Frames of size (H, W); the three views of a moment stand together, so that a number of frames that is no multiple
    of three leaves the last moment incomplete. Moments are spread over `days` days (default: one for each 60 frames,
    three at least), each with a room, a rig and a staff of its own, split about 60 : 15 : 25; cache as for
    `everyday`. Clinicians are labelled, the patient under his drapes is not. ValueError for sizes that make no
    picture, fewer than three days, or fewer moments than days.
    """
    from fewpose_worlds.operating_room import views as world

    height, width = size
    _check("operating_room", frames, height)
    _check("operating_room", frames, width)
    if days is None:
        days = max(3, frames // 60)
    if not 3 <= days <= -(-frames // world.VIEWS):
        raise ValueError(
            f"world operating_room: {frames} frames of {days} days; ask for three days at least "
            f"(training, validation, test), each with {world.VIEWS} frames or more"
        )
    folder = None
    if cache is not None:
        folder = Path(cache) / f"operating_room_{frames}x{height}x{width}_{days}days_seed{seed}"
    parameters = {
        "name": "operating_room",
        "version": world.VERSION,
        "frames": frames,
        "size": [height, width],
        "seed": seed,
        "days": days,
    }
    return store.generate(
        world.make_stage,
        world.tasks(frames, (height, width), seed, days),
        frames,
        (height, width),
        COCO,
        parameters,
        folder,
        world.prepare,
        store.all_people,
        few=4,
    )


def export(world: str, frames: int, size: int, seed: int, out: Path, videos: int = 3) -> Path:
    """Write a world to the folder `out` for other programs: images/*.jpg and annotations.json.

    For jump also the first `videos` of its videos as MP4, named as the stills' `video_id`. Frames are size x size
    pixels, those of operating_room size high and 4:3. ValueError for an unknown world or a size that makes no
    picture; returns the folder.
    """
    if world not in ("everyday", "jump", "operating_room"):
        raise ValueError(f"unknown world {world!r}; the worlds are: everyday, jump, operating_room")
    with tempfile.TemporaryDirectory() as work:
        if world == "operating_room":
            operating_room(frames, (size, size * 4 // 3), seed, Path(work))
        else:
            data = {"everyday": everyday, "jump": jump}[world](frames, size, seed, Path(work))
        store.export_images(next(Path(work).iterdir()), Path(out))
    if world == "jump":
        for index, name in enumerate(dict.fromkeys(data.video)):
            if index < videos:
                jump_video(seed, index, size, Path(out) / "videos" / f"{name}.mp4")
    return Path(out)


def _check(world: str, frames: int, size: int) -> None:
    if frames < 1 or not 32 <= size <= 1024:
        raise ValueError(
            f"world {world}: {frames} frames of {size} pixels; ask for at least 1 frame and a size from 32 to 1024"
        )
