"""Poses of the everyday world: random key poses, mixed, mirrored and with noise.

Angles [21,3] are degrees about x, y, z of each joint in `body.JOINTS`, composed as Rx Ry Rz.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from fewpose_worlds.body import JOINT_INDEX, JOINTS, SIDES

# Index of each joint's mirror image.
SWAP = [JOINT_INDEX[n.replace("left", "#").replace("right", "left").replace("#", "right")] for n in JOINTS]
# Probability of each kind of pose; more than half are sports.
_PROBABILITIES = """
    run 0.15  take_off 0.07  step 0.06  leap 0.05  hang 0.05  land 0.05  spring 0.05  kick 0.04  throw 0.04  lunge 0.03
    start 0.02  balance 0.03  handstand 0.015  cartwheel 0.02  star 0.02  stand 0.10  walk 0.07  sit 0.05  crouch 0.03
    reach 0.04  bend 0.03  arms_up 0.03  lie 0.02  any 0.03
""".split()
KINDS = dict(zip(_PROBABILITIES[::2], map(float, _PROBABILITIES[1::2]), strict=True))
# Probability of being in the air.
AIRBORNE = {"take_off": 0.3, "step": 0.7, "leap": 0.9, "hang": 1, "land": 0.7, "spring": 0.8, "run": 0.4, "star": 0.7}


def arm(a: np.ndarray, side: str, flex=0.0, out=8.0, turn=0.0, elbow=15.0) -> None:
    """Set one arm in a [21,3]: degrees forward, sideways, turned outward, and of the elbow."""
    s = 1 if side == "left" else -1
    a[JOINT_INDEX[f"{side}_shoulder"]] = flex, s * out, s * turn
    a[JOINT_INDEX[f"{side}_elbow"], 0] = elbow
    a[JOINT_INDEX[f"{side}_collar"], 1] = s * 0.22 * max(0, max(abs(flex), out) - 60)


def leg(a: np.ndarray, side: str, flex=0.0, knee=5.0, out=3.0, turn=4.0, ankle=0.0) -> None:
    """Set one leg in a [21,3]: degrees of the thigh forward, the knee, sideways, turned outward, toes up."""
    s = 1 if side == "left" else -1
    a[JOINT_INDEX[f"{side}_hip"]] = flex, s * out, s * turn
    a[JOINT_INDEX[f"{side}_knee"], 0] = -knee
    a[JOINT_INDEX[f"{side}_ankle"], 0] = ankle


def trunk(a: np.ndarray, lean=0.0, bend=0.0, twist=0.0, side=0.0) -> None:
    """Set the trunk in a [21,3]: degrees of the pelvis forward, the back forward, twisted and sideways."""
    a[JOINT_INDEX["pelvis"], 0] = -lean
    a[JOINT_INDEX["spine"]] = -bend / 2, side / 2, twist / 2
    a[JOINT_INDEX["chest"]] = -bend / 2, side / 2, twist / 2


def sample_pose(rng: np.random.Generator, kind: str | None = None) -> tuple[np.ndarray, str, float]:
    """A random pose facing +y: local rotations [21,3,3], its kind, and metres above the ground."""
    kinds = list(KINDS)
    if kind is None:
        kind = str(rng.choice(kinds, p=np.array(list(KINDS.values())) / sum(KINDS.values())))
    angles = key_pose(rng, kind)
    if rng.random() < 0.15:  # arms of another pose
        other = key_pose(rng, str(rng.choice(kinds)))
        arms = [JOINT_INDEX[f"{s}_{n}"] for s in SIDES for n in ("collar", "shoulder", "elbow")]
        angles[arms] = other[arms]
    angles += rng.normal(0, 1, angles.shape) * joint_deviations() * rng.choice([0.5, 1.0, 1.8])
    angles[JOINT_INDEX["neck"]] += rng.normal(0, (8, 5, 12))
    angles[JOINT_INDEX["head"]] += rng.normal(0, (10, 6, 20))
    for side in SIDES:
        s = 1 if side == "left" else -1
        hip, knee, elbow = (JOINT_INDEX[f"{side}_{n}"] for n in ("hip", "knee", "elbow"))
        angles[hip, 0] = np.clip(angles[hip, 0], -45, 135)
        angles[hip, 1] = s * np.clip(s * angles[hip, 1], -15, 80)
        angles[knee, 0] = np.clip(angles[knee, 0], -150, 0)
        angles[elbow, 0] = np.clip(angles[elbow, 0], 0, 148)
        shoulder = JOINT_INDEX[f"{side}_shoulder"]
        if abs(angles[shoulder, 0]) < 60:  # keeps a hanging arm out of the trunk
            angles[shoulder, 1] = s * max(s * angles[shoulder, 1], 4)
    if rng.random() < 0.5:
        angles = angles[SWAP] * (1, -1, -1)
    rotations = Rotation.from_euler("XYZ", angles, degrees=True).as_matrix()
    air = rng.uniform(0.03, 0.2 if kind == "run" else 0.8) if rng.random() < AIRBORNE.get(kind, 0) else 0.0
    return rotations, kind, air


def joint_deviations() -> np.ndarray:
    """Standard deviations [21,3] of the noise on each angle, degrees."""
    of_parts = dict(shoulder=(10, 8, 12), elbow=(12, 0, 0), wrist=(14, 8, 18), hip=(7, 5, 6), knee=(7, 0, 0))
    of_parts |= dict(ankle=(8, 3, 3), toes=(6, 0, 0), pelvis=(4, 4, 0), spine=(3, 3, 4), chest=(3, 3, 4))
    of_parts |= dict(collar=(2, 3, 2), neck=(0, 0, 0), head=(0, 0, 0))
    return np.array([of_parts[name.rpartition("_")[2]] for name in JOINTS], float)


def key_pose(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Random angles [21,3] of a pose of the given kind."""
    a = np.zeros((len(JOINTS), 3))
    u = rng.uniform
    if kind in ("run", "walk"):
        phase, power = u(0, 2 * np.pi), u(0.6, 1.15) if kind == "run" else u(0.4, 0.6)
        for side, p in (("left", phase), ("right", phase + np.pi)):
            flex = (15 + 45 * np.cos(p)) * power
            if kind == "run":
                leg(a, side, flex, (58 - 50 * np.sin(p)) * power, ankle=-20 * np.cos(p) - 5)
                arm(a, side, -5 - 45 * np.cos(p) * power, u(8, 25), u(-30, 10), u(65, 110))
            else:
                leg(a, side, flex - 5, 28 - 26 * np.sin(p) * power * 2, ankle=5 * np.cos(p))
                arm(a, side, -30 * np.cos(p) * power, u(4, 14), 0, u(8, 35))
        trunk(a, u(0, 16) * power, u(-4, 8), 12 * np.cos(phase) * power)
    elif kind in ("take_off", "step"):
        leg(a, "left", u(55, 105), u(60, 120), ankle=u(-25, 15))
        if kind == "take_off":
            leg(a, "right", u(-35, 0), u(0, 30), ankle=u(-50, 5))
        else:
            leg(a, "right", u(-45, -5), u(40, 110), ankle=u(-45, 0))
        trunk(a, u(-8, 18), u(-8, 12), u(-15, 15))
        if rng.random() < 0.5:
            arm(a, "left", u(-60, -10), u(10, 45), u(-30, 10), u(30, 100))
            arm(a, "right", u(20, 110), u(5, 40), u(-30, 10), u(40, 110))
        else:
            flex = u(-70, 150)
            for side in SIDES:
                arm(a, side, flex + u(-15, 15), u(10, 60), u(-30, 20), u(10, 90))
    elif kind == "leap":
        leg(a, "left", u(50, 100), u(0, 35), ankle=u(-40, 10))
        leg(a, "right", u(-55, -20), u(0, 50), ankle=u(-50, 0))
        trunk(a, u(-5, 25), u(-10, 10), u(-15, 15))
        for side in SIDES:
            arm(a, side, u(-30, 140), u(20, 95), 0, u(0, 45))
    elif kind == "hang":
        for side in SIDES:
            leg(a, side, u(-30, 20), u(30, 100), ankle=u(-40, 5))
            arm(a, side, u(110, 190), u(5, 40), 0, u(0, 50))
        trunk(a, u(-15, 10), u(-22, 5))
    elif kind == "land":
        flex, knee = u(70, 130), u(5, 90)
        for side in SIDES:
            leg(a, side, flex + u(-10, 10), knee + u(-10, 10), ankle=u(-10, 25))
        swing = u(-60, 120)
        for side in SIDES:
            arm(a, side, swing + u(-15, 15), u(5, 35), 0, u(0, 40))
        trunk(a, u(-25, 25), u(10, 60))
    elif kind == "spring":
        for side in SIDES:
            leg(a, side, u(-15, 40), u(0, 90), ankle=u(-50, 0))
            arm(a, side, u(-40, 185), u(5, 70), 0, u(0, 80))
        trunk(a, u(-10, 10), u(-12, 10), u(-15, 15))
    elif kind == "star":
        for side in SIDES:
            leg(a, side, u(-10, 15), u(0, 20), u(20, 55), ankle=u(-40, 0))
            arm(a, side, u(-15, 15), u(70, 150), 0, u(0, 30))
    elif kind == "kick":
        leg(a, "left", u(30, 110), u(0, 50), u(0, 35), ankle=u(-40, 0))
        leg(a, "right", u(-15, 15), u(5, 30))
        trunk(a, u(-30, 5), u(-5, 15), u(-25, 10))
        arm(a, "left", u(-50, 20), u(20, 80), 0, u(10, 60))
        arm(a, "right", u(0, 80), u(20, 80), 0, u(10, 60))
    elif kind == "throw":
        leg(a, "left", u(10, 50), u(5, 50), u(0, 20))
        leg(a, "right", u(-35, 5), u(5, 50), u(0, 20))
        arm(a, "right", u(-40, 170), u(40, 110), u(0, 80), u(10, 120))
        arm(a, "left", u(10, 110), u(10, 70), 0, u(5, 80))
        trunk(a, u(-15, 20), u(-15, 25), u(-40, 40))
    elif kind == "lunge":
        leg(a, "left", u(50, 95), u(50, 105), u(0, 15), ankle=u(0, 15))
        leg(a, "right", u(-40, -5), u(5, 70), u(0, 15), ankle=u(-10, 20))
        trunk(a, u(-5, 15), u(-5, 20))
        for side in SIDES:
            arm(a, side, u(-20, 90), u(5, 60), 0, u(5, 100))
    elif kind == "start":
        leg(a, "left", u(100, 130), u(85, 120), ankle=10)
        leg(a, "right", u(60, 100), u(100, 130), ankle=5)
        trunk(a, u(40, 75), u(15, 45))
        for side in SIDES:
            arm(a, side, u(70, 100), u(5, 18), 0, u(0, 15))
        a[JOINT_INDEX["neck"], 0] = u(10, 40)
    elif kind == "balance":
        leg(a, "left", u(-15, 10), u(0, 15))
        leg(a, "right", u(-45, 120), u(0, 120), u(0, 70), u(0, 60), ankle=u(-40, 0))
        trunk(a, u(-10, 60), u(-20, 10), u(-10, 10), u(-20, 20))
        for side in SIDES:
            arm(a, side, u(-20, 160), u(20, 110), 0, u(0, 40))
    elif kind in ("handstand", "cartwheel"):
        spread = u(0, 30) if kind == "handstand" else u(30, 70)
        for side in SIDES:
            leg(a, side, u(-25, 45), u(0, 40), spread * u(0.6, 1), ankle=u(-40, 0))
            arm(a, side, u(155, 185), u(0, 25), 0, u(0, 15))
        a[0] = (u(150, 210), 0, 0) if kind == "handstand" else (u(-20, 20), u(60, 180), 0)
    elif kind in ("stand", "reach", "arms_up"):
        for side in SIDES:
            leg(a, side, u(-6, 12), u(0, 15), u(0, 14), u(0, 20))
            arm(a, side, u(-12, 20), u(4, 18), u(-10, 20), u(3, 40))
            if kind == "arms_up":
                arm(a, side, u(60, 185), u(0, 60), u(-30, 30), u(0, 120))
            elif rng.random() < 0.3:  # hands on hips, folded, at the phone …
                arm(a, side, u(-15, 45), u(15, 45), u(-70, 10), u(70, 135))
        if kind == "reach":
            arm(a, "left", u(45, 165), u(0, 80), u(-30, 30), u(0, 50))
        trunk(a, u(-4, 6), u(-5, 12), u(-15, 15), u(-8, 8))
    elif kind == "sit":
        for side in SIDES:
            leg(a, side, u(72, 105), u(50, 110), u(0, 22), u(0, 20))
            arm(a, side, u(5, 60), u(4, 25), u(-40, 20), u(15, 100))
        trunk(a, u(-15, 10), u(0, 30), u(-15, 15))
    elif kind == "crouch":
        flex, knee = u(60, 125), u(70, 145)
        for side in SIDES:
            leg(a, side, flex + u(-12, 12), knee + u(-12, 12), u(0, 30), u(0, 25), ankle=u(0, 25))
            arm(a, side, u(0, 90), u(4, 40), 0, u(5, 110))
        trunk(a, u(0, 35), u(5, 40), u(-15, 15))
    elif kind == "bend":
        for side in SIDES:
            leg(a, side, u(10, 50), u(0, 45), u(0, 18))
            arm(a, side, u(20, 100), u(0, 30), 0, u(0, 60))
        trunk(a, u(20, 50), u(15, 65), u(-20, 20), u(-10, 10))
    elif kind == "lie":
        for side in SIDES:
            leg(a, side, u(-10, 60), u(0, 90), u(0, 25), u(0, 20))
            arm(a, side, u(-20, 170), u(5, 80), 0, u(0, 100))
        a[0] = rng.choice([-90, 90]) + u(-12, 12), u(-60, 60) * (rng.random() < 0.4), 0
    else:
        for side in SIDES:
            leg(a, side, u(-35, 115), u(0, 130), u(-5, 50), u(-10, 40), ankle=u(-45, 20))
            arm(a, side, u(-60, 180), u(0, 110), u(-50, 50), u(0, 135))
        trunk(a, u(-25, 55), u(-20, 45), u(-30, 30), u(-20, 20))
    return a
