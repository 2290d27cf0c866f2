import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fewpose.heatmaps import aggregate, decode, gaussian_targets, predict_all, smooth
from fewpose.models.pose_model import PoseModel


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


def test_targets_are_gaussians_cell_by_cell():
    torch.manual_seed(0)
    poses = torch.cat([70 * torch.rand(2, 3, 2) - 4, torch.tensor([0.0, 1.0, 2.0]).view(3, 1).expand(2, 3, 1)], -1)
    found = gaussian_targets(poses, (48, 64), 2, sigma=1.5)
    for n, k, v, u in np.ndindex(*found.shape):
        x, y, visible = poses[n, k].tolist()
        squared = (u - ((x + 0.5) / 2 - 0.5)) ** 2 + (v - ((y + 0.5) / 2 - 0.5)) ** 2
        expected = math.exp(-squared / (2 * 1.5**2)) * (visible > 0)
        assert abs(found[n, k, v, u] - expected) < 2e-6


def test_decode_is_the_parabola_joint_by_joint():
    torch.manual_seed(0)
    maps = torch.rand(3, 4, 9, 7) - 0.1
    for n, k in np.ndindex(3, 4):
        one, (h, w) = maps[n, k].double(), maps.shape[-2:]
        v, u = divmod(int(one.argmax()), w)
        expected = []
        for at, limit, line in ((u, w, one[v]), (v, h, one[:, u])):
            shift = 0.0
            if 0 < at < limit - 1:
                low, mid, high = line[at - 1 : at + 2].clamp_min(1e-6).log().tolist()
                shift = 0.5 * (low - high) / (low - 2 * mid + high)
            expected.append((at + shift + 0.5) * 4 - 0.5)
        found = decode(maps, 4)[n, k]
        assert found.tolist() == pytest.approx([*expected, float(one.max())], abs=1e-4)


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


def test_smoothing_keeps_place_and_height_of_a_target():
    poses = torch.tensor([[[50.3, 61.9, 2.0]]])
    found = decode(smooth(gaussian_targets(poses, (128, 128), 4)), 4)
    assert (found - torch.tensor([50.3, 61.9, 1.0])).abs().max() < 0.02


def test_smoothing_is_the_convolution_with_a_gaussian():
    torch.manual_seed(0)
    maps = torch.rand(1, 2, 22, 19)
    cells = torch.arange(-8, 9.0)
    kernel = torch.exp(-(cells**2) / 2) / math.sqrt(2 * math.pi)
    kernel = kernel.outer(kernel)[None, None]
    expected = F.conv2d(maps.flatten(0, 1).unsqueeze(1), kernel, padding=8)
    inner = (..., slice(5, -5), slice(5, -5))  # beyond, the mean is over the cells that there are
    assert torch.allclose(smooth(maps, 1.0, 2.0)[0][inner], 1.25 * expected[:, 0][inner], atol=1e-4)
    assert torch.allclose(smooth(torch.ones(1, 1, 5, 5), 1.0, 2.0), torch.tensor(1.25))


def test_smoothing_reads_ragged_peaks_better():
    torch.manual_seed(0)
    xy = 16 + 96 * torch.rand(50, 4, 2)
    maps = gaussian_targets(torch.cat([xy, torch.ones(50, 4, 1)], -1), (128, 128), 4)
    ragged = maps + 0.08 * torch.randn_like(maps)
    raw, smoothed = ((decode(m, 4)[..., :2] - xy).norm(dim=-1).mean() for m in (ragged, smooth(ragged)))
    assert smoothed < raw / 2


def test_aggregate_is_the_mean_at_the_finest_resolution():
    coarse, fine = torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 8, 8)
    assert torch.equal(aggregate([coarse, fine]), torch.full((1, 1, 8, 8), 0.5))
    assert aggregate([fine]) is fine


class Spot(PoseModel):
    """Outputs the red channel as its only heat map."""

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
