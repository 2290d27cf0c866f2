import torch

from fewpose.losses import heatmap_mse


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
