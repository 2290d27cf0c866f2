"""Keypoints of heat maps: at the highest pixel as torchvision's, and where the expected OKS is highest."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

from fewpose.metrics.oks import oks
from fewpose.models.student.decoding import PERSON, confidence, decode, expect
from fewpose.skeleton import COCO


def maps_and_boxes(kind, people=20, sides=(60, 250), seed=0):
    torch.manual_seed(seed)
    boxes = 100 * torch.rand(people, 4)
    boxes[:, 2:] = boxes[:, :2] + sides[0] + (sides[1] - sides[0]) * torch.rand(people, 2)
    coarse = {"noise": 56, "head": 28, "smooth": 7}[kind]
    maps = torch.randn(people, 17, coarse, coarse)
    if coarse < 56:  # as the head's own maps are
        maps = F.interpolate(maps, (56, 56), mode="bilinear")
    return maps, boxes


@pytest.mark.parametrize("sides", [(60, 250), (0.2, 3)])
def test_the_pixels_and_logits_are_torchvisions(sides):
    maps, boxes = maps_and_boxes("noise", 4, sides)
    keypoints, logits = decode(maps, boxes)
    theirs, peaks = heatmaps_to_keypoints(maps, boxes)
    assert torch.equal(keypoints[..., :2], theirs[..., :2]) and torch.equal(logits, peaks)


def test_the_third_is_the_confidence_about_the_peak():
    maps, box = torch.zeros(1, 1, 56, 56), torch.tensor([[20.0, 30, 76, 142]])
    maps[0, 0, 20, 30] = 100
    keypoints, logits = decode(maps, box)
    torch.testing.assert_close(keypoints[0, 0, :2], torch.tensor([50.5, 71.0]), atol=1, rtol=0)
    torch.testing.assert_close(keypoints[0, 0, 2], torch.tensor(1.0))
    assert logits.item() > 80  # cubic, half a pixel off the cell


def test_confidence_is_the_probability_about_the_peak():
    maps = torch.zeros(2, 56, 56)
    maps[1, 20, 30] = 100
    found = confidence(maps, torch.tensor([[0.5, 0.5], [30.5 / 56, 20.5 / 56]]))
    # 7 x 7 of 56 x 56 cells as likely as each other, and one sure cell
    torch.testing.assert_close(found, torch.tensor([49 / 56**2, 1.0]))
    # at the border only what lies inside
    corner = confidence(maps[:1], torch.tensor([[0.0, 0.0]]))
    torch.testing.assert_close(corner, torch.tensor([16 / 56**2]))


def test_nobody():
    keypoints, logits = decode(torch.zeros(0, 17, 56, 56), torch.zeros(0, 4))
    assert keypoints.shape == (0, 17, 3) and logits.shape == (0, 17)


def expected_oks(maps, box, sigmas, points):
    """OKS [K] to be expected at points [K, 2] when the cells' softmax says where the ground truth is."""
    k, size = maps.shape[:2]
    chance = maps.flatten(1).softmax(-1).numpy()
    x0, y0, x1, y1 = box.tolist()
    v, u = np.indices((size, size)).reshape(2, -1)
    cells = np.stack([x0 + (u + 0.5) / size * (x1 - x0), y0 + (v + 0.5) / size * (y1 - y0)], -1)
    area = np.full(len(cells), PERSON * (x1 - x0) * (y1 - y0))
    corner = np.array([[x0, y0, x1 - x0, y1 - y0]]).repeat(len(cells), 0)
    values = []
    for i in range(k):
        ground_truth = np.concatenate([cells, np.ones((len(cells), 1))], 1)[:, None]
        guess = points[i].double().numpy()[None, None].repeat(len(cells), 0)
        values.append((chance[i] * oks(guess, ground_truth, corner, area, [sigmas[i]])).sum())
    return np.array(values)


def test_nowhere_is_more_oks_expected():
    maps, boxes = maps_and_boxes("head", 3)
    keypoints, promised = expect(4 * maps, boxes, COCO.sigmas)
    peaks, _ = decode(4 * maps, boxes)
    for n in range(3):
        ours = expected_oks(4 * maps[n], boxes[n], COCO.sigmas, keypoints[n, :, :2])
        np.testing.assert_allclose(ours, promised[n], rtol=0.05)  # promised in the cell itself
        step = (boxes[n, 2:] - boxes[n, :2]) / 56
        for shift in ([1, 0], [-1, 0], [0, 1], [0, -1], [0.4, 0.4]):
            beside = keypoints[n, :, :2] + torch.tensor(shift) * step
            worse = expected_oks(4 * maps[n], boxes[n], COCO.sigmas, beside)
            assert (worse <= ours + 1e-3).all()
        at_peak = expected_oks(4 * maps[n], boxes[n], COCO.sigmas, peaks[n, :, :2])
        assert (at_peak <= ours + 1e-3).all() and at_peak.mean() < ours.mean()


def test_a_hip_lies_on_the_hill_an_eye_on_the_needle():
    maps = torch.full((1, 2, 56, 56), -20.0)
    maps[:, :, 10, 10] = 1.5  # as likely as four or five cells of the hill, which has 49
    maps[:, :, 37:44, 37:44] = 0.0
    box = torch.tensor([[100.0, 50, 212, 274]])  # cells of 2 x 4 pixels
    keypoints, _ = expect(maps, box, (0.107, 0.004))
    hill, needle = keypoints[0, :, :2]
    torch.testing.assert_close(hill, torch.tensor([100 + 40.5 * 2, 50 + 40.5 * 4]), atol=0.1, rtol=0)
    torch.testing.assert_close(needle, torch.tensor([100 + 10.5 * 2, 50 + 10.5 * 4]), atol=0.1, rtol=0)


def test_one_sure_cell_is_read_alike():
    maps, box = torch.zeros(1, 17, 56, 56), torch.tensor([[20.0, 30, 76, 86]])
    maps[0, torch.arange(17), torch.arange(17) + 3, 50] = 50
    ours, promised = expect(maps, box, COCO.sigmas)
    torch.testing.assert_close(ours, decode(maps, box)[0], atol=0.05, rtol=0)
    torch.testing.assert_close(promised, torch.ones(1, 17), atol=1e-3, rtol=0)
    nobody = expect(maps[:0], box[:0], COCO.sigmas)
    assert nobody[0].shape == (0, 17, 3) and nobody[1].shape == (0, 17)
