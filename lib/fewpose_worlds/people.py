"""The people of all worlds: phenotypes, clothes and hair, and how these are painted onto bodies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial

import cv2
import numpy as np

from fewpose_worlds.body import JOINT_INDEX, JOINTS, KEYPOINTS, SIDES, Bodies, rig
from fewpose_worlds.render import Mesh, normals_of
from fewpose_worlds.shapes import grid_faces, hex_colours, plain_paint, sphere

TORSO, ARM, HAND, LEG, FOOT, HEAD, NECK = range(7)
_SKINS = hex_colours("fad6be f1c2a0 e4b08a ce9268 a86e4c 7e4e34 5a3826")
_HAIRS = hex_colours("1c1614 2d2018 523622 785230 be965c 964624 969491 d7d4cd")
# Depth of each of `body.KEYPOINTS` below the skin in metres, for an adult: head, then pairs from shoulders to ankles;
# top of the head, neck, then pairs of hands, heels and toes.
_PAIRS = np.repeat([0.14, 0.08, 0.07, 0.18, 0.10, 0.08], 2)
SKIN_DEPTH = np.float32([0.05, 0.05, 0.05, 0.06, 0.06, *_PAIRS, 0.06, 0.10, *np.repeat([0.06, 0.08, 0.06], 2)])


@dataclass(frozen=True)
class Garment:
    """Cloth: two colours [3], name of the pattern, its period in metres and its phase."""

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
class Appearance:
    """What is painted onto one body; lengths of clothes run from 0 (at the trunk) to 1 (wrist, ankle)."""

    skin: np.ndarray
    hair: np.ndarray
    hair_style: str  # bald, short, full, long, tail, bun
    beard: float
    glasses: bool
    top: Garment
    bottom: Garment
    sleeve: float
    leg: float
    hem: float  # metres from the hips up to the shirt's hem; large = crop top
    loose: float  # metres between skin and clothes
    skirt: float  # its length, 0 for none
    shoes: np.ndarray
    soles: np.ndarray
    socks: float
    sock_colour: np.ndarray
    gloves: np.ndarray | None
    cap: np.ndarray | None
    bib: np.ndarray | None  # colour of the start number on chest and back
    seed: float


def sample_colour(rng: np.random.Generator) -> np.ndarray:
    """A random colour [3] of clothes: often white, grey, black or navy, else any hue."""
    kind = rng.random()
    if kind < 0.3:
        return np.repeat(rng.choice([0.05, 0.12, 0.3, 0.55, 0.8, 0.93]), 3) * rng.uniform(0.9, 1.05)
    if kind < 0.4:
        return np.array([0.08, 0.1, 0.25]) * rng.uniform(0.7, 1.6)
    hsv = np.uint8([[[rng.integers(180), rng.integers(70, 240), rng.integers(60, 250)]]])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] / 255.0


def sample_garment(rng: np.random.Generator, plain: float = 0.45) -> Garment:
    """Random cloth, of one colour with probability `plain`."""
    patterns = ["hoops", "stripes", "checks", "dots", "sides", "yoke", "band", "sash", "blotches"]
    pattern = "plain" if rng.random() < plain else str(rng.choice(patterns))
    return Garment(sample_colour(rng), sample_colour(rng), pattern, rng.uniform(0.05, 0.16), rng.uniform(0, 6.28))


def sample_phenotype(rng: np.random.Generator, athlete: bool = False) -> np.ndarray:
    """A random phenotype [6] in the order of `body.PHENOTYPES`."""
    adult = athlete or rng.random() < 0.88
    gender = rng.choice([rng.uniform(0, 0.25), rng.uniform(0.75, 1)])
    age = rng.uniform(0.6, 0.72) if athlete else rng.uniform(0.58, 0.95) if adult else rng.uniform(0.28, 0.55)
    muscle = rng.uniform(0.5, 0.95) if athlete else rng.uniform(0.25, 0.85)
    weight = rng.uniform(0.25, 0.5) if athlete else rng.uniform(0.25, 0.85)
    return np.array([gender, age, muscle, weight, rng.uniform(0.3, 0.8), rng.uniform(0.4, 0.9)])


def sample_appearance(rng: np.random.Generator, sport: bool) -> Appearance:
    """Random clothes and hair; sport: what is worn on a track."""
    top = sample_garment(rng)
    if sport:
        leg = rng.choice([rng.uniform(0.05, 0.15), rng.uniform(0.25, 0.5), 1.0], p=[0.3, 0.5, 0.2])
        sleeve = rng.choice([0.0, rng.uniform(0.2, 0.4), 1.0], p=[0.5, 0.35, 0.15])
    else:
        leg = rng.choice([rng.uniform(0.25, 0.5), rng.uniform(0.7, 0.9), 1.0], p=[0.25, 0.1, 0.65])
        sleeve = rng.choice([0.0, rng.uniform(0.25, 0.5), 1.0], p=[0.12, 0.45, 0.43])
    overall = rng.random() < 0.08
    bottom = top if overall else sample_garment(rng, 0.75)
    crop = sport and rng.random() < 0.2
    styles = ["bald", "short", "full", "long", "tail", "bun"]
    return Appearance(
        skin=sample_skin(rng),
        hair=_HAIRS[rng.choice(8, p=[0.28, 0.22, 0.16, 0.1, 0.1, 0.05, 0.06, 0.03])],
        hair_style=str(rng.choice(styles, p=[0.08, 0.38, 0.16, 0.16, 0.14, 0.08])),
        beard=float(rng.random() < 0.2) * rng.uniform(0.3, 0.9),
        glasses=rng.random() < 0.1,
        top=top,
        bottom=bottom,
        sleeve=float(sleeve),
        leg=float(leg),
        hem=rng.uniform(0.1, 0.22) if crop else rng.uniform(-0.1, 0.06),
        loose=rng.uniform(0, 0.008) if sport and rng.random() < 0.7 else rng.uniform(0.004, 0.028),
        skirt=rng.uniform(0.25, 0.8) if rng.random() < (0.03 if sport else 0.14) else 0.0,
        shoes=sample_skin(rng) if rng.random() < 0.06 else sample_colour(rng),
        soles=sample_colour(rng),
        socks=rng.choice([0.0, rng.uniform(0.05, 0.2), rng.uniform(0.3, 0.55)], p=[0.4, 0.4, 0.2]),
        sock_colour=sample_colour(rng),
        gloves=sample_colour(rng) if rng.random() < 0.05 else None,
        cap=sample_colour(rng) if rng.random() < 0.14 else None,
        bib=rng.uniform(0.75, 1, 3) if rng.random() < (0.35 if sport else 0.04) else None,
        seed=rng.uniform(0, 100),
    )


def sample_skin(rng: np.random.Generator) -> np.ndarray:
    """A random colour [3] of skin."""
    i = rng.uniform(0, len(_SKINS) - 1)
    low = int(i)
    between = _SKINS[low] * (1 - i + low) + _SKINS[min(low + 1, 6)] * (i - low)
    return between * rng.uniform(0.94, 1.05)


@lru_cache(maxsize=1)
def body_parts() -> tuple[np.ndarray, np.ndarray]:
    """The part (TORSO to NECK) of each vertex [V] and each face [F] of a body."""
    r = rig()
    prefixes = (  # of the bones of each part
        ("root", "pelvis", "spine", "clavicle", "shoulder01"),
        ("upperarm", "lowerarm"),
        ("wrist", "finger", "metacarpal"),
        ("upperleg", "lowerleg"),
        ("foot", "toe"),
        ("head", "eye"),
        ("neck",),
    )
    bones = [[i for i, bone in enumerate(r.labels) if bone.startswith(names)] for names in prefixes]
    weights = np.stack([r.weights[:, chosen].sum(1) for chosen in bones], 1)
    return weights.argmax(1), weights[r.faces].sum(1).argmax(1)


def ripples(at: np.ndarray, seed: float) -> np.ndarray:
    """Smooth noise in about [-1,1] at points [n,3] in metres; a period is about 0.3 m."""
    x, y, z = (at * 18).T
    return np.sin(x * 1.7 + seed + 1.3 * np.sin(z * 1.1 + seed)) * np.sin(z * 1.3 - seed + np.sin(y * 1.9 + 2 * seed))


def limb_fraction(rest: np.ndarray, joints: np.ndarray, start: str, end: str) -> np.ndarray:
    """How far along a limb (0 at joint start, 1 at joint end) rest points [n,3] lie: [n], left and right alike."""
    t = []
    for side in SIDES:
        a, b = (joints[JOINT_INDEX[f"{side}_{name}"]] for name in (start, end))
        t.append((rest - a) @ (b - a) / ((b - a) @ (b - a)))
    return np.where(rest[:, 0] < 0, t[0], t[1])


def face_frame(keypoints: np.ndarray) -> tuple[np.ndarray, float]:
    """Origin [3] and unit of face coordinates: the middle of the eyes and half their distance."""
    left, right = (keypoints[KEYPOINTS.index(f"{side}_eye")] for side in SIDES)
    return (left + right) / 2, float(np.linalg.norm(left - right)) / 2


def hairline(face: np.ndarray) -> np.ndarray:
    """Height [n] of points [n,3] (face coordinates) above the hairline: positive where hair grows."""
    return face[:, 2] - np.interp(face[:, 1], [-5.5, -3.6, -2.6, -1.6, -0.5, 0.6], [-2.6, -2.0, 0.0, -0.2, 1.5, 2.2])


def dress(bodies: Bodies, i: int, look: Appearance, person: int) -> list[Mesh]:
    """Meshes of body i: skin with clothes, then long hair, cap and skirt if there are any; person is its number."""
    rest, joints = bodies.rest[i], bodies.rest_joints[i]
    vertices = bodies.vertices[i].copy()
    part, _ = body_parts()
    middle, unit = face_frame(bodies.rest_keypoints[i])
    face = (rest - middle) / unit
    _, normals = normals_of(vertices, rig().faces)
    arm = limb_fraction(rest, joints, "shoulder", "wrist")
    leg = limb_fraction(rest, joints, "hip", "ankle")
    puff = np.zeros(len(rest))
    puff[(part == TORSO) & (rest[:, 2] > look.hem)] = look.loose
    puff[(part == ARM) & (arm < look.sleeve)] = look.loose
    puff[((part == LEG) | (part == TORSO)) & (leg < look.leg) & (leg > 0.05)] = look.loose
    puff[part == FOOT] = 0.006
    hair = {"bald": 0.0, "short": 0.012, "full": 0.035}.get(look.hair_style, 0.02)
    thickness = hair if look.cap is None else 0.016
    grown = np.clip(hairline(face) * 0.8 + 0.4, 0, 1)
    puff[part == HEAD] = (thickness * grown)[part == HEAD]
    vertices += normals * puff[:, None]

    meshes = [Mesh(vertices, rig().faces, partial(_paint, look, joints, middle, unit), rest, person)]
    head, to_world = bodies.joints[i, JOINT_INDEX["head"]], bodies.frames[i, JOINT_INDEX["head"]]

    def face_to_world(points: np.ndarray) -> np.ndarray:
        local = points * unit + middle - joints[JOINT_INDEX["head"]]
        return local @ to_world.T + head

    blob = {  # centre and radii in face coordinates
        "long": ((0, -3.6, -2.6), (2.6, 1.6, 3.6)),
        "tail": ((0, -6.2, -1.6), (0.9, 1.1, 3.0)),
        "bun": ((0, -5.6, 1.6), (1.4, 1.3, 1.3)),
    }.get(look.hair_style)
    if blob:
        unit_sphere, faces = sphere()
        placed = face_to_world(unit_sphere * blob[1] + np.array(blob[0]))
        meshes.append(Mesh(placed, faces, lambda f, at: strands(look.hair, at, look.seed), unit_sphere * 0.3, person))
    if look.cap is not None:
        angle = np.linspace(-1.1, 1.1, 9)
        rim = np.stack([2.7 * np.sin(angle), 0.2 + 0.9 * np.cos(angle) - 0.5, angle * 0 + 1.7], 1)
        edge = rim + np.stack([angle * 0, 2.6 * np.cos(angle) ** 0.7, angle * 0 - 0.3], 1)
        peak = np.array([[k, k + 1, k + 9] for k in range(8)] + [[k + 1, k + 10, k + 9] for k in range(8)])
        placed = face_to_world(np.concatenate([rim, edge]))
        meshes.append(Mesh(placed, peak, plain_paint(look.cap * 0.85), None, person, True))
    if look.skirt:
        meshes.append(skirt(bodies, i, look, person))
    return meshes


def _paint(look: Appearance, joints, middle, unit, faces: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Colours [n,3] of a body at rest coordinates [n,3] on faces [n]."""
    part = body_parts()[1][faces]
    arm = limb_fraction(at, joints, "shoulder", "wrist")
    leg = limb_fraction(at, joints, "hip", "ankle")
    x, y, z = at.T
    out = np.tile(look.skin.astype(np.float32), (len(at), 1))
    hip = joints[JOINT_INDEX["left_hip"], 2]
    neck_y, chest = joints[JOINT_INDEX["neck"], 1:]

    front = y > neck_y
    collar = chest - 0.02 - 0.05 * np.exp(-((x / 0.06) ** 2)) * front
    strap = (part == TORSO) & (z < collar)
    if look.sleeve == 0:
        strap &= np.abs(x) < 0.15
    lower = (part == LEG) | (part == FOOT)
    below = lower & (leg < look.leg) | (part == TORSO) & (z < hip + 0.12)
    above = (strap | (part == LEG)) & (z > hip + look.hem) | (part == ARM) & (arm < look.sleeve)
    for cloth, mask in ((look.bottom, below), (look.top, above)):
        if mask.any():
            folds = 1 + 0.07 * ripples(at[mask], look.seed) * (1 + 20 * look.loose)
            out[mask] = cloth.paint(at[mask]) * folds[:, None]
    if look.bib is not None:
        s = (chest - hip) / 0.6
        bib = (part == TORSO) & above & (np.abs(x) < 0.1 * s)
        bib &= np.abs(z - hip - 0.30 * s) < 0.08 * s
        digits = np.sin(x / s * 110 + look.seed) + np.sin(z / s * 70 + look.seed * 3) > 0.3
        digits &= bib & (np.abs(z - hip - 0.29 * s) < 0.045 * s)
        out[bib] = look.bib
        out[digits & (np.abs(x) < 0.075 * s)] = 0.08
    out[lower & (leg > 1 - look.socks) & (leg > look.leg)] = look.sock_colour
    if look.gloves is not None:
        out[part == HAND] = look.gloves
    ground = joints[JOINT_INDEX["left_ankle"], 2]
    foot = lower & (z < ground + 0.015)
    out[foot] = look.shoes
    out[foot & (z < ground - 0.055)] = look.soles
    instep = joints[JOINT_INDEX["left_ankle"], 1] + 0.07
    out[foot & (np.abs(y - instep - 0.3 * (z - ground)) < 0.012)] = look.soles

    head = np.flatnonzero((part == HEAD) | (part == NECK))
    if len(head):
        out[head] = _paint_head(look, (at[head] - middle) / unit, part[head] == HEAD)
    return out


def _paint_head(look: Appearance, face: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Colours [n,3] of head and neck at face coordinates [n,3]: eyes at x = +-1, z = 0, nose below; head [n]."""
    x, y, z = face.T
    side = np.abs(x)
    skin = look.skin
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
    if look.beard:
        beard = front & (z < -1.2 + 0.5 * (side > 1.3) * (side - 1.3)) & ~lips & (z > -4.2)
        out[beard] = out[beard] * (1 - look.beard) + look.hair * look.beard
    brow = front & (np.abs(side - 1.02) < 0.62) & (np.abs(z - 0.78 + 0.12 * (side - 1) ** 2) < 0.16)
    out[brow] = 0.25 * skin + 0.75 * np.minimum(look.hair, 0.35)
    eye = front & (((side - 1) / 0.52) ** 2 + ((z - 0.02) / 0.27) ** 2 < 1)
    lid = front & ((((side - 1) / 0.62) ** 2 + ((z - 0.1) / 0.34) ** 2) < 1) & ~eye
    out[lid] = skin * 0.42
    out[eye] = (0.88, 0.87, 0.86)
    out[front & ((side - 1) ** 2 + z**2 < 0.07)] = (0.12, 0.09, 0.07)
    if look.glasses:
        ring = ((side - 1) / 0.85) ** 2 + ((z + 0.05) / 0.62) ** 2
        out[front & (np.abs(ring - 1) < 0.25)] = 0.06
        out[head & (np.abs(z) < 0.12) & (y < -0.3) & (y > -2.6) & (side > 1.9)] = 0.06
    ear = head & (np.abs(y + 2.7) < 0.55) & (np.abs(z + 0.5) < 0.8) & (side > 2.3)
    out[ear] = skin * (0.86, 0.76, 0.74)
    grown = hairline(face)
    if look.hair_style != "bald":
        hair = head & ~ear & (grown > 0.12 * np.sin(x * 9 + look.seed) + 0.05)
        out[hair] = strands(look.hair, face[hair] * 0.25, look.seed)
    if look.cap is not None:
        out[head & (z > 1.45 - 0.1 * y) & (grown > -0.6)] = look.cap
    return out


def strands(colour: np.ndarray, at: np.ndarray, seed: float) -> np.ndarray:
    """A colour of hair [n,3] with light and dark strands at points [n,3]."""
    brightness = 1 + 0.22 * np.sin(at[:, :1] * 40 + seed + 3 * np.sin(at[:, 2:] * 9))
    return (colour * brightness).astype(np.float32)


def skirt(bodies: Bodies, i: int, look: Appearance, person: int) -> Mesh:
    """A skirt: a tube from the waist around both thighs, as long as look.skirt."""
    at = dict(zip(JOINTS, bodies.joints[i], strict=True))
    frame = bodies.frames[i, 0]
    scale = np.linalg.norm(at["left_hip"] - at["left_knee"]) / 0.43
    turn = np.arange(20) * 2 * np.pi / 20
    ring = np.stack([np.cos(turn), np.sin(turn), turn * 0], 1)
    waist = at["pelvis"] + (ring * (0.165, 0.125, 0) + (0, 0, 0.1)) @ frame.T * scale
    rows = [waist]
    for along in np.linspace(0.3, 1, 4) * look.skirt:
        points = []
        for side in SIDES:
            hip, knee, ankle = (at[f"{side}_{n}"] for n in ("hip", "knee", "ankle"))
            t = along * 2
            points.append(hip + (knee - hip) * min(t, 1) + (ankle - knee) * max(t - 1, 0))
        middle = (points[0] + points[1]) / 2
        directions = ring @ frame.T
        reach = np.max([directions @ (p - middle) for p in points], 0)
        rows.append(middle + directions * (reach + (0.10 + 0.05 * along) * scale)[:, None])
    texture = np.concatenate([ring * 0.2 + (0, 0, -0.1 * r) for r in range(len(rows))])
    cloth = replace(look.bottom, pattern="plain") if look.bottom.pattern == "sides" else look.bottom

    def paint(faces: np.ndarray, at: np.ndarray) -> np.ndarray:
        return cloth.paint(at) * (1 + 0.1 * np.sin(np.arctan2(at[:, 1], at[:, 0]) * 12)[:, None])

    return Mesh(np.concatenate(rows), grid_faces(len(rows), len(turn)), paint, texture, person, True)
