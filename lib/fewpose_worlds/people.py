"""People for the worlds: who they are, what they wear, and how that is painted onto bodies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from fewpose_worlds.body import JOINTS, KEYPOINTS, Bodies, rig
from fewpose_worlds.render import Mesh, normals_of

TORSO, ARM, HAND, LEG, FOOT, HEAD, NECK = range(7)
_SKINS = (
    np.array(
        [
            (250, 214, 190),
            (241, 194, 160),
            (228, 176, 138),
            (206, 146, 104),
            (168, 110, 76),
            (126, 78, 52),
            (90, 56, 38),
        ]
    )
    / 255
)
_HAIRS = (
    np.array(
        [
            (28, 22, 20),
            (45, 32, 24),
            (82, 54, 34),
            (120, 82, 48),
            (190, 150, 92),
            (150, 70, 36),
            (150, 148, 145),
            (215, 212, 205),
        ]
    )
    / 255
)
# Depth of each keypoint below the skin over it, metres for an adult: what counts as one's own skin.
SLACK = np.array(
    [
        0.05,
        0.05,
        0.05,
        0.06,
        0.06,
        0.14,
        0.14,
        0.08,
        0.08,
        0.07,
        0.07,
        0.18,
        0.18,
        0.10,
        0.10,
        0.08,
        0.08,
        0.06,
        0.10,
        0.06,
        0.06,
        0.08,
        0.08,
        0.06,
        0.06,
    ],
    np.float32,
)


@dataclass(frozen=True)
class Garment:
    """A piece of cloth: two colours [3], pattern name, size of the pattern in metres, phase."""

    colour: np.ndarray
    second: np.ndarray
    pattern: str = "plain"
    period: float = 0.08
    phase: float = 0.0

    def paint(self, at: np.ndarray) -> np.ndarray:
        """Colours [n,3] at rest coordinates [n,3] (metres)."""
        x, z = at[:, 0], at[:, 2]
        wave = {
            "plain": lambda: np.zeros(len(at), bool),
            "hoops": lambda: np.sin(2 * np.pi * (z / self.period) + self.phase) > 0.2,
            "stripes": lambda: np.sin(2 * np.pi * (x / self.period) + self.phase) > 0.3,
            "checks": lambda: (np.sin(2 * np.pi * x / self.period) > 0) ^ (np.sin(2 * np.pi * z / self.period) > 0),
            "dots": lambda: np.sin(2 * np.pi * x / self.period) * np.sin(2 * np.pi * z / self.period) > 0.5,
            "sides": lambda: np.abs(x) > 0.095 + 0.02 * np.sin(self.phase),
            "yoke": lambda: z > 0.30 + 0.08 * np.sin(self.phase),
            "band": lambda: np.abs(z - 0.25 - 0.08 * np.sin(self.phase)) < 0.05,
            "sash": lambda: np.abs(x + z - 0.3) < 0.06,
            "blotches": lambda: ripples(at * 2.2 / self.period * 0.1, self.phase) > 0.25,
        }[self.pattern]()
        return np.where(wave[:, None], self.second, self.colour)


@dataclass(frozen=True)
class Look:
    """Everything painted onto one body; lengths run from 0 (at the trunk) to 1 (wrist, ankle)."""

    skin: np.ndarray
    hair: np.ndarray
    hair_style: str  # bald, short, full, long, tail, bun
    beard: float
    glasses: bool
    top: Garment
    bottom: Garment
    sleeve: float
    leg: float
    hem: float  # height of the shirt's hem over the hips, metres; high = crop top
    loose: float  # metres of air under the clothes
    skirt: float  # length over the leg's, 0 none
    shoes: np.ndarray
    soles: np.ndarray
    socks: float
    sock_colour: np.ndarray
    gloves: np.ndarray | None
    cap: np.ndarray | None
    bib: np.ndarray | None  # colour of a number bib on chest and back
    seed: float


def colour(rng: np.random.Generator) -> np.ndarray:
    """A colour that clothes have: often white, grey, black or navy, else any hue."""
    kind = rng.random()
    if kind < 0.3:
        return np.repeat(rng.choice([0.05, 0.12, 0.3, 0.55, 0.8, 0.93]), 3) * rng.uniform(0.9, 1.05)
    if kind < 0.4:
        return np.array([0.08, 0.1, 0.25]) * rng.uniform(0.7, 1.6)
    hsv = np.uint8([[[rng.integers(180), rng.integers(70, 240), rng.integers(60, 250)]]])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] / 255.0


def garment(rng: np.random.Generator, plain: float = 0.45) -> Garment:
    """A random piece of cloth, of one colour with probability plain."""
    patterns = ["hoops", "stripes", "checks", "dots", "sides", "yoke", "band", "sash", "blotches"]
    pattern = "plain" if rng.random() < plain else str(rng.choice(patterns))
    return Garment(colour(rng), colour(rng), pattern, rng.uniform(0.05, 0.16), rng.uniform(0, 6.28))


def phenotypes(rng: np.random.Generator, athlete: bool = False) -> np.ndarray:
    """Phenotype [6] of a random person in the order of `body.PHENOTYPES`."""
    adult = athlete or rng.random() < 0.88
    return np.array(
        [
            rng.choice([rng.uniform(0, 0.25), rng.uniform(0.75, 1)]),
            rng.uniform(0.6, 0.72) if athlete else rng.uniform(0.58, 0.95) if adult else rng.uniform(0.28, 0.55),
            rng.uniform(0.5, 0.95) if athlete else rng.uniform(0.25, 0.85),
            rng.uniform(0.25, 0.5) if athlete else rng.uniform(0.25, 0.85),
            rng.uniform(0.3, 0.8),
            rng.uniform(0.4, 0.9),
        ]
    )


def look(rng: np.random.Generator, sport: bool) -> Look:
    """Random clothes and hair; sport chooses what is worn on a track."""
    top = garment(rng)
    if sport:
        leg = rng.choice([rng.uniform(0.05, 0.15), rng.uniform(0.25, 0.5), 1.0], p=[0.3, 0.5, 0.2])
        sleeve = rng.choice([0.0, rng.uniform(0.2, 0.4), 1.0], p=[0.5, 0.35, 0.15])
    else:
        leg = rng.choice([rng.uniform(0.25, 0.5), rng.uniform(0.7, 0.9), 1.0], p=[0.25, 0.1, 0.65])
        sleeve = rng.choice([0.0, rng.uniform(0.25, 0.5), 1.0], p=[0.12, 0.45, 0.43])
    overall = rng.random() < 0.08
    bottom = top if overall else garment(rng, 0.75)
    crop = sport and rng.random() < 0.2
    return Look(
        skin=skin_colour(rng),
        hair=_HAIRS[rng.choice(8, p=[0.28, 0.22, 0.16, 0.1, 0.1, 0.05, 0.06, 0.03])],
        hair_style=str(
            rng.choice(["bald", "short", "full", "long", "tail", "bun"], p=[0.08, 0.38, 0.16, 0.16, 0.14, 0.08])
        ),
        beard=float(rng.random() < 0.2) * rng.uniform(0.3, 0.9),
        glasses=rng.random() < 0.1,
        top=top,
        bottom=bottom,
        sleeve=float(sleeve),
        leg=float(leg),
        hem=rng.uniform(0.1, 0.22) if crop else rng.uniform(-0.1, 0.06),
        loose=rng.uniform(0, 0.008) if sport and rng.random() < 0.7 else rng.uniform(0.004, 0.028),
        skirt=rng.uniform(0.25, 0.8) if rng.random() < (0.03 if sport else 0.14) else 0.0,
        shoes=skin_colour(rng) if rng.random() < 0.06 else colour(rng),
        soles=colour(rng),
        socks=rng.choice([0.0, rng.uniform(0.05, 0.2), rng.uniform(0.3, 0.55)], p=[0.4, 0.4, 0.2]),
        sock_colour=colour(rng),
        gloves=colour(rng) if rng.random() < 0.05 else None,
        cap=colour(rng) if rng.random() < 0.14 else None,
        bib=rng.uniform(0.75, 1, 3) if rng.random() < (0.35 if sport else 0.04) else None,
        seed=rng.uniform(0, 100),
    )


def skin_colour(rng: np.random.Generator) -> np.ndarray:
    i = rng.uniform(0, len(_SKINS) - 1)
    low = int(i)
    between = _SKINS[low] * (1 - i + low) + _SKINS[min(low + 1, 6)] * (i - low)
    return between * rng.uniform(0.94, 1.05)


@lru_cache(maxsize=1)
def parts() -> tuple[np.ndarray, np.ndarray]:
    """Which part of the body each vertex [V] and each face [F] belongs to."""
    r = rig()
    prefixes = {
        TORSO: ("root", "pelvis", "spine", "clavicle", "shoulder01"),
        ARM: ("upperarm", "lowerarm"),
        HAND: ("wrist", "finger", "metacarpal"),
        LEG: ("upperleg", "lowerleg"),
        FOOT: ("foot", "toe"),
        HEAD: ("head", "eye"),
        NECK: ("neck",),
    }
    share = np.stack(
        [
            r.weights[:, [i for i, bone in enumerate(r.labels) if bone.startswith(names)]].sum(1)
            for names in prefixes.values()
        ],
        1,
    )
    return share.argmax(1), share[r.faces].sum(1).argmax(1)


def ripples(at: np.ndarray, seed: float) -> np.ndarray:
    """Smooth noise in about [-1,1] over points [n,3], some metres a period."""
    x, y, z = (at * 18).T
    return np.sin(x * 1.7 + seed + 1.3 * np.sin(z * 1.1 + seed)) * np.sin(z * 1.3 - seed + np.sin(y * 1.9 + 2 * seed))


def limb_share(rest: np.ndarray, joints: np.ndarray, start: str, end: str) -> np.ndarray:
    """How far along a limb [n] (0 at start, 1 at end) rest points lie; left and right alike."""
    t = []
    for side in ("left", "right"):
        a, b = (joints[JOINTS.index(f"{side}_{name}")] for name in (start, end))
        t.append((rest - a) @ (b - a) / ((b - a) @ (b - a)))
    return np.where(rest[:, 0] < 0, t[0], t[1])


def face_frame(keypoints: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle of the eyes and half their distance: the unit in which faces are painted."""
    left, right = (keypoints[KEYPOINTS.index(f"{side}_eye")] for side in ("left", "right"))
    return (left + right) / 2, float(np.linalg.norm(left - right)) / 2


def hairline(face: np.ndarray) -> np.ndarray:
    """Height of points [n,3] (face units) above the hairline: positive where hair grows."""
    return face[:, 2] - np.interp(face[:, 1], [-5.5, -3.6, -2.6, -1.6, -0.5, 0.6], [-2.6, -2.0, 0.0, -0.2, 1.5, 2.2])


def dress(bodies: Bodies, i: int, worn: Look, person: int) -> list[Mesh]:
    """Meshes of body i: skin and cloth, and hair, skirt or cap where worn. person numbers it."""
    rest, joints = bodies.rest[i], bodies.rest_joints[i]
    vertices = bodies.vertices[i].copy()
    part, _ = parts()
    middle, unit = face_frame(bodies.rest_keypoints[i])
    face = (rest - middle) / unit
    _, normals = normals_of(vertices, rig().faces)
    arm = limb_share(rest, joints, "shoulder", "wrist")
    leg = limb_share(rest, joints, "hip", "ankle")
    puff = np.zeros(len(rest))
    puff[(part == TORSO) & (rest[:, 2] > worn.hem)] = worn.loose
    puff[(part == ARM) & (arm < worn.sleeve)] = worn.loose
    puff[((part == LEG) | (part == TORSO)) & (leg < worn.leg) & (leg > 0.05)] = worn.loose
    puff[part == FOOT] = 0.006
    thickness = {"bald": 0.0, "short": 0.012, "full": 0.035}.get(worn.hair_style, 0.02)
    if worn.cap is not None:
        thickness = 0.016
    grown = np.clip(hairline(face) * 0.8 + 0.4, 0, 1)
    puff[part == HEAD] = (thickness * grown)[part == HEAD]
    vertices += normals * puff[:, None]

    def paint(faces: np.ndarray, at: np.ndarray) -> np.ndarray:
        return _paint(worn, joints, middle, unit, faces, at)

    meshes = [Mesh(vertices, rig().faces, paint, rest, person)]
    head, to_world = bodies.joints[i, JOINTS.index("head")], bodies.frames[i, JOINTS.index("head")]

    def on_head(points: np.ndarray) -> np.ndarray:
        """Face coordinates in the world."""
        local = points * unit + middle - joints[JOINTS.index("head")]
        return local @ to_world.T + head

    blob = {
        "long": ((0, -3.6, -2.6), (2.6, 1.6, 3.6)),
        "tail": ((0, -6.2, -1.6), (0.9, 1.1, 3.0)),
        "bun": ((0, -5.6, 1.6), (1.4, 1.3, 1.3)),
    }.get(worn.hair_style)
    if blob:
        unit_sphere, faces = sphere()
        meshes.append(
            Mesh(
                on_head(unit_sphere * blob[1] + np.array(blob[0])),
                faces,
                lambda f, at: _tinted(worn.hair, at, worn.seed),
                unit_sphere * 0.3,
                person,
            )
        )
    if worn.cap is not None:
        angle = np.linspace(-1.1, 1.1, 9)
        rim = np.stack([2.7 * np.sin(angle), 0.2 + 0.9 * np.cos(angle) - 0.5, angle * 0 + 1.7], 1)
        edge = rim + np.stack([angle * 0, 2.6 * np.cos(angle) ** 0.7, angle * 0 - 0.3], 1)
        strip = np.array([[k, k + 1, k + 9] for k in range(8)] + [[k + 1, k + 10, k + 9] for k in range(8)])
        meshes.append(
            Mesh(
                on_head(np.concatenate([rim, edge])),
                strip,
                lambda f, at: np.tile(worn.cap * 0.85, (len(f), 1)),
                None,
                person,
                True,
            )
        )
    if worn.skirt:
        meshes.append(skirt(bodies, i, worn, person))
    return meshes


def _paint(worn: Look, joints, middle, unit, faces: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Colours [n,3] of a body at rest coordinates [n,3] on the given faces [n]."""
    part = parts()[1][faces]
    arm = limb_share(at, joints, "shoulder", "wrist")
    leg = limb_share(at, joints, "hip", "ankle")
    x, y, z = at.T
    out = np.tile(worn.skin.astype(np.float32), (len(at), 1))
    hip = joints[JOINTS.index("left_hip"), 2]
    chest = joints[JOINTS.index("neck"), 2]

    front = y > joints[JOINTS.index("neck"), 1]
    collar = chest - 0.02 - 0.05 * np.exp(-((x / 0.06) ** 2)) * front
    strap = (part == TORSO) & (z < collar)
    if worn.sleeve == 0:
        strap &= np.abs(x) < 0.15
    below = ((part == LEG) | (part == FOOT)) & (leg < worn.leg) | (part == TORSO) & (z < hip + 0.12)
    above = (strap | (part == LEG)) & (z > hip + worn.hem) | (part == ARM) & (arm < worn.sleeve)
    for cloth, mask in ((worn.bottom, below), (worn.top, above)):
        if mask.any():
            folds = 1 + 0.07 * ripples(at[mask], worn.seed) * (1 + 20 * worn.loose)
            out[mask] = cloth.paint(at[mask]) * folds[:, None]
    if worn.bib is not None:
        s = (chest - hip) / 0.6
        bib = (part == TORSO) & above & (np.abs(x) < 0.1 * s)
        bib &= np.abs(z - hip - 0.30 * s) < 0.08 * s
        digits = (
            bib
            & (np.abs(z - hip - 0.29 * s) < 0.045 * s)
            & (np.sin(x / s * 110 + worn.seed) + np.sin(z / s * 70 + worn.seed * 3) > 0.3)
        )
        out[bib] = worn.bib
        out[digits & (np.abs(x) < 0.075 * s)] = 0.08
    lower = (part == LEG) | (part == FOOT)
    sock = lower & (leg > 1 - worn.socks) & (leg > worn.leg)
    out[sock] = worn.sock_colour
    if worn.gloves is not None:
        out[part == HAND] = worn.gloves
    ground = joints[JOINTS.index("left_ankle"), 2]
    foot = lower & (z < ground + 0.015)
    out[foot] = worn.shoes
    out[foot & (z < ground - 0.055)] = worn.soles
    instep = joints[JOINTS.index("left_ankle"), 1] + 0.07
    out[foot & (np.abs(y - instep - 0.3 * (z - ground)) < 0.012)] = worn.soles

    head = np.flatnonzero((part == HEAD) | (part == NECK))
    if len(head):
        out[head] = _paint_head(worn, (at[head] - middle) / unit, part[head] == HEAD)
    return out


def _paint_head(worn: Look, face: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Colours [n,3] of head and neck at face coordinates [n,3]: eyes at (+-1, ., 0), nose below."""
    x, y, z = face.T
    side = np.abs(x)
    skin = worn.skin
    out = np.tile(skin.astype(np.float32), (len(face), 1))
    front = (y > -1.5) & head
    socket = np.exp(-(((side - 1) / 0.75) ** 2) - ((z - 0.15) / 0.6) ** 2) * front
    nose = np.exp(-(((side - 0.5) / 0.22) ** 2) - ((z + 0.75) / 0.55) ** 2) * front
    under = np.exp(-((x / 0.55) ** 2) - ((z + 1.45) / 0.2) ** 2) * front
    chin = np.exp(-((x / 0.8) ** 2) - ((z + 2.75) / 0.25) ** 2) * front
    out *= (1 - 0.28 * socket - 0.2 * nose - 0.45 * under - 0.2 * chin)[:, None]
    lips = front & ((x / 0.85) ** 2 + ((z + 2.05) / 0.27) ** 2 < 1)
    out[lips] = skin * (0.85, 0.52, 0.52)
    out[lips & (np.abs(z + 2.03) < 0.07)] = skin * 0.35
    if worn.beard:
        beard = front & (z < -1.2 + 0.5 * (side > 1.3) * (side - 1.3)) & ~lips & (z > -4.2)
        out[beard] = out[beard] * (1 - worn.beard) + worn.hair * worn.beard
    brow = front & (np.abs(side - 1.02) < 0.62) & (np.abs(z - 0.78 + 0.12 * (side - 1) ** 2) < 0.16)
    out[brow] = 0.25 * skin + 0.75 * np.minimum(worn.hair, 0.35)
    eye = front & (((side - 1) / 0.52) ** 2 + ((z - 0.02) / 0.27) ** 2 < 1)
    lid = front & ((((side - 1) / 0.62) ** 2 + ((z - 0.1) / 0.34) ** 2) < 1) & ~eye
    out[lid] = skin * 0.42
    out[eye] = (0.88, 0.87, 0.86)
    out[front & ((side - 1) ** 2 + z**2 < 0.07)] = (0.12, 0.09, 0.07)
    if worn.glasses:
        ring = ((side - 1) / 0.85) ** 2 + ((z + 0.05) / 0.62) ** 2
        out[front & (np.abs(ring - 1) < 0.25)] = 0.06
        out[head & (np.abs(z) < 0.12) & (y < -0.3) & (y > -2.6) & (side > 1.9)] = 0.06
    ear = head & (np.abs(y + 2.7) < 0.55) & (np.abs(z + 0.5) < 0.8) & (side > 2.3)
    out[ear] = skin * (0.86, 0.76, 0.74)
    grown = hairline(face)
    if worn.hair_style != "bald":
        hair = head & ~ear & (grown > 0.12 * np.sin(x * 9 + worn.seed) + 0.05)
        out[hair] = _tinted(worn.hair, face[hair] * 0.25, worn.seed)
    if worn.cap is not None:
        out[head & (z > 1.45 - 0.1 * y) & (grown > -0.6)] = worn.cap
    return out


def _tinted(colour_: np.ndarray, at: np.ndarray, seed: float) -> np.ndarray:
    """One colour with strands of light and dark [n,3]."""
    strands = 1 + 0.22 * np.sin(at[:, :1] * 40 + seed + 3 * np.sin(at[:, 2:] * 9))
    return (colour_ * strands).astype(np.float32)


@lru_cache(maxsize=1)
def sphere(rings: int = 6, around: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """A unit sphere: vertices and faces that look outward."""
    tilt = np.linspace(0, np.pi, rings + 1)
    turn = np.arange(around) * 2 * np.pi / around
    grid = np.stack(
        [
            np.outer(np.sin(tilt), np.cos(turn)),
            np.outer(np.sin(tilt), np.sin(turn)),
            np.outer(np.cos(tilt), np.ones(around)),
        ],
        -1,
    ).reshape(-1, 3)
    faces = []
    for r in range(rings):
        for a in range(around):
            p, q = r * around + a, r * around + (a + 1) % around
            faces += [[p, p + around, q], [q, p + around, q + around]]
    return grid, np.array(faces)


def skirt(bodies: Bodies, i: int, worn: Look, person: int) -> Mesh:
    """A skirt as a tube from the waist around both thighs."""
    at = {name: bodies.joints[i, k] for k, name in enumerate(JOINTS)}
    frame = bodies.frames[i, 0]
    scale = np.linalg.norm(at["left_hip"] - at["left_knee"]) / 0.43
    turn = np.arange(20) * 2 * np.pi / 20
    ring = np.stack([np.cos(turn), np.sin(turn), turn * 0], 1)
    waist = at["pelvis"] + (ring * (0.165, 0.125, 0) + (0, 0, 0.1)) @ frame.T * scale
    rows = [waist]
    for along in np.linspace(0.3, 1, 4) * worn.skirt:
        points = []
        for side in ("left", "right"):
            hip, knee, ankle = (at[f"{side}_{n}"] for n in ("hip", "knee", "ankle"))
            t = along * 2
            points.append(hip + (knee - hip) * min(t, 1) + (ankle - knee) * max(t - 1, 0))
        middle = (points[0] + points[1]) / 2
        directions = ring @ frame.T
        reach = np.max([directions @ (p - middle) for p in points], 0)
        rows.append(middle + directions * (reach + (0.10 + 0.05 * along) * scale)[:, None])
    n = len(turn)
    faces = []
    for r in range(len(rows) - 1):
        for a in range(n):
            p, q = r * n + a, r * n + (a + 1) % n
            faces += [[p, p + n, q], [q, p + n, q + n]]
    texture = np.concatenate([ring * 0.2 + (0, 0, -0.1 * r) for r in range(len(rows))])
    cloth = replace(worn.bottom, pattern="plain" if worn.bottom.pattern == "sides" else worn.bottom.pattern)
    return Mesh(
        np.concatenate(rows),
        np.array(faces),
        lambda f, at_: cloth.paint(at_) * (1 + 0.1 * np.sin(np.arctan2(at_[:, 1], at_[:, 0]) * 12)[:, None]),
        texture,
        person,
        True,
    )
