"""A scene: where the equipment and the clinicians are, and how the clinicians act from moment to moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fewpose_worlds.operating_room import gear as gears
from fewpose_worlds.operating_room.gear import Gear
from fewpose_worlds.operating_room.site import Room
from fewpose_worlds.operating_room.staff import DUTIES, Clinician, Wardrobe, rotations, sample_angles
from fewpose_worlds.operating_room.table import TABLE, table
from fewpose_worlds.render import Camera

_DISTANCE = 0.52  # metres between the middles of two people, at least
_CLEAR = 0.2  # metres from the middle of a person to equipment, at least
_STAY = 0.55  # probability that a person keeps place and activity at the next moment


@dataclass
class Actor:
    """A clinician of the scene: post, current place and activity."""

    who: Clinician
    post: np.ndarray  # [2] metres, NaN: anywhere
    focus: np.ndarray  # [2] what they look at from the post
    place: np.ndarray
    facing: float
    kind: str
    angles: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Room, equipment that stays, and clinicians who move around it."""

    room: Room
    gear: Gear
    cast: list[Actor]


@dataclass(frozen=True)
class Moment:
    """P clinicians at one moment: phenotypes [P,6], rotations [P,21,3,3], places [P,3] on the floor, seated [P]."""

    cast: list[Clinician]
    phenotypes: np.ndarray
    rotations: np.ndarray
    places: np.ndarray
    seated: np.ndarray


def sample_scene(
    rng: np.random.Generator, room: Room, cameras: list[Camera], wardrobe: Wardrobe, staff: list[Clinician]
) -> Scene:
    """Random equipment and three to six of the staff."""
    high = rng.uniform(0.88, 1.08)
    parts = [table(rng, wardrobe, high, rng.random() < 0.75)]
    if rng.random() < 0.65:
        parts.append(gears.c_arm(rng, high))
    parts += [gears.lamp(rng, np.array([rng.uniform(-0.5, 0.3), 0])) for _ in range(rng.integers(0, 3))]
    for _ in range(rng.integers(1, 3)):
        spot = _sample_spot(rng, 1.0, 1.7)
        in_the_way = min(_off_sight(camera.position[:2], spot) for camera in cameras) < 0.45
        near = min(np.hypot(*(spot - camera.position[:2])) for camera in cameras) < 0.9
        if not near and (not in_the_way or rng.random() < 0.3):
            parts.append(gears.screens(rng, spot, int(rng.integers(1, 4))))

    def add(make, nearest: float, farthest: float) -> None:
        """Add what make(spot) gives, so many metres from the middle, where the floor is free."""
        for _ in range(20):
            spot = _sample_spot(rng, nearest, farthest)
            blocks = np.concatenate([part.blocks for part in parts])
            if inside(room, spot, 0.5) and gap(blocks, spot[None])[0] > 0.6:
                parts.append(make(spot))
                return

    def to_middle(spot: np.ndarray) -> float:
        return float(np.arctan2(-spot[1], -spot[0]) + rng.normal(0, 0.3))

    for _ in range(rng.integers(1, 3)):
        add(lambda s: gears.instruments(rng, s, to_middle(s), wardrobe), 0.9, 1.9)
    for _ in range(rng.integers(2, 6)):
        add(lambda s: gears.cart(rng, s, to_middle(s)), 1.5, 3.8)
    for _ in range(rng.integers(1, 4)):
        add(lambda s: gears.stand(rng, s), 1.1, 3.2)
    gear = Gear([m for part in parts for m in part.meshes], np.concatenate([part.blocks for part in parts]))
    count = int(rng.choice([3, 4, 5, 6], p=[0.2, 0.35, 0.3, 0.15]))
    chosen = [0, *(1 + rng.permutation(len(staff) - 1)[: count - 1])]
    scene = Scene(room, gear, [])
    for index in chosen:
        scene.cast.append(_sample_actor(rng, scene, staff[index]))
    return scene


def _sample_spot(rng: np.random.Generator, nearest: float, farthest: float) -> np.ndarray:
    """A random point [2] of the floor, nearest to farthest metres from the middle."""
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(nearest, farthest)
    return np.array([np.cos(angle), np.sin(angle)]) * away


def _off_sight(camera: np.ndarray, spot: np.ndarray) -> float:
    """Metres from a spot [2] to the line of sight from a camera [2] to the middle."""
    along = np.clip((spot - camera) @ -camera / (camera @ camera), 0, 1)
    return float(np.hypot(*(spot - camera * (1 - along))))


def gap(blocks: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """Metres [n] from spots [n,2] on the floor to the nearest of blocks [m,5] (see `Gear`); negative within one."""
    offset = spots[:, None] - blocks[:, :2]
    c, s = np.cos(blocks[:, 4]), np.sin(blocks[:, 4])
    own = np.stack([offset[..., 0] * c + offset[..., 1] * s, offset[..., 1] * c - offset[..., 0] * s], -1)
    beyond = np.abs(own) - blocks[:, 2:4] / 2
    outside = np.linalg.norm(np.maximum(beyond, 0), axis=-1)
    return (outside + np.minimum(beyond.max(-1), 0)).min(1)


def inside(room: Room, spot: np.ndarray, margin: float) -> bool:
    """Whether a spot [2] lies in the room, margin metres from its walls."""
    return bool((np.abs(room.local(spot)) < room.half - margin).all())


def _is_free(scene: Scene, spot: np.ndarray, me: Actor) -> bool:
    distance = min((np.hypot(*(spot - a.place)) for a in scene.cast if a is not me), default=9)
    clear = distance > _DISTANCE and inside(scene.room, spot, 0.35)
    return clear and gap(scene.gear.blocks, spot[None])[0] > _CLEAR


def _sample_actor(rng: np.random.Generator, scene: Scene, who: Clinician) -> Actor:
    """A clinician at a post of their duty if one is free, else anywhere."""
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
            block = scene.gear.blocks[rng.integers(len(scene.gear.blocks))]
            angle = rng.uniform(0, 2 * np.pi)
            away = block[2:4].max() / 2 + rng.uniform(0.22, 0.3)
            post = block[:2] + np.array([np.cos(angle), np.sin(angle)]) * away
            focus = block[:2]
        else:
            break
        if _is_free(scene, post, actor):
            actor.post, actor.focus = post, focus
            break
    _move(rng, scene, actor)
    _sample_activity(rng, scene, actor)
    return actor


def _move(rng: np.random.Generator, scene: Scene, actor: Actor) -> None:
    """Move to the post, or anywhere if there is none; no move if no place is free."""
    for _ in range(60):
        if np.isnan(actor.post).any():
            spot = _sample_spot(rng, 0.8, 3.0)
            focus = rng.normal(0, 0.6, 2)
        else:
            spot, focus = actor.post + rng.normal(0, 0.06, 2), actor.focus
        if _is_free(scene, spot, actor):
            actor.place = spot
            towards = focus - spot
            wander = 0.9 if actor.who.duty == "circulate" else 0.25
            actor.facing = float(np.arctan2(towards[1], towards[0]) + rng.normal(0, wander))
            return


def _sample_activity(rng: np.random.Generator, scene: Scene, actor: Actor) -> None:
    """Give the actor a random activity of their duty."""
    kinds = DUTIES[actor.who.duty]
    actor.kind = str(rng.choice(list(kinds), p=list(kinds.values())))
    if actor.kind in ("walk", "push", "carry"):
        actor.facing = float(rng.uniform(-np.pi, np.pi))
    ahead = actor.place + np.array([np.cos(actor.facing), np.sin(actor.facing)]) * 0.45
    if actor.kind == "sit" and gap(scene.gear.blocks, ahead[None])[0] < 0.05:
        actor.kind = "stand"  # there is no room for the knees
    actor.angles = sample_angles(rng, actor.kind)


def act_on(rng: np.random.Generator, scene: Scene, frames: int, pause: int) -> Iterator[Moment]:
    """The next `frames` frames of a scene, in which people glide from one moment to the next within `pause` frames."""
    cast = scene.cast

    def state() -> tuple:
        return [a.angles for a in cast], np.stack([a.place for a in cast]), np.array([a.facing for a in cast])

    angles, places, facing = state()
    for start in range(0, frames, pause):
        next_moment(rng, scene)
        for actor, place in zip(cast, places, strict=True):
            way = np.linspace(place, actor.place, 9)
            actor.place = place if gap(scene.gear.blocks, way).min() < 0 else actor.place
        next_angles, next_places, next_facing = state()
        turn = (next_facing - facing + np.pi) % (2 * np.pi) - np.pi  # the shorter way round
        for step in range(min(pause, frames - start)):
            share = (1 - np.cos(np.pi * step / pause)) / 2
            calm = np.random.default_rng(0)  # the same deviations in each frame, or joints would tremble
            parts = zip(angles, next_angles, facing + share * turn, strict=True)
            yield Moment(
                [a.who for a in cast],
                np.stack([a.who.phenotype for a in cast]),
                np.stack([rotations(calm, (1 - share) * a + share * b, towards) for a, b, towards in parts]),
                np.column_stack([(1 - share) * places + share * next_places, np.zeros(len(cast))]),
                np.array([a.kind == "sit" for a in cast]),
            )
        angles, places, facing = next_angles, next_places, next_facing


def next_moment(rng: np.random.Generator, scene: Scene) -> Moment:
    """Let all actors stay, walk on or do something else; the moment after that."""
    for actor in scene.cast:
        if rng.random() > _STAY:
            _move(rng, scene, actor)
            _sample_activity(rng, scene, actor)
        elif actor.kind in ("walk", "carry", "push"):
            ahead = np.array([np.cos(actor.facing), np.sin(actor.facing)]) * rng.uniform(0.2, 0.6)
            if _is_free(scene, actor.place + ahead, actor):
                actor.place = actor.place + ahead
            actor.angles = sample_angles(rng, actor.kind)
        else:
            actor.facing += float(rng.normal(0, 0.08))
            actor.angles = actor.angles + rng.normal(0, 3, actor.angles.shape) * (np.abs(actor.angles) > 2)
    present = [actor for actor in scene.cast if actor.place[0] < 90]
    return Moment(
        [a.who for a in present],
        np.stack([a.who.phenotype for a in present]),
        np.stack([rotations(rng, a.angles.copy(), a.facing) for a in present]),
        np.stack([[*a.place, 0] for a in present]),
        np.array([a.kind == "sit" for a in present]),
    )
