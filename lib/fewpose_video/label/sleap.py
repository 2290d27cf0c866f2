"""SLEAP's `.slp`: its labels, with or without images inside, read from the HDF5 file itself, and written by sleap-io.

Not read by sleap-io, whose way to COCO and YOLO sorts the keypoints anew and drops the video of a frame, the split and
points that are not visible. Splits are files of their own: labels.train.slp, labels.val.slp, labels.test.slp.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from fewpose.data.coco_file import listed_videos, load_coco, pose_category, video_of
from fewpose.data.images import warn_skipped
from fewpose.data.video import iter_frames
from fewpose.skeleton import Skeleton
from fewpose_video.formats import require
from fewpose_video.label import label_file
from fewpose_video.label.imported import SPLIT_NAMES, Imported
from fewpose_video.label.skeletons import make_skeleton

USER = 0  # type of an instance that a person has labelled
EDGE, SYMMETRY = 1, 2  # types of a skeleton's links
CENTRED = 1.1  # format since which pixels are counted from the centre of the first, before from its edge
ORDERED = 1.4  # format since which embedded images say whether they are RGB


@dataclass(frozen=True)
class SleapVideo:
    """A video of a .slp: its file, or the `images` of its frames, or the `group` in the .slp that holds these."""

    file: str
    images: tuple[str, ...] = ()
    group: str = ""

    @property
    def name(self) -> str:
        """That of the file without suffix, of images that of their folder."""
        path = PurePosixPath(self.file)
        return path.parent.name if self.images and path.parent.name else path.stem


def read_sleap(source: Path, work: Path) -> tuple[Skeleton, list[Imported]]:
    """The frames that people have labelled in a .slp, or in those of a folder, one of each split.

    Points that are labelled but not visible are occluded. Images inside of the .slp or of its videos are written to the
    folder `work`; videos and images that are not where the .slp says are looked for beside it. ValueError if the folder
    holds several .slp that are not those of its splits, a file is none, or its instances have several skeletons.
    """
    found: list[Imported] = []
    skeleton = None
    for split, path in find_files(source).items():
        here, items = read_file(path, work, split)
        if skeleton and here.keypoints != skeleton.keypoints:
            raise ValueError(f"{path} has other keypoints than the other splits: {', '.join(here.keypoints)}")
        skeleton, found = here, found + items
    return skeleton, found


def find_files(source: Path) -> dict[str, Path]:
    """The .slp of each split, of "" where there is but one file."""
    if not source.is_dir():
        return {"": source}
    files, splits = sorted(source.glob("*.slp")), {}
    for path in files:
        words = [SPLIT_NAMES[word] for word in re.split(r"[\W_]+", path.stem.lower()) if word in SPLIT_NAMES]
        if words and words[-1] in splits:
            raise ValueError(f"{path} and {splits[words[-1]].name} are of the same split: name the .slp to import")
        splits |= {words[-1]: path} if words else {}
    if not splits and len(files) > 1:
        raise ValueError(f"{source} holds {len(files)} .slp files that name no split: name the one to import")
    return splits or {"": files[0]}


def read_file(path: Path, work: Path, split: str) -> tuple[Skeleton, list[Imported]]:
    """The skeleton and the labelled frames of one .slp."""
    h5py = require("h5py", "sleap")
    try:
        with h5py.File(path) as file:
            attributes = file["metadata"].attrs
            about, version = json.loads(attributes["json"]), float(attributes.get("format_id", 1.0))
            videos = [video_in(file, json.loads(entry)) for entry in file["videos_json"]]
            tables = {name: file[name][:] for name in ("frames", "instances", "points")}
            users = tables["instances"][tables["instances"]["instance_type"] == USER]
            numbers = np.unique(users["skeleton"]).tolist()
            if len(numbers) > 1:
                raise ValueError(f"{path}: instances of {len(numbers)} skeletons are labelled, one can be read")
            skeleton = skeleton_in(about, int(numbers[0]) if numbers else 0)
            people = defaultdict(list)
            for row in users:
                points = tables["points"][int(row["point_id_start"]) : int(row["point_id_end"])]
                people[int(row["frame_id"])].append(pose_of(points, 0.0 if version >= CENTRED else 0.5))
            # a frame's video is the number of its group where images are inside, else its place in the list
            place = {int(v.group[5:]) if re.fullmatch(r"video\d+", v.group) else i: i for i, v in enumerate(videos)}
            rows: dict[int, list[tuple[int, np.ndarray]]] = defaultdict(list)
            for row in tables["frames"]:
                if int(row["frame_id"]) in people:
                    poses = np.stack(people[int(row["frame_id"])])
                    rows[place[int(row["video"])]].append((int(row["frame_idx"]), poses))
            names, found = distinct_names(videos), []
            for i, labelled in rows.items():
                images = write_frames(file, path, videos[i], names[i], [n for n, _ in labelled], version, work)
                video = "" if videos[i].images and names[i] == "images" else names[i]
                found += [Imported(images[n], video, poses, split) for n, poses in labelled]
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} is no .slp that can be read: {error}") from error
    return skeleton, found


def skeleton_in(about: dict, number: int) -> Skeleton:
    """A skeleton of the metadata, its keypoints in the order of the instances' points."""
    entry = about["skeletons"][number]
    entry = entry.get("nx_graph", entry)
    every = [node["name"] if "name" in node else node for node in about["nodes"]]
    ids = [node["id"] for node in entry["nodes"]]
    names, kinds, links = [every[i] for i in ids], [], {EDGE: [], SYMMETRY: []}
    for link in entry["links"]:
        if "py/reduce" in link["type"]:
            kinds.append(link["type"]["py/reduce"][1]["py/tuple"][0])
            kind = kinds[-1]
        else:  # the n-th kind that was named before
            kind = dict(enumerate(kinds, start=1)).get(link["type"]["py/id"], link["type"]["py/id"])
        links[kind].append((every[link["source"]], every[link["target"]]))
    skeleton = make_skeleton(entry.get("graph", {}).get("name") or "sleap", names)
    pairs = dict.fromkeys(tuple(sorted(pair, key=names.index)) for pair in links[SYMMETRY])
    return replace(skeleton, limbs=tuple(links[EDGE]), flip_pairs=tuple(pairs) or skeleton.flip_pairs)


def pose_of(points: np.ndarray, shift: float) -> np.ndarray:
    """Keypoints [K, 3] of an instance's points: 2 where visible, 1 where only placed, 0 where not."""
    xy = np.column_stack([points["x"], points["y"]]).astype(float) - shift
    visibility = np.where(np.isfinite(xy).all(1), np.where(points["visible"], 2, 1), 0)
    return np.column_stack([np.where(visibility[:, None] > 0, xy, 0), visibility])


def video_in(file, entry: dict) -> SleapVideo:
    """A video of `videos_json`; of images inside of the .slp it is the video that they were taken from."""
    backend = entry.get("backend", entry)
    name, group = backend.get("filename", entry.get("filename", "")), ""
    if name == ".":
        group = backend["dataset"].split("/")[0]
        source = file[group].get("source_video")
        if source is not None:
            entry = json.loads(source.attrs["json"] if "json" in source.attrs else source["json"][()])
            backend = entry.get("backend", entry)
            name = backend.get("filename", entry.get("filename", ""))
    images = backend.get("filenames") or (name if isinstance(name, list) else [])
    name = images[0] if images else name
    clean = [str(text).replace("\\", "/") for text in (name, *images)]
    return SleapVideo(clean[0] if clean[0] != "." else group, tuple(clean[1:]), group)


def distinct_names(videos: Sequence[SleapVideo]) -> list[str]:
    """The name of each video, with that of its folder before it where two share it."""
    names = [video.name for video in videos]
    folders = [PurePosixPath(video.file).parent.name for video in videos]
    return [f"{f}_{n}" if names.count(n) > 1 and f else n for f, n in zip(folders, names, strict=True)]


def write_frames(
    file, path: Path, video: SleapVideo, name: str, numbers: list[int], version: float, work: Path
) -> dict[int, Path]:
    """The image of each of a video's frames: its file, or one written to `work`; a path to nothing if it is missing."""
    targets = {number: work / f"{name}_{number:06}.png" for number in numbers}
    if video.group:
        data = file[video.group]["video"]
        there = {int(n): i for i, n in enumerate(file[video.group]["frame_numbers"][:])}
        order = data.attrs.get("channel_order", "BGR" if version < ORDERED else "RGB")
        for number in there.keys() & targets.keys():
            image = np.asarray(Image.open(io.BytesIO(np.asarray(data[there[number]]).tobytes().rstrip(b"\0"))))
            # written by OpenCV, which took red for blue
            swapped = image.ndim == 3 and order in ("BGR", b"BGR")
            Image.fromarray(image[..., ::-1].copy() if swapped else image).save(targets[number])
    elif video.images:
        return {n: find_near(path, video.images[n]) for n in numbers}
    elif (source := find_near(path, video.file)).is_file():
        wanted = set(numbers)
        for number, _, image in iter_frames(source):
            if number in wanted:
                Image.fromarray(image).save(targets[number])
            if number >= max(wanted):
                break
    else:
        warn_skipped(path.name, "videos missing,", [video.file])
    return targets


def find_near(path: Path, name: str) -> Path:
    """A file where it is said to be, else in or below the folder of the .slp under as many parts of its path as fit."""
    if Path(name).is_file():
        return Path(name)
    parts = PurePosixPath(name).parts
    places = [path.parent.joinpath(*parts[-n:]) for n in (3, 2, 1) if n <= len(parts) and parts[-n] != "/"]
    places.append(path.parent / "videos" / parts[-1])
    return next((place for place in places if place.is_file()), Path(name))


def export_sleap(path: Path, out: str | Path) -> list[Path]:
    """A .slp for each split (labels.slp where none is named), the images of each video in a folder of its name.

    `path` is a label file. Occluded points are placed but not visible. The files written are returned.
    """
    sio = require("sleap_io", "sleap")
    out, content, skeleton = Path(out), load_coco(path), label_file.skeleton_of(path)
    listed, people = listed_videos(content, path), defaultdict(list)
    for annotation in label_file.poses_in(content, pose_category(content, path)):
        people[annotation["image_id"]].append(np.array(annotation["keypoints"], float).reshape(-1, 3))
    divided = all("split" in entry for entry in content["images"])
    groups: dict[str, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for entry in content["images"]:
        video = re.sub(r"[\\/:]+", "_", video_of(entry, listed, str(path)) or "images")
        groups[entry["split"] if divided else ""][video].append(entry)
        (out / video).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path.parent / "images" / entry["file_name"], out / video / entry["file_name"])
    written = []
    for split, videos in groups.items():
        twins = [(skeleton.keypoints[a], skeleton.keypoints[b]) for a, b in skeleton.pair_index]
        own = sio.Skeleton(list(skeleton.keypoints), list(skeleton.limbs), twins, name=skeleton.name)
        frames = []
        for video, entries in videos.items():
            images = sio.Video.from_filename([(out / video / e["file_name"]).absolute().as_posix() for e in entries])
            for number, entry in enumerate(entries):
                made = [instance(sio, pose, own) for pose in people[entry["id"]]]
                frames.append(sio.LabeledFrame(video=images, frame_idx=number, instances=made))
        written.append(out / (f"labels.{split}.slp" if split else "labels.slp"))
        labels = sio.Labels(frames, skeletons=[own])
        sio.save_slp(labels, str(written[-1]), embed=False, verbose=False)
    return written


def instance(sio, pose: np.ndarray, skeleton):
    """A user's instance of a pose [K, 3]."""
    points = np.where(pose[:, 2:] > 0, pose[:, :2], np.nan)
    made = sio.Instance.from_numpy(points, skeleton)
    made.points["visible"] = pose[:, 2] == 2
    return made
