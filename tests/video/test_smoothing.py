"""Gaps, smoothing and derivatives of coordinates, against polynomials and Sports2D's own filter."""

import numpy as np
import pytest

from fewpose_video.smoothing import SMOOTHERS, acceleration, butterworth, fill_gaps, smooth, smooth_poses, velocity
from walking import walking

EVEN = np.arange(90) / 30
UNEVEN = np.sort(np.random.default_rng(3).permutation(np.arange(240) / 60)[:120])  # half of the frames are missing
both_times = pytest.mark.parametrize("seconds", [EVEN, UNEVEN], ids=["even", "uneven"])
each_smoother = pytest.mark.parametrize("smoother", SMOOTHERS)


def parabola(seconds):
    return np.stack([3 - 40 * seconds + 9 * seconds**2, 200 * seconds], -1)


@both_times
def test_a_parabola_passes_savitzky_golay_to_its_ends(seconds):
    values = parabola(seconds)
    assert np.abs(smooth(seconds, values, "savitzky-golay") - values).max() < 1e-9


@both_times
@each_smoother
def test_noise_shrinks(seconds, smoother):
    noise = np.random.default_rng(0).normal(0, 1, (len(seconds), 40))
    left = smooth(seconds, 100 * seconds[:, None] + noise, smoother) - 100 * seconds[:, None]
    assert left.std() < 0.75 and left[[0, -1]].std() < 1.05  # no worse at the ends


@pytest.mark.parametrize("rate", [25, 30, 50, 60, 120, 200])
@each_smoother
def test_a_movement_of_2_hz_stays_and_a_tremor_of_12_hz_goes(rate, smoother):
    seconds = np.arange(4 * rate) / rate
    for frequency, least, most in ((2, 0.93, 1.02), (12, -0.4, 0.1)):
        wave = np.sin(2 * np.pi * frequency * seconds + 0.3)
        inner = slice(rate, -rate)
        gain = (smooth(seconds, wave, smoother)[inner] * wave[inner]).sum() / (wave[inner] ** 2).sum()
        assert least <= gain <= most


def test_butterworth_is_that_of_sports2d():
    steps = np.array([0.5, 4, 1, 7, 3, 9, 2, 8, 5, 6, 6, 1])
    # Pose2Sim 0.10.49, butterworth_filter_1d({}, 30, steps): 4th order, 6 Hz
    theirs = "0.499509 2.16401 3.515438 4.649611 5.442472 5.625423 5.539981 5.77617 6.223897 6.095115 4.390334 1.000516"
    assert butterworth(steps, 30) == pytest.approx([float(value) for value in theirs.split()], abs=1e-6)
    assert (butterworth(np.arange(9.0) ** 2, 30) == np.arange(9.0) ** 2).all()  # too short, as there
    with pytest.raises(ValueError, match=r"more than 12 frames/s, not 10"):
        butterworth(np.zeros(20), 10)


@both_times
def test_gaps_are_filled_up_to_a_length(seconds):
    values = parabola(seconds)
    holed = values.copy()
    holed[10:14] = holed[40:60] = holed[:2] = holed[-3:] = np.nan
    gap = seconds[14] - seconds[9]
    filled = fill_gaps(seconds, holed, gap + 1e-9)
    assert np.isnan(filled[40:60]).all() and np.isnan(filled[:2]).all() and np.isnan(filled[-3:]).all()
    assert np.abs(filled - values)[10:14].max() < 0.05 and np.isfinite(filled[2:40]).all()
    assert np.array_equal(fill_gaps(seconds, holed, gap - 1e-9), holed, equal_nan=True)
    seen = np.isfinite(holed)
    assert (filled[seen] == holed[seen]).all()


@each_smoother
def test_nothing_is_smoothed_across_a_gap(smoother):
    values = np.r_[np.zeros(40), np.nan, np.full(49, 100.0)]
    assert np.allclose(smooth(EVEN, values, smoother), values, equal_nan=True)
    pause = np.r_[EVEN[:40], EVEN[40:] + 5]  # no frames for five seconds
    values[40] = 100
    assert np.allclose(smooth(pause, values, smoother), values)


@both_times
def test_derivatives_of_a_parabola_are_exact(seconds):
    values = parabola(seconds)
    values[50] = np.nan
    fast = velocity(seconds, values)
    assert np.array_equal(np.isnan(fast), np.isnan(values))
    seen = np.arange(len(seconds)) != 50
    assert np.allclose(fast[seen], np.stack([18 * seconds - 40, np.full_like(seconds, 200)], -1)[seen])
    assert np.allclose(acceleration(seconds, values)[seen], (18, 0), atol=1e-6)


@pytest.mark.parametrize("smoother", [None, *SMOOTHERS])
def test_little_or_nothing_stays_as_it_is(smoother):
    for poses in (walking(people=()), walking(frames=1), walking(frames=2)):
        same = smooth_poses(poses, smoother, 1.0)
        assert np.array_equal(same.poses, poses.poses)
    nobody = np.full((90, 2), np.nan)
    assert np.isnan(fill_gaps(EVEN, nobody, 9)).all() and np.isnan(velocity(EVEN, nobody)).all()
    assert np.isnan(smooth(EVEN, nobody, "savitzky-golay")).all()
    alone = np.where(np.arange(90) == 4, 1.0, np.nan)
    assert np.array_equal(fill_gaps(EVEN, alone, 9), alone, equal_nan=True) and np.isnan(velocity(EVEN, alone)).all()


def test_poses_are_filled_and_smoothed_and_keep_their_scores():
    poses = walking(poses3d=np.random.default_rng(0).normal(0, 100, (20, 2, 26, 3)))
    better = smooth_poses(poses, "savitzky-golay", 0.1)
    assert np.isfinite(better.poses).all() and (better.poses[..., 2] == poses.poses[..., 2]).all()
    assert (better.poses[7, ..., 2] == 0).all()
    assert np.diff(better.poses3d, axis=0).std() < np.diff(poses.poses3d, axis=0).std() / 2
    assert np.array_equal(smooth_poses(poses, None, 0).poses, poses.poses, equal_nan=True)
