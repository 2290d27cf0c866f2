import numpy as np
import pytest
import torch

from fewpose.data.pose_data import concatenate, draw_labels, split_validation
from tiny import dots


def test_draws_are_nested_disjoint_and_repeatable():
    data = dots(60)
    few, rest = draw_labels(data, 10, draw=1)
    more, _ = draw_labels(data, 25, draw=1)
    other, _ = draw_labels(data, 10, draw=2)
    assert len(few) == 10 and set(few) < set(more) and set(few) != set(other)
    assert sorted([*few, *rest]) == list(range(60))
    assert np.array_equal(few, draw_labels(data, 10, draw=1)[0])


@pytest.mark.parametrize("draw", range(3))
def test_the_budgets_of_the_tables_are_nested(draw):
    """50 labels are among the 100, these among the 250, these among all."""
    data = dots(300)
    budgets = [set(draw_labels(data, n, draw)[0]) for n in (50, 100, 250, 0)]
    assert [len(b) for b in budgets] == [50, 100, 250, 300]
    assert budgets[0] < budgets[1] < budgets[2] < budgets[3]


def test_few_labels_come_from_many_videos():
    data = dots(60)  # 30 videos of two frames
    few, _ = draw_labels(data, 30, draw=0)
    assert len(set(data.video[few])) == 30
    assert len(draw_labels(data, 60, draw=0)[1]) == 0
    with pytest.raises(ValueError, match="61 labels of 60 labelled frames"):
        draw_labels(data, 61, draw=0)


def test_frames_without_labels_are_never_among_the_few():
    data, pool = dots(20), dots(30, seed=1).unlabelled()
    both = concatenate(data, pool)
    few, rest = draw_labels(both, 8, draw=1)
    assert np.array_equal(few, draw_labels(data, 8, draw=1)[0])  # the pool changes no draw
    assert set(range(20, 50)) < set(rest.tolist())
    everything, rest = draw_labels(both, 0, draw=1)
    assert everything.tolist() == list(range(20)) and len(rest) == 30
    with pytest.raises(ValueError, match="5 labels of 0 labelled frames"):
        draw_labels(pool, 5, draw=0)


def test_resized_keeps_points_on_what_they_mark():
    data = dots(4, size=32)
    small = data.resized(16)
    assert small.size == (16, 16)
    assert torch.allclose(small.poses[..., :2], (data.poses[..., :2] + 0.5) / 2 - 0.5)
    x, y = small.poses[0, 0, :2].round().long()
    red, green, _ = small.frames[0, :, y, x].long()
    assert red > green + 60
    assert data.resized(32) is data


def test_validation_takes_whole_videos_of_train_only():
    data = concatenate(dots(40), dots(20, seed=1, split="test"))
    split = split_validation(data, 7).split
    assert (split == "val").sum() == 8 and (split == "test").sum() == 20
    assert not set(data.video[split == "val"]) & set(data.video[split == "train"])


def test_concatenate_refuses_other_sizes():
    with pytest.raises(ValueError, match="differ in frame size"):
        concatenate(dots(4), dots(4, size=16))


def test_unlabelled_has_no_trace_of_the_ground_truth():
    assert not dots(4).unlabelled().poses.any()
