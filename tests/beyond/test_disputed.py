"""Frames to label next, chosen from disagreements made by hand."""

import numpy as np
import pytest
import torch

from fewpose.beyond.disputed import by_keypoint, choose_disputed, disagreement
from fewpose.pseudo_labels import Candidates


def candidates(spread):
    spread = torch.tensor(spread)
    base = torch.zeros(*spread.shape, 3)
    base[0, 0, :2] = 100  # the extent of all predictions
    return Candidates(base, spread, base[None])


def test_disagreement_is_the_mean_distance_of_the_votes():
    found = disagreement(candidates([[4.0, 16.0], [0.0, 0.0], [torch.inf, 9.0]]))
    assert found.tolist() == pytest.approx([3, 0, 6.5])  # a lost keypoint counts a tenth of 100 px


def test_the_most_disputed_come_first_and_not_from_neighbouring_frames():
    scores = np.array([5, 9, 8, 1, 7.0])
    video, number = np.array([*"aaabb"]), np.array([0, 10, 20, 0, 50])
    assert choose_disputed(scores, video, number, 3, apart=15).tolist() == [1, 4, 3]
    assert choose_disputed(scores, video, number, 4, apart=5).tolist() == [1, 2, 4, 3]
    assert choose_disputed(scores, video, number, 2, apart=5).tolist() == [1, 4]


def test_a_video_gives_more_than_its_share_only_if_others_have_none_left():
    scores = np.array([9, 8, 7, 6, 1.0])
    video, number = np.array([*"aaaab"]), np.array([0, 100, 200, 300, 0])
    assert choose_disputed(scores, video, number, 4, apart=10).tolist() == [0, 1, 2, 4]


def test_fewer_than_asked_for_if_there_are_no_more():
    scores, number = np.array([1, 2, 3.0]), np.arange(3)
    assert choose_disputed(scores, np.full(3, "a"), number, 10, apart=5).tolist() == [2]
    assert len(choose_disputed(np.array([]), np.array([]), np.array([]), 10, apart=5)) == 0


def test_the_keypoint_in_dispute():
    found = by_keypoint(candidates([[4.0, 16.0], [5.0, 0.0]]), np.array([1, 0]), ("head", "foot"))
    assert found == ["head", "foot"]
