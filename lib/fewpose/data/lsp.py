"""Leeds Sports Pose and its Extended Training set, read as they are distributed.

A folder holds `joints.mat` and `images/`: im0001.jpg … of LSP, im00001.jpg … of LSP Extended. No box is derived from
the labels, for unlabelled images have none: the whole image, in which a person is about 150 pixels tall, is letterboxed
into the frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io
import torch

from fewpose.data.images import drop_outside, letterbox, letterbox_map, read_image, to_frames, warn_skipped
from fewpose.data.pose_data import PoseData
from fewpose.geometry import transform_points
from fewpose.skeleton import LSP

SIZE = (256, 192)  # height, width: the input of RTMPose-s


def read_lsp(folder: str | Path, size: tuple[int, int] = SIZE) -> PoseData:
    """Leeds Sports Pose: images 1 to 1000 are `train`, the later ones `test`.

    Poses are in pixels of the frames of `size` (H, W); `images.letterbox_map` maps between both. joints.mat (3, 14, N)
    marks occluded joints with 1: visibility 1, the others 2. Images that cannot be read are named in a warning and
    skipped, labels outside their image ignored. ValueError if joints.mat is missing, of another shape or not finite.
    """
    path = Path(folder) / "joints.mat"
    joints = _load(path)
    if joints.ndim != 3 or joints.shape[:2] != (3, 14):
        raise ValueError(f"{path}: joints are {joints.shape}, LSP has (3, 14, images)")
    poses = joints.transpose(2, 1, 0).copy()
    poses[..., 2] = np.where(poses[..., 2] > 0, 1, 2)
    split = np.where(np.arange(len(poses)) < 1000, "train", "test")
    return _read(path, poses, split, "im{:04d}.jpg", size, "lsp")


def read_lspet(folder: str | Path, size: tuple[int, int] = SIZE, every: int = 1) -> PoseData:
    """Every n-th image of LSP Extended, all `train`: its labels are noisy, so it serves as a pool of unlabelled images.

    As `read_lsp`, but joints.mat is (14, 3, N) and marks labelled joints with 1: visibility 2, the others 0.
    """
    path = Path(folder) / "joints.mat"
    joints = _load(path)
    if joints.ndim != 3 or joints.shape[:2] != (14, 3):
        raise ValueError(f"{path}: joints are {joints.shape}, LSP Extended has (14, 3, images)")
    poses = joints.transpose(2, 0, 1).copy()
    poses[..., 2] = np.where(poses[..., 2] > 0, 2, 0)
    return _read(path, poses, np.full(len(poses), "train"), "im{:05d}.jpg", size, "lspet", every)


def _load(path: Path) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"{path} is missing: give the folder that holds joints.mat and images/")
    try:
        joints = scipy.io.loadmat(path)["joints"]
    except KeyError:
        raise ValueError(f"{path} holds no matrix `joints`") from None
    except Exception as error:  # scipy raises some dozen kinds for broken files
        raise ValueError(f"{path} cannot be read as a MATLAB file: {error}") from None
    if joints.dtype.kind not in "fiu":
        raise ValueError(f"{path}: `joints` is ragged or not numeric ({joints.dtype})")
    return joints.astype(np.float64)


def _read(
    path: Path, poses: np.ndarray, split: np.ndarray, pattern: str, size: tuple[int, int], name: str, every: int = 1
) -> PoseData:
    labelled = poses[..., 2] > 0
    invalid = labelled & ~np.isfinite(poses).all(-1)
    if invalid.any():
        i, k = np.argwhere(invalid)[0]
        raise ValueError(f"{path}: {LSP.keypoints[k]} of image {i + 1} is not a finite number")
    poses[~labelled] = 0
    poses[..., :2] -= 1  # MATLAB counts from 1: its first pixel's centre is (1, 1), ours (0, 0)

    files = [pattern.format(i + 1) for i in range(len(poses))]
    frames, maps, sizes, kept, skipped = [], [], [], [], []
    for i, file in list(enumerate(files))[::every]:
        image = read_image(path.parent / "images" / file)
        if image is None:
            skipped.append(file)
            continue
        frames.append(letterbox(image, size))
        maps.append(letterbox_map(image.shape[:2], size))
        sizes.append(image.shape[:2])
        kept.append(i)
    if not kept:
        raise ValueError(f"{path.parent / 'images'} holds no readable image {files[0]} …")
    warn_skipped(name, "images missing or broken,", skipped)

    poses = poses[kept]
    drop_outside(poses, np.array(sizes), name)
    mapped = transform_points(torch.stack(maps), torch.from_numpy(poses).float())
    mapped[mapped[..., 2] == 0] = 0
    video = np.array([Path(files[i]).stem for i in kept])
    return PoseData(to_frames(frames), mapped, LSP, video, split[kept], name)
