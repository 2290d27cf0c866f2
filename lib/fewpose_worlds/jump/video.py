"""One video of the jump world: an athlete, a site and a panning camera, rendered frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fewpose.skeleton import JUMP
from fewpose_worlds import people
from fewpose_worlds.body import JOINTS, KEYPOINTS, pose_bodies
from fewpose_worlds.jump.attempt import sample_attempt
from fewpose_worlds.jump.motion import RATE, JumpMotion, jump_motion
from fewpose_worlds.jump.site import Site, background, sample_site
from fewpose_worlds.jump.surroundings import Bystander, Operator, sample_bystanders, sample_objects, sample_operator
from fewpose_worlds.render import Camera, Mesh, Rendering, annotated, render, shadow, visibility

_ORDER = [KEYPOINTS.index(name) for name in JUMP.keypoints]
_SHADOW_BLUR = 1.2  # pixels of a 128 pixel frame


@dataclass(frozen=True)
class Video:
    """What is sampled once for a video; `effects` are the settings of the camera and the codec."""

    name: str
    motion: JumpMotion
    phenotype: np.ndarray
    look: people.Appearance
    site: Site
    operator: Operator
    behind: list[Bystander]
    before: list[Bystander]
    objects: Mesh | None
    exposure: float  # frames of 1/200 s
    effects: dict[str, float]
    size: int


def video_name(index: int) -> str:
    """The name of video `index`."""
    return f"jump{index:04d}"


def sample_video(seed: int, index: int, size: int) -> Video:
    """Video `index` of the world `seed`: the same at any size and number of videos."""
    rng = np.random.default_rng([seed, 31, index])
    phenotype = people.sample_phenotype(rng, athlete=True)
    look = people.sample_appearance(rng, sport=True)
    upright = pose_bodies(phenotype[None], np.eye(3)[None, None].repeat(len(JOINTS), 1), np.zeros((1, 3)))
    ground = upright.vertices[0, :, 2].min()
    height = float(np.ptp(upright.vertices[0, :, 2]))
    attempt = sample_attempt(int(rng.integers(2**31)), height)
    motion = jump_motion(attempt, upright.joints[0] - [0, 0, ground])
    operator = sample_operator(rng, motion)
    far = -1 if operator.position[0] > 0 else 1
    land = float(motion.roots[motion.phases == "landing"][0, 1])
    begin = float(rng.uniform(1.0, 3.0)) if attempt.kind == "long" else land - rng.uniform(2.5, 4.5)
    more_boards = () if rng.random() < 0.5 else (float(-rng.uniform(2, 6)),)
    pit = begin, land + float(rng.uniform(3, 6))
    density = operator.zoom[len(operator.zoom) // 2] * size / (abs(operator.position[0]) + 20)
    site = sample_site(rng, far, pit, (0.0, *more_boards), density)
    behind, before = [], []
    for stander in sample_bystanders(rng, operator, site, size):
        (behind if stander.place[0] * far > 0 else before).append(stander)
    behind.sort(key=lambda b: -np.linalg.norm(b.place - operator.position))
    return Video(
        name=video_name(index),
        motion=motion,
        phenotype=phenotype,
        look=look,
        site=site,
        operator=operator,
        behind=behind,
        before=before,
        objects=sample_objects(rng, site),
        exposure=float(RATE * np.exp(rng.uniform(np.log(1 / 800), np.log(1 / 90)))),
        effects=dict(
            gain=rng.uniform(0.7, 1.2),
            gamma=rng.uniform(0.8, 1.3),
            colour=rng.uniform(0.6, 1.2),
            warm=rng.normal(0, 0.04),
            haze=max(0.0, rng.uniform(-0.1, 0.12)),
            noise=rng.uniform(0.004, 0.04),
            soft=max(0.0, rng.uniform(-0.5, 0.9)),
            quality=rng.uniform(25, 90),
        ),
        size=size,
    )


@dataclass(frozen=True)
class Frames:
    """Rendered frames: images [n,S,S,3] uint8 RGB, poses [n,20,3] pixels and visibility as an annotator gives it,
    poses3d [n,20,3] millimetres in the camera frame, boxes [n,4] x0, y0, x1, y1 in pixels."""

    images: np.ndarray
    poses: np.ndarray
    poses3d: np.ndarray
    boxes: np.ndarray


def render_frames(video: Video, times: np.ndarray, seed: int) -> Frames:
    """Render the frames `times` [n] (integers, 1/200 s) of a video; seed is of the sensor noise."""
    following = np.minimum(times + 1, len(video.motion.roots) - 1)
    both = np.concatenate([times, following])
    phenotypes = video.phenotype[None].repeat(len(both), 0)
    bodies = pose_bodies(phenotypes, video.motion.rotations[both], video.motion.roots[both])
    n, size = len(times), video.size
    images = np.empty((n, size, size, 3), np.uint8)
    poses, poses3d = np.zeros((2, n, len(JUMP), 3), np.float32)
    boxes = np.zeros((n, 4), np.float32)
    for i, time in enumerate(times):
        camera = video.operator.camera(time, size)
        now, then = (people.dress(bodies, k, video.look, 0) for k in (i, n + i))
        rendering, colour, alpha = _render_exposure(video, time, now, then)
        images[i] = _compose(video, time, camera, now, colour, alpha, np.random.default_rng([seed, int(time)]))
        world = bodies.keypoints[i, _ORDER]
        pixels, _ = camera.project(world)
        flags = visibility(rendering, camera, world, 0, people.SKIN_DEPTH[_ORDER])
        for stander in video.before:
            cover = _bystander_layer(stander, camera)[..., 3]
            at = np.clip(np.rint(pixels), 0, size - 1).astype(int)
            flags = np.where((flags == 2) & (cover[at[:, 1], at[:, 0]] > 0.5), 1, flags)
        flags = annotated(flags, JUMP.limb_index)
        poses[i] = np.concatenate([pixels, flags[:, None]], 1) * (flags > 0)[:, None]
        poses3d[i] = camera.to_camera(world) * 1000
        outline, _ = camera.project(bodies.vertices[i])
        boxes[i] = np.clip([*outline.min(0), *outline.max(0)], -0.5, size - 0.5)
    return Frames(images, poses, poses3d, boxes)


def _render_exposure(video: Video, time: int, now: list[Mesh], then: list[Mesh]):
    """An exposure of objects and athlete (meshes now and a frame later): middle rendering, mean colour and alpha."""
    size, operator = video.size, video.operator
    fastest = np.abs(then[0].vertices - now[0].vertices).max() * video.exposure  # metres
    blur = fastest * operator.zoom[time] * size / np.linalg.norm(operator.aim[time] - operator.position)
    steps = 1 if blur < 1.0 else 3 if blur < 8 else 5
    renderings: list[Rendering] = []
    for share in (np.arange(steps) - (steps - 1) / 2) / steps:
        late = share * video.exposure
        moved = (a.vertices + (b.vertices - a.vertices) * late for a, b in zip(now, then, strict=True))
        meshes = [replace(mesh, vertices=at) for mesh, at in zip(now, moved, strict=True)]
        if video.objects is not None:
            meshes.append(video.objects)
        renderings.append(render(operator.camera(time + late, size), meshes, video.site.light, 2 if steps == 1 else 1))
    colour = np.mean([r.colour for r in renderings], 0)
    alpha = np.mean([r.alpha for r in renderings], 0)
    return renderings[steps // 2], colour, alpha


def _compose(video: Video, time: int, camera: Camera, now, colour, alpha, rng) -> np.ndarray:
    """The finished frame [S,S,3] uint8: background, shadow, athlete, blur, noise, compression."""
    size, site, effects = video.size, video.site, video.effects
    scene, ground = background(site, camera)
    dark = shadow(camera, now[:1], site.light.direction, _SHADOW_BLUR * size / 128)
    strength = 0.55 * site.light.sun.mean() / (site.light.sun.mean() + site.light.sky.mean())
    scene *= np.float32(1) - np.float32(strength) * (dark * ground)[..., None]
    for stander in video.behind:
        layer = _bystander_layer(stander, camera)
        scene = layer[..., :3] + scene * (1 - layer[..., 3:])
    scene = _pan_blur(scene, video, time)
    out = (colour + scene * (1 - alpha[..., None])).astype(np.float32, copy=False)
    for stander in video.before:
        layer = _pan_blur(_bystander_layer(stander, camera), video, time)
        out = layer[..., :3] + out * (1 - layer[..., 3:])
    if effects["soft"] * size / 128 > 0.3:
        out = cv2.GaussianBlur(out, (0, 0), effects["soft"] * size / 128)
    grey = out.mean(-1, keepdims=True)
    out = grey + (out - grey) * effects["colour"]
    out = out * (1 - effects["haze"]) + 0.8 * effects["haze"]
    out *= np.float32([1 + effects["warm"], 1, 1 - effects["warm"]]) * np.float32(effects["gain"])
    out = np.clip(out, 0, 1) ** np.float32(effects["gamma"])
    out += np.float32(effects["noise"]) * rng.standard_normal(out.shape, np.float32)
    image = np.clip(np.rint(out * 255), 0, 255).astype(np.uint8)
    code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(effects["quality"])])[1]
    return cv2.imdecode(code, cv2.IMREAD_COLOR)


def _bystander_layer(stander: Bystander, camera: Camera) -> np.ndarray:
    """A bystander's image moved into the frame of a camera, [S,S,4] premultiplied."""
    (x, y), depth = camera.project(stander.place)
    half = (len(stander.image) - 1) / 2
    away = np.linalg.norm(stander.place - camera.position)
    scale = camera.focal / away / stander.metre
    reach = half * scale
    if depth < 0.5 or min(x, y) < -reach or max(x, y) > camera.width + reach:
        return np.zeros((camera.height, camera.width, 4), np.float32)
    matrix = np.array([[scale, 0, x - scale * half], [0, scale, y - scale * half]])
    return cv2.warpAffine(stander.image, matrix, (camera.width, camera.height), flags=cv2.INTER_LINEAR)


def _pan_blur(scene: np.ndarray, video: Video, time: int) -> np.ndarray:
    """Blur by the camera's pan an image [S,S,C] of what does not move."""
    early, late = (video.operator.camera(time + s * video.exposure / 2, video.size) for s in (-1, 1))
    far = early.position + 100 * early.rotation[2]
    (x, y) = late.project(far)[0] - early.project(far)[0]
    length = float(np.hypot(x, y))
    if length < 0.7:
        return scene
    n = 2 * int(np.ceil(length / 2)) + 3
    line = np.zeros((n, n), np.float32)
    centre = (n - 1) / 2
    ends = [(int((centre + s * x / 2) * 16), int((centre + s * y / 2) * 16)) for s in (-1, 1)]
    cv2.line(line, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 4)
    total = line.sum()
    return cv2.filter2D(scene, -1, line / total) if total > 0 else scene


def pick_frames(rng: np.random.Generator, phases: np.ndarray, n: int) -> np.ndarray:
    """n frames of a video in order: a fixed share for each phase, evenly spread within it."""
    share = {"run-up": 3.0, "take-off": 1.2, "hop": 1.8, "step": 1.8, "jump": 2.4, "flight": 4.0, "landing": 1.2}
    weight = np.array([share[p] for p in phases]) / np.array([(phases == p).sum() for p in phases])
    total = np.cumsum(weight) / weight.sum()
    wanted = (np.arange(n) + rng.uniform(0.1, 0.9, n)) / n
    return np.clip(np.searchsorted(total, wanted), 0, len(phases) - 1)
