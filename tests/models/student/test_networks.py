"""The paper's student: torchvision's layout, and its COCO weights by name."""

import pytest
import torch
from torchvision.models.detection import keypointrcnn_resnet50_fpn

from fewpose.models.lifting import load_lifter
from fewpose.models.norms import freeze_norms
from fewpose.models.student.networks import (
    light_student,
    load_coco_student,
    paper_student,
    pretrained_student,
    resnet50_student,
    untrained_student,
)
from fewpose.models.weights import save_weights, shipped
from published import YOLOX, needs_yolox


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


def test_torchvisions_coco_file_loads_by_its_path(coco, tmp_path, capsys):
    path = tmp_path / "keypointrcnn_resnet50_fpn_coco-fc266e95.pth"
    torch.save(coco, path)
    student = untrained_student("paper", path, side=96, branches="single_soft")
    assert "0 of the file refused" in capsys.readouterr().out
    name = "roi_heads.keypoint_head.0.weight"
    assert torch.equal(student.state_dict()[name], coco[name]) and student.side == 96
    torch.save({"conv1.weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"fc266e95\.pth is not a Keypoint R-CNN"):
        paper_student(path)
    with pytest.raises(ValueError, match="needs the parameter weights"):
        untrained_student("paper")
    with pytest.raises(ValueError, match='network is "light" or "paper"'):
        untrained_student("huge")


def test_a_student_trained_from_scratch_becomes_the_papers(tmp_path):
    scratch = resnet50_student(seed=2, scratch=True)
    assert all(p.requires_grad for p in scratch.parameters())
    path = save_weights(freeze_norms(scratch, eps=0.0), tmp_path / "student.safetensors")
    student = paper_student(path, branches="single_hard")
    own = student.state_dict()
    assert all(torch.equal(value, scratch.state_dict()[name]) for name, value in own.items())
    assert not student.backbone.body.conv1.weight.requires_grad  # frozen again, as in the paper


@needs_yolox
def test_untrained_students_of_one_branch_are_a_part_of_the_double_one(tmp_path):
    double = light_student(YOLOX, seed=3)
    path = save_weights(double, tmp_path / "student.safetensors", parts=double.learned)
    for own in double.lifters:  # which are in a file of their own
        own.load_state_dict(load_lifter(shipped("everyday_student_lifter")).state_dict())
    again = pretrained_student(path, YOLOX, seed=4)
    assert all(
        torch.equal(a, b) for a, b in zip(double.state_dict().values(), again.state_dict().values(), strict=True)
    )
    for branches, own in (("single_soft", "soft"), ("single_both", "hard")):
        state = pretrained_student(path, YOLOX, branches=branches, seed=4).state_dict()
        assert any(f"keypoint_predictors.{own}." in name for name in state)
        assert all(torch.equal(value, double.state_dict()[name]) for name, value in state.items())
    with pytest.raises(ValueError, match=r"absent\.safetensors"):
        pretrained_student(tmp_path / "absent.safetensors", YOLOX)
