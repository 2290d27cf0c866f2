"""The everyday world, which stands in for COCO: diverse people, clothes, poses, places and cameras.

17 keypoints; one main person a frame (the largest, nearest the centre), others behind. A scene is a few frames of one
place, each with new people and a new camera; train, val and test are split by scene.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from fewpose_worlds import people, shapes, store
from fewpose_worlds.body import KEYPOINTS, Bodies, pose_bodies, rotation
from fewpose_worlds.everyday import poses, scenes
from fewpose_worlds.people import sample_colour
from fewpose_worlds.render import Camera, Rendering, look_at, render, shadow, visibility

SCENE = 8  # frames of one scene
VERSION = 1  # of the images: one of the parameters that a cached world is compared by
_COCO = slice(0, 17)
_SPLITS = ("train", "val", "test") + ("train",) * 7


def make_scene(seed: int, scene: int, frames: int, size: int, above: float) -> store.Rendered:
    """The first frames of a scene, size x size pixels; `above` is the share of cameras that look down from a height."""
    place = scenes.sample_site(np.random.default_rng([seed, scene]))
    generators = [np.random.default_rng([seed, scene, frame]) for frame in range(frames)]
    groups = [_sample_people(rng) for rng in generators]
    everybody = pose_bodies(*(np.concatenate([group[k] for group in groups]) for k in range(3)))
    images, metadata, annotations = [], [], []
    first = 0
    for frame, (rng, group) in enumerate(zip(generators, groups, strict=True)):
        bodies = everybody.subset(slice(first, first + len(group[0])))
        first += len(bodies)
        image, annotated = _render_frame(rng, place, bodies, *group[3:], size, above)
        images.append(image)
        annotations.append(annotated)
        metadata.append({"video_id": f"scene{scene:05d}", "frame": frame, "split": _SPLITS[scene % len(_SPLITS)]})
    return np.stack(images), metadata, annotations


def _sample_people(rng: np.random.Generator):
    """Phenotypes, rotations (facing anywhere), roots, kinds of pose and heights above the ground of some people."""
    count = 1 + int(rng.choice([0, 1, 2, 3, 4], p=[0.42, 0.24, 0.18, 0.1, 0.06]))
    sampled = []
    for i in range(count):
        calm = i > 0 and rng.random() < 0.6
        pose, kind, height = poses.sample_pose(rng, str(rng.choice(["stand", "walk", "reach"])) if calm else None)
        pose[0] = rotation("z", rng.uniform(0, 2 * np.pi)) @ pose[0]
        sampled.append((pose, kind, height))
    rotations, kinds, heights = zip(*sampled, strict=True)
    phenotypes = np.stack([people.sample_phenotype(rng, rng.random() < 0.45) for _ in range(count)])
    return phenotypes, np.stack(rotations), np.zeros((count, 3)), kinds, heights


def _render_frame(rng, place: scenes.Site, bodies: Bodies, kinds, heights, size: int, above: float):
    """One image uint8 [3,S,S] and its annotations."""
    for i in range(len(bodies)):
        v = bodies.vertices[i]
        middle = (v.min(0) + v.max(0)) / 2
        bodies.translate(i, np.array([-middle[0], -middle[1], heights[i] - v[:, 2].min()]))
    seat = rng.uniform(0.02, 0.15)
    if kinds[0] == "sit":  # on half of the seats the feet do not reach the ground
        bodies.translate(0, np.array([0, 0, seat * (rng.random() < 0.5)]))
    camera = _sample_camera(rng, bodies.vertices[0], size, place, above)
    shown = [0] + [i for i in range(1, len(bodies)) if _place_behind(rng, bodies, i, camera, place)]
    meshes, casting = [], []
    for i in shown:
        sport = kinds[i] not in ("stand", "sit", "walk", "lie") and rng.random() < 0.75
        dressed = people.dress(bodies, i, people.sample_appearance(rng, sport), i)
        meshes += dressed
        casting += dressed[:1]
    meshes += _sample_objects(rng, place, camera, bodies, kinds[0])
    rendering = render(camera, meshes, place.light)
    blur = place.softness * size / 128
    towards = place.light.direction if place.softness < 3.5 else np.array([0, 0, 1.0])
    dark = shadow(camera, casting, towards, blur) if place.shadow > 0.3 or not place.indoor else None
    image = _apply_camera_effects(rng, rendering, scenes.backdrop(place, camera, dark), size)
    annotations = [_annotate(rendering, camera, bodies, i) for i in shown]
    return image, [one for one in annotations if one is not None]


def _sample_camera(rng, vertices: np.ndarray, size: int, place: scenes.Site, above: float) -> Camera:
    """A camera in which the main person fills 55 to 95 % of the frame's height (or width), or is cut by it."""
    middle = (vertices.min(0) + vertices.max(0)) / 2
    span = np.linalg.norm(vertices.max(0) - vertices.min(0))
    away = span * rng.uniform(1.6, 5.5)
    if place.indoor:
        away = min(away, place.distance * 0.8 + 1)
    side = rng.uniform(0, 2 * np.pi)
    from_above = rng.random() < above
    height = rng.uniform(2.5, 5) if from_above else np.clip(rng.normal(1.3, 0.5), 0.15, 2.6)
    position = np.array([np.cos(side) * away, np.sin(side) * away, height])
    roll = np.radians(rng.normal(0, 4) if rng.random() < 0.9 else rng.uniform(-25, 25))
    camera = look_at(position, middle, 1.0, size, size, roll)
    pixels, _ = replace(camera, centre=(0.0, 0.0)).project(vertices)
    low, high = pixels.min(0), pixels.max(0)
    part = rng.uniform(0.55, 0.95)
    cut = rng.random() < 0.12
    if cut:
        part = rng.uniform(1.0, 1.6)
    focal = part * (size - 1) / (high - low).max()
    room = np.abs((size - 1) - (high - low) * focal) / 2
    shift = rng.uniform(-1, 1, 2) * np.minimum(room, size * (0.35 if cut else 0.12))
    centre = (size - 1) / 2 + shift - (low + high) / 2 * focal
    return replace(camera, focal=float(focal), centre=(float(centre[0]), float(centre[1])))


def _place_behind(rng, bodies: Bodies, i: int, camera: Camera, place: scenes.Site) -> bool:
    """Move person i somewhere behind the main one; whether they are in the frame there."""
    mine, mains = (float(np.linalg.norm(np.ptp(bodies.vertices[k], axis=0))) for k in (i, 0))
    main = bodies.vertices[0].mean(0)
    away = np.linalg.norm(main[:2] - camera.position[:2])
    far = away * max(1.25, 1.2 * mine / mains) * rng.uniform(1, 3)
    if place.indoor:
        far = min(far, away + place.distance)
    where = rng.choice([-1, 1]) * rng.uniform(0.12, 0.52)
    ray = camera.rays(np.array([(camera.width - 1) * (0.5 + where), camera.height / 2.0]))
    spot = camera.position[:2] + ray[:2] / max(np.hypot(*ray[:2]), 1e-6) * far
    bodies.translate(i, np.array([*spot, 0]))
    pixels, depth = camera.project(bodies.vertices[i])
    return bool(depth.min() > 0.5 and ((pixels > 0) & (pixels < camera.width)).all(1).mean() > 0.2)


def _sample_objects(rng, place: scenes.Site, camera: Camera, bodies: Bodies, kind: str) -> list:
    """A seat or ball for a pose of the given kind, objects around the main person and, seldom, one in front."""
    made = []
    v = bodies.vertices[0]
    low = v[:, 2].min()
    points = dict(zip(KEYPOINTS, bodies.keypoints[0], strict=True))
    if kind == "sit":
        hips, knees = ((points[f"left_{joint}"] + points[f"right_{joint}"]) / 2 for joint in ("hip", "knee"))
        back = hips - knees
        under = hips[:2] + back[:2] * 0.12
        top = max(hips[2] - 0.13, 0.1)
        turn = np.arctan2(back[1], back[0])
        made.append(shapes.box((*under, top / 2), (0.42, 0.42, top), turn, sample_colour(rng)))
    if kind in ("kick", "throw") and rng.random() < 0.7:
        end = points[str(rng.choice(["left_toe", "right_toe"] if kind == "kick" else ["left_hand", "right_hand"]))]
        radius = rng.uniform(0.05, 0.12)
        spot = end + rng.normal(0, 1, 3) * 0.15
        made.append(shapes.ball((*spot[:2], max(spot[2], radius)), radius, sample_colour(rng)))
    towards = v.mean(0)[:2] - camera.position[:2]
    away = np.linalg.norm(towards)
    forward = towards / away
    right = np.array([forward[1], -forward[0]])
    half = camera.width / camera.focal / 2  # half the frame's width over the depth

    def add_box(spot, size, turn: float, stripes: list[float]) -> None:
        made.append(shapes.box((*spot, size[2] / 2), size, turn, sample_colour(rng), rng.choice(stripes)))

    for _ in range(int(rng.choice([0, 1, 2, 4], p=[0.45, 0.25, 0.2, 0.1]))):
        deep = away + rng.uniform(1.2, 3.5 if place.indoor else 8)
        spot = camera.position[:2] + forward * deep + right * deep * half * rng.uniform(-1.1, 1.1)
        add_box(spot, rng.uniform((0.2, 0.2, 0.2), (1.5, 0.8, 1.6)), rng.uniform(0, 3), [0.0, 0.05])
    if rng.random() < 0.13:
        deep = away * rng.uniform(0.55, 0.8) - 0.3
        if deep > 0.8:
            spot = camera.position[:2] + forward * deep + right * deep * half * rng.uniform(-0.6, 0.6)
            if rng.random() < 0.5:  # a post
                size = (rng.uniform(0.03, 0.12), 0.1, 5.0)
            else:  # a hurdle, a low wall, a table
                size = (rng.uniform(0.4, 2), 0.1, low + np.ptp(v[:, 2]) * rng.uniform(0.1, 0.4))
            add_box(spot, size, np.arctan2(right[1], right[0]) + rng.normal(0, 0.2), [0.0, 0.04])
    return made


def _apply_camera_effects(rng, rendering: Rendering, background: np.ndarray, size: int) -> np.ndarray:
    """The frame uint8 [3,S,S] with blur, exposure, sensor noise and compression."""
    unit = size / 128
    if rng.random() < 0.25:  # outside the depth of field
        background = cv2.GaussianBlur(background, (0, 0), rng.uniform(0.5, 2.5) * unit)
    if rng.random() < 0.15:  # the camera follows the person
        background = _motion_blur(background, rng.uniform(2, 10) * unit, rng.normal(0, 0.1))
    image = rendering.over(background).astype(np.float32, copy=False)
    if rng.random() < 0.15:
        image = _motion_blur(image, rng.uniform(1, 4) * unit, rng.uniform(0, np.pi))
    elif rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.0) * unit)
    contrast, brightness = rng.normal(1, 0.12), rng.normal(0, 0.06)
    image -= 0.45
    image *= contrast
    image += 0.45
    image += brightness
    rows = image.reshape(size, -1)  # multiplying whole rows is faster than a last axis of three
    rows *= np.tile(1 + rng.normal(0, 0.035, 3), size)
    if rng.random() < 0.07:
        image[:] = image.mean(2, keepdims=True)
    grain = rng.uniform(0, 0.035) * rng.random()
    image += np.float32(grain) * rng.standard_normal(image.shape, dtype=np.float32)
    image *= 255
    out = cv2.cvtColor(np.clip(image, 0, 255, image).astype(np.uint8), cv2.COLOR_RGB2BGR)
    if rng.random() < 0.6:
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 96))])
        out = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return out[..., ::-1].transpose(2, 0, 1)


def _motion_blur(image: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Blur along a line of the given length in pixels, angle radians from the horizontal."""
    n = int(np.ceil(length)) | 1
    kernel = np.zeros((n, n), np.float32)
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    ends = np.rint((n // 2 + np.stack([-reach, reach])) * 16).astype(int)
    cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 1.0, 1, cv2.LINE_8, 4)
    return cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1e-6), borderType=cv2.BORDER_REFLECT)


def _annotate(rendering: Rendering, camera: Camera, bodies: Bodies, i: int) -> dict | None:
    """COCO annotation of person i; None if they are not visible."""
    pixels, _ = camera.project(bodies.vertices[i])
    edge = np.array([camera.width, camera.height]) - 0.5
    low, high = np.clip(pixels.min(0), -0.5, edge), np.clip(pixels.max(0), -0.5, edge)
    area = np.count_nonzero(rendering.person == i) / rendering.scale**2
    if area < 4 and i > 0:
        return None
    points = bodies.keypoints[i]
    scale = np.linalg.norm(np.ptp(bodies.rest[i], axis=0)) / 2.0
    flags = visibility(rendering, camera, points, i, people.SKIN_DEPTH * scale)
    keypoints = np.concatenate([camera.project(points)[0], flags[:, None]], 1)[_COCO]
    keypoints[keypoints[:, 2] == 0] = 0
    keypoints3d = camera.to_camera(points[_COCO]) * 1000
    return store.annotation(keypoints, [*low, *(high - low)], area, keypoints3d, i == 0)
