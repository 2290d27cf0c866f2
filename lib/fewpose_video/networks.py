"""Metadata saved with networks for their use on videos, and loading of such networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from fewpose.crops import MARGIN
from fewpose.data.pose_data import PoseData
from fewpose.models.download import find_published
from fewpose.models.factory import build
from fewpose.models.rtmpose import CROP, rtmpose_s
from fewpose.models.student.keypoint_rcnn import Student
from fewpose.models.student.networks import light_student, resnet50_student
from fewpose.models.weights import load_weights, read_meta
from fewpose.skeleton import HALPE, Skeleton

PUBLISHED = "rtmpose_s"  # in place of a run: the published network, 26 keypoints, for which nothing has to be trained
FILES = ("network.safetensors", "student.safetensors")
BOX_MARGIN = 1.1  # how much larger a detected box is than that of the keypoints


@dataclass(frozen=True)
class PoseNetwork:
    """A network for one person, and the size of the person in its training frames.

    size is the frames' height and width in pixels, share the median fraction of a frame's side that keypoints span.
    """

    model: nn.Module
    skeleton: Skeleton
    size: tuple[int, int]
    share: float

    @property
    def margin(self) -> float:
        """How much larger than a detected box the crop must be to show the person as large as in training."""
        return max(1.0, 1 / (BOX_MARGIN * self.share))


def network_metadata(network: str, train: PoseData) -> dict:
    """Metadata to save with a network (its name as in `factory.build`) that was trained on these frames."""
    labelled = train.poses[..., 2] > 0
    enough = labelled.sum(1) * 2 > len(train.skeleton)
    share = 0.8
    if enough.any():
        xy, unlabelled = train.poses[enough][..., :2], ~labelled[enough].unsqueeze(-1)
        low = xy.masked_fill(unlabelled, torch.inf).amin(1)
        high = xy.masked_fill(unlabelled, -torch.inf).amax(1)
        sides = (high - low) / torch.tensor([train.size[1], train.size[0]])
        share = float(sides.amax(1).median())
    skeleton = train.skeleton
    return {
        "network": network,
        "size": list(train.size),
        "share": round(share, 3),
        "skeleton": {
            "name": skeleton.name,
            "keypoints": list(skeleton.keypoints),
            "limbs": [list(limb) for limb in skeleton.limbs],
        },
    }


def find_weights(place: str | Path) -> Path:
    """The weights of a sports network or operating-room student in a run's folder, or the file itself.

    PUBLISHED is the file of RTMPose-s, downloaded once. ValueError if there is none.
    """
    place = Path(place)
    if str(place) == PUBLISHED and not place.exists():
        return find_published(PUBLISHED)
    if place.is_file():
        return place
    for folder in (place / "checkpoints", place):
        for name in FILES:
            if (folder / name).is_file():
                return folder / name
    if not place.exists():
        raise ValueError(f"there is no run or weights file {place}")
    below = [file for name in FILES for depth in ("*", "*/*") for file in place.glob(f"{depth}/checkpoints/{name}")]
    if below:
        runs = ", ".join(sorted(str(file.parent.parent) for file in below))
        raise ValueError(f"{place} is no run: give one of those below it, {runs}")
    raise ValueError(
        f"{place} holds no {' or '.join(FILES)}: give the folder of a finished run of your_videos/adapt, a sports "
        f"notebook or operating_room/student, its weights file, or {PUBLISHED}"
    )


def open_network(place: str | Path) -> PoseNetwork | Student:
    """The network of a run's folder or weights file, or PUBLISHED, in evaluation mode.

    ValueError naming the file if there is none, it does not fit, or lacks the metadata.
    """
    path = find_weights(place)
    if path.suffix == ".onnx":
        return PoseNetwork(rtmpose_s(len(HALPE), path).eval(), HALPE, CROP, 1 / (MARGIN * BOX_MARGIN))
    metadata = read_meta(path)
    if metadata.get("model") == "Student":
        return open_student(path, metadata)
    if missing := [key for key in ("network", "skeleton", "size", "share") if key not in metadata]:
        raise ValueError(
            f"{path} has no `{missing[0]}` in its metadata: it was not saved by a sports notebook, or by "
            "an older one; run that again"
        )
    saved = metadata["skeleton"]
    keypoints, limbs = tuple(saved["keypoints"]), tuple(map(tuple, saved["limbs"]))
    skeleton = Skeleton(saved["name"], keypoints, limbs, (0.08,) * len(keypoints))
    model = build(metadata["network"], len(skeleton))
    load_weights(model, path)
    return PoseNetwork(model.eval(), skeleton, tuple(metadata["size"]), metadata["share"])


def open_student(path: Path, metadata: dict) -> Student:
    """The student of operating_room/student."""
    if "network" not in metadata:
        raise ValueError(f"{path} has no `network` in its metadata: run operating_room/student again")
    config = metadata["config"]
    make = light_student if metadata["network"] == "light" else resnet50_student
    student = make(
        branches=config["branches"],
        soft=metadata["soft"],
        reading=config.get("reading", "peak"),
        side=config["side"],
        lifter=config["lifter"],
    )
    load_weights(student, path)
    return student.eval()
