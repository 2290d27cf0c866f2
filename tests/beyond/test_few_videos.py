"""Folds: each frame is tested once, by a network that has not seen its video."""

import numpy as np
import pytest
import torch

from fewpose.beyond.few_videos import describe, everything, gather, leave_videos_out, one_fold, units

SIX = np.repeat([f"run{i}" for i in range(6)], [8, 8, 8, 8, 2, 2])


@pytest.mark.parametrize("video", [SIX, SIX[::-1], SIX[:24], np.array(["a", "b"])])
def test_each_frame_is_tested_once_without_its_video(video):
    folds = leave_videos_out(video)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(video)))
    for fold in folds:
        assert len(fold.val) == 0 and len(fold.train) + len(fold.test) == len(video)
        assert not set(video[fold.train]) & set(video[fold.test])
        assert set(fold.held_out) == set(video[fold.test])


def test_more_videos_than_folds_are_spread_by_their_frames():
    folds = leave_videos_out(SIX)
    assert [len(fold.test) for fold in folds] == [8, 8, 8, 8, 4]
    assert folds[4].held_out == ("run4", "run5")


def test_one_video_is_divided_into_stretches():
    folds = leave_videos_out(np.full(12, "only"))
    assert [fold.test.tolist() for fold in folds] == [[0, 1, 2], [3, 4], [5, 6, 7], [8, 9], [10, 11]]
    assert all(fold.held_out == () for fold in folds)
    assert "stretch 1 of only" == folds[0].name


def test_a_single_frame_is_one_stretch():
    (fold,) = leave_videos_out(np.array(["only"]))
    assert fold.test.tolist() == [0] and len(fold.train) == 0


def test_named_splits_are_kept():
    split = np.array(["train", "val", "test", "train"])
    (fold,) = one_fold(np.array(["a", "b", "c", "a"]), split)
    assert fold.train.tolist() == [0, 3] and fold.val.tolist() == [1] and fold.test.tolist() == [2]
    assert fold.held_out == ("b", "c")


def test_the_kept_network_sees_everything():
    fold = everything(SIX)
    assert len(fold.train) == 36 and len(fold.test) == 0 and fold.held_out == ()


def test_predictions_go_where_they_were_tested():
    folds = [*leave_videos_out(np.array([*"abba"])), everything(np.array([*"abba"]))]
    parts = [torch.full((len(fold.test), 2, 3), float(i)) for i, fold in enumerate(folds)]
    assert gather(folds, parts, 4)[:, 0, 0].tolist() == [0, 1, 1, 0]
    (fold,) = one_fold(np.array([*"abc"]), np.array(["train", "val", "test"]))
    assert gather([fold], [torch.ones(1, 2, 3)], 3)[:, 0, 0].isnan().tolist() == [True, True, False]


def test_frames_resemble_each_other_within_a_video_or_a_stretch():
    one = np.full(10, "only")
    assert units(leave_videos_out(SIX), SIX) is SIX
    assert len(set(units([*leave_videos_out(one), everything(one)], one))) == 5


def test_words_say_what_is_too_little():
    assert "Fewer than 10 videos" in describe(leave_videos_out(SIX), SIX)
    assert "intervals are rough" not in describe(leave_videos_out(SIX), SIX)
    one = np.full(30, "only")
    assert "One video" in describe(leave_videos_out(one), one) and "Fewer than 20" not in describe(
        leave_videos_out(one), one
    )
    few = np.array(["a", "b", "c"])
    text = describe(one_fold(few, np.array(["train", "val", "test"])), few)
    assert "1 to train, 1 to choose the best step (validation), 1 to test" in text and "Fewer than 20 labels" in text
