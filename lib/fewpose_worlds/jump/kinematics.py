"""Kinematics of the jump world's stick figure: joint positions, centre of mass, inverse kinematics of a leg.

Joints and axes as in `body`, metres; a pose is a rotation per joint (child relative to parent) and the pelvis.
"""

from __future__ import annotations

import numpy as np

from fewpose_worlds.body import JOINTS, PARENTS, SIDES, rotation

# Rest position over body height: x to the right, y forward, z up (after Winter, Biomechanics); the left mirrored.
_REST = {
    "pelvis": (0, 0, 0.525),
    "spine": (0, -0.008, 0.600),
    "chest": (0, -0.010, 0.690),
    "neck": (0, -0.010, 0.835),
    "head": (0, 0.005, 0.880),
    "right_collar": (0.015, 0, 0.815),
    "right_shoulder": (0.112, -0.005, 0.815),
    "right_elbow": (0.120, -0.010, 0.635),
    "right_wrist": (0.122, 0.0, 0.490),
    "right_hip": (0.052, 0, 0.525),
    "right_knee": (0.052, 0.004, 0.283),
    "right_ankle": (0.052, -0.012, 0.044),
    "right_toes": (0.052, 0.060, 0.014),
}

# Segments: proximal joint, distal joint, share of the body's mass, and where between the joints the centre of mass lies
# (de Leva 1996, rounded).
_SEGMENTS = [
    ("pelvis", "spine", 0.140, 0.3),
    ("spine", "chest", 0.140, 0.5),
    ("chest", "neck", 0.216, 0.5),
    ("neck", "head", 0.081, 1.6),
    *(
        (f"{side}_{a}", f"{side}_{b}", mass, along)
        for side in SIDES
        for a, b, mass, along in (
            ("shoulder", "elbow", 0.028, 0.44),
            ("elbow", "wrist", 0.0225, 0.55),
            ("hip", "knee", 0.100, 0.43),
            ("knee", "ankle", 0.0465, 0.43),
            ("ankle", "toes", 0.0145, 0.5),
        )
    ),
]
_PROXIMAL, _DISTAL = (np.array([JOINTS.index(segment[end]) for segment in _SEGMENTS]) for end in (0, 1))
_MASS = np.array([m for _, _, m, _ in _SEGMENTS]) / sum(m for _, _, m, _ in _SEGMENTS)
_ALONG = np.array([s for _, _, _, s in _SEGMENTS])[:, None]


def rest_joints(height: float = 1.8) -> np.ndarray:
    """Joint positions [21,3] (metres, ground at z = 0) of an average adult at rest."""
    joints = np.zeros((len(JOINTS), 3))
    for j, name in enumerate(JOINTS):
        x, y, z = _REST[name.replace("left_", "right_")]
        joints[j] = -x if name.startswith("left_") else x, y, z
    return joints * height


def joint_positions(rest: np.ndarray, rotations: np.ndarray, roots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Forward kinematics: joint positions [T,21,3] and global rotations [T,21,3,3].

    rest [21,3] joints at rest, rotations [T,21,3,3] child relative to parent, roots [T,3] pelvis; metres.
    """
    places, turned = np.empty((len(roots), len(JOINTS), 3)), np.empty_like(rotations)
    for j, parent in enumerate(PARENTS):
        if parent < 0:
            places[:, j], turned[:, j] = roots, rotations[:, j]
            continue
        turned[:, j] = turned[:, parent] @ rotations[:, j]
        places[:, j] = places[:, parent] + turned[:, parent] @ (rest[j] - rest[parent])
    return places, turned


def centre_of_mass(joints: np.ndarray) -> np.ndarray:
    """Centre of mass [...,3] of joint positions [...,21,3], from average segment masses."""
    proximal, distal = joints[..., _PROXIMAL, :], joints[..., _DISTAL, :]
    return np.einsum("s,...sc->...c", _MASS, proximal + _ALONG * (distal - proximal))


def leg_angles(thigh: np.ndarray, shank: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hip flexion, hip turn about y and knee flexion [T] (radians) that bring the ankle to `reach`.

    thigh [3] hip to knee and shank [3] knee to ankle at rest, reach [T,3] hip to ankle, all in the frame of the
    pelvis; hip rotation = R_y(turn) R_x(flexion), knee rotation = R_x(-knee). Out of reach: the straight leg.
    """
    # |thigh + R_x(-k) shank| = |reach|  <=>  a cos k + b sin k = c
    a = thigh[1] * shank[1] + thigh[2] * shank[2]
    b = thigh[1] * shank[2] - thigh[2] * shank[1]
    square = (reach**2).sum(1)
    c = (square - thigh @ thigh - shank @ shank) / 2 - thigh[0] * shank[0]
    knee = np.arctan2(b, a) + np.arccos(np.clip(c / np.hypot(a, b), -1, 1))
    bent = thigh + rotation("x", -knee) @ shank
    # Two flexions give the forward component, R_y(turn) the rest: the one with the smaller turn is taken.
    wanted = np.arccos(np.clip(reach[:, 1] / np.hypot(bent[:, 1], bent[:, 2]), -1, 1))
    flexions = np.stack([wanted, -wanted]) - np.arctan2(bent[:, 2], bent[:, 1])
    down = np.sin(flexions) * bent[:, 1] + np.cos(flexions) * bent[:, 2]
    turns = np.arctan2(reach[:, 0], reach[:, 2]) - np.arctan2(bent[:, 0], down)
    flexions, turns = ((a + np.pi) % (2 * np.pi) - np.pi for a in (flexions, turns))
    branch = np.abs(turns).argmin(0)[None]
    flexion, turn = (np.take_along_axis(angles, branch, 0)[0] for angles in (flexions, turns))
    return flexion, turn, knee
