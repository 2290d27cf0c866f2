"""The student of the laptop profile and that of the paper, and torchvision's weights for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops.misc import FrozenBatchNorm2d

from fewpose.models.checkpoints import read_checkpoint
from fewpose.models.lifting import load_lifter
from fewpose.models.student.darknet import MEAN, STD, yolox_darknet
from fewpose.models.student.keypoint_rcnn import Student
from fewpose.models.weights import LoadReport, load_part, load_weights, shipped, take


def light_student(
    path: str | Path | None = None,
    *,
    branches: str = "double",
    soft: str = "weighted",
    reading: str = "peak",
    side: int = 240,
    lifter: int = 240,
    seed: int = 0,
) -> Student:
    """The laptop profile: 3.5 M parameters on the backbone of YOLOX-tiny.

    `path` is its ONNX file (None: found or fetched); its stem is frozen: Adam's steps, which are of one size, would
    be a hundredth of its weights and shake all that follows. The heads are drawn from `seed`, the other options are
    those of `keypoint_rcnn.Student`. ValueError if the file is absent, damaged or no YOLOX.
    """
    torch.manual_seed(seed)
    backbone = yolox_darknet(path, 64, frozen=1)
    return Student(
        backbone,
        branches,
        soft=soft,
        reading=reading,
        side=side,
        longest=2 * side,
        anchors=(16, 32, 64, 128, 256),
        ratios=(1.0, 2.0, 3.0),
        proposals=(100, 100),
        before=2,
        samples=32,
        positive=0.375,
        detections=20,
        representation=88,
        box_pool=5,
        layers=(80,) * 4,
        lifter=lifter,
        dropout=0.1,
        mean=MEAN,
        std=STD,
    )


def pretrained_student(
    weights: str | Path | None = None, path: str | Path | None = None, *, branches: str = "double", **options
) -> Student:
    """A `light_student` that has learned from everyday people, the untrained student.

    weights is a file of `operating_room/pretraining`, without one the shipped file is taken; the lifters are the
    shipped ones of `operating_room/lifting`. `options` and `path` as for `light_student`. A single branch begins as
    the one of its name.
    """
    double = light_student(path or None, **options)
    load_part(double, weights or shipped("everyday_student"))
    lifter = load_lifter(shipped("everyday_student_lifter"))
    for own in double.lifters:
        own.load_state_dict(lifter.state_dict())
    if branches == "double":
        return double
    single = light_student(path or None, branches=branches, **options)
    take(single, double.state_dict())
    return single


def resnet50_student(
    *,
    branches: str = "double",
    soft: str = "weighted",
    reading: str = "peak",
    side: int = 800,
    lifter: int = 1024,
    seed: int = 0,
    scratch: bool = False,
) -> Student:
    """The paper's profile: torchvision's keypointrcnn_resnet50_fpn with a branch and lifters more.

    All is drawn from `seed`, to be filled by `load_coco_student`. Batch norm stays as it is, stem and first stage are
    frozen, unless the backbone learns from `scratch`. `side` is what the shorter side of a frame is brought to, in
    pixels.
    """
    torch.manual_seed(seed)
    # COCO's weights were trained without the ε of batch norm.
    frozen = partial(FrozenBatchNorm2d, eps=0.0)
    body = resnet50(weights=None, norm_layer=nn.BatchNorm2d if scratch else frozen)
    return Student(
        _resnet_fpn_extractor(body, 5 if scratch else 3),
        branches,
        soft=soft,
        reading=reading,
        side=side,
        longest=side * 5 // 3,
        lifter=lifter,
        detections=20,
    )


def paper_student(
    weights: str | Path,
    *,
    branches: str = "double",
    soft: str = "weighted",
    reading: str = "peak",
    side: int = 800,
    seed: int = 0,
) -> Student:
    """A `resnet50_student` that has learned people, the untrained student of the paper profile.

    weights is torchvision's keypointrcnn_resnet50_fpn_coco (.pth), of which a report is printed, or a file of
    `operating_room/pretraining_paper`. ValueError naming a file that does not fit.
    """
    if not weights:
        raise ValueError(
            "network 'paper' needs the parameter weights: the path of torchvision's "
            "keypointrcnn_resnet50_fpn_coco (.pth), or of a student.safetensors made by "
            "operating_room/pretraining_paper"
        )
    options = dict(soft=soft, reading=reading, side=side, seed=seed)
    student = resnet50_student(branches=branches, **options)
    if Path(weights).suffix in (".pth", ".pt"):
        report = load_coco_student(student, read_checkpoint(str(weights)))
        if "roi_heads.keypoint_head.0.weight" not in report.taken:
            raise ValueError(f"{weights} is no Keypoint R-CNN of torchvision. {report}")
        print(report)
        return student
    double = student if branches == "double" else resnet50_student(**options)
    load_weights(double, weights)
    if student is not double:
        take(student, double.state_dict())
    return student


def untrained_student(
    network: str, weights: str | Path = "", yolox: str | Path = "", *, side: int = 240, **options
) -> Student:
    """The student by the name that the notebooks give it: "light" or "paper".

    Arguments as for `pretrained_student` (with `yolox` its `path`) and `paper_student`.
    """
    if network == "light":
        return pretrained_student(weights, yolox, side=side, **options)
    if network == "paper":
        return paper_student(weights, side=side, **options)
    raise ValueError(f'network is "light" or "paper", not {network!r}')


def load_coco_student(student: Student, given: Mapping[str, Tensor], backbone_only: bool = False) -> LoadReport:
    """Fill a `resnet50_student` by torchvision's keypointrcnn_resnet50_fpn_coco, by its names.

    Every branch takes the one predictor of the file; with `backbone_only` all heads, RPN and pyramid stay as they
    are. The report names what is missing, the lifters, and what was refused.
    """
    own = "roi_heads.keypoint_predictor."
    renamed: dict[str, Tensor] = {}
    for name, value in given.items():
        if name.startswith(own):
            for branch in student.roi_heads.keypoint_predictors:
                new = f"roi_heads.keypoint_predictors.{branch}.{name.removeprefix(own)}"
                renamed[new] = value
        else:
            renamed[name] = value
    return take(student, renamed, backbone_only)
