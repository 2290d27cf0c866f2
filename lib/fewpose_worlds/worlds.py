"""The default data: rendered worlds with exact ground truth, rendered once and cached."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from fewpose.data.labels import LabelledPeople, ground_truth_labels
from fewpose.data.multi_person import BoxData, PeopleData
from fewpose.data.pose_data import PoseData
from fewpose.disk import lock
from fewpose.made_once import made_once
from fewpose.skeleton import COCO, JUMP
from fewpose_worlds import store
from fewpose_worlds.body import load_model
from fewpose_worlds.everyday import stills as everyday_stills
from fewpose_worlds.jump import stills as jump_stills
from fewpose_worlds.jump.video import video_name
from fewpose_worlds.operating_room import views

EXPORTED_RATE = 50  # frames a second of exported videos: 200 Hz would take minutes to render
ABOVE = 0.08  # share of the everyday cameras that look down from a height


def everyday(frames: int, size: int, seed: int = 0, cache: Path | None = None, above: float = ABOVE) -> PoseData:
    """The everyday world: frames [N,3,S,S] of diverse people, 17 COCO keypoints in pixels.

    cache is the folder that keeps worlds between calls (None: none is kept); `above` the share of the cameras that look
    down from a height. A smaller world is the beginning of a larger one of a seed. ValueError for impossible sizes.
    """
    _check("everyday", frames, size)
    folder = None if cache is None else everyday_folder(frames, size, seed, cache, above)
    n = everyday_stills.SCENE
    tasks = [(seed, scene, min(n, frames - scene * n), size, above) for scene in range(-(-frames // n))]
    parameters = dict(name="everyday", version=everyday_stills.VERSION, frames=frames, size=size, seed=seed)
    if above != ABOVE:
        parameters["above"] = above
    return store.generate(everyday_stills.make_scene, tasks, COCO, parameters, folder, load_model)


def everyday_folder(frames: int, size: int, seed: int, cache: Path, above: float = ABOVE) -> Path:
    """The folder of `everyday`'s frames and the annotations of everybody in them."""
    cameras = "" if above == ABOVE else f"_above{above:g}"
    return Path(cache) / f"everyday_{frames}x{size}{cameras}_seed{seed}"


def everyday_boxes(frames: int, size: int, seed: int, cache: Path) -> BoxData:
    """The everyday world with the boxes of all people in each frame; arguments as of `everyday`."""
    data = everyday(frames, size, seed, cache)
    corners: list[list] = [[] for _ in range(frames)]
    path = everyday_folder(frames, size, seed, cache) / "annotations.json"
    for annotation in json.loads(path.read_text(encoding="utf-8"))["annotations"]:
        x, y, width, height = annotation["bbox"]
        corners[annotation["image_id"]].append([x, y, x + width, y + height])
    boxes = [torch.tensor(group).reshape(-1, 4).float() for group in corners]
    return BoxData(data.frames, boxes, data.split, name=data.name)


def everyday_people(frames: int, size: int, seed: int, cache: Path, above: float = ABOVE) -> LabelledPeople:
    """The everyday world with the ground truth of all people in each frame, to train on the split "train".

    Arguments as of `everyday`; for the other splits replace `use`.
    """
    data = everyday(frames, size, seed, cache, above)
    coco = json.loads(
        (everyday_folder(frames, size, seed, cache, above) / "annotations.json").read_text(encoding="utf-8")
    )
    poses = (store.values_of_frames(coco, frames, key, len(COCO), 3) for key in ("keypoints", "keypoints3d"))
    train = np.flatnonzero(data.split == "train")
    return ground_truth_labels(data.frames, store.boxes_of_frames(coco, frames), *poses, COCO, data.name, train)


def jump(frames: int, size: int, seed: int = 0, cache: Path | None = None, videos: int | None = None) -> PoseData:
    """The jump world: labelled frames [N,3,S,S] of long and triple jumps, 20 JUMP keypoints in pixels.

    Frames are spread over time and phases of `videos` videos (default: 25 frames each), split in the paper's ratio
    122 : 18 : 46; cache as of `everyday`. ValueError for impossible sizes, or not 3 to `frames` videos.
    """
    _check("jump", frames, size)
    videos = jump_stills.count_videos(frames, videos)
    folder = None if cache is None else Path(cache) / f"jump_{frames}x{size}_{videos}videos_seed{seed}"
    parameters = dict(name="jump", version=jump_stills.VERSION, frames=frames, size=size, seed=seed, videos=videos)
    tasks = jump_stills.tasks(frames, size, seed, videos)
    return store.generate(jump_stills.make_stills, tasks, JUMP, parameters, folder, load_model)


def jump_video(seed: int, index: int, size: int, path: Path, rate: float = jump_stills.RATE) -> int:
    """Write video `index` of the jump world `seed` as an MP4 of `rate` Hz, frames of size x size; its number of frames.

    Athlete, site and camera are the stills'. ValueError for an impossible size or a rate above 200.
    """
    _check("jump", 1, size)
    return jump_stills.write_video(seed, index, size, Path(path), rate)


def jump_videos(
    frames: int,
    size: int,
    seed: int,
    cache: Path,
    videos: int | None,
    split: str,
    rate: float,
    limit: int | None = None,
) -> list[Path]:
    """MP4 files in `cache` of the first `limit` videos of a split of `jump(frames, size, seed, videos=videos)`.

    They are named as the stills' `video` and have `rate` frames a second; existing ones are kept. Errors: `jump_video`.
    """
    _check("jump", frames, size)
    videos = jump_stills.count_videos(frames, videos)
    folder = Path(cache) / f"jump_videos_{size}px_{rate:g}Hz_seed{seed}_version{jump_stills.VERSION}_h264"
    chosen = [i for i, name in enumerate(jump_stills.splits(videos, seed)) if name == split][:limit]
    paths = [folder / f"{video_name(i)}.mp4" for i in chosen]
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / ".lock"):  # another run may need them, too
        missing = [(seed, i, size, path, rate) for i, path in zip(chosen, paths, strict=True) if not path.exists()]
        if missing:
            load_model()
        written = store.in_order(jump_stills.write_video, missing)
        for _ in tqdm(written, total=len(missing), desc="jump videos", unit="video", leave=False):
            pass
    return paths


def operating_room(
    frames: int, size: tuple[int, int] = (480, 640), seed: int = 0, cache: Path | None = None, days: int | None = None
) -> PeopleData:
    """The operating-room world: clinicians seen by three ceiling cameras, 17 COCO keypoints, 3D in millimetres.

    Frames [N,3,H,W] of size (H, W); the three views of a moment are consecutive. Moments are spread over `days` days
    (default: one for each 60 frames, at least three), each with a room, cameras and staff of its own, split about
    60 : 15 : 25; cache as of `everyday`. Clinicians are labelled, the draped patient is not. ValueError for
    impossible sizes, fewer than three days, or fewer moments than days.
    """
    height, width = size
    _check("operating_room", frames, height, width)
    if days is None:
        days = max(3, frames // 60)
    if not 3 <= days <= -(-frames // views.VIEWS):
        raise ValueError(
            f"world operating_room: {frames} frames of {days} days; at least three days are needed "
            f"(training, validation, test), each with {views.VIEWS} frames or more"
        )
    folder = None if cache is None else Path(cache) / f"operating_room_{frames}x{height}x{width}_{days}days_seed{seed}"
    parameters = dict(
        name="operating_room", version=views.VERSION, frames=frames, size=[height, width], seed=seed, days=days
    )
    tasks = views.tasks(frames, (height, width), seed, days)
    return store.generate(views.make_scene, tasks, COCO, parameters, folder, load_model, store.all_people, few=4)


def operating_room_videos(
    videos: int, seconds: float, size: tuple[int, int] = (480, 640), seed: int = 0, cache: Path | None = None
) -> PeopleData:
    """Videos of the operating-room world as successive frames, `views.RATE` a second, each of one camera on a new day.

    As `operating_room`, but all frames are `test`; `day` names the video, `moment` numbers its frames and `person` is
    the same in all of them. ValueError for impossible sizes.
    """
    height, width = size
    count = max(1, round(seconds * views.RATE))
    _check("operating_room", videos * count, height, width)
    name = f"operating_room_{videos}videos_{count}x{height}x{width}_seed{seed}"
    folder = None if cache is None else Path(cache) / name
    parameters = dict(name="operating_room", version=views.VERSION, frames=videos * count, size=[height, width])
    parameters |= dict(videos=videos, seed=seed)
    tasks = [(seed, number, count, (height, width)) for number in range(videos)]
    return store.generate(views.make_video, tasks, COCO, parameters, folder, load_model, store.all_people, few=2)


def export(world: str, frames: int, size: int, seed: int, out: Path, videos: int = 3) -> Path:
    """Write a world to the folder `out` for other programs, images/*.jpg and annotations.json; returns the folder.

    For jump also the first `videos` of its videos as MP4 of 50 Hz, named as the stills' `video_id`. Frames are size x
    size pixels, those of operating_room size high and 4:3. ValueError for an unknown world or an impossible size.
    """
    if world not in ("everyday", "jump", "operating_room"):
        raise ValueError(f"unknown world {world!r}; the worlds are: everyday, jump, operating_room")
    if Path(out).exists() and (not Path(out).is_dir() or any(path.name[0] != "." for path in Path(out).iterdir())):
        raise ValueError(f"{out} holds other files: give a new folder, so that nothing is lost, or empty it")
    out = Path(out).absolute()
    with no_lock_left(out), made_once(out, lambda: False) as folder, tempfile.TemporaryDirectory() as work:
        if world == "operating_room":
            operating_room(frames, (size, size * 4 // 3), seed, Path(work))
        else:
            data = {"everyday": everyday, "jump": jump}[world](frames, size, seed, Path(work))
        store.export_images(next(path for path in Path(work).iterdir() if path.is_dir()), folder)
        if world == "jump":
            for index, name in enumerate(list(dict.fromkeys(data.video))[:videos]):
                jump_stills.write_video(seed, index, size, folder / "videos" / f"{name}.mp4", EXPORTED_RATE)
    return out


@contextlib.contextmanager
def no_lock_left(folder: Path) -> Iterator[None]:
    """Remove the lock of `made_once` in the end: it would lie beside a user's folder."""
    try:
        yield
    finally:
        folder.with_name(f".{folder.name}.lock").unlink(missing_ok=True)


def _check(world: str, frames: int, *size: int) -> None:
    if frames < 1 or not 32 <= min(size) <= max(size) <= 1024:
        pixels = " x ".join(map(str, size))
        raise ValueError(
            f"world {world}: {frames} frames of {pixels} pixels; at least 1 frame and a size from 32 to 1024 are needed"
        )
