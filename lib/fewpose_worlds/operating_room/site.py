"""The empty room of one day: floor, four walls and light; and what its cameras' sensors do to images."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fewpose_worlds import people
from fewpose_worlds.everyday.scenes import noise
from fewpose_worlds.render import Camera, Light
from fewpose_worlds.shapes import hex_colours, texture_colours

_FINE = 64  # pixels of texture a metre
_HIGH = 3.0  # metres to the ceiling
_FLOORS = hex_colours("b0b4b2 96a0a8 beb4a0 849696 a0aa96 8c96b0 c4c4c0")
_WALLS = hex_colours("d6dcd8 78a49e aac8be e0dcce 3c6e70 c4cedc b4d2aa")


@dataclass(frozen=True)
class Room:
    """A rectangle around `middle` [2], turned by `turn` radians; half the length of its sides [2] in metres.

    Textures [h,w,3] of the floor and of the walls; shadow: how dark shadows are.
    """

    middle: np.ndarray
    turn: float
    half: np.ndarray
    floor: np.ndarray
    walls: tuple[np.ndarray, ...]
    light: Light
    shadow: float

    def local(self, points: np.ndarray) -> np.ndarray:
        """World points [...,2] in the room's axes, from its middle."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        return (points - self.middle) @ np.array([[c, -s], [s, c]])


def sample_room(rng: np.random.Generator) -> Room:
    """A random room around the table at the origin."""
    half = rng.uniform((3.3, 3.1), (4.6, 4.0))
    warm, level = rng.normal(0, 0.04), rng.uniform(0.6, 1.05)
    tone = np.array([1 + warm, 1.0, 1 - warm])
    lamps = rng.uniform(0.25, 0.6)
    lean = rng.normal(0, 0.25, 2)
    direction = np.array([*lean, 1.0]) / np.sqrt(1 + lean @ lean)
    reflected = level * rng.uniform(0.2, 0.38) * tone
    light = Light(direction, level * lamps * tone, level * (0.95 - 0.7 * lamps) * tone, reflected)
    shade = np.sqrt(level) * tone
    colour = _WALLS[rng.integers(len(_WALLS))] * rng.uniform(0.85, 1.1)
    walls = tuple(_wall(rng, 2 * half[(k + 1) % 2], colour) * shade for k in range(4))
    middle, turn = rng.normal(0, 0.25, 2), rng.uniform(-0.5, 0.5)
    return Room(middle, turn, half, _floor(rng, half) * shade, walls, light, rng.uniform(0.25, 0.5))


def _floor(rng: np.random.Generator, half: np.ndarray) -> np.ndarray:
    rows, cols = np.ceil(2 * half[::-1] * _FINE).astype(int)
    out = np.full((rows, cols, 3), _FLOORS[rng.integers(len(_FLOORS))] * rng.uniform(0.8, 1.1), np.float32)
    if rng.random() < 0.35:  # another colour under the table
        wide, tall = rng.uniform(1.2, 2.4, 2) * _FINE
        patch = [int(cols / 2 - wide), int(rows / 2 - tall)], [int(cols / 2 + wide), int(rows / 2 + tall)]
        tint = (out[0, 0] * rng.uniform(0.75, 1.1) * (1 + rng.normal(0, 0.06, 3))).tolist()
        cv2.rectangle(out, *patch, tint, -1)
    if rng.random() < 0.4:
        tile = int(rng.choice([0.6, 1.0, 2.0]) * _FINE)
        out[::tile], out[:, ::tile] = out[::tile] * 0.85, out[:, ::tile] * 0.85
    out *= (1 + 0.02 * noise(rng, rows, cols, 1) + 0.05 * noise(rng, rows, cols, 32))[..., None]
    for _ in range(rng.integers(1, 7)):  # cables
        t = np.linspace(0, 1, 40)[:, None]
        ends = rng.uniform(0, (cols, rows), (3, 2))
        curve = ends[0] * (1 - t) ** 2 + 2 * ends[1] * t * (1 - t) + ends[2] * t**2
        shade = float(rng.choice([0.12, 0.3, 0.8]))
        points = np.rint(curve * 16).astype(np.int32)
        cv2.polylines(out, [points], False, [shade] * 3, int(rng.integers(1, 3)), cv2.LINE_AA, 4)
    gloss = np.clip(noise(rng, rows, cols, 48) * 0.5, 0, 1)[..., None]  # reflections of lamps
    return np.clip(out + 0.16 * gloss, 0, 1)


def _wall(rng: np.random.Generator, wide: float, base: np.ndarray) -> np.ndarray:
    """A wall `wide` metres long with a door, cupboards, sockets and notices; its last row is at the floor."""
    rows, cols = int(_HIGH * _FINE), int(wide * _FINE)
    out = np.full((rows, cols, 3), base, np.float32)
    if rng.random() < 0.5:
        out[rows - int(1.1 * _FINE) :] *= rng.uniform(0.75, 1.05) * (1 + rng.normal(0, 0.04, 3))
    for x in range(0, cols, int(rng.uniform(0.9, 1.6) * _FINE)):
        out[:, x : x + 2] *= 0.88

    def put(x: float, low: float, w: float, h: float, colour) -> tuple[int, ...]:
        """Draw a rectangle: left side, lower edge and size in metres."""
        left, right = int(x * _FINE), int((x + w) * _FINE)
        top, bottom = rows - int((low + h) * _FINE), rows - int(low * _FINE)
        cv2.rectangle(out, (left, top), (right, bottom), np.asarray(colour).tolist(), -1)
        cv2.rectangle(out, (left, top), (right, bottom), (np.asarray(colour) * 0.75).tolist(), 2)
        return left, top, right, bottom

    grey = np.ones(3)
    if rng.random() < 0.6:
        x, w = rng.uniform(0, wide - 1.3), rng.uniform(1.0, 1.6)
        colour = base * rng.uniform(0.6, 1.1) * (1 + rng.normal(0, 0.06, 3))
        left, top, _, _ = put(x, 0, w, 2.1, colour)
        cv2.rectangle(out, (left + 40, top + 20), (left + 56, top + 60), (0.3, 0.35, 0.38), -1)
    for _ in range(rng.integers(0, 3)):  # cupboards with shelves
        x, w, h = rng.uniform(0, wide - 1), rng.uniform(0.6, 1.4), rng.uniform(0.9, 2.1)
        low = 0 if rng.random() < 0.6 else rng.uniform(0.9, 1.3)
        left, top, right, bottom = put(x, low, w, h, grey * rng.uniform(0.55, 0.9))
        if rng.random() < 0.6:
            for y in range(top + 6, bottom - 14, 24):
                for at in range(left + 4, right - 8, 12):
                    if rng.random() < 0.7:
                        shade = (people.sample_colour(rng) * 0.7 + 0.25).tolist()
                        cv2.rectangle(out, (at, y), (at + int(rng.integers(4, 11)), y + 16), shade, -1)
    for _ in range(rng.integers(1, 6)):  # sockets, notices, boxes of gloves
        x, low, w, h = rng.uniform((0, 0.8, 0.1, 0.08), (wide - 0.5, 1.9, 0.5, 0.4))
        put(x, low, w, h, people.sample_colour(rng) * 0.3 + 0.55)
    if rng.random() < 0.3:  # a window into the next room, a light box
        x, w, h = rng.uniform((0, 0.8, 0.5), (wide - 1.6, 1.6, 0.9))
        put(x, 1.1, w, h, rng.choice([0.16, 0.3, 1.0]) * grey)
    out[-8:] *= 0.6
    shade = 1 + 0.05 * noise(rng, rows, cols, 16)
    return out * shade[..., None] * np.linspace(1.05, 0.8, rows)[:, None, None]


def render_room(room: Room, camera: Camera, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Floor and walls as the camera sees them [H,W,3], and the share of floor in each pixel [H,W]."""
    h, w = camera.height * scale, camera.width * scale
    rows, cols = np.mgrid[:h, :w].astype(np.float32)
    pixels = (np.stack([cols, rows], -1) + 0.5) / scale - 0.5
    ray = camera.rays(pixels)
    start = room.local(camera.position[:2])
    across = room.local(room.middle + ray[..., :2])
    with np.errstate(divide="ignore"):
        to_wall = (np.sign(across) * room.half - start) / across
        down = np.where(ray[..., 2] < -1e-6, camera.position[2] / -ray[..., 2], np.inf)
    reach = to_wall.min(-1)
    floor = down < reach
    at = start + across * np.minimum(down, reach)[..., None]
    out = _texture_colours(room.floor, (at + room.half) / (2 * room.half))
    up = camera.position[2] + ray[..., 2] * reach
    axis = to_wall.argmin(-1)
    positive = np.take_along_axis(across, axis[..., None], -1)[..., 0] > 0
    for k, texture in enumerate(room.walls):
        mine = ~floor & (axis == k % 2) & (positive == (k < 2))
        if mine.any():
            side = (k + 1) % 2
            along = (at[mine][:, side] + room.half[side]) / (2 * room.half[side])
            out[mine] = _texture_colours(texture, np.stack([along, 1 - up[mine] / _HIGH], -1))
    size = (camera.width, camera.height)
    return tuple(cv2.resize(a, size, interpolation=cv2.INTER_AREA) for a in (out, floor.astype(np.float32)))


def _texture_colours(texture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Colours [...,3] of a texture at positions [...,2] in [0,1]: along its columns, down its rows."""
    height, width = texture.shape[:2]
    place = np.clip(where, 0, 1) * (width - 1, height - 1)
    return texture_colours(texture, *place.reshape(-1, 2).T).reshape(*place.shape[:-1], 3)


@dataclass(frozen=True)
class Sensor:
    """What one camera does to an image: colour cast [3], saturation, contrast, brightness, blur, noise, JPEG."""

    cast: np.ndarray
    saturation: float
    contrast: float
    brightness: float
    blur: float  # pixels of a frame 640 pixels wide
    grain: float
    quality: int


def sample_sensor(rng: np.random.Generator) -> Sensor:
    """A random cheap camera: slightly blurred, noisy, often overexposed."""
    return Sensor(
        cast=1 + rng.normal(0, 0.03, 3),
        saturation=rng.uniform(0.65, 1.0),
        contrast=rng.uniform(0.9, 1.3),
        brightness=rng.normal(0, 0.05),
        blur=rng.uniform(0.2, 0.9),
        grain=rng.uniform(0.006, 0.028),
        quality=int(rng.integers(60, 96)),
    )


def apply_sensor(rng: np.random.Generator, image: np.ndarray, sensor: Sensor) -> np.ndarray:
    """The frame uint8 [3,H,W] that a sensor makes of display RGB [H,W,3] in [0,1]."""
    blur = sensor.blur * image.shape[1] / 640
    if blur > 0.25:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    grey = image.mean(-1, keepdims=True)
    image = grey + (image - grey) * np.float32(sensor.saturation)
    image = ((image - 0.45) * sensor.contrast + 0.45 + sensor.brightness) * sensor.cast.astype(np.float32)
    small = tuple(max(n // 2, 1) for n in image.shape[1::-1])
    fine, coarse = (rng.standard_normal((n[1], n[0], 3), dtype=np.float32) for n in (image.shape[1::-1], small))
    coarse = cv2.resize(coarse, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    image = image + (fine * 0.6 + coarse) * np.float32(sensor.grain * min(image.shape[1] / 640, 1))
    out = np.ascontiguousarray(np.clip(image * 255, 0, 255).astype(np.uint8)[..., ::-1])
    if image.shape[1] < 160:  # too small for blocks of 8 pixels
        return out[..., ::-1].transpose(2, 0, 1)
    _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, sensor.quality])
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1].transpose(2, 0, 1)
