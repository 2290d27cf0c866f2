"""A network that sees the same in every view of a crop."""

import pytest
import torch

from fewpose.models.teacher.top_down import estimate
from toy_teacher import SPOTS, Spots, person, toy_frames


@pytest.mark.parametrize(("scales", "tolerance"), [((1.0,), 1e-3), ((0.9, 1.0, 1.1), 0.5)])
def test_augmented_views_of_an_equivariant_network_are_its_single_prediction(scales, tolerance):
    frames, poses = toy_frames([2, 1])
    boxes = torch.tensor([[2.0, 6, 22, 26], [26, 6, 46, 26], [2, 6, 22, 26]])
    index = torch.tensor([0, 0, 1])
    inputs = (Spots(), frames, index, boxes, (64, 64), SPOTS)
    plain = estimate(*inputs, scales=(1.0,), flip=False)
    many = estimate(*inputs, scales=scales, flip=True)
    torch.testing.assert_close(many[..., :2], plain[..., :2], atol=tolerance, rtol=0)
    ground_truth = torch.stack([*poses[0], *poses[1]])
    assert (many[..., :2] - ground_truth).abs().max() < 0.8


def test_nobody_and_somebody_cut_by_the_border():
    frame = torch.full((1, 3, 48, 48), 10, dtype=torch.uint8)
    ground_truth = person(frame[0], 32, 8, 24)  # a third of it is outside
    nobody = estimate(Spots(), frame, torch.zeros(0).long(), torch.zeros(0, 4), (64, 64), SPOTS)
    assert nobody.shape == (0, 4, 3)
    box = torch.tensor([[32.0, 8, 48, 32]])
    found = estimate(Spots(), frame, torch.tensor([0]), box, (64, 64), SPOTS)
    seen = ground_truth[:, 0] < 47
    assert (found[0, seen, :2] - ground_truth[seen]).abs().max() < 2 and torch.isfinite(found).all()
