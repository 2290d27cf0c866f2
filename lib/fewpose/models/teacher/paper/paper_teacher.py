"""The paper's three stages of the teacher: Cascade R-CNN, HRNet and lifter, and their files.

Srivastav et al., section 2.2. `operating_room/pretraining_paper` trains them on rendered everyday people, or
starts from official checkpoints.
"""

from __future__ import annotations

from pathlib import Path

import torch

from fewpose.models.checkpoints import load_official, read_checkpoint
from fewpose.models.lifting import Lifter, load_lifter
from fewpose.models.norms import freeze_norms
from fewpose.models.teacher.paper.cascade_rcnn import CascadeRCNN, light_cascade, resnext152_cascade
from fewpose.models.teacher.paper.hrnet import HRNet, narrow_hrnet
from fewpose.models.teacher.three_stages import Teacher
from fewpose.models.weights import load_weights, read_meta, save_weights

NETWORKS = {"light": (light_cascade, narrow_hrnet), "paper": (resnext152_cascade, HRNet)}
STAGES = ("detector", "pose", "lifter")


def new_detector(network: str, side: int, backbone: str = "", seed: int = 0) -> CascadeRCNN:
    """Stage 1 untrained: "paper" on ResNeXt-152, "light" on MobileNetV2.

    `backbone` is a file (.pth) of the classification network with torchvision's names; batch norm and first stage are
    then frozen. Without it all is trained from scratch. The shorter side of a frame is scaled to `side` pixels.
    """
    return builders(network)[0](backbone or None, seed, side=side, scratch=not backbone)


def new_pose_network(network: str, keypoints: int, weights: str = "", seed: int = 0) -> HRNet:
    """Stage 2 untrained: "paper" is HRNet-W48, "light" a narrow HRNet.

    `weights` is an official HRNet checkpoint (.pth); the report of its loading is printed.
    """
    torch.manual_seed(seed)
    model = builders(network)[1](keypoints)
    if weights:
        print(load_official(model, read_checkpoint(weights)))
    return model


def save_teacher(
    folder: Path, network: str, detector: CascadeRCNN, pose: HRNet, crop: tuple[int, int], lifter: Lifter, meta: dict
) -> list[Path]:
    """Write the three stages and `meta` as files that `load_teacher` reads; `crop` is (H, W)."""
    about = {**meta, "network": network, "crop": list(crop)}
    stages = zip(STAGES, (freeze_norms(detector), pose, lifter), strict=True)
    return [save_weights(stage, folder / f"{name}.safetensors", about, half=True) for name, stage in stages]


def load_teacher(folder: str | Path) -> Teacher:
    """The teacher of a folder of `save_teacher`; ValueError naming a file that does not fit."""
    detector_file, pose_file, lifter_file = (Path(folder) / f"{name}.safetensors" for name in STAGES)
    about = read_meta(detector_file)
    if about.get("model") != "CascadeRCNN" or about.get("network") not in NETWORKS:
        raise ValueError(f"{detector_file} is not a detector of operating_room/pretraining_paper")
    make_detector, make_pose = NETWORKS[about["network"]]
    detector = make_detector(side=about["config"]["side"])
    load_weights(detector, detector_file)
    about = read_meta(pose_file)
    pose = make_pose(about["keypoints"])
    load_weights(pose, pose_file)
    lifter = load_lifter(lifter_file)
    return Teacher(detector, pose, lifter, tuple(about["crop"])).eval()


def builders(network: str) -> tuple:
    """The functions that build the detector and the pose network of this name."""
    if network not in NETWORKS:
        raise ValueError(f"network is one of {', '.join(NETWORKS)}, not {network!r}")
    return NETWORKS[network]
