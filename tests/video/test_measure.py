"""Angles and lengths, against poses measured by hand and the output of Sports2D."""

import numpy as np
import pytest

from fewpose.skeleton import COCO, HALPE, JUMP, LSP, MVOR, Skeleton
from fewpose_video.measure import (
    ANGLES,
    angles,
    facing_right,
    find_keypoint,
    height_in_pixels,
    metres_per_pixel,
    unwrap,
)
from walking import STANDING

RIGHT = np.ones(1)

# Angles of two poses by `Sports2D.process.compute_angles_for_person` 0.8.34 (Pose2Sim 0.10.49): both seen from the
# right, the first also from the left.
SPORTS2D = {
    "right ankle": (148.285, 114.355, 31.715),
    "left ankle": (170.952, 87.314, 9.048),
    "right knee": (176.145, 138.729, -176.145),
    "left knee": (98.157, 79.967, -98.157),
    "right hip": (-176.669, -113.968, 176.669),
    "left hip": (54.164, 164.187, -54.164),
    "right shoulder": (-161.595, -159.302, 161.595),
    "left shoulder": (130.462, 80.097, -130.462),
    "right elbow": (172.355, 107.958, -172.355),
    "left elbow": (58.963, 157.524, -58.963),
    "right wrist": (62.206, -162.301, -62.206),
    "right foot": (156.1, 103.655, 23.9),
    "left foot": (127.589, 53.531, 52.411),
    "right shank": (-82.185, -100.7, -97.815),
    "left shank": (-133.363, -123.783, -46.637),
    "right thigh": (93.96, 38.029, 86.04),
    "left thigh": (-35.206, -43.816, -144.794),
    "pelvis": (68.013, 73.56, -68.013),
    "trunk": (90.63, -28.004, 89.37),
    "shoulders": (36.769, 57.753, -36.769),
    "head": (78.524, 152.082, 101.476),
    "right arm": (109.034, -7.306, 70.966),
    "left arm": (41.091, -127.907, 138.909),
    "right forearm": (-78.611, 100.652, -101.389),
    "left forearm": (100.054, 29.617, 79.946),
    "right hand": (-16.405, -61.649, -163.595),
}
HAND = Skeleton(
    "halpe_hands", (*HALPE.keypoints, "right_index", "left_index"), HALPE.limbs, (*HALPE.sigmas, 0.05, 0.05)
)


def sports2d_poses():
    points = np.random.default_rng(22).integers(0, 500, (2, 27, 2)).astype(float)
    return np.concatenate([points, points[:, -1:]], 1)  # no left finger was measured


@pytest.mark.parametrize(("column", "pose", "facing"), [(0, 0, RIGHT), (1, 1, RIGHT), (2, 0, -RIGHT)])
def test_angles_are_those_of_sports2d(column, pose, facing):
    found = angles(sports2d_poses()[[pose]], HAND, facing)
    assert set(found) == set(SPORTS2D) | {"left wrist", "left hand"}
    for name, values in SPORTS2D.items():
        assert found[name].item() == pytest.approx(values[column], abs=1e-3), name


def stick_figure(**moved):
    """A side view, upright and straight, feet to the right; y down."""
    points = {
        "heel": (-5, 100),
        "toe": (15, 100),
        "ankle": (0, 90),
        "knee": (0, 50),
        "hip": (0, 0),
        "shoulder": (0, -60),
    }
    points |= {"elbow": (0, -30), "wrist": (0, 0), "hand": (0, 10)}
    both = {f"{side}_{name}": point for side in ("left", "right") for name, point in points.items()}
    both |= {"neck": (0, -60), "head": (0, -80)} | moved
    return np.array([[both[name] for name in JUMP.keypoints]], float)


def test_an_upright_person_has_zero_flexion():
    found = angles(stick_figure(), JUMP, RIGHT)
    for name, degrees in found.items():
        expected = 0 if name in ("pelvis", "shoulders") or "foot" in name else -90
        expected = 90 if name in ("trunk", "head") else expected
        joint = name.split()[-1] in ("ankle", "knee", "hip", "shoulder", "elbow", "wrist")
        assert degrees.item() == pytest.approx(0 if joint else expected), name


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("moved", "name", "degrees"),
    [
        ({"right_ankle": (-40, 50)}, "right knee", 90),  # the shank to the back
        ({"right_knee": (50, 0)}, "right hip", 90),  # the thigh to the front
        ({"right_knee": (50, 0)}, "right thigh", 0),
        ({"left_knee": (-30, 40)}, "left hip", -36.87),  # to the back, 3-4-5
        ({"left_wrist": (30, -30)}, "left elbow", 90),
        ({"left_hand": (10, 0)}, "left wrist", 90),
        ({"right_hand": (10, 0)}, "right wrist", 90),
        ({"right_elbow": (30, -60)}, "right shoulder", 90),
        ({"right_toe": (10, 80), "right_heel": (-10, 100)}, "right ankle", 45),  # toes up
        ({"right_toe": (10, 80), "right_heel": (-10, 100)}, "right foot", 45),
        ({"head": (20, -80)}, "head", 45),
    ],
)
def test_angles_measured_by_hand(moved, name, degrees, mirrored):
    points = stick_figure(**moved)
    if mirrored:
        points[..., 0] = 300 - points[..., 0]
    facing = facing_right(np.zeros(1), stick_figure() if not mirrored else 300 - stick_figure(), JUMP)
    assert facing.item() == (-1 if mirrored else 1)
    assert angles(points, JUMP, facing)[name].item() == pytest.approx(degrees, abs=0.01)


@pytest.mark.parametrize(
    ("skeleton", "number"),
    [(HALPE, 24), (COCO, 19), (LSP, 20), (MVOR, 12), (JUMP, len(ANGLES))],
    ids=lambda x: str(x)[:0],
)
def test_each_skeleton_has_its_angles(skeleton, number):
    found = angles(np.random.default_rng(0).normal(size=(4, len(skeleton), 2)), skeleton, np.ones(4))
    assert len(found) == number and all(np.isfinite(degrees).all() for degrees in found.values())


def test_a_forearm_that_turns_around_has_no_jumps():
    time = np.linspace(0, 1, 200)
    turn = np.radians(720 * time)
    points = np.repeat(stick_figure(), 200, 0)
    elbow, wrist = (JUMP.index(f"right_{name}") for name in ("elbow", "wrist"))
    points[:, wrist] = points[:, elbow] + 30 * np.stack([np.sin(turn), np.cos(turn)], -1)
    for name in ("right forearm", "right elbow"):
        degrees = angles(points, JUMP, np.ones(200))[name]
        assert np.ptp(degrees) == pytest.approx(720) and np.abs(np.diff(degrees)).max() < 4
        assert abs(degrees.mean()) <= 180
    points[90:110, wrist] = np.nan
    degrees = angles(points, JUMP, np.ones(200))["right forearm"]
    assert np.isnan(degrees[90:110]).all() and degrees[110] - degrees[89] == pytest.approx(21 * 720 / 199, abs=1)


def test_unwrap_starts_near_zero_and_heeds_the_period():
    assert unwrap(np.array([90.0, 271.0]), 360).tolist() == [90, -89]
    assert unwrap(np.array([170.0, -170, 170]), 360).tolist() == [170, 190, 170]
    assert unwrap(np.array([85.0, np.nan, -85]), 180) == pytest.approx([-95 + 180, np.nan, 95], nan_ok=True)
    assert np.isnan(unwrap(np.full(3, np.nan), 360)).all()


def test_facing_follows_the_feet_and_not_a_single_swing():
    points = np.repeat(stick_figure(), 100, 0)
    seconds = np.arange(100) / 50
    points[50:, :, 0] *= -1  # turns around
    swing = [JUMP.index(name) for name in ("right_toe", "left_toe")]
    points[20:25, swing, 0] = -40
    points[30:34] = np.nan
    facing = facing_right(seconds, points, JUMP)
    (turn,) = np.flatnonzero(np.diff(facing))
    assert abs(turn - 49) <= 10 and facing[0] == 1 and facing[-1] == -1


def test_without_feet_the_movement_of_the_hips_says_it():
    points = np.repeat(np.arange(10.0)[:, None, None], 17, 1) * (-3, 0) + (500, 100)
    points[0] = np.nan
    assert (facing_right(np.arange(10.0), points, COCO) == -1).all()
    assert (facing_right(np.arange(10.0), np.full((10, 17, 2), np.nan), COCO) == 1).all()


def test_midpoints_and_other_names():
    points = np.arange(40.0).reshape(1, 20, 2)
    assert find_keypoint(points, JUMP, "hip").tolist() == [[21, 22]]
    assert find_keypoint(points, JUMP, "left_big_toe").tolist() == [[38, 39]]
    assert find_keypoint(points, JUMP, "nose") is None


def test_height_is_that_of_sports2d():
    points = STANDING + np.random.default_rng(5).integers(-3, 4, (60, 26, 2))
    assert height_in_pixels(points, HALPE) == pytest.approx(302.67479, abs=1e-4)
    # 1.063 * compute_height of Pose2Sim 0.10.49; without the head it takes 1.5 times the way to the nose
    no_head = Skeleton("no_head", *without("head"))
    kept = [HALPE.index(name) for name in no_head.keypoints]
    assert height_in_pixels(points[:, kept], no_head) == pytest.approx(302.84262, abs=1e-4)
    points[::2] = np.nan
    assert height_in_pixels(points, HALPE) == pytest.approx(302.7, abs=2)
    assert height_in_pixels(STANDING[None, :17], COCO) == pytest.approx(302.7, abs=10)  # no heels
    crouching = STANDING.copy()
    crouching[[13, 14]] += (60, -60)
    crouching[[15, 16]] += (-30, -100)
    assert height_in_pixels(np.stack([STANDING, crouching]), HALPE) == height_in_pixels(STANDING[None], HALPE)


def without(name):
    keep = [i for i, keypoint in enumerate(HALPE.keypoints) if keypoint != name]
    limbs = tuple(limb for limb in HALPE.limbs if name not in limb)
    return tuple(HALPE.keypoints[i] for i in keep), limbs, tuple(HALPE.sigmas[i] for i in keep)


def test_no_height_without_legs_or_frames():
    with pytest.raises(ValueError, match=r"skeleton mvor lacks left_ankle or left_knee"):
        height_in_pixels(np.zeros((3, 10, 2)), MVOR)
    with pytest.raises(ValueError, match=r"a frame in which they are seen"):
        height_in_pixels(np.full((3, 26, 2), np.nan), HALPE)


def test_metres_of_two_pixels_or_two_keypoints():
    assert metres_per_pixel(2.0, [10, 10], [310, 410]) == pytest.approx(0.004)
    ends = np.array([[0, 0], [0, 0], [np.nan, 0]]), np.array([[0, 98], [0, 102], [0, 5]])
    assert metres_per_pixel(0.5, *ends) == pytest.approx(0.005)
    for start, end in (([1, 2], [1, 2]), ([np.nan, 2], [1, 2]), (np.zeros((0, 2)), np.zeros((0, 2)))):
        with pytest.raises(ValueError, match=r"0\.5 m do not give a scale"):
            metres_per_pixel(0.5, start, end)
