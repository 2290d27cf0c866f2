"""Any COCO keypoint file with its images: custom labels, COCO itself, an exported world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from fewpose.crops import MARGIN, crop_maps, cut_crops
from fewpose.data.coco_file import CocoFile, Person, read_coco_file
from fewpose.data.file_names import find_images
from fewpose.data.images import drop_outside, is_unread, read_image, warn_skipped, warn_unread
from fewpose.data.label_checks import check_sizes, check_units, fill_boxes, image_size, tell_upside_down, turn_labels
from fewpose.data.pose_data import PoseData


def read_coco(
    annotations: str | Path,
    images: str | Path,
    size: tuple[int, int] = (256, 192),
    split: str = "train",
    whole: bool = False,
) -> PoseData:
    """One frame of `size` (H, W) for each labelled person: the box, a quarter larger, black outside.

    `whole` takes the whole image instead. Who is read: `coco_file.read_coco_file`; a box that is missing or empty is
    that of the keypoints. Poses are in pixels of the crops, visibility as COCO defines it; in the file (0, 0) is the
    centre of the top-left pixel. `video` is the image's `video_id` or else its file name; the image's `split` overrides
    the argument. Image files are searched for in `images`, then beside the annotations (`file_names.find_images`).

    Broken images are named in a warning and skipped, labels outside their image ignored. ValueError names the file
    and the annotation that is malformed, the image whose size is not the one it was labelled at, or the unit that the
    labels seem to have instead of pixels (`label_checks`).
    """
    file = read_coco_file(annotations)
    return cut_people(file, file.people, Path(images), size, split, whole)


def cut_people(
    file: CocoFile, people: list[Person], images: Path, size: tuple[int, int], split: str = "train", whole: bool = False
) -> PoseData:
    """Frames of some people of a file; all as in `read_coco`."""
    path = file.path
    found = find_images([person.image.name for person in people], images, path.parent, str(path))
    of_file = {image: image_size(found[image.name]) for image in {p.image for p in people} if image.name in found}
    broken = sorted(image.name for image, known in of_file.items() if known is None)
    files = {image: known for image, known in of_file.items() if known is not None}
    sizes = {image: known[0] for image, known in files.items()}
    people = [person for person in people if person.image in files]
    check_sizes(files, sizes, path)
    turn_labels(people, files, path, file.skeleton.keypoints)
    tell_upside_down(people, file.skeleton.keypoints, path)
    people = check_units(people, sizes, path) if people else []
    if not whole:
        fill_boxes(people, sizes, path)

    groups: dict = {}
    for person in people:
        groups.setdefault(person.image, []).append(person)
    crops, kept, maps = [], [], []
    only = torch.zeros(1, dtype=torch.long)  # one image at a time
    for image, group in groups.items():
        pixels = read_image(found[image.name])
        if pixels is None:
            broken.append(image.name)
            continue
        frame = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        for person in group:
            box = np.array([0, 0, *sizes[image][::-1]]) if whole else person.box
            matrix = crop_maps(torch.from_numpy(box.astype(np.float64))[None], size, 1 if whole else MARGIN)
            crops.append(cut_crops(frame, only, matrix.float(), size).round().byte())
            kept.append(person)
            maps.append(matrix[0].numpy())
    warn_unread(path.name, broken)
    warn_skipped(path.name, "images broken,", [name for name in broken if not is_unread(name)])
    if not crops:
        raise ValueError(f"{path}: no labelled person with a readable image in {images}")

    poses = np.stack([person.keypoints for person in kept])
    drop_outside(poses, np.array([sizes[person.image] for person in kept]), path.name)
    for pose, matrix in zip(poses, maps, strict=True):
        pose[:, :2] = pose[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        pose[pose[:, 2] == 0] = 0
    return PoseData(
        torch.cat(crops),
        torch.from_numpy(poses).float(),
        file.skeleton,
        np.array([person.image.video or person.image.name for person in kept]),
        np.array([person.image.split or split for person in kept]),
        path.stem,
    )
