import math

import torch
from torch import nn

from fewpose.heatmaps import aggregate, decode, gaussian_targets, predict_all


def test_target_by_hand():
    # pixel 5.5 at stride 4 is the centre of cell 1
    target = gaussian_targets(torch.tensor([[[5.5, 5.5, 1.0]]]), (16, 16), 4, sigma=2)
    assert target.shape == (1, 1, 4, 4)
    assert target[0, 0, 1, 1] == 1
    assert math.isclose(target[0, 0, 1, 2], math.exp(-1 / 8), rel_tol=1e-6)
    assert math.isclose(target[0, 0, 3, 3], math.exp(-8 / 8), rel_tol=1e-5)


def test_unlabelled_and_far_outside_give_empty_maps():
    poses = torch.tensor([[[5.0, 5.0, 0.0], [-400.0, 5.0, 2.0]]])
    assert gaussian_targets(poses, (16, 16), 4).max() < 1e-6


def test_decode_inverts_targets():
    torch.manual_seed(0)
    xy = 8 + 110 * torch.rand(4, 7, 2)
    poses = torch.cat([xy, torch.ones(4, 7, 1)], -1)
    for stride in (2, 4):
        found = decode(gaussian_targets(poses, (128, 128), stride), stride)
        assert (found[..., :2] - xy).abs().max() < 1e-2
        assert (found[..., 2] > 0.9).all()


def test_decode_survives_borders_ties_and_negative_maps():
    maps = torch.zeros(1, 3, 4, 4)
    maps[0, 0, 0, 0] = 1
    maps[0, 1] = -1
    maps[0, 2, 3, 3] = 1e-9
    found = decode(maps, 4)
    assert torch.isfinite(found).all()
    assert found[0, 0].tolist() == [1.5, 1.5, 1.0]
    assert found[0, 1, 2] == -1


def test_aggregate_is_the_mean_at_the_finest_resolution():
    coarse, fine = torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 8, 8)
    assert torch.equal(aggregate([coarse, fine]), torch.full((1, 1, 8, 8), 0.5))
    assert aggregate([fine]) is fine


class Spot(nn.Module):
    """Answers with the red channel as its only heat map."""

    keypoints, strides = 1, (1,)

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        assert not self.training
        return [images[:, :1]]


def test_predict_all_in_batches_equals_one_batch_and_keeps_the_mode():
    frames = torch.zeros(5, 3, 12, 12, dtype=torch.uint8)
    for i in range(5):
        frames[i, 0, i + 2, 3] = 255
    model = Spot().train()
    found = predict_all(model, frames, batch_size=2)
    assert torch.equal(found[:, 0, 1].round(), torch.arange(5.0) + 2)
    assert model.training
    assert predict_all(model, frames[:0]).shape == (0, 1, 3)
