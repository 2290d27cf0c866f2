"""The motion of jumps against mechanics and against motion capture of a real runner."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fewpose_worlds.body import JOINT_INDEX, JOINTS, rotation
from fewpose_worlds.jump.attempt import STYLES, sample_attempt
from fewpose_worlds.jump.kinematics import centre_of_mass, joint_positions, leg_angles, rest_joints
from fewpose_worlds.jump.motion import RATE, jump_motion

MOCAP = Path(__file__).parents[3] / "shared/data/mocap"
SEEDS = range(14)


@cache
def solved(seed):
    attempt = sample_attempt(seed)
    motion = jump_motion(attempt)
    joints, _ = joint_positions(rest_joints(attempt.height), motion.rotations, motion.roots)
    return motion, joints


def flexion(motion, joint):
    """Flexion about x of a joint, degrees [T]; knees count positive when bent."""
    r = motion.rotations[:, JOINT_INDEX[joint]]
    # R_y(turn) R_x(angle): the middle column and row keep the flexion of the hip
    angle = np.degrees(np.arctan2(-r[:, 1, 2], r[:, 1, 1]))
    return -angle if "knee" in joint else angle


def test_legs_are_solved_exactly():
    rng = np.random.default_rng(0)
    rest = rest_joints(1.8)
    hip, knee, ankle = (rest[JOINT_INDEX[f"right_{part}"]] for part in ("hip", "knee", "ankle"))
    h, t, k = rng.uniform(-0.5, 2.0, 99), rng.uniform(-0.3, 0.3, 99), rng.uniform(0.2, 2.4, 99)
    thigh, shank = knee - hip, ankle - knee
    reach = rotation("y", t) @ rotation("x", h) @ (thigh + (rotation("x", -k) @ shank))[..., None]
    for found, wanted in zip(leg_angles(thigh, shank, reach[..., 0]), (h, t, k), strict=True):
        assert np.allclose(found, wanted, atol=1e-6)
    straight = leg_angles(thigh, shank, np.array([[0, 0, -3.0]]))[2]
    assert straight[0] == pytest.approx(0, abs=0.12), "beyond the leg's length it is straight"


def test_rest_pose_and_centre_of_mass():
    rest = rest_joints(1.8)
    identity = np.broadcast_to(np.eye(3), (1, len(JOINTS), 3, 3))
    joints, _ = joint_positions(rest, identity, rest[:1])
    assert np.allclose(joints[0], rest)
    assert 0.53 < centre_of_mass(rest)[2] / 1.8 < 0.6, "upright, a little above the hips"


@pytest.mark.parametrize("seed", SEEDS)
def test_flight_is_ballistic(seed):
    motion, joints = solved(seed)
    mass = centre_of_mass(joints)
    assert np.allclose(mass, motion.mass_centre, atol=1e-9)
    free = ~motion.contacts.any(1)
    free = free[:-2] & free[1:-1] & free[2:]
    acceleration = np.diff(mass, 2, axis=0)[free] * RATE**2
    assert free.sum() > 100
    assert np.allclose(acceleration, [0, 0, -9.81], atol=0.02)


@pytest.mark.parametrize("seed", SEEDS)
def test_feet_stay_on_the_ground_and_do_not_slide(seed):
    motion, joints = solved(seed)
    for s, side in enumerate(("left", "right")):
        ball = joints[:, JOINT_INDEX[f"{side}_toes"]]
        ankle = joints[:, JOINT_INDEX[f"{side}_ankle"]]
        assert ball[:, 2].min() > -0.03 and ankle[:, 2].min() > 0.03
        planted = motion.contacts[:, s] & (motion.phases != "landing")
        runs = np.split(np.flatnonzero(planted), np.flatnonzero(np.diff(np.flatnonzero(planted)) > 1) + 1)
        for run in runs:
            late = run[int(0.3 * len(run)) :]  # before, a heel may roll down to the ball
            assert np.ptp(ball[late, :2], axis=0).max() < 0.02, "the ball slides by less than 2 cm"
            assert np.ptp(ball[run, :2], axis=0).max() < 0.06
            assert np.abs(ball[late, 2] - rest_joints(motion.attempt.height)[JOINT_INDEX["left_toes"], 2]).max() < 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_joints_stay_in_human_ranges(seed):
    motion, _ = solved(seed)
    for side in ("left", "right"):
        hip, knee = flexion(motion, f"{side}_hip"), flexion(motion, f"{side}_knee")
        ankle, elbow = flexion(motion, f"{side}_ankle"), flexion(motion, f"{side}_elbow")
        assert hip.min() > -40 and hip.max() < 150
        assert knee.min() > 0 and knee.max() < 165
        assert ankle.min() > -60 and ankle.max() < 40
        assert elbow.min() > 0 and elbow.max() < 150


@pytest.mark.parametrize("seed", SEEDS)
def test_motion_is_continuous(seed):
    motion, joints = solved(seed)
    assert np.isfinite(motion.rotations).all() and np.isfinite(motion.roots).all()
    steps = np.linalg.norm(np.diff(joints, axis=0), axis=-1)
    assert steps.max() < 0.13, "nothing is faster than 26 m/s"
    jumps = np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1)
    assert jumps.max() < 0.07, "even a foot that strikes the ground slows down over some frames"
    assert np.allclose(np.linalg.det(motion.rotations), 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_distances_follow_from_speed_and_time_of_flight(seed):
    motion, _ = solved(seed)
    attempt = motion.attempt
    labels = ("flight",) if attempt.kind == "long" else ("hop", "step", "jump")
    assert len(motion.distances) == len(labels)
    for label, distance in zip(labels, motion.distances, strict=True):
        free = (motion.phases == label) & ~motion.contacts.any(1)
        flown = np.ptp(motion.mass_centre[free, 1])
        # the feet leave behind the centre of mass and land ahead of it
        assert flown < distance < flown + 1.6
    whole = sum(motion.distances)
    assert (3.8 < whole < 8.6) if attempt.kind == "long" else (9 < whole < 17.5)
    if attempt.kind == "triple":
        assert np.allclose(np.array(motion.distances) / whole, [0.37, 0.29, 0.34], atol=0.05)
    begin = np.flatnonzero(motion.phases == labels[0])[0]
    assert motion.mass_centre[begin, 1] > 0 > motion.mass_centre[begin, 1] - 1.0, "from the board"


def test_every_kind_foot_and_style_occurs_and_lands():
    sampled = [sample_attempt(seed) for seed in range(60)]
    assert {a.kind for a in sampled} == {"long", "triple"}
    assert {a.foot for a in sampled} == {"left", "right"}
    assert {a.style for a in sampled} == set(STYLES)
    for seed in SEEDS:
        motion, _ = solved(seed)
        order = list(dict.fromkeys(motion.phases))
        flights = ["flight"] if motion.attempt.kind == "long" else ["hop", "step", "jump"]
        assert order == ["run-up", "take-off", *flights, "landing"]
        foot = ["left", "right"].index(motion.attempt.foot)
        assert motion.contacts[motion.phases == "take-off"][:, foot].all()
        if motion.attempt.kind == "triple":  # hop lands on the take-off foot, step on the other
            assert motion.contacts[motion.phases == "step"][0, foot]
            assert motion.contacts[motion.phases == "jump"][0, 1 - foot]


def test_seeds():
    again = jump_motion(sample_attempt(3))
    assert np.array_equal(again.roots, solved(3)[0].roots)
    assert sample_attempt(3) != sample_attempt(4)


def real_run():
    """Hip and knee flexion of a real runner, degrees (DeepMimic: y up, z to the right)."""
    path = MOCAP / "humanoid3d_run.txt"
    if not path.is_file():
        pytest.skip(f"no motion capture at {path}")
    frames = np.array(json.loads(path.read_text())["Frames"])
    w, x, y, z = frames[:, 16:20].T
    # swing of the thigh about z: where the rotated -y axis points in the x-y plane
    down = np.stack([-2 * (x * y - w * z), -(1 - 2 * (x * x + z * z))])
    return np.degrees(np.arctan2(down[0], -down[1])), -np.degrees(frames[:, 20])


def cycle(motion, side="right", n=100):
    """The last whole stride of the run-up, toe-off to toe-off: hip and knee flexion [n]."""
    planted = motion.contacts[:, ("left", "right").index(side)] & (motion.phases == "run-up")
    off = np.flatnonzero(planted[:-1] & ~planted[1:])[-2:]
    at = np.linspace(off[0], off[1], n)
    return [np.interp(at, np.arange(len(planted)), flexion(motion, f"{side}_{j}")) for j in ("hip", "knee")]


def test_running_resembles_a_real_runner():
    hip, knee = real_run()
    turn = np.linspace(0, len(hip) - 1, 100)
    hip, knee = (np.interp(turn, np.arange(len(hip)), a) for a in (hip, knee))
    for seed in (0, 4, 7, 11):
        ours_hip, ours_knee = cycle(solved(seed)[0])
        assert np.ptp(ours_hip) == pytest.approx(np.ptp(hip), rel=0.3)
        assert ours_knee.max() == pytest.approx(knee.max(), abs=25)
        # a sprinter's stance is shorter than a jogger's: align, then stretch time around the stride
        best = max(
            (np.corrcoef(warped(ours_hip, s, g), hip)[0, 1] + np.corrcoef(warped(ours_knee, s, g), knee)[0, 1]) / 2
            for s in range(0, 100, 2)
            for g in (-0.1, -0.05, 0, 0.05, 0.1)
        )
        assert best > 0.85
        # the knee is most bent in swing, about a quarter cycle before the thigh is highest
        lead = (np.argmax(ours_hip) - np.argmax(ours_knee)) % 100
        real = (np.argmax(hip) - np.argmax(knee)) % 100
        assert abs(lead - real) < 12


def warped(curve, shift, bend):
    """A periodic curve [n], shifted and with its time bent by a sine."""
    n = len(curve)
    u = (np.arange(n) + shift) / n
    return np.interp((u + bend * np.sin(2 * np.pi * u)) % 1 * n, np.arange(n + 1), np.append(curve, curve[0]))


def test_crouching_stays_within_a_real_jump():
    """A real jumper's crouch bends the knee by about 100 degrees; our landings reach that."""
    path = MOCAP / "humanoid3d_jump.txt"
    if not path.is_file():
        pytest.skip(f"no motion capture at {path}")
    frames = np.array(json.loads(path.read_text())["Frames"])
    real = -np.degrees(frames[:, 20]).min()
    for seed in (0, 4, 7, 11):
        motion, _ = solved(seed)
        bent = flexion(motion, "right_knee")[motion.phases == "landing"].max()
        assert real - 15 < bent < real + 65
