"""The staff of the operating room: their clothes, and how they stand, reach, bend and sit.

Clothes are those of `people`; mask and cap are painted onto the head, a gown or lead apron is a skirt around the legs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from fewpose_worlds import people
from fewpose_worlds.body import JOINT_INDEX, JOINTS, SIDES, Bodies, rotation
from fewpose_worlds.everyday import poses
from fewpose_worlds.people import Appearance, Garment
from fewpose_worlds.render import Mesh
from fewpose_worlds.shapes import hex_colours

_CLOTH = hex_colours("608ac4 4266a4 76a0ce 407c7a 56928c 709a80 94bad0 546c90")
_CAPS = hex_colours("eceef0 96bedc 6096c8 6eaa96 3c5a96 c87882")
_LEAD = hex_colours("1e245c 181c3c 461e42 28463c 2e3036")
_GLOVES = hex_colours("ceb08c e0dcd2 96503c 5a78be")
# The probability of each kind of pose by duty.
DUTIES = {
    "operate": {"operate": 0.62, "fold": 0.12, "reach": 0.14, "look": 0.12},
    "instruments": {"handle": 0.55, "fold": 0.15, "reach": 0.15, "look": 0.15},
    "watch": {"look": 0.35, "fold": 0.25, "stand": 0.3, "reach": 0.1},
    "anaesthesia": {"handle": 0.35, "sit": 0.3, "look": 0.2, "stand": 0.15},
    "circulate": {"walk": 0.35, "stand": 0.2, "bend": 0.12, "reach": 0.15, "push": 0.1, "carry": 0.08},
}


@dataclass(frozen=True)
class Clinician:
    """One person of a day's staff: number, phenotype [6], clothes, colours [3] of mask (None: without) and cap.

    gown is the cloth around the legs or None, `hang` its length (1 = to the ankles); sleeves is the cloth of the arms
    where it differs from the trunk's (under a lead apron).
    """

    number: int
    phenotype: np.ndarray
    look: Appearance
    mask: np.ndarray | None
    cap: np.ndarray
    gown: Garment | None
    hang: float
    sleeves: Garment | None
    duty: str

    def skin_depth(self) -> np.ndarray:
        """Depth [25] of each keypoint below skin and clothes in metres, for an adult."""
        depth = people.SKIN_DEPTH.copy()
        if self.gown is not None:
            depth[11:15] += 0.08  # hips and knees under the gown
            depth[15:17] += 0.06 * (self.hang > 0.7)
        return depth


@dataclass(frozen=True)
class Wardrobe:
    """The colours [3] of one day's clothes."""

    scrubs: np.ndarray
    gown: np.ndarray
    lead: np.ndarray
    cap: np.ndarray
    mask: np.ndarray


def sample_wardrobe(rng: np.random.Generator) -> Wardrobe:
    """Random colours of a day; scrubs and gowns are blue to green."""

    def pick(table: np.ndarray) -> np.ndarray:
        return np.clip(table[rng.integers(len(table))] * rng.uniform(0.85, 1.15) + rng.normal(0, 0.03, 3), 0.02, 1)

    mask = np.array([0.62, 0.78, 0.9]) if rng.random() < 0.6 else np.array([0.9, 0.92, 0.94])
    return Wardrobe(pick(_CLOTH), pick(_CLOTH), pick(_LEAD), pick(_CAPS), mask)


def sample_clinician(rng: np.random.Generator, wardrobe: Wardrobe, duty: str, number: int) -> Clinician:
    """A random person of one duty in the day's clothes, the number-th of its staff."""
    look = people.sample_appearance(rng, sport=False)
    sterile = duty in ("operate", "instruments")
    kind = str(rng.choice(["gown", "lead", "scrubs"], p=[0.86, 0.08, 0.06] if sterile else [0.12, 0.33, 0.55]))
    shade = rng.uniform(0.85, 1.15)
    scrubs = Garment(np.clip(wardrobe.scrubs * shade, 0, 1), wardrobe.scrubs)
    if rng.random() < 0.12:  # a visitor in another colour, or a jacket
        colour = _CLOTH[rng.integers(len(_CLOTH))] if rng.random() < 0.5 else rng.uniform(0.75, 0.95, 3)
        scrubs = Garment(colour, wardrobe.scrubs)
    gown = {
        "gown": Garment(np.clip(wardrobe.gown * rng.uniform(0.9, 1.1), 0, 1), wardrobe.gown),
        "lead": Garment(wardrobe.lead * rng.uniform(0.8, 1.3), wardrobe.lead),
    }.get(kind)
    cap = wardrobe.cap if rng.random() < 0.6 else _CAPS[rng.integers(len(_CAPS))]
    long = kind == "gown" or rng.random() < 0.15
    clogs = rng.choice([0.92, 0.12, 0.4]) * np.ones(3) if rng.random() < 0.6 else _CLOTH[rng.integers(len(_CLOTH))]
    look = replace(
        look,
        hair_style="full" if rng.random() < 0.6 else "short",
        cap=None,
        bib=None,
        skirt=0.0,
        beard=look.beard * 0.5,
        top=gown or scrubs,
        bottom=scrubs,
        sleeve=1.0 if long else rng.uniform(0.3, 0.45),
        leg=1.0,
        hem=-0.08,
        loose=rng.uniform(0.02, 0.04) if kind == "gown" else rng.uniform(0.012, 0.025),
        shoes=clogs,
        soles=clogs * 0.7,
        socks=0.0,
        gloves=_GLOVES[rng.integers(len(_GLOVES))] if sterile or rng.random() < 0.25 else None,
    )
    phenotype = sample_adult(rng)
    mask = wardrobe.mask if sterile or rng.random() < 0.7 else None
    hang = rng.uniform(0.62, 0.8) if kind == "gown" else rng.uniform(0.4, 0.52)
    return Clinician(number, phenotype, look, mask, cap, gown, hang, scrubs if kind == "lead" else None, duty)


def sample_adult(rng: np.random.Generator) -> np.ndarray:
    """Phenotype [6] of a random adult, women 1.5 to 1.8, men 1.6 to 1.95 metres tall."""
    body = people.sample_phenotype(rng)
    body[1] = rng.uniform(0.62, 0.9)
    body[4] = rng.uniform(0.18, 0.4) if body[0] < 0.5 else rng.uniform(0.38, 0.62)
    return body


def dress(bodies: Bodies, i: int, who: Clinician, person: int) -> list[Mesh]:
    """Meshes of body i dressed for the operating room; person is its number."""
    meshes = people.dress(bodies, i, who.look, person)
    bare = meshes[0].paint
    middle, unit = people.face_frame(bodies.rest_keypoints[i])
    mesh_part, part_of = people.body_parts()
    long = who.gown is not None and who.sleeves is None

    def paint(faces: np.ndarray, at: np.ndarray) -> np.ndarray:
        out = bare(faces, at)
        part = part_of[faces]
        if who.sleeves is not None:
            covered = people.limb_fraction(at, bodies.rest_joints[i], "shoulder", "wrist")
            arm = (part == people.ARM) & (covered < who.look.sleeve)
            out[arm] = who.sleeves.paint(at[arm])
        # The top covers the shoulders up to the neck; scrubs leave a V free in front.
        neck = bodies.rest_joints[i][JOINT_INDEX["neck"]]
        x, y, z = (at - neck).T
        opening = 0.035 + (0.0 if long else 0.06 + z) * (y > 0)
        yoke = (part == people.TORSO) & (z > -0.08) & (np.abs(x) > opening)
        if yoke.any():
            out[yoke] = (who.sleeves or who.look.top).paint(at[yoke])
        head = np.flatnonzero((part == people.HEAD) | (part == people.NECK))
        face = (at[head] - middle) / unit
        out[head[people.hairline(face) > -0.45]] = who.cap
        if who.mask is not None:
            x, y, z = face.T
            low = -3.4 - 0.25 * (y < -1.5)
            covers = (y > -2.3) & (z < -0.45 - 0.12 * np.abs(x)) & (z > low) & (part[head] == people.HEAD)
            out[head[covers]] = who.mask * (1 - 0.12 * (np.sin(z[covers] * 5) > 0.4))[:, None]
        return out

    # The mask lies 8 mm before the mouth.
    rest = bodies.rest[i]
    face = (rest - middle) / unit
    mouth = (mesh_part == people.HEAD) & (face[:, 1] > -1) & (np.abs(face[:, 2] + 1.9) < 1.5)
    vertices = meshes[0].vertices
    if who.mask is not None:
        forward = bodies.frames[i, JOINT_INDEX["head"]] @ np.array([0, 1.0, 0])
        vertices[mouth] += (0.008 * forward).astype(vertices.dtype)
    meshes[0] = replace(meshes[0], paint=paint)
    if who.gown is not None:  # legs under it would show through, as faces are sorted by depth
        share = people.limb_fraction(rest, bodies.rest_joints[i], "hip", "ankle")[meshes[0].faces].max(1)
        shown = np.flatnonzero((part_of != people.LEG) | (share > who.hang - 0.08))
        kept, whole = meshes[0].faces[shown], meshes[0].paint
        meshes[0] = replace(meshes[0], faces=kept, paint=lambda f, at: whole(shown[f], at))
        meshes.append(people.skirt(bodies, i, replace(who.look, bottom=who.gown, skirt=who.hang), person))
    return meshes


def sample_angles(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Random angles [21,3] in degrees, as of `poses`, of a person at work who faces +y; kinds as in `DUTIES`."""
    a = np.zeros((len(JOINTS), 3))
    u = rng.uniform
    for side in SIDES:
        poses.leg(a, side, u(-4, 10), u(2, 14), u(1, 9), u(0, 18))
        poses.arm(a, side, u(-10, 12), u(5, 14), u(-10, 15), u(5, 30))
    poses.trunk(a, u(-2, 5), u(0, 8), u(-8, 8), u(-4, 4))
    if kind in ("operate", "handle"):
        poses.trunk(a, u(2, 14), u(4, 30), u(-15, 15), u(-6, 6))
        for side in SIDES:
            poses.arm(a, side, u(15, 60), u(4, 26), u(-40, 5), u(40, 100))
        a[JOINT_INDEX["neck"], 0], a[JOINT_INDEX["head"], 0] = -u(5, 22), -u(0, 22)
    elif kind == "fold":
        flex, bent = u(12, 35), u(70, 115)
        for side in SIDES:
            poses.arm(a, side, flex + u(-6, 6), u(3, 14), u(-50, -25), bent + u(-10, 10))
        a[JOINT_INDEX["neck"], 0] = -u(-5, 18)
    elif kind == "look":
        poses.arm(a, "left", u(5, 45), u(5, 20), u(-45, 0), u(45, 120))
        a[JOINT_INDEX["neck"]] = u(-12, 8), u(-5, 5), u(-35, 35)
        a[JOINT_INDEX["head"]] = u(-12, 10), u(-5, 5), u(-30, 30)
    elif kind == "reach":
        poses.trunk(a, u(0, 15), u(0, 25), u(-20, 20), u(-8, 8))
        poses.arm(a, "left", u(55, 125), u(0, 35), u(-20, 20), u(0, 50))
        poses.arm(a, "right", u(0, 70), u(4, 25), u(-30, 10), u(10, 95))
        a[JOINT_INDEX["neck"], 0] = u(-20, 12)
    elif kind == "bend":
        poses.trunk(a, u(20, 45), u(10, 45), u(-15, 15), u(-8, 8))
        for side in SIDES:
            poses.leg(a, side, u(15, 45), u(5, 40), u(0, 10), u(0, 15))
            poses.arm(a, side, u(35, 85), u(0, 20), u(-15, 15), u(0, 50))
    elif kind in ("push", "carry"):
        poses.trunk(a, u(3, 18), u(0, 12), u(-6, 6))
        flex, bent = (u(40, 70), u(10, 50)) if kind == "push" else (u(5, 25), u(75, 100))
        for side in SIDES:
            poses.arm(a, side, flex + u(-6, 6), u(2, 14), u(-18, 5), bent + u(-8, 8))
    elif kind == "sit":
        for side in SIDES:
            poses.leg(a, side, u(78, 95), u(72, 100), u(2, 16), u(0, 15))
            poses.arm(a, side, u(10, 55), u(4, 18), u(-40, 0), u(35, 100))
        poses.trunk(a, u(-6, 8), u(2, 22), u(-12, 12))
        a[JOINT_INDEX["neck"], 0] = -u(0, 22)
    if kind in ("walk", "push") and (kind == "walk" or rng.random() < 0.7):
        phase, power = u(0, 2 * np.pi), u(0.35, 0.6)
        for side, p in (("left", phase), ("right", phase + np.pi)):
            poses.leg(a, side, (15 + 45 * np.cos(p)) * power - 5, 28 - 26 * np.sin(p) * power * 2, ankle=5 * np.cos(p))
            if kind == "walk":
                poses.arm(a, side, -28 * np.cos(p) * power, u(4, 14), 0, u(8, 40))
    if rng.random() < 0.5:
        a = a[poses.SWAP] * (1, -1, -1)
    return a


def rotations(rng: np.random.Generator, angles: np.ndarray, facing: float) -> np.ndarray:
    """Local rotations [21,3,3] of angles [21,3] with noise, for a person who faces `facing` radians from +x."""
    deviations = rng.normal(0, 1, angles.shape) * 2.5
    deviations[[JOINT_INDEX["pelvis"], JOINT_INDEX["left_toes"], JOINT_INDEX["right_toes"]]] = 0
    for side, s in (("left", 1), ("right", -1)):  # keeps the arms out of the trunk
        shoulder = JOINT_INDEX[f"{side}_shoulder"]
        angles[shoulder, 1] = s * max(s * angles[shoulder, 1], 4)
    turned = Rotation.from_euler("XYZ", angles + deviations, degrees=True).as_matrix()
    turned[0] = rotation("z", facing - np.pi / 2) @ turned[0]
    return turned
