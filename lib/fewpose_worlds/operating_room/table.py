"""The operating table, the patient on it, and the sheet over both.

World metres, floor at z = 0; the table's long side runs along x, the patient's head at -x.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from fewpose_worlds import people
from fewpose_worlds.body import JOINTS, SIDES, pose_bodies
from fewpose_worlds.everyday import poses
from fewpose_worlds.operating_room.gear import DARK, STEEL, WHITE, Gear
from fewpose_worlds.operating_room.staff import Wardrobe, sample_adult
from fewpose_worlds.render import Mesh
from fewpose_worlds.shapes import box, grid_faces

TABLE = (2.1, 0.56)  # length and width of the table's top


def table(rng: np.random.Generator, wardrobe: Wardrobe, high: float, patient: bool) -> Gear:
    """The operating table, its top `high` metres up, with or without a draped patient."""
    length, width = TABLE
    pad = DARK if rng.random() < 0.5 else np.array([0.9, 0.9, 0.86])
    meshes = [
        box((0, 0, high - 0.05), (length, width, 0.1), 0, pad, piece=0.12),
        box((0, 0, high - 0.2), (length * 0.9, width * 0.6, 0.08), 0, STEEL * 0.8, piece=0.1),
        box((0.15, 0, (high - 0.2) / 2), (0.42, 0.34, high - 0.2), 0, WHITE * 0.8, piece=0.14),
        box((0.1, 0, 0.07), (1.2, 0.5, 0.14), 0, STEEL, piece=0.14),
    ]
    # Under a sheet the pad is smaller, so that it does not show through.
    under = box((0, 0, high - 0.09), (length - 0.08, width - 0.1, 0.1), 0, pad, piece=0.12)
    if patient:
        meshes[0] = under
        meshes += [*_patient(rng, high), _drape(rng, wardrobe.gown * rng.uniform(0.8, 1.1), high)]
    elif rng.random() < 0.6:
        meshes[0] = under
        meshes.append(_drape(rng, np.array([0.9, 0.91, 0.9]), high, flat=True))
    return Gear(meshes, np.array([[0, 0, length, width, 0]]))


def _patient(rng: np.random.Generator, high: float) -> list[Mesh]:
    """Head and neck of a person on their back; the drape hides the rest."""
    angles = np.zeros((len(JOINTS), 3))
    for side in SIDES:
        poses.leg(angles, side)
        poses.arm(angles, side, 0, 6)
    turned = Rotation.from_euler("XYZ", angles, degrees=True).as_matrix()
    # Feet along +x, face up: the body's x to -y, its y to z, its z to -x.
    turned[0] = np.array([[0, 0, -1.0], [-1, 0, 0], [0, 1, 0]])
    lying = pose_bodies(sample_adult(rng)[None], turned[None], np.zeros((1, 3)))
    low = lying.vertices[0].min(0)
    lying.vertices[0] += (-TABLE[0] / 2 + 0.12 - low[0], 0, high + 0.02 - low[2])
    look = replace(people.sample_appearance(rng, sport=False), cap=None, skirt=0.0, hair_style="short")
    body = people.dress(lying, 0, look, -1)[0]
    part = people.body_parts()[1]
    shown = np.flatnonzero((part == people.HEAD) | (part == people.NECK))
    bare, middle, unit = body.paint, *people.face_frame(lying.rest_keypoints[0])

    def paint(faces: np.ndarray, at: np.ndarray) -> np.ndarray:
        out = bare(shown[faces], at)
        face = (at - middle) / unit
        out[people.hairline(face) > -0.2] = (0.5, 0.7, 0.85)
        out[(face[:, 1] > -1) & (np.abs(face[:, 2] + 1.6) < 1.3)] = (0.8, 0.88, 0.88)
        return out

    return [replace(body, faces=body.faces[shown], paint=paint)]


def _drape(rng, colour: np.ndarray, high: float, flat: bool = False) -> Mesh:
    """A sheet over the table that hangs down at its sides; over a body unless flat."""
    fall = rng.uniform(0.2, 0.5)
    start = -TABLE[0] / 2 + (0.42 if not flat else 0.05)
    half = TABLE[1] / 2 + 0.015
    u = np.linspace(start, TABLE[0] / 2 + fall * 0.6, 22)
    v = np.linspace(-half - fall, half + fall, 17)
    x, y = (a.ravel() for a in np.meshgrid(u, v, indexing="ij"))
    over_x, over_y = np.maximum(x - TABLE[0] / 2, 0), np.maximum(np.abs(y) - half, 0)
    bump = 0.02
    if not flat:
        t = (x - start) / (TABLE[0] / 2 - start)
        trunk = 0.24 * np.exp(-((y / 0.2) ** 4)) * (0.8 + 0.2 * np.cos(t * 5))
        legs = 0.16 * (np.exp(-(((y - 0.1) / 0.09) ** 2)) + np.exp(-(((y + 0.1) / 0.09) ** 2)))
        feet = 0.12 * np.exp(-(((t - 0.95) / 0.04) ** 2)) * np.exp(-((y / 0.15) ** 4))
        blend = np.clip((t - 0.4) * 6, 0, 1)
        bump = bump + trunk * (1 - blend) + legs * blend + feet
        if rng.random() < 0.4:  # the anaesthetist's screen
            bump = bump + 0.35 * np.exp(-((t / 0.035) ** 2))
    ripple = 0.018 * np.sin(x * 17 + rng.uniform(0, 6)) * (over_y > 0)
    draped_x = np.minimum(x, TABLE[0] / 2 + 0.02)
    draped_y = np.sign(y) * (np.minimum(np.abs(y), half) + ripple + 0.12 * over_y)
    place = np.stack([draped_x, draped_y, high + bump * (over_y == 0) - over_y - over_x], 1)
    seed, spot = rng.uniform(0, 9), rng.uniform(-0.35, 0.1)
    field = rng.random() < 0.6 and not flat

    def paint(faces: np.ndarray, at: np.ndarray) -> np.ndarray:
        folds = 1 + 0.07 * people.ripples(at * 1.3, seed) + 0.05 * people.ripples(at * 3, seed)
        out = colour.astype(np.float32) * folds[:, None]
        near = np.hypot(at[:, 0] - spot, at[:, 1])
        out *= (1 + 0.5 * np.exp(-((near / 0.45) ** 2)))[:, None]  # under the lamp
        if field:
            out[near < 0.13] = (0.78, 0.5, 0.32)
            out[near < 0.05] = (0.55, 0.16, 0.12)
        return out

    texture = np.stack([x, y, place[:, 2]], 1)
    return Mesh(place, grid_faces(len(u), len(v), closed=False), paint, texture, two_sided=True)
