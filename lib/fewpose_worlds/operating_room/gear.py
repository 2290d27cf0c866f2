"""The equipment around the operating table: C-arm, lamps, screens, carts, stands.

World metres, floor at z = 0; the table's long side runs along x.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from fewpose_worlds import people
from fewpose_worlds.operating_room.staff import Wardrobe
from fewpose_worlds.render import Mesh
from fewpose_worlds.shapes import box, grid_faces, pole, tube

_GLOW = 2.2  # factor of the colours of what emits light
STEEL, WHITE, DARK = np.full(3, 0.62), np.array([0.86, 0.87, 0.86]), np.full(3, 0.14)


@dataclass(frozen=True)
class Gear:
    """Meshes, and rectangles [n,5] of floor that people cannot enter: middle x, y, two sides, turn in radians."""

    meshes: list[Mesh]
    blocks: np.ndarray


_NO_BLOCKS = np.zeros((0, 5))


def _turned(meshes: list[Mesh], rotation: np.ndarray, at) -> list[Mesh]:
    return [replace(m, vertices=m.vertices @ rotation.T + np.asarray(at)) for m in meshes]


def _about_z(turn: float) -> np.ndarray:
    return Rotation.from_euler("z", turn).as_matrix()


def c_arm(rng: np.random.Generator, high: float) -> Gear:
    """An X-ray C-arm around the table, its column on one side."""
    x, side, tilt = rng.uniform(-0.3, 0.6), rng.choice([-1, 1]), np.radians(rng.normal(0, 16))
    shell = np.array([0.84, 0.84, 0.82]) * rng.uniform(0.75, 1.05)
    angle = np.radians(np.linspace(78, 282, 19))
    radius = rng.uniform(0.68, 0.8)
    arc = np.stack([angle * 0, np.cos(angle), np.sin(angle)], 1) * radius
    spin = Rotation.from_euler("x", tilt).as_matrix()
    head = [
        tube(arc, 0.085, shell, 8),
        box(arc[0] + (0, 0.06, -0.14), (0.32, 0.32, 0.3), 0, shell, piece=0.16),
        box(arc[0] + (0, 0.06, -0.31), (0.36, 0.36, 0.06), 0, DARK + 0.1, piece=0.18),
        box(arc[-1] + (0, 0.06, 0.12), (0.28, 0.26, 0.24), 0, shell * 0.9, piece=0.14),
    ]
    flip = np.diag([-side, -side, 1.0])  # a half turn, no mirroring: faces still look outward
    meshes = _turned(head, flip @ spin, (x, 0, high + 0.05))
    far = side * (radius + 0.5)
    meshes += [
        box((x, far, 0.55), (0.42, 0.6, 0.95), 0, shell * 0.95, piece=0.13),
        box((x, far, 0.06), (0.7, 0.9, 0.12), 0, shell * 0.5, piece=0.13),
        box((x, side * (radius + 0.1), high + 0.05), (0.22, 0.6, 0.22), 0, shell * 0.8, piece=0.11),
    ]
    # The second rectangle is for the heads of people at the table: the C-arm's ends are there.
    return Gear(meshes, np.array([[x, far - side * 0.2, 0.62, 1.15, 0], [x, 0, 0.5, 1.1, 0]]))


def lamp(rng: np.random.Generator, above: np.ndarray) -> Gear:
    """A surgical lamp on a jointed arm, hanging over the point above [2]."""
    at = np.array([*(above + rng.normal(0, 0.3, 2)), rng.uniform(1.95, 2.25)])
    wide = rng.uniform(0.24, 0.36)
    shell = np.array([0.85, 0.86, 0.87]) * rng.uniform(0.85, 1.05)
    turn = np.arange(18) * 2 * np.pi / 18
    rings = [(0.02, 0.09), (wide * 0.7, 0.07), (wide, 0.02), (wide * 0.92, 0.0), (0.02, 0.0)]
    vertices = np.concatenate([np.stack([r * np.cos(turn), r * np.sin(turn), turn * 0 + z], 1) for r, z in rings])

    def paint(faces: np.ndarray, at_: np.ndarray) -> np.ndarray:
        out = np.tile(shell.astype(np.float32), (len(faces), 1))
        out[faces >= 3 * 36] = _GLOW * 2  # the lowest ring
        return out

    tilt = Rotation.from_euler("xyz", [*rng.normal(0, 0.3, 2), 0]).as_matrix()
    disk = Mesh(vertices @ tilt.T + at, grid_faces(len(rings), len(turn)), paint, vertices, two_sided=True)
    elbow = at + np.array([*rng.normal(0, 0.5, 2), rng.uniform(0.25, 0.5)])
    top = np.array([elbow[0], elbow[1], 3.0])
    arm = [pole(at, elbow, 0.035, shell), pole(elbow, top, 0.045, shell)]
    return Gear([disk, *arm], _NO_BLOCKS)


def screens(rng: np.random.Generator, at: np.ndarray, count: int) -> Gear:
    """`count` screens side by side on an arm from the ceiling at [2], facing the middle of the room."""
    up, wide, tall = rng.uniform(1.45, 1.9), rng.uniform(0.42, 0.6), rng.uniform(0.32, 0.42)
    facing = np.arctan2(-at[1], -at[0]) + rng.normal(0, 0.3)
    panels = []
    for k in range(count):
        middle = (0, (k - (count - 1) / 2) * (wide + 0.03), 0)
        panels.append(_screen(rng, middle, wide, tall))
        panels.append(box((-0.07, middle[1], 0), (0.06, wide * 0.8, tall * 0.8), 0, DARK + 0.35, piece=0.1))
    frame = np.array([0.75, 0.76, 0.76])
    panels += [
        pole((-0.1, -count * wide / 2, tall * 0.55), (-0.1, count * wide / 2, tall * 0.55), 0.03, frame),
        pole((-0.1, 0, tall * 0.5), (-0.1, 0, 3.0 - up), 0.035, frame),
    ]
    return Gear(_turned(panels, _about_z(facing), (*at, up)), _NO_BLOCKS)


def _screen(rng: np.random.Generator, middle, wide: float, tall: float) -> Mesh:
    """A screen that faces +x and shows curves, an X-ray image, a menu or nothing."""
    kind, seed = str(rng.choice(["curves", "x-ray", "menu", "off"])), rng.uniform(0, 9)
    panel = box(middle, (0.05, wide, tall), 0, DARK, piece=0.1)
    bright = rng.uniform(0.5, 1.1)

    def paint(faces: np.ndarray, at: np.ndarray) -> np.ndarray:
        out = np.full((len(faces), 3), 0.1, np.float32)
        y, z = at[:, 1] / wide, at[:, 2] / tall
        glass = (at[:, 0] > 0.024) & (np.abs(y) < 0.47) & (np.abs(z) < 0.46)
        if kind == "curves":
            line = np.sin(z * 31 + np.sin(y * 40 + seed) * 1.5) > 0.93
            out[glass] = 0.05
            out[glass & line] = np.array([0.2, 1.2, 0.3]) if seed < 4 else (1.2, 1.1, 0.2)
        elif kind == "x-ray":
            grey = 0.55 + 0.4 * np.sin(y * 5 + seed) * np.sin(z * 4 - seed)
            vessel = np.abs(y - 0.2 * np.sin(z * 6 + seed)) < 0.03
            out[glass] = (bright * np.where(vessel, 0.2, grey))[glass, None]
        elif kind == "menu":
            row = (np.sin(z * 38 + seed) > 0.3) & (y < 0.3 * np.sin(seed + np.floor(z * 6)))
            out[glass] = np.array([0.6, 0.75, 0.95]) * bright
            out[glass & row] = (0.15, 0.2, 0.35)
        return out * np.where(glass, _GLOW, 1)[:, None]

    return replace(panel, paint=paint)


def instruments(rng: np.random.Generator, at: np.ndarray, turn: float, wardrobe: Wardrobe) -> Gear:
    """A draped table with instruments at [2], turned by `turn` radians."""
    size, high = (rng.uniform(0.6, 1.3), rng.uniform(0.4, 0.6)), rng.uniform(0.85, 1.0)
    cloth = wardrobe.gown * rng.uniform(0.75, 1.05)
    seed, skirt = rng.uniform(0, 99), rng.uniform(0.25, 0.7)
    top = box((0, 0, high - skirt / 2), (*size, skirt), 0, cloth, piece=0.15)

    def paint(faces: np.ndarray, local: np.ndarray) -> np.ndarray:
        out = cloth.astype(np.float32) * (1 + 0.08 * people.ripples(local * 1.5, seed))[:, None]
        x, y, z = local.T
        up = z > skirt / 2 - 0.01
        cell = np.sin(np.floor(x * 22) * 12.9 + np.floor(y * 6) * 78.2 + seed) * 43758.5
        tool = np.abs((x * 22) % 1 - 0.5 - 0.1 * np.sin(y * 40)) < 0.14
        steel = up & (cell % 1 > 0.5) & tool & (np.abs((y * 6) % 1 - 0.5) < 0.25 + 0.2 * (cell % 1))
        out[steel] = 0.4 + 0.5 * (cell[steel, None] * 7 % 1)
        tray = up & (cell * 3 % 1 > 0.85) & (np.abs((y * 6) % 1 - 0.5) < 0.4)
        out[tray] = (0.8, 0.82, 0.84)
        return out

    meshes = [replace(top, paint=paint)]
    for sx in (-0.42, 0.42):
        for sy in (-0.4, 0.4):
            foot = (size[0] * sx, size[1] * sy)
            meshes.append(pole((*foot, 0), (*foot, high - skirt), 0.018, STEEL, 5))
    return Gear(_turned(meshes, _about_z(turn), (*at, 0)), np.array([[*at, *size, turn]]))


def cart(rng: np.random.Generator, at: np.ndarray, turn: float) -> Gear:
    """A cupboard on wheels with devices on top, at [2], turned by `turn` radians."""
    size = np.array([rng.uniform(0.4, 0.65), rng.uniform(0.45, 0.8), rng.uniform(0.8, 1.45)])
    tint = people.sample_colour(rng)
    body = tint * 0.25 + rng.choice([0.55, 0.25], p=[0.8, 0.2])
    drawer, seed = rng.uniform(0.1, 0.22), rng.uniform(0, 99)
    case = box((0, 0, size[2] / 2 + 0.06), size, 0, body, piece=0.2)

    def paint(faces: np.ndarray, local: np.ndarray) -> np.ndarray:
        out = np.tile(body.astype(np.float32), (len(faces), 1))
        row = (local[:, 2] / drawer) % 1
        front = local[:, 0] > size[0] / 2 - 0.01
        out[front & (row < 0.08)] *= 0.5
        out[front & (np.abs(row - 0.6) < 0.06) & (np.abs(local[:, 1]) < size[1] * 0.3)] = 0.3
        tone = 0.75 + 0.25 * np.sin(np.floor(local[:, 2] / drawer) * 7 + seed)
        return out * np.where(front, tone, 1)[:, None]

    meshes = [replace(case, paint=paint)]
    top = size[2] + 0.06
    for _ in range(rng.integers(1, 5)):
        small = rng.uniform((0.06, 0.06, 0.06), (0.3, 0.3, 0.28))
        spot = rng.uniform(-0.5, 0.5, 2) * (size[:2] - small[:2])
        meshes.append(box((*spot, top + small[2] / 2), small, 0, people.sample_colour(rng) * 0.7 + 0.15, piece=0.2))
    if rng.random() < 0.5:
        meshes += [_screen(rng, (0.05, 0, top + 0.3), 0.4, 0.3), pole((0, 0, top), (0, 0, top + 0.2), 0.03, DARK + 0.2)]
    return Gear(_turned(meshes, _about_z(turn), (*at, 0)), np.array([[*at, *size[:2], turn]]))


def stand(rng: np.random.Generator, at: np.ndarray) -> Gear:
    """An infusion stand or a bin at [2]."""
    if rng.random() < 0.5:
        meshes = [pole((*at, 0.05), (*at, 1.9), 0.015, STEEL, 5)]
        for turn in np.arange(5) * 2 * np.pi / 5:
            toe = (at[0] + 0.28 * np.cos(turn), at[1] + 0.28 * np.sin(turn), 0.05)
            meshes.append(pole((*at, 0.09), toe, 0.02, DARK, 4))
        for side in rng.choice([-1, 1], rng.integers(1, 3)):
            meshes.append(box((at[0] + side * 0.1, at[1], 1.68), (0.1, 0.04, 0.2), 0, (0.9, 0.92, 0.9), piece=0.2))
        return Gear(meshes, np.array([[*at, 0.4, 0.4, 0]]))
    bag = np.array([(0.85, 0.8, 0.3), (0.9, 0.9, 0.9), (0.2, 0.3, 0.7), (0.75, 0.25, 0.2)])
    bin_ = tube(np.array([(*at, 0.02), (*at, 0.28), (*at, 0.55)]), 0.2, bag[rng.integers(4)] * rng.uniform(0.8, 1), 10)
    return Gear([bin_], np.array([[*at, 0.4, 0.4, 0]]))


def stool(at: np.ndarray, high: float) -> list[Mesh]:
    """A stool at [2] whose seat is `high` metres above the floor."""
    return [
        tube(np.array([(*at, high - 0.07), (*at, high)]), 0.18, DARK, 10),
        pole((*at, 0.05), (*at, high - 0.05), 0.03, STEEL),
    ]
