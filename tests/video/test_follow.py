"""Following one person through boxes that come and go."""

import pytest
import torch

from fewpose_video.follow import LOOK_BACK, follow


def box(x, y=50.0, height=40.0):
    return torch.tensor([x - height / 4, y - height / 2, x + height / 4, y + height / 2])


def frames(*people):
    """Boxes and scores of each frame; people are functions of the frame that give a box or None."""
    found = []
    for t in range(90):
        boxes = [b for b in (person(t) for person in people) if b is not None]
        stacked = torch.stack(boxes) if boxes else torch.zeros(0, 4)
        found.append((stacked, torch.full((len(boxes),), 0.9)))
    return found


def runner(t):
    return box(20.0 + 5 * t)


def test_the_largest_is_followed_past_others():
    small, passing = box(150.0, height=25.0), box(160.0, 55.0, 30.0)
    boxes = follow(frames(lambda t: small, runner, lambda t: passing))
    truth = torch.stack([runner(t) for t in range(90)])
    assert (boxes - truth).abs().max() < 1e-3


def test_gaps_are_filled_evenly_and_a_spectator_does_not_take_over():
    def gone(t):
        return None if 20 <= t < 28 else runner(t)

    boxes = follow(frames(gone, lambda t: box(250.0, 80.0, 30.0)))
    truth = torch.stack([runner(t) for t in range(90)])
    assert (boxes - truth).abs().max() < 1e-3


def test_a_cut_in_the_film_is_survived_and_long_absence_is_nobody():
    def twice(t):
        if t < 30:
            return box(30.0 + t)
        return box(400.0 + t) if t >= 30 + LOOK_BACK + 4 else None

    boxes = follow(frames(twice))
    assert boxes[29, 0] < 60 and boxes[-1, 0] > 400
    assert boxes[30 : 30 + LOOK_BACK + 4].isnan().all()


def test_one_wild_box_does_not_shake_the_crop():
    boxes = follow(frames(lambda t: box(100.0, height=55.0 if t == 30 else 40.0)))
    assert (boxes - box(100.0)).abs().max() < 1e-3


@pytest.mark.parametrize("count", [0, 1, 3])
def test_nobody(count):
    boxes = follow([(torch.zeros(0, 4), torch.zeros(0))] * count)
    assert boxes.shape == (count, 4) and boxes.isnan().all()
