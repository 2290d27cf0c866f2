"""Tracking one person through boxes that come and go."""

import pytest
import torch

from fewpose_video.track import MAX_GAP, track_person


def box(x, y=50.0, height=40.0):
    return torch.tensor([x - height / 4, y - height / 2, x + height / 4, y + height / 2])


def frames(*people):
    """Boxes and scores of each frame; people are functions of the frame that give a box or None."""
    detections = []
    for t in range(90):
        boxes = [b for b in (person(t) for person in people) if b is not None]
        stacked = torch.stack(boxes) if boxes else torch.zeros(0, 4)
        detections.append((stacked, torch.full((len(boxes),), 0.9)))
    return detections


def runner(t):
    return box(20.0 + 5 * t)


def test_the_largest_person_is_tracked_past_others():
    small, passing = box(150.0, height=25.0), box(160.0, 55.0, 30.0)
    boxes, _ = track_person(frames(lambda t: small, runner, lambda t: passing))
    expected = torch.stack([runner(t) for t in range(90)])
    assert (boxes - expected).abs().max() < 1e-3


def test_gaps_are_interpolated_and_a_spectator_does_not_take_over():
    def gone(t):
        return None if 20 <= t < 28 else runner(t)

    boxes, _ = track_person(frames(gone, lambda t: box(250.0, 80.0, 30.0)))
    expected = torch.stack([runner(t) for t in range(90)])
    assert (boxes - expected).abs().max() < 1e-3


def test_tracking_survives_a_cut_and_long_absence_gives_no_box():
    def twice(t):
        if t < 30:
            return box(30.0 + t)
        return box(400.0 + t) if t >= 30 + MAX_GAP + 4 else None

    boxes, _ = track_person(frames(twice))
    assert boxes[29, 0] < 60 and boxes[-1, 0] > 400
    assert boxes[30 : 30 + MAX_GAP + 4].isnan().all()


def test_one_outlier_does_not_move_the_box():
    boxes, _ = track_person(frames(lambda t: box(100.0, height=55.0 if t == 30 else 40.0)))
    assert (boxes - box(100.0)).abs().max() < 1e-3


@pytest.mark.parametrize("count", [0, 1, 3])
def test_nobody(count):
    boxes, _ = track_person([(torch.zeros(0, 4), torch.zeros(0))] * count)
    assert boxes.shape == (count, 4) and boxes.isnan().all()
