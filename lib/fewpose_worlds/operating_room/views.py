"""The operating-room world: clinicians at work, seen by three ceiling cameras.

A day is a room, cameras, clothes and a staff, and has scenes of some moments with the same equipment. A moment is a
pose and place of each clinician, seen by all cameras. Splits are by day. The draped patient is not labelled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewpose.skeleton import COCO
from fewpose_worlds import store
from fewpose_worlds.body import KEYPOINTS, SIDES, Bodies, pose_bodies
from fewpose_worlds.operating_room.cameras import VIEWS, camera_matrix, camera_to_room, sample_cameras
from fewpose_worlds.operating_room.gear import Gear, stool
from fewpose_worlds.operating_room.scene import Moment, act_on, next_moment, sample_scene
from fewpose_worlds.operating_room.site import Room, Sensor, apply_sensor, render_room, sample_room, sample_sensor
from fewpose_worlds.operating_room.staff import Clinician, Wardrobe, dress, sample_clinician, sample_wardrobe
from fewpose_worlds.render import Camera, Rendering, annotated, render, shadow, visibility

VERSION = 2  # of the images and labels: one of the parameters that a cached world is compared by
SCENE = 10  # moments of a scene
RATE = 5  # frames a second of videos
PAUSE = 10  # frames of a video from one moment to the next
_VIDEO_DAYS = 1000  # number of the first day of videos: no other frame is of these days
_COCO = slice(0, 17)
_RATIO = np.array([0.6, 0.15, 0.25])  # of the days of train, val and test
_SMALLEST = 1 / 600  # of the frame's area: people of whom less is visible are not annotated
# MVOR's annotators marked keypoints of 62 % of the people and only a box of the others. With at least three visible
# keypoints of `_TRUNK_AND_ARMS` it is 65 % here.
_ENOUGH = 3
_TRUNK_AND_ARMS = slice(5, 13)


@dataclass(frozen=True)
class Day:
    """What stays the same for a day."""

    room: Room
    cameras: list[Camera]
    sensors: list[Sensor]
    wardrobe: Wardrobe
    staff: list[Clinician]


def tasks(frames: int, size: tuple[int, int], seed: int, days: int) -> list[tuple]:
    """The arguments of `make_scene` for each scene of each day."""
    shares = store.even_shares(-(-frames // VIEWS), days)
    splits = store.random_splits(np.random.default_rng([seed, 51]), days, _RATIO)
    out, first = [], 0
    for day, (count, split) in enumerate(zip(shares, splits, strict=True)):
        for scene in range(-(-count // SCENE)):
            moments = min(SCENE, count - scene * SCENE)
            here = min(moments * VIEWS, frames - first * VIEWS)
            out.append((seed, day, scene, first, here, size, split))
            first += moments
    return out


def make_scene(
    seed: int, day: int, scene: int, first: int, frames: int, size: tuple[int, int], split: str
) -> store.Rendered:
    """The first frames of a scene, all views of a moment before the next; `first` is the number of its first moment."""
    today = sample_day(seed, day, size)
    rng = np.random.default_rng([seed, 53, day, scene])
    sampled = sample_scene(rng, today.room, today.cameras, today.wardrobe, today.staff)
    moments = [next_moment(rng, sampled) for _ in range(-(-frames // VIEWS))]
    ends = np.cumsum([len(moment.cast) for moment in moments])
    arrays = ((moment.phenotypes, moment.rotations, moment.places) for moment in moments)
    everybody = pose_bodies(*map(np.concatenate, zip(*arrays, strict=True)))
    static = [render_static(today, camera, sampled.gear) for camera in today.cameras[: min(frames, VIEWS)]]
    images, metadata, annotations = [], [], []
    for number, (moment, end) in enumerate(zip(moments, ends, strict=True), first):
        bodies = everybody.subset(slice(end - len(moment.cast), end))
        place_on_floor(bodies, moment)
        people, stools = meshes(bodies, moment)
        noise = np.random.default_rng([seed, 54, number])
        for view, (camera, sensor) in enumerate(zip(today.cameras, today.sensors, strict=True)):
            if len(images) == frames:
                break
            image, rendering = render_people(today.room, camera, static[view], people, stools)
            images.append(apply_sensor(noise, image, sensor))
            annotations.append(annotate_all(rendering, camera, bodies, moment))
            about = {"video_id": f"day{day:03d}", "split": split, "moment": number, "view": view}
            metadata.append(about | calibration(camera))
    return np.stack(images), metadata, annotations


def make_video(seed: int, number: int, frames: int, size: tuple[int, int]) -> store.Rendered:
    """The frames of a video of RATE frames a second: a scene of a day of its own, seen by the first camera."""
    today = sample_day(seed, _VIDEO_DAYS + number, size)
    camera, sensor = today.cameras[0], today.sensors[0]
    rng = np.random.default_rng([seed, 55, number])
    scene = sample_scene(rng, today.room, today.cameras, today.wardrobe, today.staff)
    scene.cast[:] = [actor for actor in scene.cast if actor.place[0] < 90]  # for the others there was no place
    static = render_static(today, camera, scene.gear)
    noise = np.random.default_rng([seed, 56, number])
    images, metadata, annotations = [], [], []
    for t, moment in enumerate(act_on(rng, scene, frames, PAUSE)):
        bodies = pose_bodies(moment.phenotypes, moment.rotations, moment.places)
        place_on_floor(bodies, moment)
        image, rendering = render_people(today.room, camera, static, *meshes(bodies, moment))
        images.append(apply_sensor(noise, image, sensor))
        annotations.append(annotate_all(rendering, camera, bodies, moment))
        about = {"video_id": f"video{number}", "split": "test", "moment": t, "view": 0}
        metadata.append(about | calibration(camera))
    return np.stack(images), metadata, annotations


def meshes(bodies: Bodies, moment: Moment) -> tuple[list, list]:
    """Those of the dressed people, and of the stools of those who sit."""
    people = [mesh for i, who in enumerate(moment.cast) for mesh in dress(bodies, i, who, i)]
    hips = bodies.joints[moment.seated, 0]
    return people, [mesh for hip in hips for mesh in stool(hip[:2], hip[2] - 0.1)]


def annotate_all(rendering: Rendering, camera: Camera, bodies: Bodies, moment: Moment) -> list[dict]:
    """The annotations of all who are visible."""
    made = (annotate(rendering, camera, bodies, i, who) for i, who in enumerate(moment.cast))
    return [one for one in made if one is not None]


def calibration(camera: Camera) -> dict:
    """The two matrices of a camera as JSON types."""
    return {
        "camera_matrix": np.round(camera_matrix(camera), 6).tolist(),
        "camera_to_room": np.round(camera_to_room(camera), 6).tolist(),
    }


def sample_day(seed: int, day: int, size: tuple[int, int]) -> Day:
    """Room, cameras, clothes and staff of one day of the world `seed`."""
    rng = np.random.default_rng([seed, 52, day])
    wardrobe = sample_wardrobe(rng)
    duties = ["operate", "operate", "instruments", "anaesthesia", "circulate", "watch", "circulate", "operate", "watch"]
    staff = [sample_clinician(rng, wardrobe, duty, number) for number, duty in enumerate(duties)]
    sensors = [sample_sensor(rng) for _ in range(VIEWS)]
    return Day(sample_room(rng), sample_cameras(rng, size), sensors, wardrobe, staff)


def place_on_floor(bodies: Bodies, moment: Moment) -> None:
    """Move everybody onto the floor, the middle of the ankles (of seated people the hips) to its place."""
    for i in range(len(bodies)):
        ankles = bodies.keypoints[i, [KEYPOINTS.index(f"{side}_ankle") for side in SIDES]]
        spot = bodies.joints[i, 0, :2] if moment.seated[i] else ankles[:, :2].mean(0)
        bodies.translate(i, np.array([*(moment.places[i, :2] - spot), -bodies.vertices[i, :, 2].min()]))


def render_static(day: Day, camera: Camera, gear: Gear) -> tuple[Rendering, np.ndarray, np.ndarray]:
    """What does not move: its rendering, the image [H,W,3] with the room, and the visible floor in it [H,W]."""
    scale = max(2, 480 // camera.height)  # small frames from as many samples as large ones
    rendering = render(camera, gear.meshes, day.room.light, scale)
    room, floor = render_room(day.room, camera, scale)
    low = [m for m in gear.meshes if m.vertices[:, 2].min() < 1.5]
    dark = shadow(camera, low, day.room.light.direction, camera.width / 640 * 9)
    room = room * (1 - day.room.shadow * dark * floor)[..., None]
    return rendering, rendering.over(room), floor * (1 - rendering.alpha)


def render_people(room: Room, camera: Camera, static: tuple, people: list, stools: list):
    """The image [H,W,3] of people among what `render_static` gave, and the rendering."""
    background, image, floor = static
    rendering = render(camera, people + stools, room.light, background.scale, background)
    bodies = [m for m in people if m.texture is not None and not m.two_sided]
    dark = shadow(camera, bodies, room.light.direction, camera.width / 640 * 7)
    return rendering.over(image * (1 - room.shadow * dark * floor)[..., None]), rendering


def annotate(rendering: Rendering, camera: Camera, bodies: Bodies, i: int, who: Clinician) -> dict | None:
    """COCO annotation of person i with a box around the visible part; None if next to nothing is visible."""
    mine = rendering.person == i
    area = mine.sum() / rendering.scale**2
    if area < max(_SMALLEST * camera.width * camera.height, 1):
        return None
    points = bodies.keypoints[i]
    height = np.linalg.norm(np.ptp(bodies.rest[i], axis=0)) / 2.0
    flags = annotator_flags(visibility(rendering, camera, points, i, who.skin_depth() * height)[_COCO])
    pixels = camera.project(points)[0][_COCO]
    keypoints = np.concatenate([pixels, flags[:, None]], 1)
    keypoints[flags == 0] = 0
    # COCO's boxes count from the edge of the first pixel, half a pixel before its centre.
    rows, cols = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
    low = np.array([cols[0], rows[0]]) / rendering.scale
    high = (np.array([cols[-1], rows[-1]]) + 1) / rendering.scale
    visible = pixels[flags == 2] + 0.5
    if len(visible):
        low, high = np.minimum(low, visible.min(0)), np.maximum(high, visible.max(0))
    keypoints3d = camera.to_camera(points[_COCO]) * 1000
    made = store.annotation(keypoints, [*low, *(high - low)], area, keypoints3d, None)
    return {**made, "person_id": who.number}


def annotator_flags(flags: np.ndarray) -> np.ndarray:
    """As `render.annotated`, flags [17]; of people with too few visible keypoints of arms and trunk no keypoint is."""
    if (flags[_TRUNK_AND_ARMS] == 2).sum() < _ENOUGH:
        return np.zeros_like(flags)
    return annotated(flags, COCO.limb_index)
