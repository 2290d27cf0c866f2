"""What makes a video's poses, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from walking import walking


def test_the_rate_is_that_of_most_frames():
    assert walking().rate == pytest.approx(29.97)
    assert walking(seconds=np.r_[np.arange(19) / 50, 3.0]).rate == pytest.approx(50)  # one pause
    assert walking(frames=1).rate == 25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": np.arange(19.0)}, r"walk\.mp4: poses of shape \(20, 2, 26, 3\) instead of \(19, 2, 26, 3\)"),
        ({"people": (3,)}, r"instead of \(20, 1, 26, 3\)"),
        ({"people": (3, 3)}, r"two people have the same ID: \(3, 3\)"),
        ({"seconds": np.r_[np.arange(19.0), 4]}, r"seconds do not rise at frame 19: 4\.0"),
        ({"seconds": np.r_[np.nan, np.arange(19.0)]}, r"seconds do not rise at frame 0: nan"),
        ({"poses3d": np.zeros((20, 2, 17, 3))}, r"poses3d of shape \(20, 2, 17, 3\)"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        replace(walking(), **change)


@pytest.mark.parametrize("value", [(np.nan, 3.0, 0.0), (np.nan, np.nan, 0.5), (np.inf, 3.0, 0.5), (1.0, 3.0, np.nan)])
def test_a_keypoint_is_there_or_absent(value):
    poses = walking().poses.copy()
    poses[4, 1, 2] = value
    with pytest.raises(ValueError, match=r"right_eye of person 8 in frame 4 is .*; absent is NaN, NaN, 0"):
        replace(walking(), poses=poses)
    poses[4, 1, 2] = (1, 3, 0)  # interpolated
    assert replace(walking(), poses=poses).poses[4, 1, 2, 0] == 1


def test_no_frames_are_refused_and_no_people_are_not():
    with pytest.raises(ValueError, match="no frames"):
        walking(frames=0)
    assert walking(people=()).poses.shape == (20, 0, 26, 3)


def test_a_part_keeps_times_and_frame_numbers():
    poses = walking(first=100)
    part = poses.between(0.1, 0.3)
    assert part.first == 103 and np.array_equal(part.seconds, poses.seconds[3:9])
    assert np.array_equal(part.poses, poses.poses[3:9], equal_nan=True)
    with pytest.raises(ValueError, match="no frame from 9 to 10 s"):
        poses.between(9, 10)
