"""Where the everyday people are: a ground that is a plane, a far wall that is a cylinder, things.

Pictures are display RGB float [H,W,3] in [0,1]; world metres, ground at z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fewpose_worlds.people import colour, sphere
from fewpose_worlds.render import Camera, Light, Mesh

_TILE = 8.0  # metres of ground that one ground texture covers
_WALL = (192, 1024)  # rows, columns of the far wall's texture


@dataclass(frozen=True)
class Site:
    """One place: ground texture over 8 m, far wall unrolled, its distance and height in metres."""

    ground: np.ndarray
    wall: np.ndarray
    distance: float
    height: float
    indoor: bool
    light: Light
    shadow: float  # how dark cast shadows are
    softness: float  # standard deviation of their edge in pixels of a 128 pixel picture


def noise(rng: np.random.Generator, rows: int, cols: int, finest: int = 2) -> np.ndarray:
    """Smooth noise [rows,cols] around 0, about unit deviation, octaves down to finest pixels."""
    out = np.zeros((rows, cols), np.float32)
    step, weight = 64, 1.0
    while step >= finest:
        grid = rng.standard_normal((max(rows // step, 1) + 2, max(cols // step, 1) + 2))
        grid = grid.astype(np.float32)
        out += weight * cv2.resize(grid, (cols, rows), interpolation=cv2.INTER_CUBIC)
        step, weight = step // 2, weight * 0.75
    return out / 1.4


def site(rng: np.random.Generator) -> Site:
    """A random place, out of doors with probability 0.65."""
    indoor = rng.random() < 0.35
    warm = rng.normal(0, 0.07)
    tint = np.array([1 + warm, 1.0, 1 - warm])
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.3)
    direction = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    hard = rng.uniform(0, 1) ** 0.7 * (0.6 if indoor else 1.0)
    level = rng.uniform(0.75, 1.15)
    light = Light(
        direction,
        level * tint * (0.25 + 0.75 * hard),
        level * (0.62 - 0.25 * hard) * np.array([0.96, 0.99, 1.06]),
        level * rng.uniform(0.12, 0.3) * np.ones(3),
    )
    shade = 0.75 + 0.3 * level * tint
    ground = _ground(rng, indoor)
    wall = _room(rng) if indoor else _outdoors(rng)
    distance = rng.uniform(3.5, 10) if indoor else rng.uniform(15, 60)
    return Site(
        _lit(ground, shade),
        _lit(wall, shade),
        distance,
        rng.uniform(2.6, 5) if indoor else distance * 1.0,
        indoor,
        light,
        0.25 + 0.4 * hard,
        rng.uniform(0.4, 1.5) + 5 * (1 - hard),
    )


def _lit(texture: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """A texture [H,W,3] times a colour [3], in [0,1]; a whole row at a time, which is quicker."""
    rows = texture.reshape(len(texture), -1) * np.tile(shade, texture.shape[1])
    return np.clip(rows, 0, 1, rows).astype(np.float32).reshape(texture.shape)


def _ground(rng: np.random.Generator, indoor: bool) -> np.ndarray:
    n = 384
    kinds = (
        ["wood", "tiles", "plain", "carpet"]
        if indoor
        else ["grass", "grass", "track", "track", "sand", "asphalt", "tiles", "plain"]
    )
    kind = str(rng.choice(kinds))
    base = {
        "grass": (0.33, 0.45, 0.18),
        "track": (0.68, 0.30, 0.22),
        "sand": (0.80, 0.71, 0.54),
        "asphalt": (0.42, 0.42, 0.43),
        "wood": (0.68, 0.50, 0.32),
    }.get(kind)
    if base is None:
        base = colour(rng)
        base = (base + 1.5 * base.mean()) / 2.5 * 0.6 + 0.22  # floors are rarely gaudy
    else:
        base = np.array(base) * rng.uniform(0.8, 1.2) * rng.uniform(0.9, 1.1, 3)
    if kind == "track" and rng.random() < 0.3:
        base = np.array([0.22, 0.38, 0.62]) * rng.uniform(0.8, 1.2)
    out = np.empty((n, n, 3), np.float32)
    out[:] = base
    y, x = np.mgrid[:n, :n] * (_TILE / n)
    if kind == "track":
        lane = np.abs((y % 1.22) - 0.6) < 0.03
        out[lane] = 0.9
    elif kind == "wood":
        plank = np.floor(y / 0.12)
        board = np.floor(x / 1.6 + plank * 0.37)
        out *= (1 + 0.13 * np.sin(plank * 78.233 + board * 12.9))[..., None]
        out[(y % 0.12) < 0.012] *= 0.7
        if rng.random() < 0.4:
            cv2.circle(out, (n // 2, n // 2), n // 4, colour(rng).tolist(), 4)
    elif kind == "tiles":
        size = rng.choice([0.25, 0.5, 1.0])
        odd = (np.floor(x / size) + np.floor(y / size)) % 2 > 0
        out[odd] = out[odd] * rng.uniform(0.6, 1.1)
        out[((x % size) < 0.03) | ((y % size) < 0.03)] *= 0.75
    elif kind == "carpet" or kind == "grass":
        out *= (1 + 0.12 * np.sin(2 * np.pi * y / rng.choice([1, 2, 4])))[..., None]
    rough = {"grass": 0.16, "sand": 0.12, "asphalt": 0.1}.get(kind, 0.05)
    return out * cv2.merge((1 + rough * noise(rng, n, n, 1),) * 3)


def _outdoors(rng: np.random.Generator) -> np.ndarray:
    """Sky above hills, trees, houses or stands; the bottom row stands on the ground."""
    rows, cols = _WALL
    blue = rng.random() < 0.6
    top = np.array([0.35, 0.55, 0.85]) if blue else np.repeat(rng.uniform(0.6, 0.9), 3)
    low = np.array([0.78, 0.85, 0.92]) * rng.uniform(0.85, 1.05)
    t = np.linspace(0, 1, rows)[:, None, None] ** 0.8
    sky = np.broadcast_to(top * (1 - t) + low * t, (rows, cols, 3))
    out = np.ascontiguousarray(sky, np.float32)
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
                wall = (colour(rng) * 0.5 + 0.3).tolist()
                cv2.rectangle(out, (int(x), rows - tall), (int(x) + wide, rows), wall, -1)
                glass = rng.uniform(0.1, 0.7, 3).tolist()
                for wx in range(int(x) + 6, int(x) + wide - 8, 16):
                    for wy in range(rows - tall + 6, rows - 10, 20):
                        cv2.rectangle(out, (wx, wy), (wx + 7, wy + 10), glass, -1)
        elif kind == "stands":
            tall = int(rows * rng.uniform(0.15, 0.5))
            out[rows - tall :] = colour(rng) * 0.5 + 0.2
            for row in range(rows - tall, rows - 8, 8):
                out[row : row + 2] *= 0.7
                for x in rng.integers(0, cols, int(cols * rng.uniform(0.02, 0.12))):
                    x, shirt = int(x), colour(rng).tolist()
                    cv2.rectangle(out, (x, row), (x + 4, row + 6), shirt, -1)
                    cv2.circle(out, (x + 2, row - 1), 2, (0.75, 0.55, 0.42), -1)
        else:
            tall = int(rows * rng.uniform(0.04, 0.12))
            board = colour(rng)
            for x in range(0, cols, 64):
                board = colour(rng) if rng.random() < 0.5 else board
                out[rows - tall :, x : x + 63] = board
                cv2.putText(
                    out,
                    "".join(rng.choice(list("ABEIKNORSTXZ379"), 5)),
                    (x + 4, rows - 3),
                    cv2.FONT_HERSHEY_SIMPLEX,
                    tall / 34,
                    colour(rng).tolist(),
                    1,
                )
    return out * cv2.merge((1 + 0.02 * noise(rng, rows, cols, 1),) * 3)


def _room(rng: np.random.Generator) -> np.ndarray:
    """A wall with windows, doors, pictures, shelves and a skirting board."""
    rows, cols = _WALL
    out = np.empty((rows, cols, 3), np.float32)
    out[:] = colour(rng) * 0.45 + 0.45
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
        cv2.rectangle(out, (x, y), (x + wide, y + tall), colour(rng).tolist(), -1)
        if rng.random() < 0.6:
            cv2.rectangle(out, (x, y), (x + wide, y + tall), colour(rng).tolist(), 2)
        for _ in range(rng.integers(0, 6)):
            left = x + int(rng.integers(0, wide))
            top = y + int(rng.integers(0, max(min(tall, rows - y), 1)))
            end = left + int(rng.integers(2, 14)), top + int(rng.integers(2, 14))
            cv2.rectangle(out, (left, top), end, colour(rng).tolist(), -1)
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
    # The wall is drawn where a row shows some of it, then the ground over it, likewise.
    if len(above := np.flatnonzero(~on_ground.all(1))):
        part = slice(above[0], above[-1] + 1)
        up = tall + np.float32(place.distance) * z[part] / flat[part]
        out[part] = _wall_seen(place, x[part], y[part], up)
    if len(below := np.flatnonzero(on_ground.any(1))):
        part = slice(below[0], below[-1] + 1)
        near = reach[part]
        along = np.minimum(near, 200) / flat[part]
        east, north = (
            ((r[part] * along + p) / _TILE) for r, p in zip((x, y), camera.position.astype(np.float32), strict=False)
        )
        ground = _ground_seen(place, east, north, near, camera.focal)
        if shadow is not None:
            ground *= cv2.merge((1 - place.shadow * shadow[part],) * 3)
        np.copyto(out[part], ground, where=on_ground[part][..., None])
    return out


def _ground_seen(place: Site, east, north, reach, focal: float) -> np.ndarray:
    """The ground [h,w,3] at places in tiles, `reach` metres from a camera of focal length."""
    n = len(place.ground)
    u, v = ((at - np.floor(at)) * (n - 1) for at in (east, north))
    ground = cv2.remap(place.ground, u, v, cv2.INTER_LINEAR)
    mean = place.ground[::8, ::8].mean((0, 1))
    # Far away the texture is too fine to be seen, and would only flicker.
    near = np.exp(-reach / np.float32(1500 / n + focal * 0.12))
    return mean + (ground - mean) * cv2.merge((near,) * 3)


def _wall_seen(place: Site, x, y, up) -> np.ndarray:
    """The far wall [h,w,3] in directions x, y at the heights `up`."""
    height, width = place.wall.shape[:2]
    around = (0.5 - np.arctan2(y, x) / (2 * np.pi)) * (width - 1)
    repeat = 3.0  # the wall repeats round the horizon, so that it is not magnified too much
    around = (around * repeat) % (width - 1)
    row = np.clip(1 - up / place.height, 0, 1) * (height - 1)
    return cv2.remap(place.wall, around, row, cv2.INTER_LINEAR)


def box(centre, size, turn: float, painted: np.ndarray, stripes: float = 0.0, piece: float = 0.35) -> Mesh:
    """A box: centre and size [3] in metres, turned by turn radians about z, of one colour.

    Its sides are cut into pieces of about `piece` metres, so that sorting by depth works beside people.
    """
    size = np.asarray(size, float)
    vertices, faces = [], []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        nu, nv = (int(np.clip(np.ceil(size[k] / piece), 1, 2.8 / piece)) for k in (u, v))
        for sign in (-1, 1):
            first = sum(map(len, vertices))
            grid = np.full(((nu + 1) * (nv + 1), 3), sign / 2)
            grid[:, u] = np.repeat(np.linspace(-0.5, 0.5, nu + 1), nv + 1)
            grid[:, v] = np.tile(np.linspace(-0.5, 0.5, nv + 1), nu + 1)
            vertices.append(grid * size)
            for i in range(nu):
                for j in range(nv):
                    a = first + i * (nv + 1) + j
                    b, c, d = a + nv + 1, a + nv + 2, a + 1
                    faces += [[a, b, c], [a, c, d]] if sign > 0 else [[a, c, b], [a, d, c]]
    corners = np.concatenate(vertices)
    c, s = np.cos(turn), np.sin(turn)
    placed = corners @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + centre

    def paint(f: np.ndarray, at: np.ndarray) -> np.ndarray:
        out = np.tile(np.asarray(painted, np.float32), (len(f), 1))
        if stripes:
            out *= np.where(np.sin(at.sum(1) / stripes) > 0, 1.0, 0.6)[:, None]
        return out

    return Mesh(placed, np.array(faces), paint, corners, flat=True)


def ball(centre, radius: float, painted: np.ndarray) -> Mesh:
    """A ball of one colour with darker patches; centre [3] and radius in metres."""
    vertices, faces = sphere()

    def paint(f: np.ndarray, at: np.ndarray) -> np.ndarray:
        patch = np.sin(at[:, 0] * 5) * np.sin(at[:, 1] * 5) * np.sin(at[:, 2] * 5) > 0.25
        return np.where(patch[:, None], painted * 0.4, painted).astype(np.float32)

    return Mesh(vertices * radius + np.asarray(centre), faces, paint, vertices)
