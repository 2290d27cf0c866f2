"""The paper's student: torchvision's layout, and its COCO weights by name."""

import pytest
import torch
from torchvision.models.detection import keypointrcnn_resnet50_fpn

from fewpose.models.student import load_coco_student, resnet50_student


@pytest.fixture(scope="module")
def coco():
    """What torchvision's file holds: batch norm is frozen, so it counts no batches."""
    torch.manual_seed(3)
    model = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    return {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}


def test_the_papers_size_and_all_of_coco(coco):
    student = resnet50_student()
    size = sum(p.numel() for p in student.parameters())
    size += sum(b.numel() for n, b in student.named_buffers() if ".bn" in n or "downsample" in n)
    assert 67.5e6 < size < 68.2e6  # 67.9 M in the paper
    report = load_coco_student(student, coco)
    assert not report.refused
    assert report.missing and all(".lifters." in name for name in report.missing)
    own = student.state_dict()
    for branch in ("hard", "soft"):
        name = f"roi_heads.keypoint_predictors.{branch}.kps_score_lowres.weight"
        given = coco["roi_heads.keypoint_predictor.kps_score_lowres.weight"]
        assert torch.equal(own[name], given)
    shared = [name for name in coco if name in own]
    assert len(shared) == len(coco) - 2
    assert all(torch.equal(own[name], coco[name]) for name in shared)


def test_the_backbone_alone(coco):
    student = resnet50_student(branches="single_hard", lifter=8)
    head = student.state_dict()["roi_heads.keypoint_head.0.weight"].clone()
    report = load_coco_student(student, coco, backbone_only=True)
    assert all(name.startswith("backbone.body.") for name in report.taken)
    assert set(report.refused.values()) == {"belongs to the head"}
    assert torch.equal(student.state_dict()["roi_heads.keypoint_head.0.weight"], head)


def test_what_does_not_fit_is_reported(coco):
    wrong = {"roi_heads.keypoint_head.0.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}
    report = load_coco_student(resnet50_student(lifter=8), wrong)
    assert not report.taken and "shape (1,)" in str(report) and "no such parameter" in str(report)
