"""Calibrated errors: ranks by hand, coverage in simulations, frames and videos."""

import math
from pathlib import Path

import numpy as np
import pytest

from fewpose.metrics.conformal import (
    ErrorBands,
    by_name,
    calibrate,
    coverage_of_divisions,
    covered,
    frame_quantile,
    other_videos_radii,
    radii,
    video_quantile,
)
from fewpose.skeleton import JUMP, LSP, Skeleton

SKELETON = Skeleton("two", ("head", "left_hand", "right_hand"), (), (0.1,) * 3)


def test_the_rank_is_corrected_for_finite_samples():
    errors = np.arange(1.0, 20)  # 19 errors: ⌈20 · 0.9⌉ = the 18th, not the 17.1th
    assert frame_quantile(errors, 0.9) == 18
    assert frame_quantile(errors[:9], 0.9) == 9  # ⌈10 · 0.9⌉ = 9, the largest
    assert frame_quantile(errors[:8], 0.9) == math.inf  # ⌈9 · 0.9⌉ = 9 of 8
    assert frame_quantile(errors[:1], 0.5) == 1
    assert frame_quantile(np.array([]), 0.9) == math.inf
    assert frame_quantile(np.array([3, np.nan, 1.0]), 0.5) == 3  # ⌈3 · 0.5⌉ = the 2nd of two


def test_videos_weigh_alike():
    errors = np.array([1, 1, 1, 1, 2, 3.0])
    video = np.array([*"aaaabc"])  # three videos: 1/4 each, 1/4 for the new one
    assert video_quantile(errors, video, 0.25) == 1
    assert video_quantile(errors, video, 0.5) == 2
    assert video_quantile(errors, video, 0.75) == 3
    assert video_quantile(errors, video, 0.76) == math.inf


def test_one_frame_a_video_is_the_case_without_videos():
    errors = np.random.default_rng(0).random(30)
    for coverage in (0.5, 0.8, 0.9):
        assert video_quantile(errors, np.arange(30), coverage) == frame_quantile(errors, coverage)


def test_coverage_of_exchangeable_frames():
    """Mean coverage over 2,000 calibrations of 30 frames: between 90 % and 90 % + 1 / 31, as theory says."""
    rng = np.random.default_rng(1)
    shares = [rng.rayleigh(1, 100) <= frame_quantile(rng.rayleigh(1, 30), 0.9) for _ in range(2000)]
    assert 0.89 < np.mean(shares) < 0.9 + 1 / 31 + 0.01


def test_coverage_of_new_videos():
    """Videos differ: frames of a new one are within the radius of videos, and not within that of frames."""
    rng = np.random.default_rng(2)
    by_video, by_frame = [], []
    for _ in range(1500):
        scale = rng.lognormal(0, 0.8, 12)  # how hard each video is
        errors, video = rng.rayleigh(scale[:, None], (12, 8)), np.repeat(np.arange(11), 8)
        calibration = errors[:11].ravel()
        by_video.append((errors[11] <= video_quantile(calibration, video, 0.9)).mean())
        by_frame.append((errors[11] <= frame_quantile(calibration, 0.9)).mean())
    assert np.mean(by_video) > 0.89
    assert np.mean(by_frame) < np.mean(by_video)


def test_partners_are_pooled_and_unlabelled_left_out():
    nan = np.nan
    errors = np.array([[1, 10, nan], [2, nan, 30], [3, 20, nan]])
    video = np.array(["a", "b", "c"])
    head, left, right = radii(errors, video, SKELETON, 0.5)
    assert (head, left, right) == (2, 20, 20)
    head, left, right = radii(errors, video, SKELETON, 0.5, new_video=True)
    assert (head, left, right) == (2, 20, 20)


def test_each_video_is_checked_by_the_others():
    errors = np.array([[1, 1, 1], [2, 2, 2], [9, 9, 9.0]])
    found = other_videos_radii(errors, np.array(["a", "b", "c"]), SKELETON, 0.6)
    assert found[:, 0].tolist() == [9, 9, 2]  # ⌈3 · 0.6⌉ = the 2nd of two


def test_coverage_of_random_divisions_by_video():
    """Frames that are exchangeable are covered as often as asked for; videos that differ make it vary."""
    rng = np.random.default_rng(4)
    errors, video = rng.rayleigh(1, (400, 3)), np.repeat(np.arange(40), 10)
    errors[:, 0][video > 20] = np.nan
    alike = coverage_of_divisions(errors, video, SKELETON, divisions=20)
    assert alike.shape == (20,) and abs(alike.mean() - 0.9) < 0.02
    differing = coverage_of_divisions(errors * rng.lognormal(0, 1, 40)[video, None], video, SKELETON, divisions=20)
    assert differing.std() > 2 * alike.std()
    assert (coverage_of_divisions(errors, video, SKELETON, 0.5) < alike.min()).all()
    far = np.where(video[:, None] == 0, 1e9, errors)
    shares = coverage_of_divisions(far, np.where(video == 0, 0, 1), SKELETON, divisions=4)
    assert set(shares) <= {0.0, 1.0}, "a video is never on both sides"


def test_covered_leaves_out_what_is_unlabelled():
    found = covered(np.array([[1, 2, np.nan]]), np.array([1, 1, 1.0]))
    assert found[0, :2].tolist() == [1, 0] and np.isnan(found[0, 2])


def test_bands_are_read_as_they_were_saved(tmp_path):
    radius = by_name(np.array([1.23456, math.inf, np.nan]), SKELETON)
    assert radius == {"head": 1.235, "left_hand": None, "right_hand": None}
    bands = ErrorBands(0.9, (256, 192), radius, radius, radius, frames=20, videos=3)
    bands.save(tmp_path / "errors.json")
    assert ErrorBands.load(tmp_path / "errors.json") == bands


def test_calibration_is_checked_on_the_test_or_on_other_videos():
    errors, video = np.tile(np.array([[1], [2], [9.0]]), 3), np.array(["a", "b", "c"])
    bands, inside = calibrate(errors, video, SKELETON, (64, 48), 0.5, test=np.array([[1, 4, np.nan], [3, 9, np.nan]]))
    assert bands.radius == {"head": 2, "left_hand": 2, "right_hand": 2}  # ⌈4 · 0.5⌉ = the 2nd of 3; ⌈7 · 0.5⌉ = 4th
    assert bands.checked == {"head": 0.5, "left_hand": 0, "right_hand": None}
    assert (bands.frames, bands.videos, bands.size) == (3, 3, (64, 48)) and inside.shape == (2, 3)
    _, inside = calibrate(errors, video, SKELETON, (64, 48), 0.6)
    assert inside[:, 0].tolist() == [1, 1, 0]  # radii 9, 9 and 2, as above


@pytest.mark.parametrize(
    ("path", "skeleton", "videos"),
    [
        ("lsp/sports/supervised_50_seed0/test/supervised_50_0_0.npz", LSP, 100),
        ("strong_start/sports/supervised_50_seed0/test/supervised_50_0_0.npz", JUMP, 18),
    ],
)
def test_coverage_of_trained_networks(path, skeleton, videos):
    """Committed results: calibrated on as many test videos as a profile has for validation, checked on the others."""
    path = Path(__file__).parents[2] / "outputs" / "reference" / path
    if not path.exists():
        pytest.skip("the reference results are not here")
    with np.load(path) as saved:
        distances, video = saved["distances"].astype(float), saved["video"]
    names, shares = np.unique(video), []
    for draw in range(10):
        calibration = np.isin(video, np.random.default_rng(draw).permutation(names)[:videos])
        found = radii(distances[calibration], video[calibration], skeleton)
        shares.append(np.nanmean(covered(distances[~calibration], found)))
    assert 0.86 < min(shares) and max(shares) < 0.94 and abs(np.mean(shares) - 0.9) < 0.015


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_missing_predictions_widen_the_radius(coverage):
    errors = np.r_[np.arange(1.0, 10), np.full(10, math.inf)]
    assert frame_quantile(errors, coverage) == math.inf
