"""What is at a jump besides the athlete: the camera and its operator, bystanders and objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from fewpose_worlds import people
from fewpose_worlds.body import pose_bodies, rotation
from fewpose_worlds.everyday.poses import sample_pose
from fewpose_worlds.jump.motion import RATE, JumpMotion
from fewpose_worlds.jump.site import Site
from fewpose_worlds.render import Camera, Mesh, look_at, render
from fewpose_worlds.shapes import box


@dataclass(frozen=True)
class Operator:
    """The camera over time: it has one position, follows the athlete and zooms."""

    position: np.ndarray  # [3] world metres
    aim: np.ndarray  # [T,3] world metres
    zoom: np.ndarray  # [T] focal length over frame size
    roll: float  # radians

    def camera(self, time: float, size: int) -> Camera:
        """The camera at a time in frames (or fractions of them), for frames of size x size."""
        time = float(np.clip(time, 0, len(self.zoom) - 1))
        i = min(int(time), len(self.zoom) - 2)
        u = time - i
        aim = self.aim[i] * (1 - u) + self.aim[i + 1] * u
        zoom = self.zoom[i] * (1 - u) + self.zoom[i + 1] * u
        return look_at(self.position, aim, zoom * size, size, size, self.roll)


@dataclass(frozen=True)
class Bystander:
    """A person rendered once: premultiplied RGBA image [h,w,4] with its position and scale."""

    image: np.ndarray
    place: np.ndarray  # [3] world metres of the image's middle
    metre: float  # pixels of the image for a metre at `place`


def sample_operator(rng: np.random.Generator, motion: JumpMotion) -> Operator:
    """A camera mostly at the side, sometimes beyond the pit or in the stands, with imperfect pans."""
    height = motion.attempt.height
    land = motion.roots[motion.phases == "landing"][0, 1]
    side = rng.choice([-1.0, 1.0])
    if rng.random() < 0.17:  # obliquely from beyond the pit
        position = np.array([side * rng.uniform(2.5, 6), land + rng.uniform(6, 14), rng.uniform(1, 3)])
    else:
        middle = rng.uniform(-3, land) if land > 9 else rng.uniform(-3, 8)
        high = rng.uniform(3, 7) if rng.random() < 0.2 else rng.uniform(0.9, 2.6)
        position = np.array([side * rng.uniform(6.5, 22), middle, high])

    def wander(amount: float, seconds: float) -> np.ndarray:
        walk = gaussian_filter1d(rng.normal(0, 1, len(motion.roots) + 400), seconds * RATE)
        return amount * (walk / walk.std())[200:-200]

    late = rng.uniform(-0.01, 0.05)  # seconds that the operator is late
    speed = np.gradient(motion.roots[:, 1]) * RATE
    y = gaussian_filter1d(motion.roots[:, 1], 0.07 * RATE) - late * gaussian_filter1d(speed, 0.1 * RATE)
    z = gaussian_filter1d(motion.roots[:, 2], 0.09 * RATE)
    follow = rng.uniform(0.55, 1.0)
    # The middle of an upright athlete is near the pelvis, of a crouching one above it.
    z = 0.53 * height + follow * (z - 0.52 * height) + 0.05
    aim = np.stack([wander(0.03, 0.3), y + wander(0.09, 0.25), z + wander(0.06, 0.25)], 1)
    share = rng.uniform(0.7, 0.92)  # of the frame's height that the upright athlete fills
    away = np.linalg.norm(aim - position, axis=1)
    zoom = share * gaussian_filter1d(away, 0.15 * RATE) / height * (1 + wander(0.05, 0.4))
    return Operator(position, aim, zoom, float(rng.normal(0, 0.025)))


def sample_bystanders(rng: np.random.Generator, operator: Operator, site: Site, size: int) -> list[Bystander]:
    """Officials, coaches and other athletes along the runway, as the operator sees them."""
    n = int(rng.integers(1, 9))
    kinds = ["stand", "walk", "sit", "arms_up", "reach", "crouch", "run"]
    kinds = rng.choice(kinds, n, p=[0.45, 0.15, 0.1, 0.08, 0.08, 0.06, 0.08])
    rotations = np.stack([sample_pose(rng, str(kind))[0] for kind in kinds])
    rotations[:, 0] = rotation("z", rng.uniform(0, 2 * np.pi, n)) @ rotations[:, 0]
    out = site.far * rng.uniform(2.2, max(3.0, min(9.0, site.wall - 1.5)), n)
    if abs(operator.position[0]) > 7:  # some are on the operator's side and hide the athlete
        out = np.where(rng.random(n) < 0.12, -site.far * rng.uniform(2.0, 3.0, n), out)
    places = np.stack([out, rng.uniform(-16, site.pit[1] + 4, n), np.zeros(n)], 1)
    phenotypes = np.stack([people.sample_phenotype(rng) for _ in range(n)])
    places[:, 2] = -pose_bodies(phenotypes, rotations, np.zeros((n, 3))).vertices[..., 2].min(1)
    bodies = pose_bodies(phenotypes, rotations, places)
    standers = []
    for i in range(n):
        low, high = bodies.vertices[i].min(0), bodies.vertices[i].max(0)
        middle = (low + high) / 2
        away = np.linalg.norm(middle - operator.position)
        half = float(np.linalg.norm(high - low)) / 2 + 0.05
        metre = float(operator.zoom[len(operator.zoom) // 2]) * size / away
        pixels = int(np.clip(2 * half * metre, 8, 3 * size))
        camera = look_at(operator.position, middle, metre * away, pixels, pixels, operator.roll)
        look = people.sample_appearance(rng, rng.random() < 0.5)
        rendering = render(camera, people.dress(bodies, i, look, 1), site.light)
        standers.append(Bystander(np.dstack([rendering.colour, rendering.alpha]), middle, metre))
    return standers


def sample_objects(rng: np.random.Generator, site: Site) -> Mesh | None:
    """Distance boards along the pit, benches, boxes and cones, as one mesh."""
    boxes = []
    if rng.random() < 0.6:
        shade = rng.choice([0.1, 0.9]) * np.ones(3)
        for y in np.arange(site.pit[0] + rng.uniform(0, 2), site.pit[1], rng.choice([0.5, 1.0])):
            boxes.append(box((site.far * (site.pit_half + 0.35), y, 0.12), (0.06, 0.32, 0.24), 0.0, shade))
    for _ in range(rng.integers(0, 6)):
        size = np.array([rng.uniform(0.1, 0.6), rng.uniform(0.1, 1.6), rng.uniform(0.15, 0.9)])
        out = site.far * rng.uniform(2.2, 4.5) * (-0.8 if rng.random() < 0.15 else 1)
        place = np.array([out, rng.uniform(-14, site.pit[1]), size[2] / 2])
        boxes.append(box(place, size, rng.uniform(0, 3), people.sample_colour(rng)))
    if not boxes:
        return None
    firsts = np.cumsum([0] + [len(m.vertices) for m in boxes])
    colours = np.concatenate([m.paint(np.arange(len(m.faces)), m.vertices[:1]) for m in boxes])
    vertices = np.concatenate([m.vertices for m in boxes])
    faces = np.concatenate([m.faces + first for m, first in zip(boxes, firsts, strict=False)])
    return Mesh(vertices, faces, lambda f, at: colours[f], flat=True)
