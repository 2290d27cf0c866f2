"""Tiles of the wall around the runway: spectators, advertising boards, trees, halls."""

from __future__ import annotations

import cv2
import numpy as np

from fewpose_worlds.shapes import hex_colours

_SKINS = hex_colours("f0c8aa d6a480 a06e50 644432")


def banner_tile(rng: np.random.Generator, width: float, height: float, density: float) -> np.ndarray:
    """Advertising boards [h,w,3]: panels of 3 to 6 m with illegible letters and signs."""
    h, w = max(int(height * density), 4), int(width * density)
    tile = np.zeros((h, w, 3), np.float32)
    at = 0
    while at < w:
        end = min(at + int(rng.uniform(3, 6) * density), w)
        ground, ink = _sample_colour(rng), _sample_colour(rng)
        tile[:, at:end] = ground
        x = at + 0.3 * density
        while x < end - 0.6 * density and rng.random() < 0.93:
            letter = rng.uniform(0.25, 0.5) * density
            low, high = rng.uniform(0.1, 0.25) * h, rng.uniform(0.7, 0.9) * h
            a, b = (int(x), int(low)), (int(x + letter * 0.7), int(high))
            thick = max(1, int(0.09 * density))
            kind = rng.integers(4)
            if kind == 0:
                cv2.rectangle(tile, a, b, ink.tolist(), thick, cv2.LINE_AA)
            elif kind == 1:
                centre = (a[0] + b[0]) // 2, (a[1] + b[1]) // 2
                axes = max(1, (b[0] - a[0]) // 2), max(1, (b[1] - a[1]) // 2)
                cv2.ellipse(tile, centre, axes, 0, 0, 360, ink.tolist(), thick, cv2.LINE_AA)
            elif kind == 2:
                cv2.line(tile, a, b, ink.tolist(), thick, cv2.LINE_AA)
                cv2.line(tile, (b[0], a[1]), (a[0], b[1]), ink.tolist(), thick, cv2.LINE_AA)
            else:
                cv2.rectangle(tile, a, (a[0] + thick, b[1]), ink.tolist(), -1)
            x += letter
        at = end
    return tile


def _sample_colour(rng: np.random.Generator) -> np.ndarray:
    """A random colour [3]: black, grey, white or a strong hue."""
    kind = rng.random()
    if kind < 0.4:
        return np.full(3, rng.choice([0.06, 0.9, 0.95, 0.5]))
    hsv = np.uint8([[[rng.integers(180), rng.integers(120, 255), rng.integers(80, 250)]]])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] / 255.0


def stand_tile(rng: np.random.Generator, width: float, height: float, density: float, indoor: bool) -> np.ndarray:
    """A wall [h,w,3]: boards, then seats with spectators, or trees, or the wall of a hall."""
    h, w = int(height * density), int(width * density)
    kind = str(rng.choice(["crowd", "sparse", "plain"], p=[0.55, 0.25, 0.2]))
    seat = _sample_colour(rng) * 0.7
    tile = np.full((h, w, 3), seat if kind != "plain" else rng.uniform(0.3, 0.8), np.float32)
    tile *= (0.75 + 0.25 * np.linspace(0, 1, h, dtype=np.float32))[:, None, None]
    d = density
    low = rng.uniform(0.9, 1.6)  # metres of wall below the first row
    if kind == "plain":
        if indoor:
            for x in np.arange(0, width, rng.uniform(1.5, 5)):
                cv2.line(tile, (int(x * d), 0), (int(x * d), h), (tile[0, 0] * 0.75).tolist(), max(1, int(0.1 * d)))
        else:  # trees and bushes
            tile[:] = (0.62, 0.70, 0.72)
            for _ in range(220):
                z = abs(rng.normal(0, 0.35)) * height
                centre = int(rng.uniform(0, width) * d), int(h - z * d)
                radius = int(rng.uniform(0.4, 1.6) * d)
                green = np.array([0.2, 0.32, 0.16]) * rng.uniform(0.5, 1.5)
                cv2.circle(tile, centre, radius, green.tolist(), -1, cv2.LINE_AA)
    else:
        share = rng.uniform(0.6, 0.97) if kind == "crowd" else rng.uniform(0.08, 0.35)
        rows = np.arange(low + 0.2, height - 0.6, rng.uniform(0.6, 0.85))
        for z in rows[::-1]:
            cv2.line(tile, (0, int(h - z * d)), (w, int(h - z * d)), (seat * 0.6).tolist(), max(1, int(0.12 * d)))
            for x in np.arange(0.3, width, 0.55) + rng.normal(0, 0.07, len(np.arange(0.3, width, 0.55))):
                if rng.random() < share:
                    _spectator(tile, rng, x * d, h - z * d, d)
    if rng.random() < 0.75:
        boards = banner_tile(rng, width, min(1.0, low), d)
        tile[h - len(boards) :, : boards.shape[1]] = boards[:, :w]
    return np.clip(tile, 0, 1)


def _spectator(tile: np.ndarray, rng: np.random.Generator, x: float, y: float, d: float) -> None:
    """Draw a seated person: trunk, sometimes raised arms, head, hair; x, y in pixels, d pixels a metre."""
    shirt, skin = _sample_colour(rng) * rng.uniform(0.6, 1), _SKINS[rng.integers(4)]
    shift = 4  # of OpenCV's coordinates: 1/16 pixels

    def point(u: float, v: float) -> tuple[int, int]:
        return int((x + u * d) * 16), int((y - v * d) * 16)

    def ellipse(up: float, half_width: float, half_height: float, colour: np.ndarray) -> None:
        axes = max(8, int(half_width * d * 16)), max(8, int(half_height * d * 16))
        cv2.ellipse(tile, point(0, up), axes, 0, 0, 360, colour.tolist(), -1, cv2.LINE_AA, shift)

    ellipse(0.28, 0.21, 0.33, shirt)
    if rng.random() < 0.12:
        for side in (-1, 1):
            ends = point(0.16 * side, 0.5), point(0.3 * side, 0.95)
            cv2.line(tile, *ends, skin.tolist(), max(1, int(0.09 * d)), cv2.LINE_AA, shift)
    ellipse(0.74, 0.11, 0.14, rng.choice([0.08, 0.2, 0.45]) * np.array([1, 0.85, 0.7]))  # hair
    ellipse(0.70, 0.09, 0.115, skin)
