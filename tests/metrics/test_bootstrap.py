import math

import numpy as np
import torch

from fewpose.metrics.bootstrap import interval, over_draws, pck_interval, pck_samples


def test_interval_resamples_videos_not_frames():
    # two videos, one all right and one all wrong: only 0, 50 and 100 can come out
    d = torch.cat([torch.zeros(50, 4), torch.ones(50, 4)])
    video = np.array(["a"] * 50 + ["b"] * 50)
    assert pck_interval(d, video) == (0, 100)
    low, high = pck_interval(d, np.arange(100).astype(str))
    assert 38 < low < 45 and 55 < high < 62
    assert pck_interval(torch.zeros(4, 2), np.array(list("abcd"))) == (100, 100)


def test_samples_of_equal_networks_are_equal():
    distances, video = torch.rand(40, 4), np.arange(40) // 2
    one, two = pck_samples([distances, distances], video, 0.5)
    assert np.array_equal(one, two) and one.std() > 0
    assert np.allclose(over_draws(np.stack([one, two])), one)


def test_nothing_labelled_has_no_interval():
    assert all(math.isnan(end) for end in pck_interval(torch.full((4, 2), torch.nan), np.arange(4)))
    assert interval(np.array([np.nan, 3.0])) == (3, 3)


def test_one_video_has_no_interval():
    assert all(math.isnan(end) for end in pck_interval(torch.zeros(4, 2), np.array(["a"] * 4)))
    assert np.isnan(pck_samples([torch.zeros(4, 2)], np.array(["a"] * 4))).all()
