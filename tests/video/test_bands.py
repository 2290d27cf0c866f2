"""Bands of angles and speeds: against results by hand, and against drawn errors."""

import numpy as np
import pytest

from fewpose.metrics.conformal import ErrorBands, calibrate
from fewpose.skeleton import HALPE, Skeleton
from fewpose_video import bands
from fewpose_video.networks import PoseNetwork
from walking import STANDING, walking

Z90 = 1.6449  # 90 % of a normal variable are within ± this
NETWORK = PoseNetwork(None, HALPE, (200, 150), 0.5)  # keypoints span half of its input


def error_bands(radius):
    return ErrorBands(0.9, (200, 150), radius, new_video={}, checked={}, frames=9, videos=3)


def leg(frames=60):
    """STANDING with the right leg straight down: thigh and shank of 100 pixels."""
    points = np.tile(STANDING, (frames, 1, 1))
    for name, y in (("hip", 0), ("knee", 100), ("ankle", 200)):
        points[:, HALPE.index(f"right_{name}")] = (300, 100 + y)
    return points


def test_sigma_of_a_radius():
    """Of normal errors in x and y, the share `coverage` is within it."""
    errors = np.random.default_rng(0).normal(0, bands.spread(7.0, 0.9), (100_000, 2))
    assert (np.linalg.norm(errors, axis=1) <= 7).mean() == pytest.approx(0.9, abs=0.004)
    assert bands.spread(2.1460, 0.9) == pytest.approx(1, abs=1e-4)


def test_pixels_become_degrees_as_by_hand():
    """sigma 2 px at 100 px: the shank turns by √2 · 0.02 rad, the straight knee by √(1 + 1 + 2²) · 0.02 rad."""
    radius = np.full((60, len(HALPE)), 2 * 2.1460)
    found = bands.propagated_bands(leg(), radius, HALPE, np.ones(60))
    assert found["right shank"].mean() == pytest.approx(np.degrees(Z90 * np.sqrt(2) * 0.02), rel=0.03)
    assert found["right knee"].mean() == pytest.approx(np.degrees(Z90 * np.sqrt(6) * 0.02), rel=0.03)


def test_a_limb_seen_end_on_has_no_direction():
    points = leg(10)
    points[:, HALPE.index("right_ankle")] = points[:, HALPE.index("right_knee")] + 0.01
    found = bands.propagated_bands(points, np.full((10, 26), 2.0), HALPE, np.ones(10))["right shank"]
    assert (found > 150).all() and (found <= 180).all()


def test_an_angle_without_calibrated_keypoints_has_no_band():
    radius = np.full((60, len(HALPE)), 2.0)
    radius[:30, HALPE.index("right_ankle")] = np.nan
    found = bands.propagated_bands(leg(), radius, HALPE, np.ones(60))["right knee"]
    assert np.isnan(found[:30]).all() and np.isfinite(found[30:]).all()


def test_radii_scale_with_the_person():
    """Keypoints that span 100 of 200 pixels in training and 265 in the video: 2.65 times."""
    poses = walking(people=(3,), frames=40)
    poses.poses[..., :2] = STANDING
    poses.poses[..., 2] = 1
    poses.poses[9, 0, HALPE.index("left_knee"), 2] = 0  # interpolated
    found = bands.person_radii(poses, 3, NETWORK, error_bands({"left_knee": 4.0, "nose": 2.0, "neck": None}))
    height = np.ptp(STANDING[:, 1])
    assert found[5, HALPE.index("left_knee")] == pytest.approx(4 * height / 100)
    assert found[5, HALPE.index("nose")] == pytest.approx(2 * height / 100)
    assert np.isnan(found[9, HALPE.index("left_knee")]) and np.isnan(found[:, HALPE.index("neck")]).all()


def test_angles_are_calibrated_as_keypoints_are():
    generator = np.random.default_rng(1)
    ground_truth = np.concatenate([leg(200), np.ones((200, 26, 1))], -1)
    ground_truth[:50, HALPE.index("left_knee"), 2] = 0  # not labelled
    predicted = ground_truth + generator.normal(0, 3, ground_truth.shape)
    errors = bands.angle_errors(predicted, ground_truth, HALPE)
    skeleton = bands.angle_skeleton(HALPE)
    names = skeleton.keypoints
    assert errors.shape == (200, len(names))
    left = errors[:, names.index("left knee")]
    assert np.isnan(left[:50]).all() and np.isfinite(left[50:]).all()
    shank = errors[:, names.index("right shank")].mean()  # of a normal error the mean size is 0.8 sigma
    assert shank == pytest.approx(np.degrees(0.03 * np.sqrt(2)) * 0.798, rel=0.15)
    assert skeleton.sides[names.index("left knee")] == "left"
    found, _ = calibrate(errors, np.arange(200).astype(str), skeleton, (1, 1))
    right = errors[:, names.index("right knee")]
    both = np.concatenate([right, left])
    assert (both[np.isfinite(both)] <= found.radius["right knee"]).mean() == pytest.approx(0.9, abs=0.01)


def test_calibrated_angles_come_first():
    poses = walking(people=(3,))
    radius = np.full((20, 26), 5.0)
    radius[2] = np.nan
    calibrated = error_bands({"right knee": 7.5, "left knee": None})
    both = bands.angle_bands(poses, 3, radius, np.ones(20), calibrated, 0.9)
    plain = bands.angle_bands(poses, 3, radius, np.ones(20), None, 0.9)
    assert np.isnan(both["right knee"][2]) and set(both["right knee"][[0, 1, 3]]) == {7.5}
    assert np.array_equal(both["left knee"], plain["left knee"], equal_nan=True)


def test_half_turns_of_the_pelvis_are_nothing():
    names = bands.angle_skeleton(HALPE).keypoints
    swapped = leg(1)
    swapped[:, [11, 12]] = swapped[:, [12, 11]]
    ground_truth = np.concatenate([leg(1), np.ones((1, 26, 1))], -1)
    errors = bands.angle_errors(np.concatenate([swapped, np.ones((1, 26, 1))], -1), ground_truth, HALPE)[0]
    assert errors[names.index("pelvis")] == pytest.approx(0, abs=1e-9)


def test_velocities_without_a_filter_by_hand():
    """Errors that forget themselves at once: the central difference of two has √2 / 2 of sigma per frame."""
    assert bands.velocity_gain(50, None) == pytest.approx(50 / np.sqrt(2), rel=0.01)
    smoothed = bands.velocity_gain(50, "savitzky-golay")
    assert 8 < smoothed < 14  # a filter of 0.2 s
    assert bands.velocity_gain(200, "savitzky-golay") == pytest.approx(smoothed, rel=0.2)


def test_bands_of_velocities_hold_errors_of_any_memory():
    """Drawn errors of a slow and of a quick process: at least 90 % of the velocities are within the band."""
    rate, generator = 50, np.random.default_rng(0)
    time = np.arange(101) / rate
    for memory in (0.01, 0.1, 1):
        cholesky = np.linalg.cholesky(np.exp(-np.abs(time[:, None] - time) / memory) + 1e-9 * np.eye(101))
        errors = cholesky @ generator.normal(0, 1, (101, 500))
        rates = bands.velocity(time, bands.smooth(time, errors, "savitzky-golay"))[50]
        assert (np.abs(rates) <= bands.speed_bands(np.array(2.1460), rate, "savitzky-golay")).mean() > 0.87


def test_a_skeleton_without_these_angles_has_no_errors():
    mouse = Skeleton("mouse", ("nose", "tail"), (("nose", "tail"),), (0.08, 0.08))
    errors = bands.angle_errors(np.ones((5, 2, 3)), np.ones((5, 2, 3)), mouse)
    found, _ = calibrate(errors, np.arange(5).astype(str), bands.angle_skeleton(mouse), (1, 1))
    assert errors.shape == (5, 0) and found.radius == {}
