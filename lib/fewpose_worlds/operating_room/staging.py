"""Where everything and everybody is: a stage's equipment, its cast and the steps they take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewpose_worlds.operating_room import gear as gears
from fewpose_worlds.operating_room.gear import Gear
from fewpose_worlds.operating_room.site import Room
from fewpose_worlds.operating_room.staff import DUTIES, Clinician, Wardrobe, pose, rotations
from fewpose_worlds.operating_room.table import TABLE, table
from fewpose_worlds.render import Camera

_APART = 0.52  # metres between the middles of two people, at least
_CLEAR = 0.2  # metres from the middle of somebody to equipment
_STAY = 0.55  # how likely somebody goes on with what he does from one moment to the next


@dataclass
class Actor:
    """One of the cast: where he works, where he is and what he does now."""

    who: Clinician
    post: np.ndarray  # [2] metres, NaN: anywhere
    focus: np.ndarray  # [2] what he looks at from there
    place: np.ndarray
    facing: float
    kind: str
    angles: np.ndarray


@dataclass(frozen=True)
class Stage:
    """Equipment that stays, and the cast, who walk within the room and round the equipment."""

    room: Room
    gear: Gear
    cast: list[Actor]


@dataclass(frozen=True)
class Step:
    """One moment of P people: phenotypes [P,6], rotations [P,21,3,3], places [P,3] on the floor."""

    cast: list[Clinician]
    phenotypes: np.ndarray
    rotations: np.ndarray
    places: np.ndarray
    seated: np.ndarray


def set_stage(
    rng: np.random.Generator, room: Room, cameras: list[Camera], day: Wardrobe, staff: list[Clinician]
) -> Stage:
    """Draw the equipment and three to six of the staff."""
    high = rng.uniform(0.88, 1.08)
    parts = [table(rng, day, high, rng.random() < 0.75)]
    if rng.random() < 0.65:
        parts.append(gears.c_arm(rng, high))
    parts += [gears.lamp(rng, np.array([rng.uniform(-0.5, 0.3), 0])) for _ in range(rng.integers(0, 3))]
    for _ in range(rng.integers(1, 3)):
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 1.7)
        spot = np.array([np.cos(angle), np.sin(angle)]) * away
        before = min(_beside(camera.position[:2], spot) for camera in cameras) < 0.45
        near = min(np.hypot(*(spot - camera.position[:2])) for camera in cameras) < 0.9
        if not near and (not before or rng.random() < 0.3):  # seldom right before the table
            parts.append(gears.screens(rng, spot, int(rng.integers(1, 4))))

    def add(make, low: float, high_: float) -> None:
        """Something on the floor, low to high_ metres from the middle, clear of the rest."""
        for _ in range(20):
            angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(low, high_)
            spot = np.array([np.cos(angle), np.sin(angle)]) * away
            blocks = np.concatenate([part.blocks for part in parts])
            if inside(room, spot, 0.5) and gap(blocks, spot[None])[0] > 0.6:
                parts.append(make(spot))
                return

    def turn_in(spot: np.ndarray) -> float:
        return float(np.arctan2(-spot[1], -spot[0]) + rng.normal(0, 0.3))

    for _ in range(rng.integers(1, 3)):
        add(lambda s: gears.instruments(rng, s, turn_in(s), day), 0.9, 1.9)
    for _ in range(rng.integers(2, 6)):
        add(lambda s: gears.cart(rng, s, turn_in(s)), 1.5, 3.8)
    for _ in range(rng.integers(1, 4)):
        add(lambda s: gears.stand(rng, s), 1.1, 3.2)
    gear = Gear([m for part in parts for m in part.meshes], np.concatenate([part.blocks for part in parts]))
    count = int(rng.choice([3, 4, 5, 6], p=[0.2, 0.35, 0.3, 0.15]))
    chosen = [0, *(1 + rng.permutation(len(staff) - 1)[: count - 1])]
    stage = Stage(room, gear, [])
    for index in chosen:
        stage.cast.append(_arrive(rng, stage, staff[index]))
    return stage


def _beside(eye: np.ndarray, spot: np.ndarray) -> float:
    """Metres from a spot [2] to the line of sight from the eye [2] to the middle."""
    along = np.clip((spot - eye) @ -eye / (eye @ eye), 0, 1)
    return float(np.hypot(*(spot - eye * (1 - along))))


def gap(blocks: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """Metres [n] from spots [n,2] on the floor to the nearest block [m,5]; negative within one."""
    offset = spots[:, None] - blocks[:, :2]
    c, s = np.cos(blocks[:, 4]), np.sin(blocks[:, 4])
    own = np.stack([offset[..., 0] * c + offset[..., 1] * s, offset[..., 1] * c - offset[..., 0] * s], -1)
    beyond = np.abs(own) - blocks[:, 2:4] / 2
    outside = np.linalg.norm(np.maximum(beyond, 0), axis=-1)
    return (outside + np.minimum(beyond.max(-1), 0)).min(1)


def inside(room: Room, spot: np.ndarray, margin: float) -> bool:
    """Whether a spot [2] lies in the room, margin metres from its walls."""
    return bool((np.abs(room.local(spot)) < room.half - margin).all())


def _free(stage: Stage, spot: np.ndarray, me: Actor | None) -> bool:
    others = [a.place for a in stage.cast if a is not me]
    apart = min((np.hypot(*(spot - other)) for other in others), default=9)
    return apart > _APART and inside(stage.room, spot, 0.35) and gap(stage.gear.blocks, spot[None])[0] > _CLEAR


def _arrive(rng: np.random.Generator, stage: Stage, who: Clinician) -> Actor:
    """Somebody with a post of his duty, if one is free, else anywhere."""
    actor = Actor(who, np.full(2, np.nan), np.zeros(2), np.full(2, 99.0), 0.0, "stand", np.zeros(0))
    length, width = TABLE
    for _ in range(30):
        side = rng.choice([-1, 1])
        if who.duty == "operate":
            post = np.array([rng.uniform(-0.75, 0.7), side * (width / 2 + rng.uniform(0.22, 0.34))])
            focus = np.array([post[0] + rng.normal(0, 0.15), 0])
        elif who.duty == "anaesthesia":
            post = np.array([-length / 2 - rng.uniform(0.3, 0.8), rng.uniform(-0.6, 0.6)])
            focus = np.array([-length / 2, 0]) + rng.normal(0, 0.3, 2)
        elif who.duty == "instruments":
            block = stage.gear.blocks[rng.integers(len(stage.gear.blocks))]
            angle = rng.uniform(0, 2 * np.pi)
            away = block[2:4].max() / 2 + rng.uniform(0.22, 0.3)
            post = block[:2] + np.array([np.cos(angle), np.sin(angle)]) * away
            focus = block[:2]
        else:
            break
        if _free(stage, post, actor):
            actor.post, actor.focus = post, focus
            break
    _move(rng, stage, actor)
    _do(rng, stage, actor)
    return actor


def _move(rng: np.random.Generator, stage: Stage, actor: Actor) -> None:
    """Back to the post, or somewhere else if there is none; stays put where nothing is free."""
    for _ in range(60):
        if np.isnan(actor.post).any():
            angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 3.0)
            spot = np.array([np.cos(angle), np.sin(angle)]) * away
            focus = rng.normal(0, 0.6, 2)
        else:
            spot, focus = actor.post + rng.normal(0, 0.06, 2), actor.focus
        if _free(stage, spot, actor):
            actor.place = spot
            towards = focus - spot
            wander = 0.9 if actor.who.duty == "circulate" else 0.25
            actor.facing = float(np.arctan2(towards[1], towards[0]) + rng.normal(0, wander))
            return


def _do(rng: np.random.Generator, stage: Stage, actor: Actor) -> None:
    """Take up something that the duty asks for."""
    kinds = DUTIES[actor.who.duty]
    actor.kind = str(rng.choice(list(kinds), p=list(kinds.values())))
    if actor.kind in ("walk", "push", "carry"):
        actor.facing = float(rng.uniform(-np.pi, np.pi))
    ahead = actor.place + np.array([np.cos(actor.facing), np.sin(actor.facing)]) * 0.45
    if actor.kind == "sit" and gap(stage.gear.blocks, ahead[None])[0] < 0.05:
        actor.kind = "stand"  # there is no room for the knees
    actor.angles = pose(rng, actor.kind)


def act(rng: np.random.Generator, stage: Stage) -> Step:
    """The next moment: some go on with what they do, others take up something else or walk."""
    for actor in stage.cast:
        if rng.random() > _STAY:
            _move(rng, stage, actor)
            _do(rng, stage, actor)
        elif actor.kind in ("walk", "carry", "push"):
            ahead = np.array([np.cos(actor.facing), np.sin(actor.facing)]) * rng.uniform(0.2, 0.6)
            if _free(stage, actor.place + ahead, actor):
                actor.place = actor.place + ahead
            actor.angles = pose(rng, actor.kind)
        else:
            actor.facing += float(rng.normal(0, 0.08))
            actor.angles = actor.angles + rng.normal(0, 3, actor.angles.shape) * (np.abs(actor.angles) > 2)
    present = [actor for actor in stage.cast if actor.place[0] < 90]
    return Step(
        [a.who for a in present],
        np.stack([a.who.phenotype for a in present]),
        np.stack([rotations(rng, a.angles.copy(), a.facing) for a in present]),
        np.stack([[*a.place, 0] for a in present]),
        np.array([a.kind == "sit" for a in present]),
    )
