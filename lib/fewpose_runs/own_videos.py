"""The data of `your_videos`: labelled people, unlabelled frames with their numbers, frames to label next, examples."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fewpose.beyond.budget import Plan
from fewpose.beyond.few_videos import ENOUGH, Fold, everything, leave_videos_out, one_fold
from fewpose.crops import MARGIN, crop_maps, cut_crops, person_boxes
from fewpose.data.coco_file import load_coco, read_skeleton
from fewpose.data.custom import normalised, read_people, split_videos, video_files
from fewpose.data.images import warn_skipped, write_image
from fewpose.data.pose_data import PoseData
from fewpose.data.video import concatenate_videos, iter_frames, read_video
from fewpose.disk import copy_file
from fewpose.feature_cache import cache_features
from fewpose.geometry import transform_points
from fewpose.heatmaps import predict_all
from fewpose.made_once import made_once
from fewpose.metrics import conformal
from fewpose.metrics.conformal import ErrorBands
from fewpose.models.teacher.yolox import yolox_tiny
from fewpose.skeleton import Skeleton
from fewpose_runs.runs import write_json
from fewpose_video.bands import ANGLES_FILE, angle_errors, angle_skeleton
from fewpose_video.cropped import cached_boxes
from fewpose_video.measure import find_keypoint
from fewpose_video.networks import PoseNetwork
from fewpose_video.people import crop_boxes, find_person
from fewpose_worlds import store, worlds

MEASURED = 8  # frames of a video that are read to measure the speed


def example_folder(cache: Path, frames: int, videos: int, size: int = 96) -> Path:
    """A small folder like a user's, made once in `cache`: every other frame of a jump world, without named splits."""
    folder = Path(cache) / f"example_{frames}x{size}_{videos}videos"
    with made_once(folder, (folder / "annotations.json").is_file) as part:
        if part is not None:
            worlds.jump(frames, size, 0, cache, videos)
            store.export_images(Path(cache) / f"jump_{frames}x{size}_{videos}videos_seed0", part)
            (part / "videos").mkdir()
            for path in worlds.jump_videos(frames, size, 0, cache, videos, "train", 12.5, limit=2):
                shutil.copy(path, part / "videos")
            content = json.loads((part / "annotations.json").read_text(encoding="utf-8"))
            content["images"] = content["images"][::2]
            for image in content["images"]:
                del image["split"]
            kept = {image["id"] for image in content["images"]}
            content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
            write_json(part / "annotations.json", content)
    return folder


def skeleton_of(folder: Path) -> Skeleton:
    """The skeleton that annotations.json of a folder names."""
    path = Path(folder) / "annotations.json"
    return read_skeleton(load_coco(path), path)


def read_labelled(folder: Path, plan: Plan) -> tuple[PoseData, list[Fold]]:
    """The labelled people of a folder (`data.custom`) in the plan's frames, and their division by video.

    Splits that the file names are kept. Otherwise one division from ENOUGH videos on; with fewer each video is left out
    once, and the last fold trains on all.
    """
    people, named = read_people(folder, (plan.size, plan.width or plan.size), plan.width > 0)
    if not named and len(np.unique(people.video)) < ENOUGH:
        return people, [*leave_videos_out(people.video), everything(people.video)]
    split = people.split if named else split_videos(people.video, folder)
    return people, one_fold(people.video, split)


def free_videos(folder: Path, folds: list[Fold]) -> list[Path]:
    """The videos of a folder of which some training may see frames: none of validation or test of a single division."""
    held_out = set.intersection(*({normalised(name) for name in fold.held_out} for fold in folds))
    return [path for path in video_files(folder) if normalised(path.stem) not in held_out]


def read_unlabelled(paths: Iterable[Path], like: PoseData, plan: Plan, cache: Path) -> tuple[PoseData, np.ndarray]:
    """Every `raw_every`-th frame of the videos as an unlabelled one, in frames like those of `like`, and their numbers.

    With a `width` each is cropped to the person (`crop_video`), and frames without one are left out. Broken videos and
    those without a person are named in a warning. No frames without videos.
    """
    frames, names, numbers, skipped = [like.frames[:0]], [], [], []
    for path in paths if plan.raw_every else ():
        try:
            found, number = read_frames(path, plan, cache)
        except ValueError:
            skipped.append(path.name)
            continue
        frames.append(found)
        numbers.append(number)
        names += [path.stem] * len(number)
    warn_skipped("videos", "broken, truncated or without a person,", skipped)
    poses = torch.zeros(len(names), len(like.skeleton), 3)
    split = np.full(len(names), "train")
    data = PoseData(concatenate_videos(frames), poses, like.skeleton, np.array(names, dtype=str), split, "videos")
    return data, np.concatenate([np.array([], dtype=int), *numbers])


def read_frames(path: Path, plan: Plan, cache: Path) -> tuple[Tensor, np.ndarray]:
    """The plan's frames [N, 3, H, W] of a video and their numbers; ValueError if it is broken or shows nobody."""
    if not plan.width:
        return read_video(path, plan.raw_every, (plan.size, plan.size))
    boxes = cached_boxes(path, yolox_tiny(), cache)
    crops, numbers = [], []
    for number, _, image in iter_frames(path, plan.raw_every):
        box = boxes[number : number + 1]
        if not box.isnan().any():
            crops.append(crop_boxes([image], box, (plan.size, plan.width), MARGIN)[0])
            numbers.append(number)
    if not crops:
        raise ValueError(f"{path}: nobody was found in this video")
    return torch.cat(crops), np.array(numbers)


def read_beginning(paths: list[Path], plan: Plan) -> int:
    """Read the first frames of the first video as `read_unlabelled` does, to measure the speed; their number."""
    for path in paths:
        try:
            images = [image for _, _, image in islice(iter_frames(path), MEASURED)]
        except ValueError:
            continue
        if plan.width:
            find_person(yolox_tiny(), images)
        return len(images)
    return 0


def with_features(network: nn.Module, data: PoseData, plan: Plan, cache: Path) -> PoseData:
    """`data` with cached features (`feature_cache`), if the plan wants them and there are frames."""
    return cache_features(network, data, plan.cached_views if len(data) else 0, cache / "features")


def is_labelled(folder: Path, video: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Which frames, by video and number, are among the images of annotations.json, named as `write_to_label` does."""
    images = load_coco(Path(folder) / "annotations.json")["images"]
    stems = {normalised(Path(image["file_name"]).stem) for image in images}
    return np.array([normalised(f"{v}_{n:06}") in stems for v, n in zip(video, number, strict=True)], dtype=bool)


def image_pixels(people: PoseData, folder: Path) -> float:
    """How many pixels of the labelled images one pixel of the frames is, at the median.

    The ratio of the labelled keypoints' mean distance from their middle, in both.
    """
    content = load_coco(Path(folder) / "annotations.json")
    rows = [np.reshape(a["keypoints"], (-1, 3)) for a in content["annotations"] if a.get("keypoints")]
    spread = [_spread(row[row[:, 2] > 0, :2]) for row in rows]
    return float(np.median(spread) / np.median([_spread(p[p[:, 2] > 0, :2]) for p in people.poses.numpy()]))


def _spread(points: np.ndarray) -> float:
    return float(np.linalg.norm(points - points.mean(0), axis=1).mean()) if len(points) else 0.0


def write_to_label(folder: Path, chosen: list[tuple[Path, int]], labelled: Path) -> Path:
    """Write frames to label to `folder`: images/VIDEO_NUMBER.png, a COCO file without annotations; its path.

    chosen: the video and number of each frame, whole and at full size. The categories are those of `labelled`, the
    folder of labels that the new ones continue. ValueError rather than overwriting labels that were made there.
    """
    file = folder / "annotations.json"
    if file.is_file() and load_coco(file)["annotations"]:
        raise ValueError(f"{file} holds labels: join them with your others first (`join_labels`), or move them away")
    content = load_coco(Path(labelled) / "annotations.json")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images = []
    for path in dict.fromkeys(path for path, _ in chosen):
        wanted = {number for video, number in chosen if video == path}
        for number, _, image in islice(iter_frames(path), max(wanted) + 1):
            if number in wanted:
                name = f"{path.stem}_{number:06}.png"
                write_image(folder / "images" / name, image)
                entry = {"id": len(images) + 1, "file_name": name, "video_id": path.name}
                images.append(entry | {"height": image.shape[0], "width": image.shape[1], "frame": number})
    parts = {"images": images, "annotations": [], "categories": content["categories"]}
    write_json(file, parts)
    return file


def join_labels(folder: Path, new: Path) -> int:
    """Move the frames that were labelled in `new` (`write_to_label`) into a folder of labels; their number.

    Images are copied, entries appended with ids of their own, as `train` where splits are named; then `new` is removed.
    The folder's file is replaced in one step and kept as annotations.before.json. Nothing happens without labels.
    """
    file = folder / "annotations.json"
    added = load_coco(new / "annotations.json") if (new / "annotations.json").is_file() else {"annotations": []}
    if not added["annotations"]:
        return 0
    content = json.loads(file.read_text(encoding="utf-8-sig"))
    used = {image["id"] for image in content["images"]} | {a.get("id") for a in content["annotations"]}
    first = 1 + max((i for i in used if isinstance(i, int)), default=0)
    labelled = {annotation["image_id"] for annotation in added["annotations"]}
    number = {image["id"]: first + i for i, image in enumerate(added["images"])}
    split = {"split": "train"} if any("split" in image for image in content["images"]) else {}
    for image in added["images"]:
        if image["id"] in labelled:
            copy_file(new / "images" / image["file_name"], folder / "images")
            content["images"].append(image | {"id": number[image["id"]]} | split)
    for i, annotation in enumerate(added["annotations"]):
        content["annotations"].append(annotation | {"id": first + i, "image_id": number[annotation["image_id"]]})
    copy_file(file, file.with_name("annotations.before.json"))
    write_json(file, content)
    shutil.rmtree(new)
    return len(labelled)


# ---- predict_and_measure -----------------------------------------------------------------------------------------


def example_video(cache: Path, size: int = 256, rate: float = 50) -> Path:
    """A rendered jump, a video like a user's, made once in `cache`."""
    return worlds.jump_videos(3, size, 0, cache, 3, "test", rate, limit=1)[0]


def calibrate_published(network: PoseNetwork, people: PoseData, coverage: float = 0.9) -> tuple[ErrorBands, ErrorBands]:
    """The calibrated errors of keypoints (pixels of the input) and angles (degrees) of a network on labelled people.

    It must have seen none of them. Keypoints of other names are matched as for angles (`measure.find_keypoint`).
    """
    people = crop_people(people, network.size)
    ground_truth = as_skeleton(people.poses.numpy(), people.skeleton, network.skeleton)
    found, skeleton = predict_all(network.model, people.frames), network.skeleton
    errors = conformal.pixel_errors(found, torch.from_numpy(ground_truth))
    degrees = angle_errors(found.numpy(), ground_truth, skeleton)
    keypoints, _ = conformal.calibrate(errors, people.video, skeleton, network.size, coverage)
    return keypoints, conformal.calibrate(degrees, people.video, angle_skeleton(skeleton), network.size, coverage)[0]


def read_errors(weights: Path) -> tuple[ErrorBands | None, ErrorBands | None]:
    """The calibrated errors of keypoints and of angles beside a network's weights, None where there are none."""
    paths = (weights.with_name(name) for name in ("errors.json", ANGLES_FILE))
    return tuple(ErrorBands.load(path) if path.is_file() else None for path in paths)


def as_skeleton(poses: np.ndarray, source: Skeleton, target: Skeleton) -> np.ndarray:
    """Poses [N, S, 3] of the source skeleton with the keypoints of the target that it has, [N, K, 3], else 0."""
    known = np.where(poses[..., 2:] > 0, poses, np.nan)
    found = [find_keypoint(known, source, name) for name in target.keypoints]
    absent = np.zeros_like(poses[:, 0])
    return np.nan_to_num(np.stack([absent if point is None else point for point in found], 1))


def crop_people(people: PoseData, size: tuple[int, int]) -> PoseData:
    """Each frame cut to its labelled keypoints and a quarter more, in crops of `size` (H, W)."""
    maps = crop_maps(person_boxes(people.poses, people.size), size)
    crops = cut_crops(people.frames, torch.arange(len(people)), maps, size).round().clamp(0, 255).byte()
    poses = transform_points(maps, people.poses) * (people.poses[..., 2:] > 0)
    return replace(people, frames=crops, poses=poses)
