"""Contacts of the feet and flights, on made-up motion with known events and on the jump world's ground truth."""

import numpy as np
import pytest

from fewpose.skeleton import COCO, HALPE, JUMP
from fewpose_video import events
from fewpose_video.events import contacts, find_events, path_on_ground, threshold
from fewpose_video.poses import VideoPoses
from fewpose_worlds.body import JOINT_INDEX
from fewpose_worlds.jump.attempt import sample_attempt
from fewpose_worlds.jump.kinematics import joint_positions, rest_joints
from fewpose_worlds.jump.motion import RATE, jump_motion
from walking import STANDING

LEG = 120.0  # of STANDING, in pixels
SPEED = 130.0  # of a walk, in pixels per second


def steps(seconds, stance, cycle=1.0):
    """Place over strides [T, 2] of two feet that alternate: still for `stance` of each cycle, then a smooth swing."""
    phase = seconds[:, None] / cycle + np.array([0, 0.5])
    swing = np.clip((phase % 1 - stance) / (1 - stance), 0, 1)
    return np.floor(phase) + (1 - np.cos(np.pi * swing)) / 2 - np.array([0, 0.5]), np.sin(np.pi * swing)


def walk(stance=0.6, rate=50, seconds=4, noise=0.5, speed=SPEED, cycle=1.0):
    """Points [T, 26, 2] of somebody who walks to the right; a foot swings on a low arc."""
    time = np.arange(rate * seconds) / rate
    points = STANDING + speed * time[:, None, None] * (1, 0)
    places, lift = steps(time, stance, cycle)
    for s, side in enumerate(("left", "right")):
        for part in ("ankle", "heel", "big_toe", "small_toe"):
            k = HALPE.index(f"{side}_{part}")
            points[:, k] = STANDING[k] + np.stack([speed * cycle * places[:, s], -15 * lift[:, s]], 1)
    return time, points + np.random.default_rng(0).normal(0, noise, points.shape)


def video(time, points, skeleton=HALPE):
    poses = np.concatenate([points, np.isfinite(points[..., :1])], -1)[:, None]
    return VideoPoses("walk.mp4", (400, 640), time, (4,), poses, skeleton)


def found(time, points, ground="still", motion=None, skeleton=HALPE):
    path = path_on_ground(video(time, points, skeleton), 4, ground, motion)
    return find_events(time, contacts(time, path, points, skeleton))


def times(events, what):
    return np.array([event.seconds for event in events if event.what == what])


def assert_walk(events, tolerance=0.045):
    """The feet of `walk`: the left one is down from whole seconds for 0.6 s, the right one half a second later."""
    assert np.allclose(times(events, "left contact")[:3], [1, 2, 3], atol=tolerance)
    assert np.allclose(times(events, "left off"), [0.6, 1.6, 2.6, 3.6], atol=tolerance)
    assert np.allclose(times(events, "right contact"), [0.5, 1.5, 2.5, 3.5], atol=tolerance)
    assert np.allclose(times(events, "right off"), [0.1, 1.1, 2.1, 3.1], atol=tolerance)
    assert not len(times(events, "take-off"))


def test_a_walk_has_contacts_and_no_flight():
    assert_walk(found(*walk()))


def test_on_a_treadmill_the_belt_is_found():
    time, points = walk()
    points = points - SPEED * time[:, None, None] * (1, 0)
    assert_walk(found(time, points, "treadmill"))
    assert len(times(found(time, points), "left contact")) != 3, "as if the ground were still"


def test_a_moving_camera_is_subtracted():
    """It pans after the walker, shakes and zooms."""
    time, points = walk()
    zoom, shift = 1 + 0.1 * np.sin(time), np.stack([-SPEED * time + 20 * np.sin(9 * time), 8 * np.sin(5 * time)], 1)
    seen = zoom[:, None, None] * points + shift[:, None]
    motion = np.zeros((len(time), 2, 3))
    motion[0] = np.eye(2, 3)
    ratio = zoom[1:] / zoom[:-1]
    motion[1:, 0, 0] = motion[1:, 1, 1] = ratio
    motion[1:, :, 2] = shift[1:] - ratio[:, None] * shift[:-1]
    assert_walk(found(time, seen, "moving camera", motion))
    with pytest.raises(ValueError, match="ground is one of still, moving camera, treadmill"):
        path_on_ground(video(time, seen), 4, "moving camera")


def test_a_run_has_flights_from_take_off_to_landing():
    """Each foot is down for 0.25 of 0.8 s: flights of 0.2 s twice a cycle."""
    events = found(*walk(stance=0.25 / 0.8, rate=100, speed=400, cycle=0.8))
    off, landing = times(events, "take-off"), times(events, "landing")
    assert np.allclose(off[:4], [0.25, 0.65, 1.05, 1.45], atol=0.04)
    assert np.allclose(landing[:4], [0.4, 0.8, 1.2, 1.6], atol=0.04)


def test_the_top_of_a_jump_is_no_contact():
    """Up and down on the spot: feet leave the ground at 1 s and touch it at 1.5 s, slow at the top in between."""
    time = np.arange(125) / 50
    air = np.clip(time - 1, 0, 0.5)
    height = air * (0.5 - air) * 9.81 / 2 * LEG / 0.9  # a leg of 0.9 m
    points = STANDING - height[:, None, None] * (0, 1)
    (off,), (landing,) = (times(found(time, points), what) for what in ("take-off", "landing"))
    assert off == pytest.approx(1, abs=0.06) and landing == pytest.approx(1.5, abs=0.06)


def test_missing_feet_are_no_events():
    time, points = walk()
    points[60:80] = np.nan
    seen = found(time, points)
    whole = [event for event in found(time, walk()[1]) if not 1.1 < event.seconds < 1.75]
    assert [e.what for e in seen if not 1.1 < e.seconds < 1.75] == [e.what for e in whole]
    assert find_events(time, np.zeros((len(time), 2), bool)) == []
    assert not contacts(time, np.full_like(points, np.nan), points, HALPE).any()


def test_the_threshold_is_the_stated_one():
    assert threshold(np.linspace(0, 4, 101)) == events.SLOW  # a walk
    assert threshold(np.linspace(0, 20, 101)) == pytest.approx(0.15 * 19)  # a sprint


def test_skeletons_without_feet_are_refused():
    time, points = walk()
    with pytest.raises(ValueError, match="coco has no heels and toes"):
        found(time, points[:, :17], skeleton=COCO)


def test_a_jump_is_told_as_it_was_planned():
    """Sprint, take-off and landing of the rendered world's motion, from the side; of each event one may lack."""
    motion = jump_motion(sample_attempt(3))
    height = motion.attempt.height
    rest = rest_joints(height)
    joints, turned = joint_positions(rest, motion.rotations, motion.roots)
    every = slice(None, None, 2)  # 100 Hz
    points = np.full((len(joints), len(JUMP), 3), np.nan)
    for side in ("left", "right"):
        for part in ("hip", "knee", "ankle"):
            points[:, JUMP.index(f"{side}_{part}")] = joints[:, JOINT_INDEX[f"{side}_{part}"]]
        ankle, toes = JOINT_INDEX[f"{side}_ankle"], JOINT_INDEX[f"{side}_toes"]
        to_heel = np.array([0, -0.026 * height, -rest[ankle, 2]])
        points[:, JUMP.index(f"{side}_heel")] = joints[:, ankle] + turned[:, ankle] @ to_heel
        points[:, JUMP.index(f"{side}_toe")] = joints[:, toes] + turned[:, toes] @ (0, 0.042 * height, 0)
    pixels = points[every, :, 1:] * (80, -80)
    pixels += np.random.default_rng(0).normal(0, 0.7, pixels.shape)
    time = np.arange(len(points))[every] / RATE
    told = found(time, pixels, skeleton=JUMP)
    planned = find_events(time, motion.contacts[every])
    for what in ("left contact", "right contact", "left off", "right off"):
        far = np.abs(times(planned, what)[:, None] - times(told, what)).min(1)
        assert (far > 0.04).sum() <= 1, what
        assert len(times(told, what)) <= len(times(planned, what)) + 1, what
