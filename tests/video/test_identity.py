"""The same person has the same ID, against scenes whose people are known."""

import pytest
import torch

from fewpose_video.identity import MAX_GAP, link_people
from fewpose_video.track import choose_people, track_person

FRAMES = 60


def box(x, y=200.0, height=100.0):
    return torch.tensor([x - height / 5, y - height / 2, x + height / 5, y + height / 2])


def pose(where, turned):
    """Four keypoints in a box; the side ones are exchanged in people who are turned round."""
    places = torch.tensor([[0.5, 0.1], [0.1, 0.4], [0.9, 0.4], [0.5, 0.9]])
    xy = where[:2] + (places[[0, 2, 1, 3]] if turned else places) * (where[2:] - where[:2])
    return torch.cat([xy, torch.ones(4, 1)], 1)


def scene(*people, frames=FRAMES, jitter=0.0, miss=0.0, shuffled=False, keypoints=False, seed=0):
    """Detections and true people of each frame; people are functions of the frame that give a box or None."""
    random = torch.Generator().manual_seed(seed)
    detections, true_ids = [], []
    for t in range(frames):
        found = [(i, b) for i, b in enumerate(person(t) for person in people) if b is not None]
        found = [pair for pair in found if torch.rand(1, generator=random) >= miss]
        if shuffled:
            found = [found[i] for i in torch.randperm(len(found), generator=random)]
        boxes = torch.stack([b for _, b in found]) if found else torch.zeros(0, 4)
        poses = torch.stack([pose(b, i % 2) for i, b in found]) if found else torch.zeros(0, 4, 3)
        boxes = boxes + jitter * torch.randn(boxes.shape, generator=random)
        detections.append((boxes, torch.full((len(found),), 0.9), poses if keypoints else None))
        true_ids.append([i for i, _ in found])
    return detections, true_ids


def right(t):
    return box(100.0 + 6 * t)


def left(t):
    return box(450.0 - 6 * t, 205.0, 110.0)


def standing(t):
    return box(700.0, 180.0, 90.0)


def numbered(true_ids):
    """True people renamed by first appearance."""
    names = {}
    return [[names.setdefault(i, len(names)) for i in row] for row in true_ids]


def linked(detections):
    return [ids.tolist() for ids in link_people(detections)]


def hidden(person, start, end):
    return lambda t: None if start <= t < end else person(t)


@pytest.mark.parametrize("keypoints", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_people_who_cross_keep_their_ids(seed, shuffled, keypoints):
    detections, true_ids = scene(right, left, standing, jitter=2.0, shuffled=shuffled, keypoints=keypoints, seed=seed)
    assert linked(detections) == numbered(true_ids)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("people", [(hidden(right, 24, 34), left), (hidden(right, 24, 34), hidden(left, 25, 33))])
def test_people_hidden_for_ten_frames_while_they_cross_keep_their_ids(people, seed):
    detections, true_ids = scene(*people, standing, jitter=1.0, shuffled=True, seed=seed)
    assert linked(detections) == numbered(true_ids)


def test_missed_detections_change_nothing():
    detections, true_ids = scene(right, standing, jitter=2.0, miss=0.3, shuffled=True)
    assert any(len(row) < 2 for row in true_ids)
    assert linked(detections) == numbered(true_ids)


def test_who_comes_back_keeps_the_id_within_the_gap_limit():
    def returning(away):
        return lambda t: box(600.0 - 3 * abs(t - 20)) if t < 20 or t >= 20 + away else None

    detections, true_ids = scene(lambda t: box(595.0) if t < 20 or t >= 18 + MAX_GAP else None, left)
    assert linked(detections) == numbered(true_ids)
    detections, _ = scene(lambda t: box(595.0) if t < 20 or t >= 21 + MAX_GAP else None, standing)
    assert {i for row in linked(detections) for i in row} == {0, 1, 2}
    detections, true_ids = scene(returning(10), left)  # turned round outside
    assert linked(detections) == numbered(true_ids)


def test_who_enters_is_new():
    detections, true_ids = scene(hidden(right, 0, 15), left, hidden(standing, 20, 60), hidden(standing, 0, 50))
    assert linked(detections) == numbered(true_ids)


@pytest.mark.parametrize("other", [lambda t: None, lambda t: box(400.0 - 2 * t) if t < 30 else box(850.0)])
def test_nobody_keeps_an_id_across_a_cut(other):
    """Who comes later to a place where somebody had been before the cut is somebody else."""
    detections, true_ids = scene(
        lambda t: box(200.0 + t) if t < 30 else None,
        lambda t: None if t < 30 else box(600.0 + t),
        lambda t: None if t < 33 else box(230.0 + t),
        hidden(other, 30, 60),
    )
    assert linked(detections) == numbered(true_ids)


def test_a_pose_tells_apart_whom_boxes_do_not():
    """Two people in nearly one place whose boxes are exchanged between two frames."""
    one, two = (lambda t: box(300.0 + 5 * (t >= 5))), (lambda t: box(305.0 - 5 * (t >= 5)))
    detections, true_ids = scene(one, two, frames=10, keypoints=True)
    assert linked(detections) == numbered(true_ids)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_nobody(count):
    assert linked(scene(frames=count)[0]) == [[]] * count


def test_choosing_people():
    detections, _ = scene(standing, left)
    detections[30] = (torch.cat([detections[30][0], box(50.0)[None]]), torch.tensor([0.9, 0.9, 0.3]), None)
    ids = link_people(detections)
    assert ids[30].tolist() == [0, 1, 2]
    chosen = {p: choose_people(detections, ids, p)[30].tolist() for p in ("all", "largest", 0, 2)}
    assert chosen == {"all": [0, 1, -1], "largest": [-1, 1, -1], 0: [0, -1, -1], 2: [-1, -1, 2]}
    for unknown in (3, "smallest"):
        with pytest.raises(ValueError, match=rf"largest, all or one of the IDs \[0, 1, 2\], not {unknown!r}"):
            choose_people(detections, ids, unknown)


def track(*people):
    return track_person([(boxes, scores) for boxes, scores, _ in scene(*people, frames=120)[0]])


def test_the_output_says_when_somebody_else_is_followed():
    """The largest leaves; after that the other is followed under a new ID, from their own boxes."""
    boxes, ids = track(
        lambda t: box(100.0 + 3 * t, height=120.0) if t < 60 else None,
        lambda t: box(700.0, height=70.0) if t >= 50 else None,
    )
    assert ids.tolist() == [0] * 60 + [1] * 60
    assert (boxes[:60] - torch.stack([box(100.0 + 3 * t, height=120.0) for t in range(60)])).abs().max() < 1e-3
    assert (boxes[60:] - box(700.0, height=70.0)).abs().max() < 1e-3


def test_a_gap_before_somebody_else_is_not_filled():
    boxes, ids = track(lambda t: box(100.0) if t < 50 else None, lambda t: box(500.0) if t >= 60 else None)
    assert ids.tolist() == [0] * 50 + [-1] * 10 + [1] * 60
    assert boxes[50:60].isnan().all() and not boxes[ids >= 0].isnan().any()


def test_one_person_keeps_the_id_past_larger_ones_and_through_gaps():
    boxes, ids = track(hidden(lambda t: box(100.0 + 5 * t), 40, 50), lambda t: box(400.0) if 55 <= t < 65 else None)
    assert ids.tolist() == [0] * 120
    assert (boxes - torch.stack([box(100.0 + 5 * t) for t in range(120)])).abs().max() < 1e-3
