"""The places of the everyday world: the ground is a plane, the far wall a cylinder.

Images are display RGB float [H,W,3] in [0,1]; world metres, ground at z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fewpose_worlds.people import sample_colour
from fewpose_worlds.render import Camera, Light

_TILE = 8.0  # metres of ground that one ground texture covers
_WALL = (192, 1024)  # rows, columns of the far wall's texture


@dataclass(frozen=True)
class Site:
    """One place: textures of 8 m of ground and of the unrolled far wall, whose distance and height are in metres."""

    ground: np.ndarray
    wall: np.ndarray
    distance: float
    height: float
    indoor: bool
    light: Light
    shadow: float  # how dark cast shadows are
    softness: float  # standard deviation of their edge in pixels of a 128 pixel image


def noise(rng: np.random.Generator, rows: int, cols: int, finest: int = 2) -> np.ndarray:
    """Smooth noise [rows,cols] around 0 of about unit deviation, in octaves from 64 down to `finest` pixels."""
    out = np.zeros((rows, cols), np.float32)
    step, weight = 64, 1.0
    while step >= finest:
        grid = rng.standard_normal((max(rows // step, 1) + 2, max(cols // step, 1) + 2))
        out += weight * cv2.resize(grid.astype(np.float32), (cols, rows), interpolation=cv2.INTER_CUBIC)
        step, weight = step // 2, weight * 0.75
    return out / 1.4


def sample_site(rng: np.random.Generator) -> Site:
    """A random place, outdoors with probability 0.65."""
    indoor = rng.random() < 0.35
    warm = rng.normal(0, 0.07)
    tint = np.array([1 + warm, 1.0, 1 - warm])
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.3)
    direction = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    hard = rng.uniform(0, 1) ** 0.7 * (0.6 if indoor else 1.0)
    level = rng.uniform(0.75, 1.15)
    sun, sky = level * tint * (0.25 + 0.75 * hard), level * (0.62 - 0.25 * hard) * np.array([0.96, 0.99, 1.06])
    light = Light(direction, sun, sky, level * rng.uniform(0.12, 0.3) * np.ones(3))
    shade = 0.75 + 0.3 * level * tint
    ground = _ground(rng, indoor)
    wall = _indoor_wall(rng) if indoor else _outdoor_wall(rng)
    distance = rng.uniform(3.5, 10) if indoor else rng.uniform(15, 60)
    height = rng.uniform(2.6, 5) if indoor else distance
    softness = rng.uniform(0.4, 1.5) + 5 * (1 - hard)
    ground, wall = (_tinted(texture, shade) for texture in (ground, wall))
    return Site(ground, wall, distance, height, indoor, light, 0.25 + 0.4 * hard, softness)


def _tinted(texture: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """A texture [H,W,3] times a colour [3], clipped to [0,1]; by whole rows, which is faster."""
    rows = texture.reshape(len(texture), -1) * np.tile(shade, texture.shape[1])
    return np.clip(rows, 0, 1, rows).astype(np.float32).reshape(texture.shape)


def _ground(rng: np.random.Generator, indoor: bool) -> np.ndarray:
    n = 384
    kinds = "wood tiles plain carpet" if indoor else "grass grass track track sand asphalt tiles plain"
    kind = str(rng.choice(kinds.split()))
    base = {
        "grass": (0.33, 0.45, 0.18),
        "track": (0.68, 0.30, 0.22),
        "sand": (0.80, 0.71, 0.54),
        "asphalt": (0.42, 0.42, 0.43),
        "wood": (0.68, 0.50, 0.32),
    }.get(kind)
    if base is None:
        base = sample_colour(rng)
        base = (base + 1.5 * base.mean()) / 2.5 * 0.6 + 0.22  # floors are rarely gaudy
    else:
        base = np.array(base) * rng.uniform(0.8, 1.2) * rng.uniform(0.9, 1.1, 3)
    if kind == "track" and rng.random() < 0.3:
        base = np.array([0.22, 0.38, 0.62]) * rng.uniform(0.8, 1.2)
    out = np.full((n, n, 3), base, np.float32)
    y, x = np.mgrid[:n, :n] * (_TILE / n)
    if kind == "track":
        out[np.abs((y % 1.22) - 0.6) < 0.03] = 0.9  # lines between lanes
    elif kind == "wood":
        plank = np.floor(y / 0.12)
        board = np.floor(x / 1.6 + plank * 0.37)
        out *= (1 + 0.13 * np.sin(plank * 78.233 + board * 12.9))[..., None]
        out[(y % 0.12) < 0.012] *= 0.7
        if rng.random() < 0.4:
            cv2.circle(out, (n // 2, n // 2), n // 4, sample_colour(rng).tolist(), 4)
    elif kind == "tiles":
        size = rng.choice([0.25, 0.5, 1.0])
        odd = (np.floor(x / size) + np.floor(y / size)) % 2 > 0
        out[odd] = out[odd] * rng.uniform(0.6, 1.1)
        out[((x % size) < 0.03) | ((y % size) < 0.03)] *= 0.75
    elif kind in ("carpet", "grass"):
        out *= (1 + 0.12 * np.sin(2 * np.pi * y / rng.choice([1, 2, 4])))[..., None]
    rough = {"grass": 0.16, "sand": 0.12, "asphalt": 0.1}.get(kind, 0.05)
    return out * cv2.merge((1 + rough * noise(rng, n, n, 1),) * 3)


def _outdoor_wall(rng: np.random.Generator) -> np.ndarray:
    """Sky above hills, trees, houses or stands; the bottom row is at the ground."""
    rows, cols = _WALL
    blue = rng.random() < 0.6
    top = np.array([0.35, 0.55, 0.85]) if blue else np.repeat(rng.uniform(0.6, 0.9), 3)
    low = np.array([0.78, 0.85, 0.92]) * rng.uniform(0.85, 1.05)
    t = np.linspace(0, 1, rows)[:, None, None] ** 0.8
    out = np.full((rows, cols, 3), top * (1 - t) + low * t, np.float32)
    cloud = np.clip(noise(rng, rows, cols, 4) * 0.6 + rng.uniform(-0.5, 0.4), 0, 1)[..., None]
    out += (np.array([0.95, 0.95, 0.97]) - out) * cloud
    for _ in range(rng.integers(1, 4)):
        kind = str(rng.choice(["trees", "trees", "hills", "houses", "stands", "fence"]))
        if kind in ("trees", "hills"):
            tall = 0.05 + (0.4 if kind == "trees" else 0.2) * rng.random() ** 1.5
            rugged = noise(rng, 1, cols, 4 if kind == "trees" else 32)
            edge = rows * (1 - tall * (1 + 0.35 * rugged))
            mask = np.arange(rows)[:, None] > edge
            green = np.array([0.2, 0.33, 0.13]) * rng.uniform(0.5, 1.4) + rng.uniform(0, 0.12)
            out[mask] = green * (1 + 0.3 * noise(rng, rows, cols, 2)[mask])[..., None]
        elif kind == "houses":
            for x in np.cumsum(rng.integers(40, 140, 12)):
                wide, tall = int(rng.integers(40, 130)), int(rows * rng.uniform(0.15, 0.8))
                wall = (sample_colour(rng) * 0.5 + 0.3).tolist()
                cv2.rectangle(out, (int(x), rows - tall), (int(x) + wide, rows), wall, -1)
                glass = rng.uniform(0.1, 0.7, 3).tolist()
                for wx in range(int(x) + 6, int(x) + wide - 8, 16):
                    for wy in range(rows - tall + 6, rows - 10, 20):
                        cv2.rectangle(out, (wx, wy), (wx + 7, wy + 10), glass, -1)
        elif kind == "stands":
            tall = int(rows * rng.uniform(0.15, 0.5))
            out[rows - tall :] = sample_colour(rng) * 0.5 + 0.2
            for row in range(rows - tall, rows - 8, 8):
                out[row : row + 2] *= 0.7
                for x in rng.integers(0, cols, int(cols * rng.uniform(0.02, 0.12))):
                    x, shirt = int(x), sample_colour(rng).tolist()
                    cv2.rectangle(out, (x, row), (x + 4, row + 6), shirt, -1)
                    cv2.circle(out, (x + 2, row - 1), 2, (0.75, 0.55, 0.42), -1)
        else:
            tall = int(rows * rng.uniform(0.04, 0.12))
            board = sample_colour(rng)
            for x in range(0, cols, 64):
                board = sample_colour(rng) if rng.random() < 0.5 else board
                out[rows - tall :, x : x + 63] = board
                text, ink = "".join(rng.choice(list("ABEIKNORSTXZ379"), 5)), sample_colour(rng).tolist()
                cv2.putText(out, text, (x + 4, rows - 3), cv2.FONT_HERSHEY_SIMPLEX, tall / 34, ink, 1)
    return out * cv2.merge((1 + 0.02 * noise(rng, rows, cols, 1),) * 3)


def _indoor_wall(rng: np.random.Generator) -> np.ndarray:
    """A wall with windows, doors, paintings, shelves and a skirting board."""
    rows, cols = _WALL
    out = np.full((rows, cols, 3), sample_colour(rng) * 0.45 + 0.45, np.float32)
    if rng.random() < 0.3:
        out[:, ::16] *= 0.9
    if rng.random() < 0.25:
        out[::10] *= 0.85
        out[:, ::22] *= 0.9
    for _ in range(rng.integers(4, 26)):
        x, y = int(rng.integers(0, cols)), int(rng.integers(0, rows - 30))
        wide, tall = int(rng.integers(10, 90)), int(rng.integers(10, 90))
        if rng.random() < 0.35:  # doors and cupboards stand on the floor
            y, tall = rows - int(rng.integers(50, 150)), rows
        cv2.rectangle(out, (x, y), (x + wide, y + tall), sample_colour(rng).tolist(), -1)
        if rng.random() < 0.6:
            cv2.rectangle(out, (x, y), (x + wide, y + tall), sample_colour(rng).tolist(), 2)
        for _ in range(rng.integers(0, 6)):
            left = x + int(rng.integers(0, wide))
            top = y + int(rng.integers(0, max(min(tall, rows - y), 1)))
            end = left + int(rng.integers(2, 14)), top + int(rng.integers(2, 14))
            cv2.rectangle(out, (left, top), end, sample_colour(rng).tolist(), -1)
    out[-6:] *= 0.7
    shade = 1 + 0.1 * noise(rng, rows, cols, 16)
    return out * shade[..., None] * np.linspace(1.05, 0.85, rows)[:, None, None]


def backdrop(place: Site, camera: Camera, shadow: np.ndarray | None = None) -> np.ndarray:
    """The place as the camera sees it, [H,W,3]; shadow [H,W] in [0,1] darkens the ground."""
    rows, cols = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    ray = camera.rays(np.stack([cols, rows], -1)).astype(np.float32)
    x, y, z = cv2.split(ray)
    flat = np.maximum(np.hypot(x, y), 1e-6)
    tall = np.float32(camera.position[2])
    reach = np.where(z < -1e-6, tall * flat / np.maximum(-z, 1e-6), 1e6)
    on_ground = reach < place.distance
    out = np.empty(ray.shape, np.float32)
    # Wall and ground are each computed in the rows that show some of them.
    if len(above := np.flatnonzero(~on_ground.all(1))):
        part = slice(above[0], above[-1] + 1)
        up = tall + np.float32(place.distance) * z[part] / flat[part]
        out[part] = _wall_colours(place, x[part], y[part], up)
    if len(below := np.flatnonzero(on_ground.any(1))):
        part = slice(below[0], below[-1] + 1)
        near = reach[part]
        along = np.minimum(near, 200) / flat[part]
        start = camera.position.astype(np.float32)
        east, north = ((r[part] * along + p) / _TILE for r, p in zip((x, y), start, strict=False))
        ground = _ground_colours(place, east, north, near, camera.focal)
        if shadow is not None:
            ground *= cv2.merge((1 - place.shadow * shadow[part],) * 3)
        np.copyto(out[part], ground, where=on_ground[part][..., None])
    return out


def _ground_colours(place: Site, east, north, reach, focal: float) -> np.ndarray:
    """Colours [h,w,3] of the ground at positions [h,w] in tiles, `reach` metres from the camera."""
    n = len(place.ground)
    u, v = ((at - np.floor(at)) * (n - 1) for at in (east, north))
    ground = cv2.remap(place.ground, u, v, cv2.INTER_LINEAR)
    mean = place.ground[::8, ::8].mean((0, 1))
    # Far away the texture is finer than pixels and would alias.
    near = np.exp(-reach / np.float32(1500 / n + focal * 0.12))
    return mean + (ground - mean) * cv2.merge((near,) * 3)


def _wall_colours(place: Site, x, y, up) -> np.ndarray:
    """Colours [h,w,3] of the far wall in directions x, y at heights `up` in metres."""
    height, width = place.wall.shape[:2]
    around = (0.5 - np.arctan2(y, x) / (2 * np.pi)) * (width - 1)
    around = (around * 3.0) % (width - 1)  # thrice around the horizon, or the texture would be magnified too much
    row = np.clip(1 - up / place.height, 0, 1) * (height - 1)
    return cv2.remap(place.wall, around, row, cv2.INTER_LINEAR)
