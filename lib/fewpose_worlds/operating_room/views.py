"""The operating-room world: what three ceiling cameras see of clinicians at work, day by day.

A day is a room, a rig, clothes and a staff; it is cut into stages of some moments, for which the equipment stays
where it is. A moment is one pose and place of each clinician, seen by all three cameras at once. Days, never frames,
are split into train, val and test. Clinicians are labelled, the patient under his drapes is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewpose.skeleton import COCO
from fewpose_worlds import store
from fewpose_worlds.body import KEYPOINTS, Bodies, pose_bodies, rig
from fewpose_worlds.operating_room import rig as rigs
from fewpose_worlds.operating_room.gear import Gear, stool
from fewpose_worlds.operating_room.site import Room, Sensor, develop, furnish, sensor, shell
from fewpose_worlds.operating_room.staff import Clinician, Wardrobe, clinician, dress, slack, wardrobe
from fewpose_worlds.operating_room.staging import Step, act, set_stage
from fewpose_worlds.render import Camera, Picture, render, shadow, visibility

VIEWS = rigs.VIEWS
VERSION = 2  # of the pictures and labels: part of the cache's parameters
STAGE = 10  # moments for which the equipment stays where it is
_COCO = slice(0, 17)
_RATIO = np.array([0.6, 0.15, 0.25])  # of days: train, val, test
_SMALLEST = 1 / 600  # of the frame: less of somebody is no annotation
# MVOR's annotators marked keypoints of 62 % of the people and only a box of the others. With three joints of
# `_TRUNK_AND_ARMS` to be seen it is 65 % here.
_ENOUGH = 3
_TRUNK_AND_ARMS = slice(5, 13)
_JOINED = np.zeros((17, 17), bool)
for _a, _b in COCO.limb_index:
    _JOINED[_a, _b] = _JOINED[_b, _a] = True


@dataclass(frozen=True)
class Day:
    """What stays the same for a day."""

    room: Room
    cameras: list[Camera]
    eyes: list[Sensor]
    clothes: Wardrobe
    staff: list[Clinician]


def splits(days: int, seed: int) -> list[str]:
    """The split of each day, at random in the ratio 60 : 15 : 25, none of them empty."""
    counts = np.maximum(np.round(days * _RATIO).astype(int), 1)
    counts[0] = days - counts[1:].sum()
    names = np.repeat(["train", "val", "test"], counts)
    return np.random.default_rng([seed, 51]).permutation(names).tolist()


def tasks(frames: int, size: tuple[int, int], seed: int, days: int) -> list[tuple]:
    """The arguments of `make_stage` for each stage of each day."""
    moments = -(-frames // rigs.VIEWS)
    share = np.full(days, moments // days) + (np.arange(days) < moments % days)
    out, first = [], 0
    for day, (count, split) in enumerate(zip(share, splits(days, seed), strict=True)):
        for stage in range(-(-count // STAGE)):
            here = int(min(STAGE, count - stage * STAGE))
            left = min(here * rigs.VIEWS, frames - first * rigs.VIEWS)
            out.append((seed, day, stage, first, left, size, split))
            first += here
    return out


def make_stage(
    seed: int, day: int, stage: int, first: int, frames: int, size: tuple[int, int], split: str
) -> store.Made:
    """The first `frames` frames of one stage, all views of a moment before the next moment.

    first is the number of its first moment in the world.
    """
    today = open_day(seed, day, size)
    rng = np.random.default_rng([seed, 53, day, stage])
    scene = set_stage(rng, today.room, today.cameras, today.clothes, today.staff)
    moments = -(-frames // rigs.VIEWS)
    steps = [act(rng, scene) for _ in range(moments)]
    counts = np.cumsum([0] + [len(step.cast) for step in steps])
    everybody = pose_bodies(
        *(np.concatenate([getattr(step, name) for step in steps]) for name in ("phenotypes", "rotations", "places"))
    )
    sets = [build_set(today, camera, scene.gear) for camera in today.cameras[: min(frames, rigs.VIEWS)]]
    pictures, about, annotations = [], [], []
    for moment, step in enumerate(steps):
        own = slice(counts[moment], counts[moment + 1])
        bodies = Bodies(*(getattr(everybody, n)[own] for n in everybody.__dataclass_fields__))
        put_down(bodies, step)
        people = [m for i, who in enumerate(step.cast) for m in dress(bodies, i, who, i)]
        seats = [
            m for i in np.flatnonzero(step.seated) for m in stool(bodies.joints[i, 0, :2], bodies.joints[i, 0, 2] - 0.1)
        ]
        grain = np.random.default_rng([seed, 54, first + moment])
        for view, (camera, eye) in enumerate(zip(today.cameras, today.eyes, strict=True)):
            if len(pictures) == frames:
                break
            image, picture = shoot(today.room, camera, sets[view], people, seats)
            pictures.append(develop(grain, image, eye))
            annotations.append(
                [
                    made
                    for i, who in enumerate(step.cast)
                    if (made := annotate(picture, camera, bodies, i, who)) is not None
                ]
            )
            about.append(
                {
                    "video_id": f"day{day:03d}",
                    "split": split,
                    "moment": first + moment,
                    "view": view,
                    "camera_matrix": np.round(rigs.matrix(camera), 6).tolist(),
                    "camera_to_room": np.round(rigs.to_room(camera), 6).tolist(),
                }
            )
    return np.stack(pictures), about, annotations


def open_day(seed: int, day: int, size: tuple[int, int]) -> Day:
    """Room, cameras, clothes and staff of one day."""
    rng = np.random.default_rng([seed, 52, day])
    clothes = wardrobe(rng)
    duties = ["operate", "operate", "instruments", "anaesthesia", "circulate", "watch", "circulate", "operate", "watch"]
    staff = [clinician(rng, clothes, duty, number) for number, duty in enumerate(duties)]
    eyes = [sensor(rng) for _ in range(rigs.VIEWS)]
    return Day(furnish(rng), rigs.hang(rng, size), eyes, clothes, staff)


def put_down(bodies: Bodies, step: Step) -> None:
    """Stand everybody on the floor, the middle of the ankles (or hips, on a stool) in place."""
    for i in range(len(bodies)):
        ankles = bodies.keypoints[i, [KEYPOINTS.index(f"{s}_ankle") for s in ("left", "right")]]
        spot = bodies.joints[i, 0, :2] if step.seated[i] else ankles[:, :2].mean(0)
        by = np.array([*(step.places[i, :2] - spot), -bodies.vertices[i, :, 2].min()])
        for points in (bodies.vertices, bodies.keypoints, bodies.joints):
            points[i] += by


def build_set(day: Day, camera: Camera, gear: Gear) -> tuple[Picture, np.ndarray, np.ndarray]:
    """What stands still: its picture, the whole image [H,W,3], and the bare floor in it [H,W]."""
    scale = max(2, 480 // camera.height)  # small pictures from as many samples as large ones
    picture = render(camera, gear.meshes, day.room.light, scale)
    empty, floor = shell(day.room, camera, scale)
    low = [m for m in gear.meshes if m.vertices[:, 2].min() < 1.5]
    dark = shadow(camera, low, day.room.light.direction, camera.width / 640 * 9)
    empty = empty * (1 - day.room.shadow * dark * floor)[..., None]
    return picture, picture.over(empty), floor * (1 - picture.alpha)


def shoot(room: Room, camera: Camera, still, people: list, seats: list):
    """One image [H,W,3] of people among what stands still, and the picture that says who is seen.

    still is `build_set`'s.
    """
    standing, image, floor = still
    picture = render(camera, people + seats, room.light, standing.scale, standing)
    bodies = [m for m in people if m.texture is not None and not m.two_sided]
    dark = shadow(camera, bodies, room.light.direction, camera.width / 640 * 7)
    return picture.over(image * (1 - room.shadow * dark * floor)[..., None]), picture


def annotate(picture: Picture, camera: Camera, bodies: Bodies, i: int, who: Clinician) -> dict | None:
    """COCO annotation of person i, its box around what is seen of it; None if that is next to
    nothing."""
    mine = picture.person == i
    area = mine.sum() / picture.scale**2
    if area < max(_SMALLEST * camera.width * camera.height, 1):
        return None
    points = bodies.keypoints[i]
    height = np.linalg.norm(np.ptp(bodies.rest[i], axis=0)) / 2.0
    seen = annotated(visibility(picture, camera, points, i, slack(who) * height)[_COCO])
    spots = camera.project(points)[0][_COCO]
    keypoints = np.concatenate([spots, seen[:, None]], 1)
    keypoints[seen == 0] = 0
    # COCO's boxes count from the edge of the first pixel, its centre lies half a pixel further in.
    rows, cols = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
    low = np.array([cols[0], rows[0]]) / picture.scale
    high = (np.array([cols[-1], rows[-1]]) + 1) / picture.scale
    clear = spots[seen == 2] + 0.5
    if len(clear):
        low, high = np.minimum(low, clear.min(0)), np.maximum(high, clear.max(0))
    space = camera.to_camera(points[_COCO]) * 1000
    made = store.person(keypoints, [*low, *(high - low)], area, space, None)
    return {**made, "person_id": who.number}


def annotated(seen: np.ndarray) -> np.ndarray:
    """Of the visibility [17] of COCO's keypoints what an annotator would write down.

    A hidden keypoint is marked where one joined to it is seen, so that it can be inferred, and else left out; of
    people who show next to nothing of arms and trunk there is but the box.
    """
    if (seen[_TRUNK_AND_ARMS] == 2).sum() < _ENOUGH:
        return np.zeros_like(seen)
    inferred = _JOINED @ (seen == 2)
    return np.where((seen == 1) & ~inferred, 0, seen)


def prepare() -> None:
    """Load the body model once, before workers start."""
    rig()
