"""`python -m fewpose predict`: a trained network on films and images, as CSV and MP4."""

from __future__ import annotations

import csv
import os
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
from fewpose.data.video import VIDEOS, frame_rate, frames_of
from fewpose.drawing import drawn, film_writer
from fewpose.models.student.keypoint_rcnn import Student, find_people
from fewpose.models.teacher.box_fusion import Detector
from fewpose.models.teacher.yolox import yolox_tiny
from fewpose.skeleton import Skeleton
from fewpose_video.networks import PoseNetwork, open_network
from fewpose_video.people import batches, cut, find_person, to_tensor

COLUMNS = ("film", "frame", "seconds", "person", "keypoint", "x", "y", "score")
LEAST = 0.3  # score of a person that a student is believed to have found

# Poses [P, K, 3] of the people in each of some neighbouring pictures, the first of a given number.
Answer = Callable[[int, list[np.ndarray]], list[Tensor]]


@dataclass(frozen=True)
class Written:
    """What came of a film or image: its frames, in how many somebody was found, and the files."""

    source: Path
    frames: int
    found: int
    files: tuple[Path, ...]


def predict(
    network: str | Path,
    place: str | Path,
    out: str | Path | None = None,
    whole: bool = False,
    yolox: str | Path | None = None,
) -> tuple[list[Written], list[str]]:
    """Write `<name>_poses.csv` and `.mp4` (of an image `.png`) for each film or image in `place`.

    network is a run's folder or weights file (`networks.open_network`), place a film, an image or a folder of them,
    out the folder to write (`poses` beside them). A sports network is shown the person that `follow` finds, cut out
    as in its training, or the `whole` picture; a student of the operating room sees all people. The second answer
    says which files are broken, and why. ValueError where nothing can be read.
    """
    paths = sources(Path(place))
    opened = open_network(network)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = (opened if isinstance(opened, Student) else opened.model).to(device)
    alone = isinstance(opened, PoseNetwork) and not whole
    detector = yolox_tiny(yolox).to(device) if alone else None
    folder = Path(out) if out else (paths[0].parent / "poses")
    folder.mkdir(parents=True, exist_ok=True)
    written, broken = [], []
    for path, name in zip(paths, names_of(paths), strict=True):
        try:
            answer = answerer(opened, detector, path, whole)
            written.append(write(path, folder / name, opened.skeleton, answer, isinstance(opened, Student)))
        except ValueError as error:
            broken.append(str(error))
    model.cpu()
    if not written:
        raise ValueError("nothing could be read: " + "; ".join(broken))
    return written, broken


def sources(place: Path) -> list[Path]:
    """The film or image `place`, or those in the folder, by name; ValueError if there is none."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise ValueError(f"there is no film, image or folder {place}")
    paths = sorted(p for p in place.iterdir() if p.suffix.lower() in (*VIDEOS, *IMAGES))
    if not paths:
        raise ValueError(f"{place} holds no film or image: {', '.join((*VIDEOS, *IMAGES))}")
    return paths


def names_of(paths: list[Path]) -> list[str]:
    """A name for the files of each: that without suffix, unless two would share it."""
    stems = [path.stem for path in paths]
    return [p.stem if stems.count(p.stem) == 1 else p.name.replace(".", "_") for p in paths]


def pictures_of(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """Seconds and picture [H, W, 3] uint8 RGB of each frame of a film, or of the one of an image.

    ValueError if the file is broken.
    """
    if path.suffix.lower() not in IMAGES:
        yield from ((seconds, picture) for _, seconds, picture in frames_of(path))
        return
    image = read_image(path)
    if image is None:
        raise ValueError(f"{path} is broken or no image")
    yield 0.0, image


def answerer(network: PoseNetwork | Student, detector: Detector | None, path: Path, whole: bool) -> Answer:
    """How the network is asked about the pictures of one film."""
    if isinstance(network, Student):
        return lambda first, pictures: [
            people.keypoints[people.scores >= LEAST] for people in find_people(network, to_tensor(pictures))
        ]
    if whole:
        return lambda first, pictures: ask_whole(network, pictures)
    pictures = (picture for _, picture in pictures_of(path))
    seen = tqdm(pictures, desc=f"{path.name}: the person", unit="frame", leave=False)
    boxes = find_person(detector, seen)
    return lambda first, pictures: ask(network, pictures, boxes[first : first + len(pictures)])


def ask(network: PoseNetwork, pictures: list[np.ndarray], boxes: Tensor) -> list[Tensor]:
    """Poses [P, K, 3] in pixels of pictures [H, W, 3] with a box [N, 4] each; none where NaN."""
    poses = [torch.zeros(0, len(network.skeleton), 3)] * len(pictures)
    there = (~boxes.isnan().any(1)).nonzero()[:, 0].tolist()
    if not there:
        return poses
    crops, maps = cut([pictures[i] for i in there], boxes[there], network.size, network.margin)
    home = geometry.transform_points(geometry.invert(maps), heatmaps.predict_all(network.model, crops))
    for i, pose in zip(there, home, strict=True):
        poses[i] = pose[None]
    return poses


def ask_whole(network: PoseNetwork, pictures: list[np.ndarray]) -> list[Tensor]:
    """As `ask`, of the whole pictures, scaled to fit the network's frames."""
    frames = to_tensor([letterbox(picture, network.size) for picture in pictures])
    back = geometry.invert(letterbox_map(pictures[0].shape[:2], network.size)[None])
    found = heatmaps.predict_all(network.model, frames)
    return list(geometry.transform_points(back.expand(len(found), 2, 3), found)[:, None])


def write(path: Path, base: Path, skeleton: Skeleton, answer: Answer, several: bool) -> Written:
    """Ask about all pictures of a film or image and write `<base>_poses.csv` and the pictures.

    The CSV has a row for each frame, person and keypoint, with `several` people numbered in each frame by falling
    score; else one person a frame and no number, x and y empty where nobody is. Both files are there when all is
    written.
    """
    still = path.suffix.lower() in IMAGES
    rate = 25.0 if still else frame_rate(path)
    table = base.with_name(f"{base.name}_poses.csv")
    shown = base.with_name(f"{base.name}_poses.{'png' if still else 'mp4'}")
    part = table.with_suffix(".csv.part")
    frames, found = 0, 0
    bar = tqdm(pictures_of(path), desc=f"{path.name}: poses", unit="frame", leave=False)
    try:
        with ExitStack() as stack:
            rows = csv.writer(stack.enter_context(open(part, "w", newline="", encoding="utf-8")))
            rows.writerow([c for c in COLUMNS if several or c != "person"])
            draw = None
            for some in batches(bar):
                answers = answer(frames, [picture for _, picture in some])
                for (seconds, picture), people in zip(some, answers, strict=True):
                    place = [path.name, frames, f"{seconds:.4f}"]
                    rows.writerows(rows_of(place, people, skeleton, several))
                    picture = np.ascontiguousarray(picture[..., ::-1])
                    for pose in people:
                        picture = drawn(picture, pose, skeleton)
                    if still:
                        cv2.imwrite(str(shown), picture)
                    else:
                        draw = draw or stack.enter_context(film_writer(shown, picture.shape[:2], rate))
                        draw(picture)
                    frames, found = frames + 1, found + bool(len(people))
        os.replace(part, table)
    finally:
        part.unlink(missing_ok=True)
    return Written(path, frames, found, (table, shown))


def rows_of(place: list, people: Tensor, skeleton: Skeleton, several: bool) -> Iterator[list]:
    """The rows of one frame with poses [P, K, 3] in its pixels; `place` opens each."""
    for number, pose in enumerate(people.tolist()):
        who = [number] if several else []
        for name, (x, y, score) in zip(skeleton.keypoints, pose, strict=True):
            yield [*place, *who, name, f"{x:.2f}", f"{y:.2f}", f"{score:.4f}"]
    if not len(people) and not several:
        for name in skeleton.keypoints:
            yield [*place, name, "", "", 0]
