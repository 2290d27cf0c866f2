"""Which frames to label: candidates from all videos, and a choice of them that spreads over videos and poses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.cluster.vq import kmeans2
from torch import Tensor
from tqdm.auto import tqdm

from fewpose.augment import normalise
from fewpose.data.images import IMAGES, letterbox, read_image, to_frames, warn_skipped, warn_unread, write_image
from fewpose.data.pose_data import PoseData
from fewpose.data.video import VIDEOS, iter_frames
from fewpose.geometry import invert, transform_points
from fewpose.metrics.pck import normalised_distances
from fewpose.models.rtmpose import CROP, RTMPose
from fewpose.models.teacher.box_fusion import Detector
from fewpose.skeleton import HALPE, SIDES, Skeleton
from fewpose_video.label.label_file import LabelledFrame
from fewpose_video.people import crop_boxes, detect_people

METHODS = ("kmeans", "uniform", "random")
GRID = (4, 3)  # of a crop: what is where makes poses differ
COMPONENTS = 32  # principal ones of the features
MIN_SCORE = 0.3  # of a suggested keypoint
MARGIN = 1.25  # of crops around a detected person


@dataclass(frozen=True)
class Candidate:
    """A frame that could be labelled: its file, its number there (-1 for an image), its image [H, W, 3] RGB."""

    source: Path
    number: int
    image: np.ndarray

    @property
    def file(self) -> str:
        """The name of its image in images/: run1_000120.png of run1.mp4."""
        return self.source.name if self.number < 0 else f"{self.source.stem}_{self.number:06}.png"


@dataclass(frozen=True)
class PretrainedPoses:
    """What the pretrained network sees in N frames.

    features  [N, D] of the crop around the person, of the whole frame where nobody is found
    poses     [N, 26, 3] Halpe's keypoints in pixels of the frame and their score, 0 where nobody is found
    """

    features: np.ndarray
    poses: Tensor


def read_candidates(folder: str | Path, per_video: int) -> list[Candidate]:
    """Up to `per_video` evenly spaced frames of each video in `folder`/videos, and all images in `folder`/images.

    Images that were taken from one of the videos earlier are left out. Broken files are named in a warning and skipped;
    ValueError if nothing is left.
    """
    folder, found, broken = Path(folder), [], []
    videos = sorted(p for p in (folder / "videos").glob("[!.]*") if p.suffix.lower() in VIDEOS)
    for path in tqdm(videos, desc="reading videos", unit="video", leave=False):
        try:
            found += spaced_frames(path, per_video)
        except ValueError:
            broken.append(path.name)
    stems = tuple(f"{path.stem}_" for path in videos)
    for path in sorted(p for p in (folder / "images").glob("[!.]*") if p.suffix.lower() in IMAGES):
        if path.name.startswith(stems):
            continue
        image = read_image(path)
        if image is None:
            broken.append(path.name)
        else:
            found.append(Candidate(path, -1, image))
    warn_skipped("frames to label", "broken files", broken)
    warn_unread("frames to label", [p.name for name in ("videos", "images") for p in sorted((folder / name).glob("*"))])
    if not found:
        raise ValueError(f"{folder} holds no readable video in videos/ and no image in images/")
    return found


def spaced_frames(path: Path, count: int) -> list[Candidate]:
    """`count` evenly spaced frames of a video, all of a shorter one; it is read twice, memory stays small."""
    total = sum(1 for _ in iter_frames(path))
    wanted = set(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist())
    return [Candidate(path, number, image) for number, _, image in iter_frames(path) if number in wanted]


@torch.no_grad()
def look_at(candidates: Sequence[Candidate], network: RTMPose, detector: Detector) -> PretrainedPoses:
    """The features and poses of the main person in each frame: the one with the largest area times score."""
    features, poses = [], []
    for candidate in tqdm(candidates, desc="pretrained network", unit="frame", leave=False):
        image = candidate.image
        boxes, scores = detect_people(detector, [image])[0]
        if len(boxes):
            area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
            crop, matrix = crop_boxes([image], boxes[[int((area * scores).argmax())]], CROP, MARGIN)
        else:
            crop, matrix = to_frames([letterbox(image, CROP)]), None
        maps = network.frozen_backbone(normalise(crop.float()))
        pooled = F.adaptive_avg_pool2d(maps, GRID).flatten()
        features.append((pooled / pooled.norm()).numpy())
        pose = torch.zeros(len(HALPE), 3)
        if matrix is not None:
            pose = transform_points(invert(matrix), network.read(network(maps)))[0]
        poses.append(pose)
    return PretrainedPoses(np.stack(features), torch.stack(poses))


def choose_frames(
    features: np.ndarray, video: Sequence[str], count: int, method: str = "kmeans", seed: int = 0
) -> np.ndarray:
    """Indices of `count` of N frames, rising; all if there are fewer. `video` [N] names the video of each.

    features [N, D] are those of `look_at`.

    kmeans   one of each of `count` clusters of the features: of the video that has given fewest so far, the frame
             nearest to the middle of the cluster
    uniform  as many of each video, evenly spaced over its frames, which are in order
    random   any

    ValueError for another method.
    """
    generator, video = np.random.default_rng(seed), np.asarray(video)
    if len(video) <= count:
        return np.arange(len(video))
    if method == "random":
        return np.sort(generator.choice(len(video), count, replace=False))
    if method == "uniform":
        return evenly_spaced(video, count)
    if method == "kmeans":
        return one_of_each_cluster(principal(features), video, count, seed)
    raise ValueError(f"frames are chosen by {', '.join(METHODS)}, not {method!r}")


def evenly_spaced(video: np.ndarray, count: int) -> np.ndarray:
    """Indices of frames evenly spaced in each video; the first videos get one more where they do not divide."""
    groups = [np.flatnonzero(video == name) for name in dict.fromkeys(video.tolist())]
    wanted = [0] * len(groups)
    while sum(wanted) < count:  # in turn, as short videos may have too few
        for i, group in enumerate(groups):
            if wanted[i] < len(group) and sum(wanted) < count:
                wanted[i] += 1
    spaced = [(np.arange(n) + 0.5) * len(group) / n for group, n in zip(groups, wanted, strict=True) if n]
    groups = [group for group, n in zip(groups, wanted, strict=True) if n]
    return np.sort(np.concatenate([group[place.astype(int)] for group, place in zip(groups, spaced, strict=True)]))


def one_of_each_cluster(points: np.ndarray, video: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of a frame of each of `count` clusters of points [N, D], from as many videos as can be."""
    centres, cluster = kmeans2(points, count, iter=30, minit="++", rng=np.random.default_rng(seed))
    distance = np.linalg.norm(points - centres[cluster], axis=1)
    taken: dict[str, int] = {}
    chosen: list[int] = []
    clusters, sizes = np.unique(cluster, return_counts=True)
    for number in clusters[np.argsort(sizes, kind="stable")]:  # small ones have the fewest videos to choose from
        members = np.flatnonzero(cluster == number)
        best = min(members, key=lambda i: (taken.get(video[i], 0), distance[i]))
        taken[video[best]] = taken.get(video[best], 0) + 1
        chosen.append(int(best))
    rest = np.setdiff1d(np.arange(len(points)), chosen)  # empty clusters: the frames farthest from all chosen ones
    while len(chosen) < count:
        gaps = np.linalg.norm(points[rest, None] - points[chosen][None], axis=-1).min(1)
        chosen.append(int(rest[gaps.argmax()]))
        rest = np.setdiff1d(rest, chosen)
    return np.sort(chosen)


def principal(features: np.ndarray) -> np.ndarray:
    """The first principal components [N, at most 32] of features [N, D]."""
    centred = features - features.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return centred @ axes[:COMPONENTS].T


def suggest(skeleton: Skeleton, poses: Tensor) -> np.ndarray:
    """Halpe's poses [N, 26, 3] as points [N, K, 3] of the keypoints of the same names; score 0 without, or below 0.3.

    A name with fewer words means the one that holds them: left_toe is left_big_toe. Left and right may be written in
    any way that `find_flip_pairs` knows.
    """
    points = np.zeros((len(poses), len(skeleton), 3))
    for k, other in halpe_names(skeleton).items():
        points[:, k] = poses[:, HALPE.index(other)].numpy()
    points[points[..., 2] < MIN_SCORE] = 0
    return points


def suggestion_errors(data: PoseData, network: RTMPose, detector: Detector) -> tuple[Tensor, Tensor]:
    """How far suggested points are from the ground truth, [N, K], in reference lengths and in pixels of the frames.

    NaN where nothing is suggested or labelled: the first is what `checks.corrections` is of labels by hand.
    """
    images = [frame.permute(1, 2, 0).numpy() for frame in data.frames]
    seen = look_at([Candidate(Path(f"{i}"), -1, image) for i, image in enumerate(images)], network, detector)
    points = torch.from_numpy(suggest(data.skeleton, seen.poses)).float()
    relative = normalised_distances(points, data.poses, data.skeleton)
    there = (points[..., 2] > 0) & (data.poses[..., 2] > 0)
    pixels = torch.linalg.vector_norm(points[..., :2] - data.poses[..., :2], dim=-1)
    return tuple(torch.where(there, values, torch.nan) for values in (relative, pixels))


def halpe_names(skeleton: Skeleton) -> dict[int, str]:
    """For each keypoint that Halpe has too, by index, its name there."""
    plain = {k: skeleton.keypoints[k].casefold() for k in range(len(skeleton))}
    for left, right in skeleton.pair_index:
        shared = without_side(plain[left], plain[right])
        plain[left], plain[right] = f"left {shared}", f"right {shared}"
    found = {}
    for k, name in plain.items():
        words = set(re.split(r"[\W_]+", name)) - {""}
        like = [other for other in HALPE.keypoints if words <= set(other.split("_"))]
        if like and words != {"left"} and words != {"right"}:
            found[k] = min(like, key=len)
    return found


def without_side(left: str, right: str) -> str:
    """What is left of two partners' names in lower case without the word for their side."""
    for a, b in SIDES:
        for match in re.finditer(a, left):
            start, end = left[: match.start()], left[match.end() :]
            if start + b + end == right:
                return f"{start} {end}"
    return left


def write_images(folder: str | Path, candidates: Sequence[Candidate], suggested: np.ndarray) -> list[LabelledFrame]:
    """Write the frames into `folder`/images; returned without labels, with what is suggested [N, K, 3]."""
    images, frames = Path(folder) / "images", []
    images.mkdir(parents=True, exist_ok=True)
    count = suggested.shape[1]
    for candidate, points in zip(candidates, suggested, strict=True):
        if candidate.number >= 0:
            write_image(images / candidate.file, candidate.image)
        empty = LabelledFrame(
            candidate.file,
            candidate.image.shape[:2],
            candidate.source.name,
            candidate.number,
            np.zeros((count, 3)),
            np.zeros(count, bool),
        )
        frames.append(replace(empty, suggested=points) if points.any() else empty)
    return frames
