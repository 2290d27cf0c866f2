"""What may be wrong with labels: swapped sides, limbs of odd lengths, two labels of one frame."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fewpose.data.coco_file import load_coco, pose_category
from fewpose.metrics.pck import normalised_distances
from fewpose.skeleton import Skeleton
from fewpose_video.label.label_file import LabelledFrame, poses_in, read_frames, skeleton_of
from fewpose_video.label.labeller import neighbour

LONG = 1.8  # times the usual length of a limb
SPREADS = 4.0  # and so many robust standard deviations
ENOUGH = 5  # frames that show a limb, to know what is usual
FAR = 0.05  # a swap matters if the two sides are farther apart, in diagonals of the pose's box


@dataclass(frozen=True)
class Finding:
    """What may be wrong in a frame, in words, and the file of its image."""

    file: str
    what: str


def find_mistakes(path: Path, images: Path) -> list[Finding]:
    """All findings in a label file, whose images are in the folder `images`."""
    frames, skeleton = read_frames(path), skeleton_of(path)
    swapped, long = find_swaps(frames, skeleton), find_long_limbs(frames, skeleton)
    return [*find_doubles(path, images), *swapped, *long]


def keypoint_counts(frames: Sequence[LabelledFrame], skeleton: Skeleton) -> pd.DataFrame:
    """For each keypoint in how many frames it is visible, occluded, not there, and still to label."""
    visibility = np.stack([frame.keypoints[:, 2] for frame in frames])
    absent = np.stack([frame.absent for frame in frames])
    counts = {
        "visible": (visibility == 2).sum(0),
        "occluded": (visibility == 1).sum(0),
        "not there": absent.sum(0),
        "to label": ((visibility == 0) & ~absent).sum(0),
    }
    return pd.DataFrame(counts, index=pd.Index(skeleton.keypoints, name="keypoint"))


def find_swaps(frames: Sequence[LabelledFrame], skeleton: Skeleton) -> list[Finding]:
    """Frames in which mirror partners fit better the other way round.

    They are compared with what the network suggested or, without that, with the nearest labelled frame of the video,
    moved to the same middle. Either may be the one that is wrong.
    """
    found = []
    for frame in frames:
        other = frame.suggested
        if not (other[:, 2] > 0).any():
            source = neighbour(frame, list(frames))
            if source is None:
                continue
            other = moved_to(source.keypoints, frame.keypoints)
        both = (frame.keypoints[:, 2] > 0) & (other[:, 2] > 0)
        size = diagonal(frame.keypoints)
        names = []
        for left, right in skeleton.pair_index:
            if both[left] and both[right]:
                gap = np.linalg.norm(frame.keypoints[[left, right], None, :2] - other[None, [left, right], :2], axis=-1)
                apart = np.linalg.norm(frame.keypoints[left, :2] - frame.keypoints[right, :2])
                if apart > FAR * size and gap[0, 1] + gap[1, 0] < (gap[0, 0] + gap[1, 1]) / 2:
                    names.append(f"{skeleton.keypoints[left]} and {skeleton.keypoints[right]}")
        if names:
            more = f" and {len(names) - 1} more pairs" if len(names) > 1 else ""
            found.append(Finding(frame.file, f"swapped? {names[0]}{more}"))
    return found


def find_long_limbs(frames: Sequence[LabelledFrame], skeleton: Skeleton) -> list[Finding]:
    """Frames with a limb that is far longer than in others, relative to the rest of the pose.

    Short limbs are no mistake: they point to the camera.
    """
    if not frames or not skeleton.limbs:
        return []
    poses = np.stack([frame.keypoints for frame in frames])
    a, b = np.array(skeleton.limb_index).T
    lengths = np.linalg.norm(poses[:, a, :2] - poses[:, b, :2], axis=-1)
    lengths[(poses[:, a, 2] == 0) | (poses[:, b, 2] == 0) | (lengths == 0)] = np.nan
    shown = np.isfinite(lengths).sum(0) >= ENOUGH
    if not shown.any():
        return []
    relative = np.log(lengths[:, shown])
    with np.errstate(all="ignore"):
        for _ in range(3):  # the usual length of each limb, and the size of each pose
            relative -= np.nan_to_num(nan_median(relative, 0))
            relative -= np.nan_to_num(nan_median(relative, 1))
        spread = 1.4826 * nan_median(np.abs(relative), 0)
        wrong = relative > np.maximum(np.log(LONG), SPREADS * spread)
    names = ["–".join(limb) for limb, there in zip(skeleton.limbs, shown, strict=True) if there]
    return [Finding(frames[i].file, f"long? {names[k]}") for i, k in np.argwhere(wrong).tolist()]


def find_doubles(path: Path, images: Path) -> list[Finding]:
    """Images with two annotations, and images that show the same frame of a video or have equal files."""
    content = load_coco(path)
    names = {entry["id"]: entry["file_name"] for entry in content["images"]}
    count: dict = defaultdict(int)
    for annotation in poses_in(content, pose_category(content, path)):
        count[annotation["image_id"]] += 1
    found = [
        Finding(names[i], f"{n} annotations, the first is shown") for i, n in count.items() if n > 1 and i in names
    ]
    same_frame, same_file = defaultdict(list), defaultdict(list)
    for entry in content["images"]:
        if "frame" in entry:
            same_frame[entry.get("video_id"), entry["frame"]].append(entry["file_name"])
        image = images / entry["file_name"]
        if image.is_file():
            same_file[hashlib.sha256(image.read_bytes()).digest()].append(entry["file_name"])
    groups = [tuple(group) for group in chain(same_frame.values(), same_file.values()) if len(group) > 1]
    for files in dict.fromkeys(groups):
        found += [Finding(file, f"the same as {files[0]}") for file in files[1:]]
    return found


def corrections(frames: Sequence[LabelledFrame], skeleton: Skeleton) -> np.ndarray:
    """How far each suggested point that has a label is from it, in reference lengths of PCK, [M]."""
    frames = [frame for frame in frames if len(frame.suggested) and frame.started]
    if not frames:
        return np.zeros(0)
    labels = torch.tensor(np.stack([frame.keypoints for frame in frames]), dtype=torch.float32)
    suggested = torch.tensor(np.stack([frame.suggested for frame in frames]), dtype=torch.float32)
    distances = normalised_distances(suggested, labels, skeleton)
    return distances[(suggested[..., 2] > 0) & ~distances.isnan()].numpy()


def moved_to(points: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Points [K, 3] shifted so that the keypoints that both have lie around the same middle as those of `other`."""
    both = (points[:, 2] > 0) & (other[:, 2] > 0)
    moved = points.copy()
    if both.any():
        moved[:, :2] += other[both, :2].mean(0) - points[both, :2].mean(0)
    return moved


def diagonal(points: np.ndarray) -> float:
    """Of the box around the labelled ones of points [K, 3]."""
    labelled = points[points[:, 2] > 0, :2]
    return float(np.linalg.norm(np.ptp(labelled, axis=0))) if len(labelled) else 0.0


def nan_median(values: np.ndarray, axis: int) -> np.ndarray:
    """The median without NaN, NaN where there is nothing else, axis kept."""
    return np.ma.median(np.ma.masked_invalid(values), axis=axis, keepdims=True).filled(np.nan)
