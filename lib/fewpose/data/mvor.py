"""MVOR, clinicians in an operating room seen by three calibrated cameras: its annotations of 2018.

Srivastav et al., *MVOR: A Multi-view RGB-D Operating Room Dataset* (2018); its images are not needed here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewpose.metrics.coco_files import Truth, numbers, read_truth
from fewpose.metrics.mpjpe import UPPER_BODY, Scene3D
from fewpose.skeleton import MVOR, Skeleton

JOINTS = len(MVOR)


@dataclass(frozen=True)
class MvorFrame:
    """The P people of one image, numbers as they are annotated.

    poses   [P, 10, 3] keypoints of `skeleton.MVOR`: x, y in pixels and 1 (occluded) or 2; all 0
            where there is none, as for people who have a box alone
    boxes   [P, 4] x, y, width, height
    joints  [P, 10, 4] x, y, z in mm in the frame of this camera, and 1 or 2; all 0 where unknown
    person  [P] who it is in this moment, -1 for nobody in particular
    camera  [3, 3] camera matrix, without distortion: so projected the truth fits best
    day, view, file_name, image_id, size (H, W)  of the image
    """

    poses: np.ndarray
    boxes: np.ndarray
    joints: np.ndarray
    person: np.ndarray
    camera: np.ndarray
    day: str
    view: int
    file_name: str
    image_id: int
    size: tuple[int, int]


def read_mvor(annotations: str | Path) -> list[MvorFrame]:
    """All images of `camma_mvor_2018.json`, in the order of their ids.

    3D poses are joined by image and person; of people with the same number in one image the one whose keypoints lie
    nearest. They are given in the frame of the first camera (`ref_camera` is wrong), and `extrinsics[c]` leads there
    from camera c. ValueError names file and entry of what is missing or malformed.
    """
    true = read_truth(annotations)
    path = Path(annotations)
    content = json.loads(path.read_text(encoding="utf-8"))
    poses = numbers(true.rows, "keypoints", 3 * JOINTS, true.name).reshape(-1, JOINTS, 3)
    boxes = numbers(true.rows, "bbox", 4, true.name)
    person = numbers(true.rows, "person_id", 1, true.name)[:, 0].astype(int)
    cameras, to_first = _cameras(content, path)
    entries = sorted({image["id"]: image for image in content["images"]}.values(), key=lambda image: image["id"])
    views = numbers(entries, "cam_id", 1, f"{path}, images")[:, 0].astype(int) - 1
    if len(views) and not 0 <= views.min() <= views.max() < len(cameras):
        raise ValueError(f"{path}: images are of cameras 1 to {views.max() + 1}, {len(cameras)} are calibrated")
    rows = content.get("annotations3D")
    if not isinstance(rows, list):
        raise ValueError(f"{path} has no list `annotations3D`")
    joints = _joints(rows, f"{path}, annotations3D", true, person, poses, cameras, to_first, views)
    frames = []
    for place, entry in enumerate(entries):
        here, view = true.image == place, int(views[place])
        frames.append(
            MvorFrame(
                poses[here],
                boxes[here],
                joints[here],
                person[here],
                cameras[view],
                f"day{entry.get('day_id', '')}",
                view,
                str(entry.get("file_name", "")),
                entry["id"],
                (int(entry.get("height", 480)), int(entry.get("width", 640))),
            )
        )
    return frames


def scene(frame: MvorFrame, found_poses: np.ndarray, found_joints: np.ndarray, skeleton: Skeleton) -> Scene3D:
    """What `evaluation.mpjpe` compares: the eight upper-body joints of all people with a pose.

    found_poses [D, K, ≥2] in pixels and found_joints [D, K, 3] in mm, of `skeleton`; its sigmas are
    `sigmas(skeleton)`.
    """
    own, other = ([s.index(name) for name in UPPER_BODY] for s in (MVOR, skeleton))
    posed = (frame.poses[..., 2] > 0).any(1)
    return Scene3D(
        frame.poses[posed][:, own],
        frame.boxes[posed],
        frame.joints[posed][:, own],
        found_poses[:, other],
        found_joints[:, other],
    )


def sigmas(skeleton: Skeleton) -> list[float]:
    """The OKS constants of the joints of `scene`."""
    return [skeleton.sigmas[skeleton.index(name)] for name in UPPER_BODY]


def project(joints: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Pixels [..., 2] of points [..., 3] in the frame of the camera [3, 3]."""
    pixels = joints @ camera.T
    return pixels[..., :2] / pixels[..., 2:]


def _cameras(content: dict, path: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Camera matrices [3, 3], and maps [4, 4] from each camera's frame to that of the first, mm."""
    try:
        given = content["cameras_info"]["camParams"]
        matrices = [
            np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
            for (fx, fy), (cx, cy) in ((one["focallength"], one["principalpoint"]) for one in given["intrinsics"])
        ]
        maps = [np.array(one, dtype=float).reshape(4, 4) for one in given["extrinsics"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: cameras_info.camParams must hold intrinsics (focallength, principalpoint) "
            f"and extrinsics (16 numbers) of each camera: {error}"
        ) from None
    if len(maps) != len(matrices):
        raise ValueError(f"{path}: {len(matrices)} intrinsics for {len(maps)} extrinsics")
    return matrices, maps


def _joints(
    rows: list[dict],
    where: str,
    true: Truth,
    person: np.ndarray,
    poses: np.ndarray,
    cameras: list[np.ndarray],
    to_first: list[np.ndarray],
    views: np.ndarray,
) -> np.ndarray:
    """3D joints [N, 10, 4] of all N annotations, each in the frame of its own camera."""
    # Twelve joints a person, the last two of which are no part of the skeleton.
    given = numbers(rows, "keypoints3D", 48, where).reshape(-1, 12, 4)[:, :JOINTS]
    given[(given[..., :3] == 0).all(-1)] = 0  # heads in the first camera's eye, flagged as there
    of: dict[tuple[int, int], list[int]] = {}  # image and person → 3D rows
    for i, row in enumerate(rows):
        try:
            places = [true.images[int(name)] for name in row["image_ids"].split("_")]
            who = int(row["person_id"])
        except (KeyError, ValueError, TypeError, AttributeError):
            raise ValueError(
                f"{where}[{i}] needs a person_id, and in image_ids the ids of images joined by _"
            ) from None
        for place in places:
            of.setdefault((place, who), []).append(i)
    joints = np.zeros((len(poses), JOINTS, 4))
    for n in np.flatnonzero((person >= 0) & (poses[..., 2] > 0).any(1)):
        place = true.image[n]
        view = views[place]
        bodies = [_moved(given[i], to_first[view]) for i in of.get((place, person[n]), [])]
        if bodies:  # several have one number in four moments
            joints[n] = min(bodies, key=lambda body: _distance(body, poses[n], cameras[view]))
    return joints


def _moved(joints: np.ndarray, to_first: np.ndarray) -> np.ndarray:
    """Joints [10, 4] of the first camera's frame in that of another; what is unknown stays 0."""
    points = (joints[:, :3] - to_first[:3, 3]) @ np.linalg.inv(to_first[:3, :3]).T
    known = joints[:, 3:] > 0
    return np.concatenate([np.where(known, points, 0), joints[:, 3:]], axis=1)


def _distance(joints: np.ndarray, pose: np.ndarray, camera: np.ndarray) -> float:
    """Median distance in pixels of a 3D pose from a 2D one; infinite if they share no joint."""
    both = (joints[:, 3] > 0) & (pose[:, 2] > 0)
    if not both.any():
        return np.inf
    off = project(joints[both, :3], camera) - pose[both, :2]
    return float(np.median(np.linalg.norm(off, axis=1)))
