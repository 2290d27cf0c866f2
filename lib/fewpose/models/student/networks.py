"""The light student and the paper's, new or with weights learned from everyday people or COCO.

`options` are always those of `keypoint_rcnn.Student`: `branches`, `soft`, `reading`, and `lifter`, the width of its
lifters. A student is called untrained if it was not trained on operating rooms.
"""

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


def light_student(path: str | Path | None = None, *, side: int = 240, seed: int = 0, **options) -> Student:
    """The light student: 3.5 M parameters on the backbone of YOLOX-tiny, its heads drawn from `seed`.

    `path` is YOLOX-tiny's ONNX file (None: found or downloaded). Its stem is frozen: a step of Adam is a hundredth of
    the stem's weights and would disturb all later layers. ValueError if the file is absent, damaged or not a YOLOX.
    """
    torch.manual_seed(seed)
    backbone = yolox_darknet(path, 64, frozen=1)
    light = dict(
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
        lifter=240,
        dropout=0.1,
        mean=MEAN,
        std=STD,
    )
    return Student(backbone, side=side, **{**light, **options})


def pretrained_student(
    weights: str | Path | None = None, path: str | Path | None = None, *, branches: str = "double", **options
) -> Student:
    """A `light_student` pretrained on rendered everyday people: the untrained student.

    weights is a file of `operating_room/pretraining` (None: the shipped one); the lifters are the shipped ones of
    `operating_room/lifting`. A single branch is initialised with the branch of its name.
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


def resnet50_student(*, side: int = 800, seed: int = 0, scratch: bool = False, **options) -> Student:
    """The paper's student: torchvision's keypointrcnn_resnet50_fpn with another branch and lifters.

    All weights are drawn from `seed`, to be loaded by `load_coco_student`. Batch norm, stem and first stage are
    frozen, unless the backbone learns from `scratch`. The shorter side of a frame is scaled to `side` pixels.
    """
    torch.manual_seed(seed)
    # torchvision's COCO weights were trained without the ε of batch norm
    frozen = partial(FrozenBatchNorm2d, eps=0.0)
    body = resnet50(weights=None, norm_layer=nn.BatchNorm2d if scratch else frozen)
    backbone = _resnet_fpn_extractor(body, 5 if scratch else 3)
    return Student(backbone, side=side, longest=side * 5 // 3, detections=20, **options)


def paper_student(weights: str | Path, *, branches: str = "double", **options) -> Student:
    """A pretrained `resnet50_student`: the paper's untrained student.

    weights is torchvision's keypointrcnn_resnet50_fpn_coco (.pth), whose loading is reported, or a file of
    `operating_room/pretraining_paper`. ValueError naming a file that does not fit.
    """
    if not weights:
        raise ValueError(
            "network 'paper' needs the parameter weights: the path of torchvision's "
            "keypointrcnn_resnet50_fpn_coco (.pth), or of a student.safetensors made by "
            "operating_room/pretraining_paper"
        )
    student = resnet50_student(branches=branches, **options)
    if Path(weights).suffix in (".pth", ".pt"):
        report = load_coco_student(student, read_checkpoint(str(weights)))
        if "roi_heads.keypoint_head.0.weight" not in report.taken:
            raise ValueError(f"{weights} is not a Keypoint R-CNN of torchvision. {report}")
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
    """The untrained student by its name in the notebooks: "light", a `pretrained_student`, or "paper"."""
    if network == "light":
        return pretrained_student(weights, yolox, side=side, **options)
    if network == "paper":
        return paper_student(weights, side=side, **options)
    raise ValueError(f'network is "light" or "paper", not {network!r}')


def load_coco_student(student: Student, given: Mapping[str, Tensor], backbone_only: bool = False) -> LoadReport:
    """Load torchvision's keypointrcnn_resnet50_fpn_coco into a `resnet50_student`, by its parameter names.

    Every branch gets the predictor in the file; with `backbone_only` heads, RPN and pyramid are not loaded. The report
    names the lifters, which the file lacks, and what was refused.
    """
    prefix = "roi_heads.keypoint_predictor."
    renamed: dict[str, Tensor] = {}
    for name, value in given.items():
        if name.startswith(prefix):
            for branch in student.roi_heads.keypoint_predictors:
                renamed[f"roi_heads.keypoint_predictors.{branch}.{name.removeprefix(prefix)}"] = value
        else:
            renamed[name] = value
    return take(student, renamed, backbone_only)
