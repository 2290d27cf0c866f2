"""Vectorised decoding against torchvision's, person after person."""

import time

import pytest
import torch
import torch.nn.functional as F
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

from fewpose.models.decoding import confidence, decode


def maps_and_boxes(kind, people=20, sides=(60, 250), seed=0):
    torch.manual_seed(seed)
    boxes = 100 * torch.rand(people, 4)
    boxes[:, 2:] = boxes[:, :2] + sides[0] + (sides[1] - sides[0]) * torch.rand(people, 2)
    coarse = {"noise": 56, "head": 28, "smooth": 7}[kind]
    maps = torch.randn(people, 17, coarse, coarse)
    if coarse < 56:  # as the head's own maps are
        maps = F.interpolate(maps, (56, 56), mode="bilinear")
    return maps, boxes


@pytest.mark.parametrize("kind", ["noise", "head", "smooth"])
@pytest.mark.parametrize("sides", [(60, 250), (3, 60), (0.2, 3), (56, 56), (600, 900)])
def test_the_pixels_are_torchvisions(kind, sides):
    maps, boxes = maps_and_boxes(kind, 4, sides)
    keypoints, logits = decode(maps, boxes)
    theirs, peaks = heatmaps_to_keypoints(maps, boxes)
    torch.testing.assert_close(logits, peaks, atol=1e-4, rtol=1e-4)
    apart = (keypoints - theirs)[..., :2].abs().amax(-1)
    assert (apart > 0.5).float().mean() <= 0.02  # two pixels as high but for rounding
    if sides == (60, 250):
        assert apart.max() <= 0.5


def test_twice_as_fast_at_least():
    maps, boxes = maps_and_boxes("smooth")

    def seconds(call):
        began = time.process_time()
        call(maps, boxes)
        return time.process_time() - began

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # processor time, so that a busy machine changes nothing
    try:
        pairs = [(seconds(heatmaps_to_keypoints), seconds(decode)) for _ in range(4)]
    finally:
        torch.set_num_threads(threads)
    theirs, ours = (min(times) for times in zip(*pairs, strict=True))
    assert theirs > 2 * ours


def test_confidence_is_the_probability_about_the_peak():
    maps = torch.zeros(2, 56, 56)
    maps[1, 20, 30] = 100
    found = confidence(maps, torch.tensor([[0.5, 0.5], [30.5 / 56, 20.5 / 56]]))
    # 7 x 7 of 56 x 56 cells as likely as each other, and one sure cell
    torch.testing.assert_close(found, torch.tensor([49 / 56**2, 1.0]))
    # at the border only what lies inside
    corner = confidence(maps[:1], torch.tensor([[0.0, 0.0]]))
    torch.testing.assert_close(corner, torch.tensor([16 / 56**2]))


def test_flat_maps_and_nobody():
    flat, boxes = torch.zeros(2, 3, 56, 56), torch.tensor([[0.0, 0, 90, 60]] * 2)
    keypoints, _ = decode(flat, boxes)
    theirs, _ = heatmaps_to_keypoints(flat, boxes)
    torch.testing.assert_close(keypoints[..., :2], theirs[..., :2])
    keypoints, logits = decode(torch.zeros(0, 17, 56, 56), torch.zeros(0, 4))
    assert keypoints.shape == (0, 17, 3) and logits.shape == (0, 17)
