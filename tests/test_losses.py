"""Each loss against a value by hand."""

import math

import pytest
import torch

from fewpose.losses import heatmap_mse, loss_2d_hard, loss_2d_soft, loss_3d
from fewpose.models.lifting import Lifter


def test_by_hand_and_unlabelled_keypoints_do_not_count():
    predicted = [torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 4, 4)]
    target = [torch.ones(1, 2, 2, 2), 2 * torch.ones(1, 2, 4, 4)]
    target[0][0, 1] = 100
    labelled = torch.tensor([[True, False]])
    assert heatmap_mse(predicted, target, labelled) == 1 + 4


def test_nothing_labelled_is_zero_with_zero_gradient():
    predicted = [torch.ones(1, 1, 2, 2, requires_grad=True)]
    loss = heatmap_mse(predicted, [torch.zeros(1, 1, 2, 2)], torch.zeros(1, 1, dtype=bool))
    loss.backward()
    assert loss == 0 and predicted[0].grad.abs().sum() == 0


ROIS = torch.tensor([[10.0, 20, 14, 28]])  # cells of a 2x2 map are 2 wide and 4 high
LOGITS = torch.log(torch.tensor([[[[1.0, 2], [3, 4]], [[1, 1], [1, 1]], [[5, 1], [1, 1]]]]))


def keypoints(*third):
    # in the upper right cell, on the lower right border (clamped into its cell), outside
    poses = torch.tensor([[[12.0, 21, 0], [14, 28, 0], [9, 21, 0]]])
    poses[0, :, 2] = torch.tensor(third)
    return poses


def test_hard_by_hand():
    entropies = [-math.log(2 / 10), -math.log(1 / 4)]
    assert float(loss_2d_hard(LOGITS, ROIS, keypoints(2.0, 2, 2))) == pytest.approx(sum(entropies) / 2)
    assert float(loss_2d_hard(LOGITS, ROIS, keypoints(2.0, 0, 2))) == pytest.approx(entropies[0])
    assert float(loss_2d_hard(LOGITS, ROIS, keypoints(0.0, 0, 0))) == 0


def test_soft_by_hand():
    entropies = [-math.log(2 / 10), -math.log(1 / 4)]
    found = loss_2d_soft(LOGITS, ROIS, keypoints(0.5, 0.25, 1), "weighted")
    assert float(found) == pytest.approx((0.5 * entropies[0] + 0.25 * entropies[1]) / 2)
    powers = [math.sqrt(x) for x in (1, 2, 3, 4)]  # logits by 0.5 are square roots
    found = loss_2d_soft(LOGITS, ROIS, keypoints(0.5, 0, 1))
    assert float(found) == pytest.approx(-math.log(powers[1] / sum(powers)))
    for kind in ("weighted", "temperature"):
        same = loss_2d_soft(LOGITS, ROIS, keypoints(1.0, 1, 1), kind)
        torch.testing.assert_close(same, loss_2d_hard(LOGITS, ROIS, keypoints(1.0, 1, 1)))


@pytest.mark.parametrize("loss", [loss_2d_hard, loss_2d_soft])
def test_nobody_is_no_loss_but_a_gradient(loss):
    logits = torch.zeros(0, 3, 2, 2, requires_grad=True)
    value = loss(logits, torch.zeros(0, 4), torch.zeros(0, 3, 3))
    value.backward()
    assert float(value.detach()) == 0 and logits.grad is not None


def test_points_by_hand():
    lifter = Lifter(8, dropout=0.0)
    with torch.no_grad():
        lifter.last.weight.zero_()
        lifter.mean3d.fill_(10)
        lifter.std3d.fill_(100)
    poses = torch.cat([torch.rand(3, 17, 2), torch.ones(3, 17, 1)], -1)
    poses[..., :2] -= poses[..., :2].mean(1, keepdim=True)  # straight ahead: nothing is turned
    points = torch.zeros(3, 17, 3)
    points[:2, :, 2] = torch.linspace(0, 160, 17)  # hips are 11 and 12: their middle 115
    points[:2, :, 0] = 7  # which is where the hips are, too
    goal = (torch.linspace(0, 160, 17) - 115 - 10) / 100
    smooth = torch.where(goal.abs() < 1, goal**2 / 2, goal.abs() - 0.5).mean()
    expected = (float(smooth) + 2 * 0.1**2 / 2) / 3
    # the third person has no 3D
    assert float(loss_3d(lifter, poses, points).detach()) == pytest.approx(expected, rel=1e-5)


def test_of_one_person_no_batch_norm():
    lifter = Lifter(8)
    poses, points = torch.ones(2, 17, 3), torch.ones(2, 17, 3)
    poses[1, :, 2] = 0  # without a keypoint
    loss = loss_3d(lifter, poses, points)
    loss.backward()
    assert float(loss.detach()) == 0
