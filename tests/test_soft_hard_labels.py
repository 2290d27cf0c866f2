"""Soft and hard sets: which keypoints are in which, and how the thresholds are chosen."""

from types import SimpleNamespace

import pytest
import torch

from fewpose.models.people import People
from fewpose.models.teacher.three_stages import lift
from fewpose.soft_hard_labels import Thresholds, best_threshold, choose_thresholds, soft_and_hard
from toy_teacher import SPOTS, toy_frames, toy_teacher


@pytest.fixture
def teacher():
    return toy_teacher().plain()


def test_the_hard_set_holds_the_confident_keypoints_alone(teacher):
    poses = torch.rand(3, 4, 3) * 20 + 1
    poses[..., 2] = torch.tensor([[0.9, 0.4, 0.6, 0.1], [0.1, 0.2, 0.3, 0.4], [0.9, 0.9, 0.9, 0.9]])
    people = People(torch.rand(3, 4), torch.tensor([0.8, 0.7, 0.2]), poses, torch.rand(3, 4, 3))
    labels = soft_and_hard(teacher, people, (64, 96), Thresholds(0.5, 0.5))
    assert labels.scores.tolist() == pytest.approx([0.8, 0.7])  # the third is nobody
    assert torch.equal(labels.s_2d, poses[:2]) and torch.equal(labels.s_3d, people.keypoints3d[:2])
    assert labels.h_2d[0, :, 2].tolist() == [2, 0, 2, 0]
    assert torch.equal(labels.h_2d[0, [0, 2], :2], poses[0, [0, 2], :2])
    assert not labels.h_2d[0, [1, 3]].any()
    assert torch.equal(labels.h_3d[0], lift(teacher, labels.h_2d, (64, 96))[0])
    assert not labels.h_2d[1].any() and not labels.h_3d[1].any()


def test_best_threshold_by_hand():
    scores = torch.tensor([0.9, 0.8, 0.35, 0.3])
    right = torch.tensor([True, True, False, False])
    # of three people two are found: all of them kept 2·2/(4+3), the two best 2·2/(2+3)
    threshold, f1 = best_threshold(scores, right, 3)
    assert threshold == 0.4 and f1 == pytest.approx(80)


def test_thresholds_are_chosen_on_labelled_frames(teacher):
    frames, poses = toy_frames([2, 1])
    boxes, keypoints = [], []
    for people in poses:
        keypoints.append(torch.stack([torch.cat([p, torch.full((4, 1), 2.0)], 1) for p in people]))
        boxes.append(
            torch.stack([torch.tensor([p[3, 0] - 3.5, p[0, 1] - 4.5, p[3, 0] + 16.5, p[0, 1] + 15.5]) for p in people])
        )
    data = SimpleNamespace(name="val", frames=frames, boxes=boxes, keypoints=keypoints, skeleton=SPOTS)
    chosen = choose_thresholds(teacher, data)
    assert chosen.box_f1 == 100 and chosen.keypoint_f1 > 70 and chosen.chosen_on == "val"
    assert chosen.box <= 0.9
    data.keypoints = [poses * torch.tensor([0.0, 1, 1, 1])[:, None] for poses in data.keypoints]
    less = choose_thresholds(teacher, data)  # heads that no annotator marked are found all the same
    assert less.box_f1 == 100 and less.keypoint_f1 < chosen.keypoint_f1
    data.boxes = [torch.zeros(0, 4)] * 2
    with pytest.raises(ValueError, match="val: thresholds need people"):
        choose_thresholds(teacher, data)
