"""Sites of the jump world: runway, board and pit, track and grass or hall, stands full of people.

The ground is painted from metres, pixel by pixel, with edges softened by the pixel's footprint; the stands are a tile
of wall that repeats. World axes as of `jump_motion`: the athlete runs along +y at x = 0, the board ends at y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fewpose_worlds.jump.stands import banner_tile, stand_tile
from fewpose_worlds.render import Camera, Light
from fewpose_worlds.shapes import hex_colours, texture_colours

_TRACKS = hex_colours("a84a3a 963c32 ba5c46 3c5c96 4878aa 6e548c 5c6064 40765c c47854")
_GRASS = hex_colours("54803e 688c48 466c3c 808c50")
_FLOORS = hex_colours("969896 46648c ac9678 606e64")
_SANDS = hex_colours("d6be92 e2d0ac bea074 a89478")
_TILE_WIDTH = 48.0  # metres after which the stands repeat
_BANNER = 36.0, 0.9  # width and height in metres of the tile of advertising boards


@dataclass(frozen=True)
class Site:
    """One place: colours [3], measures in metres, the tile of the stands and the light."""

    indoor: bool
    light: Light
    runway: np.ndarray
    apron: np.ndarray
    field: np.ndarray
    lane: np.ndarray
    sand: np.ndarray
    rim: np.ndarray
    lines: np.ndarray
    apron_half: float
    lanes_from: float  # |x| where the lanes of the track begin, on the far side
    lanes: int
    boards: tuple[float, ...]  # y of the take-off boards
    pit: tuple[float, float]  # y where the sand begins and ends
    pit_half: float
    far: int  # sign of x of the side with the stands that the camera sees
    wall: float  # metres from the runway to the stands
    ends: tuple[float, float]  # y of the end walls
    tile: np.ndarray  # [h,w,3] display colours, bottom row at the ground
    tile_height: float
    banner: np.ndarray | None  # [h,w,3] tile of advertising boards nearer than the stands
    banner_at: float  # |x| of these boards
    sky: np.ndarray  # [2,3] colour at the horizon and high up
    grain: np.ndarray  # [256,256] noise around 1


def sample_site(
    rng: np.random.Generator, far: int, pit: tuple[float, float], boards: tuple[float, ...], density: float
) -> Site:
    """A random site; density: pixels a metre of the stands' tile, the other arguments as of `Site`."""
    indoor = rng.random() < 0.3
    light, level = _light(rng, indoor)
    wall = float(rng.uniform(7, 16) if indoor else rng.uniform(9, 34))

    def tint(colour: np.ndarray, s: float = 0.06) -> np.ndarray:
        brighter = colour * rng.uniform(1 - 2 * s, 1 + 2 * s)
        return np.clip(brighter + rng.normal(0, s / 2, 3), 0.03, 1)

    def pick(table: np.ndarray) -> np.ndarray:
        return tint(table[rng.integers(len(table))])

    runway = pick(_TRACKS)
    density = float(np.clip(density, 6, 70))
    height = float(rng.uniform(5, 14))
    tile = stand_tile(rng, _TILE_WIDTH, height, density, indoor)
    blur = rng.uniform(0, 0.10) * density * rng.uniform(0, 1)
    if blur > 0.3:
        tile = cv2.GaussianBlur(tile, (0, 0), blur)
    banner = banner_tile(rng, *_BANNER, min(density * 1.5, 70)) * level if rng.random() < 0.55 else None
    grain = cv2.GaussianBlur(rng.normal(0, 1, (256, 256)).astype(np.float32), (0, 0), 0.8)
    grain = 1 + 0.05 * grain / grain.std() + 0.04 * _clouds(rng, 256)
    if indoor:
        sky_low = tint(np.array([0.55, 0.55, 0.56]), 0.15)
        sky_high = sky_low * rng.uniform(0.4, 0.9)
    else:
        sky_low = np.array([0.78, 0.84, 0.9])
        blue = rng.random() < 0.6
        sky_high = np.array([0.4, 0.58, 0.85]) * rng.uniform(0.8, 1.1) if blue else np.array([0.75, 0.77, 0.8])
    return Site(
        indoor=indoor,
        light=light,
        runway=runway * level,
        apron=(runway * 0.97 if rng.random() < 0.5 else pick(_TRACKS)) * level,
        field=pick(_FLOORS if indoor else _GRASS) * level,
        lane=pick(_TRACKS) * level,
        sand=pick(_SANDS) * level,
        rim=tint(rng.choice([0.9, 0.6, 0.15]) * np.ones(3)) * level,
        lines=np.full(3, rng.uniform(0.85, 0.98)) * level,
        apron_half=float(rng.uniform(0.8, 4.0)),
        lanes_from=float(rng.uniform(3.5, 7)),
        lanes=int(rng.integers(0, 9)),
        boards=boards,
        pit=pit,
        pit_half=float(rng.uniform(1.4, 1.7)),
        far=far,
        wall=wall,
        ends=(-float(rng.uniform(48, 90)), pit[1] + float(rng.uniform(10, 40))),
        tile=tile * level,
        tile_height=height,
        banner=banner,
        banner_at=float(rng.uniform(2.6, min(7, wall - 1))),
        sky=np.stack([sky_low, np.clip(sky_high, 0, 1)]).astype(np.float32),
        grain=grain,
    )


def _light(rng: np.random.Generator, indoor: bool) -> tuple[Light, float]:
    """Random light and the brightness of the surroundings in it."""
    if indoor:
        direction = np.array([rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.4), 1.0])
        sun, sky, warm = rng.uniform(0.3, 0.6), rng.uniform(0.3, 0.6), rng.uniform(-0.1, 0.1)
    else:
        height, turn = rng.uniform(0.4, 1.2), rng.uniform(0, 2 * np.pi)
        direction = np.array([np.cos(turn), np.sin(turn), np.tan(height)])
        cloudy = rng.random() < 0.4
        sun = rng.uniform(0.05, 0.35) if cloudy else rng.uniform(0.7, 1.1)
        sky = rng.uniform(0.6, 0.8) if cloudy else rng.uniform(0.25, 0.45)
        warm = rng.uniform(-0.02, 0.14)
    direction /= np.linalg.norm(direction)
    tone = np.array([1 + warm, 1.0, 1 - warm])
    light = Light(direction, sun * tone, sky * (2 - tone), np.full(3, rng.uniform(0.1, 0.3)))
    return light, float(np.sqrt(np.clip(sun * direction[2] + sky, 0.3, 1.3)))


def _clouds(rng: np.random.Generator, n: int) -> np.ndarray:
    """Slow noise [n,n] of unit deviation."""
    coarse = rng.normal(0, 1, (n // 32, n // 32)).astype(np.float32)
    out = cv2.resize(coarse, (n, n), interpolation=cv2.INTER_CUBIC)
    return out / out.std()


def background(site: Site, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The site as the camera sees it: colours [H,W,3] float32, mask [H,W] of the ground."""
    h, w = camera.height, camera.width
    xs, ys = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    rays = camera.rays(np.stack([xs, ys], -1).reshape(-1, 2)).astype(np.float32)
    origin = camera.position.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        side = np.where(rays[:, 0] * site.far > 0, site.wall * site.far, -site.far * (abs(origin[0]) + 12))
        to_side = (side - origin[0]) / rays[:, 0]
        end = np.where(rays[:, 1] > 0, site.ends[1], site.ends[0])
        to_end = (end - origin[1]) / rays[:, 1]
        to_ground = np.where(rays[:, 2] < 0, -origin[2] / rays[:, 2], np.inf)
    to_side = np.where(to_side > 0, to_side, np.inf)
    to_end = np.where(to_end > 0, to_end, np.inf)
    to_wall = np.minimum(to_side, to_end)
    out = np.empty((h * w, 3), np.float32)

    ground = to_ground < to_wall
    if ground.any():
        reach = to_ground[ground, None]
        at = origin + rays[ground] * reach
        out[ground] = paint_ground(site, at, reach[:, 0] / camera.focal, -rays[ground, 2])
    up = np.flatnonzero(~ground)
    at = origin + rays[up] * to_wall[up, None]
    along = np.where(to_side[up] < to_end[up], at[:, 1], at[:, 0] + 17)
    wall = _tile_colours(site.tile, along / _TILE_WIDTH, at[:, 2] / site.tile_height)
    rise = np.clip((at[:, 2:] - site.tile_height) / np.maximum(to_wall[up, None], 1) * 2, 0, 1)
    sky = site.sky[0] * (1 - rise) + site.sky[1] * rise
    edge = np.clip((site.tile_height - at[:, 2:]) / (to_wall[up, None] / camera.focal) + 0.5, 0, 1)
    out[up] = wall * edge + sky * (1 - edge)

    if site.banner is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = (site.banner_at * site.far - origin[0]) / rays[:, 0]
        reach = np.where(reach > 0, reach, 0)
        z = origin[2] + rays[:, 2] * reach
        hit = np.flatnonzero((reach > 0) & (z > 0) & (z < _BANNER[1]))
        y = origin[1] + rays[hit, 1] * reach[hit]
        on = (y > -40) & (y < site.ends[1])
        hit, y = hit[on], y[on]
        out[hit] = _tile_colours(site.banner, y / _BANNER[0], z[hit] / _BANNER[1])
        ground[hit] = False
    return out.reshape(h, w, 3), ground.reshape(h, w)


def _tile_colours(tile: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Colours [n,3] of a tile that repeats with period 1 along u [n]; v [n] is clipped to [0,1]."""
    h, w = tile.shape[:2]
    return texture_colours(tile, (u % 1) * (w - 1), (1 - np.clip(v, 0, 1)) * (h - 1))


def paint_ground(site: Site, at: np.ndarray, pixel: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Colours [n,3] of the ground at points [n,3]; pixel [n]: metres that a pixel spans."""
    x, y = at[:, 0], at[:, 1]
    deep = np.minimum(pixel / np.maximum(slope, 0.02), 3.0)  # along the line of sight, mostly x

    def within(value, low, high, soft):
        soft = np.maximum(soft, 0.01)
        return np.clip((value - low) / soft + 0.5, 0, 1) * np.clip((high - value) / soft + 0.5, 0, 1)

    out = np.tile(site.field.astype(np.float32), (len(x), 1))
    if not site.indoor:  # stripes of mown grass
        out *= (1 + ((np.sin(y * 1.2) > 0) * 0.08 - 0.04))[:, None]

    def lay(colour, cover):
        out[:] += (colour.astype(np.float32) - out) * cover[:, None].astype(np.float32)

    beyond = x * site.far
    if site.lanes:
        lay(site.lane, within(beyond, site.lanes_from, site.lanes_from + 1.22 * site.lanes, deep))
        phase = (beyond - site.lanes_from + 0.61) % 1.22 - 0.61
        on = within(beyond, site.lanes_from - 0.1, site.lanes_from + 1.22 * site.lanes + 0.1, 0.01)
        faint = np.clip(0.05 / np.maximum(deep, 0.05), 0, 1)
        lay(site.lines, faint * on * within(phase, -0.025 - deep / 2, 0.025 + deep / 2, deep))
    lay(site.apron, within(x, -site.apron_half, site.apron_half, deep) * within(y, -60, site.pit[1] + 1.0, pixel))
    runway = within(y, -50, site.pit[0] + 0.02, pixel)
    across = within(x, -0.61, 0.61, deep)
    lay(site.runway, across * runway)
    faint = np.clip(0.05 / np.maximum(deep, 0.05), 0.3, 1)
    for edge in (-0.635, 0.635):
        lay(site.lines, within(x, edge - 0.025, edge + 0.025, deep) * runway * faint)
    for board in site.boards:
        lay(np.full(3, 0.93), across * within(y, board - 0.2, board, pixel))
        lay(np.array([0.35, 0.5, 0.3]), across * within(y, board, board + 0.1, pixel))
    rim = 0.08
    begin, end = site.pit
    lay(site.rim, within(x, -site.pit_half - rim, site.pit_half + rim, deep) * within(y, begin - rim, end + rim, pixel))
    sand = within(x, -site.pit_half, site.pit_half, deep) * within(y, begin, end, pixel)
    fine, slow = ((at[:, :2] * scale).astype(int) % 256 for scale in (40, 6))
    grain, coarse = site.grain[fine[:, 0], fine[:, 1]], site.grain[slow[:, 0], slow[:, 1]]
    lay(site.sand * 0.98, sand)
    out *= (1 + (grain - 1) * (1 + 2 * sand) + (coarse - 1) * (0.5 + sand))[:, None]
    return np.clip(out, 0, 1)
