"""`python -m fewpose predict`: a trained network on videos and images, as CSV and MP4."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from fewpose import geometry, heatmaps
from fewpose.data.images import IMAGES, letterbox, letterbox_map, read_image
from fewpose.data.video import VIDEOS, frame_rate, iter_frames, video_writer
from fewpose.drawing import draw_pose_on
from fewpose.models.student.keypoint_rcnn import Student, find_people
from fewpose.models.teacher.box_fusion import Detector
from fewpose.models.teacher.yolox import yolox_tiny
from fewpose.skeleton import Skeleton
from fewpose_video.inference import on_cpu
from fewpose_video.networks import PoseNetwork, open_network
from fewpose_video.people import batches, crop_boxes, find_person, stack_images

COLUMNS = ("video", "frame", "seconds", "person", "keypoint", "x", "y", "score")
MIN_PERSON_SCORE = 0.3  # of the people that a student of the operating room finds

# From the number of the first of several consecutive images, and the images, to the poses [P, K, 3] in each.
Predictor = Callable[[int, list[np.ndarray]], list[Tensor]]


@dataclass(frozen=True)
class WrittenPoses:
    """The files written for a video or image, its number of frames, and in how many of them somebody was found."""

    source: Path
    frames: int
    frames_with_people: int
    files: tuple[Path, ...]


def predict(
    network: str | Path,
    source: str | Path,
    out: str | Path | None = None,
    whole: bool = False,
    yolox: str | Path | None = None,
) -> tuple[list[WrittenPoses], list[str]]:
    """Write `<name>_poses.csv` and `.mp4` (of an image `.png`) for each video or image in `source`.

    network is a run's folder or weights file (`networks.open_network`), source a video, an image or a folder of them,
    out the folder to write (`poses` beside them). A sports network gets crops of the person that `find_person` finds,
    or the `whole` frames; a student of the operating room finds all people itself. The second result names the broken
    files and what is wrong with each. ValueError where nothing can be read.
    """
    paths = find_inputs(Path(source))
    opened = open_network(network)
    detector = yolox_tiny(yolox) if isinstance(opened, PoseNetwork) and not whole else None
    if torch.cuda.is_available():
        for model in (opened.model if isinstance(opened, PoseNetwork) else opened, detector):
            model and model.to("cuda")
    else:
        opened, detector = on_cpu(opened), on_cpu(detector)
    folder = Path(out) if out else (paths[0].parent / "poses")
    folder.mkdir(parents=True, exist_ok=True)
    written, broken = [], []
    for path, name in zip(paths, output_names(paths), strict=True):
        try:
            predictor = make_predictor(opened, detector, path)
            written.append(write_poses(path, folder / name, opened.skeleton, predictor, isinstance(opened, Student)))
        except ValueError as error:
            broken.append(str(error))
    if not written:
        raise ValueError("nothing could be read: " + "; ".join(broken))
    return written, broken


def find_inputs(source: Path) -> list[Path]:
    """The video or image `source`, or those in the folder, sorted by name; ValueError if there is none."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ValueError(f"there is no video, image or folder {source}")
    paths = sorted(p for p in source.iterdir() if p.name[0] != "." and p.suffix.lower() in (*VIDEOS, *IMAGES))
    if not paths:
        raise ValueError(f"{source} holds no video or image: {', '.join((*VIDEOS, *IMAGES))}")
    return paths


def output_names(paths: list[Path]) -> list[str]:
    """A name for each file's outputs: its own without suffix, unless two would share it."""
    stems = [path.stem for path in paths]
    names = [p.stem if stems.count(p.stem) == 1 else p.name.replace(".", "_") for p in paths]
    return names if len(set(names)) == len(names) else [p.name for p in paths]


def iter_images(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """Seconds and image [H, W, 3] uint8 RGB of each frame of a video, or of an image file.

    ValueError if the file is broken.
    """
    if path.suffix.lower() not in IMAGES:
        yield from ((seconds, image) for _, seconds, image in iter_frames(path))
        return
    image = read_image(path)
    if image is None:
        raise ValueError(f"{path} is broken or not an image")
    yield 0.0, image


def make_predictor(network: PoseNetwork | Student, detector: Detector | None, path: Path) -> Predictor:
    """The network's predictions for the frames of one file; a PoseNetwork without detector takes whole frames."""
    if isinstance(network, Student):
        return lambda first, images: [
            people.keypoints[people.scores >= MIN_PERSON_SCORE] for people in find_people(network, stack_images(images))
        ]
    if detector is None:
        return lambda first, images: predict_whole(network, images)
    images = (image for _, image in iter_images(path))
    bar = tqdm(images, desc=f"{path.name}: finding the person", unit="frame", leave=False)
    boxes, ids = find_person(detector, bar)
    followed = ids[ids >= 0].tolist()
    if changes := [str(ids.tolist().index(person)) for person in dict.fromkeys(followed[1:]) if person != followed[0]]:
        warnings.warn(f"{path.name}: somebody else is followed from frame {', '.join(changes)}", stacklevel=2)
    return lambda first, images: predict_crops(network, images, boxes[first : first + len(images)])


def predict_crops(network: PoseNetwork, images: list[np.ndarray], boxes: Tensor) -> list[Tensor]:
    """Poses [P, K, 3] in pixels of each image [H, W, 3]: one for its box of boxes [N, 4], none if that is NaN."""
    poses = [torch.zeros(0, len(network.skeleton), 3)] * len(images)
    found = (~boxes.isnan().any(1)).nonzero()[:, 0].tolist()
    if not found:
        return poses
    crops, maps = crop_boxes([images[i] for i in found], boxes[found], network.size, network.margin)
    predicted = geometry.transform_points(geometry.invert(maps), heatmaps.predict_all(network.model, crops))
    for i, pose in zip(found, predicted, strict=True):
        poses[i] = pose[None]
    return poses


def predict_whole(network: PoseNetwork, images: list[np.ndarray]) -> list[Tensor]:
    """As `predict_crops`, from the whole images scaled to fit the network's frames."""
    frames = stack_images([letterbox(image, network.size) for image in images])
    back = geometry.invert(letterbox_map(images[0].shape[:2], network.size)[None])
    predicted = heatmaps.predict_all(network.model, frames)
    return list(geometry.transform_points(back.expand(len(predicted), 2, 3), predicted)[:, None])


def write_poses(path: Path, base: Path, skeleton: Skeleton, predictor: Predictor, several: bool) -> WrittenPoses:
    """Predict all frames of a video or image; write `<base>_poses.csv` and the frames with the poses drawn.

    The CSV has a row for each frame, person and keypoint, with `several` people numbered in each frame by falling
    score; else one person per frame without a number, x and y empty and score 0 where nobody is found. Neither file is
    left if `path` is broken.
    """
    still = path.suffix.lower() in IMAGES
    rate = 25.0 if still else frame_rate(path)
    table = base.with_name(f"{base.name}_poses.csv")
    drawing = base.with_name(f"{base.name}_poses.{'png' if still else 'mp4'}")
    part = table.with_suffix(".csv.part")
    frames, with_people = 0, 0
    bar = tqdm(iter_images(path), desc=f"{path.name}: poses", unit="frame", leave=False)
    try:
        with ExitStack() as stack:
            rows = csv.writer(stack.enter_context(open(part, "w", newline="", encoding="utf-8")))
            rows.writerow([c for c in COLUMNS if several or c != "person"])
            add_frame = None
            for batch in batches(bar):
                predicted = predictor(frames, [image for _, image in batch])
                for (seconds, image), people in zip(batch, predicted, strict=True):
                    rows.writerows(csv_rows([path.name, frames, f"{seconds:.4f}"], people, skeleton, several))
                    image = np.ascontiguousarray(image[..., ::-1])
                    for pose in people:
                        image = draw_pose_on(image, pose, skeleton)
                    if still:
                        cv2.imwrite(str(drawing), image)
                    else:
                        add_frame = add_frame or stack.enter_context(video_writer(drawing, image.shape[:2], rate))
                        add_frame(image)
                    frames, with_people = frames + 1, with_people + bool(len(people))
        os.replace(part, table)
    finally:
        part.unlink(missing_ok=True)
    return WrittenPoses(path, frames, with_people, (table, drawing))


def csv_rows(start: list, people: Tensor, skeleton: Skeleton, several: bool) -> Iterator[list]:
    """The rows of a frame with poses [P, K, 3] in its pixels; each begins with `start`."""
    for number, pose in enumerate(people.tolist()):
        person = [number] if several else []
        for name, (x, y, score) in zip(skeleton.keypoints, pose, strict=True):
            yield [*start, *person, name, f"{x:.2f}", f"{y:.2f}", f"{score:.4f}"]
    if not len(people) and not several:
        for name in skeleton.keypoints:
            yield [*start, name, "", "", 0]
