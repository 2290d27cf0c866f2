"""Meshes of simple shapes and colours from hex; world metres, z up, colours display RGB in [0,1]."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from fewpose_worlds.render import Mesh


def hex_colours(text: str) -> np.ndarray:
    """Colours [n,3] of hexadecimal numbers separated by spaces."""
    return np.array([list(bytes.fromhex(one)) for one in text.split()]) / 255


def plain_paint(colour: np.ndarray) -> Callable:
    """The `Mesh.paint` of a single colour [3]."""
    shown = np.asarray(colour, np.float32)
    return lambda faces, at: np.tile(shown, (len(faces), 1))


def texture_colours(texture: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Colours [n,3] of a texture [h,w,3] at columns and rows [n], which may lie between pixels."""
    if len(columns) == 0:
        return np.zeros((0, 3), np.float32)
    texture = texture.astype(np.float32, copy=False)
    # remap takes at most 32767 columns
    parts = np.array_split(np.float32([columns, rows]), -(-len(columns) // 30000), axis=1)
    return np.concatenate([cv2.remap(texture, x[None], y[None], cv2.INTER_LINEAR)[0] for x, y in parts])


def grid_faces(rows: int, columns: int, closed: bool = True) -> np.ndarray:
    """Faces [F,3] between the vertices of a grid, numbered row by row; closed joins its last column to the first."""
    at = np.arange(rows * columns).reshape(rows, columns)
    left, right = (at, np.roll(at, -1, 1)) if closed else (at[:, :-1], at[:, 1:])
    a, b, c, d = left[:-1], left[1:], right[:-1], right[1:]
    return np.stack([a, b, c, c, b, d], -1).reshape(-1, 3)


@lru_cache(maxsize=1)
def sphere(rings: int = 6, around: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V,3] and outward faces [F,3] of a unit sphere."""
    tilt = np.linspace(0, np.pi, rings + 1)
    turn = np.arange(around) * 2 * np.pi / around
    level, height = np.sin(tilt), np.outer(np.cos(tilt), np.ones(around))
    vertices = np.stack([np.outer(level, np.cos(turn)), np.outer(level, np.sin(turn)), height], -1)
    return vertices.reshape(-1, 3), grid_faces(rings + 1, around)


def ball(centre, radius: float, colour: np.ndarray) -> Mesh:
    """A ball of one colour with darker patches; centre [3] and radius in metres."""
    vertices, faces = sphere()

    def paint(f: np.ndarray, at: np.ndarray) -> np.ndarray:
        patch = np.sin(at[:, 0] * 5) * np.sin(at[:, 1] * 5) * np.sin(at[:, 2] * 5) > 0.25
        return np.where(patch[:, None], colour * 0.4, colour).astype(np.float32)

    return Mesh(vertices * radius + np.asarray(centre), faces, paint, vertices)


def box(centre, size, turn: float, colour: np.ndarray, stripes: float = 0.0, piece: float = 0.35) -> Mesh:
    """A box of one colour: centre and size [3] in metres, turned by `turn` radians about z.

    Its sides are cut into pieces of about `piece` metres, so that they sort by depth among people.
    """
    size = np.asarray(size, float)
    vertices, faces = [], []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        nu, nv = (int(np.clip(np.ceil(size[k] / piece), 1, 2.8 / piece)) for k in (u, v))
        for sign in (-1, 1):
            at = sum(map(len, vertices)) + np.arange((nu + 1) * (nv + 1)).reshape(nu + 1, nv + 1)
            grid = np.full((at.size, 3), sign / 2)
            grid[:, u] = np.repeat(np.linspace(-0.5, 0.5, nu + 1), nv + 1)
            grid[:, v] = np.tile(np.linspace(-0.5, 0.5, nv + 1), nu + 1)
            vertices.append(grid * size)
            a, b, c, d = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]
            faces.append(np.stack([a, b, c, a, c, d] if sign > 0 else [a, c, b, a, d, c], -1).reshape(-1, 3))
    corners = np.concatenate(vertices)
    c, s = np.cos(turn), np.sin(turn)
    placed = corners @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + centre
    plain = plain_paint(colour)

    def paint(f: np.ndarray, at: np.ndarray) -> np.ndarray:
        out = plain(f, at)
        if stripes:
            out *= np.where(np.sin(at.sum(1) / stripes) > 0, 1.0, 0.6)[:, None]
        return out

    return Mesh(placed, np.concatenate(faces), paint, corners, flat=True)


def tube(path: np.ndarray, radius: float, colour: np.ndarray, sides: int = 6) -> Mesh:
    """A pipe of one colour along points [n,3], closed at both ends."""
    path = np.asarray(path, float)
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    aside = np.cross(along, np.where(np.abs(along[:, 2:]) < 0.9, (0, 0, 1.0), (1.0, 0, 0)))
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    third = np.cross(along, aside)
    turn = np.arange(sides) * 2 * np.pi / sides
    ring = np.cos(turn)[:, None, None] * aside + np.sin(turn)[:, None, None] * third
    vertices = (path + radius * ring).transpose(1, 0, 2).reshape(-1, 3)
    ends, last = len(vertices), len(vertices) - sides
    caps = []
    for k in range(sides):
        following = (k + 1) % sides
        caps += [[ends, k, following], [ends + 1, last + following, last + k]]
    faces = np.concatenate([grid_faces(len(path), sides), caps])
    return Mesh(np.concatenate([vertices, path[[0, -1]]]), faces, plain_paint(colour), two_sided=True)


def pole(low, high, radius: float, colour: np.ndarray, sides: int = 6) -> Mesh:
    """A straight pipe between two points [3], cut into pieces."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    n = max(int(np.ceil(np.linalg.norm(high - low) / 0.25)), 1) + 1
    return tube(low + np.linspace(0, 1, n)[:, None] * (high - low), radius, colour, sides)
