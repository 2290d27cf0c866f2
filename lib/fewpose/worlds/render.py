"""A small deferred renderer: the painter's algorithm fills face numbers, numpy shades the pixels.

Faces are sorted by depth and drawn far to near with OpenCV into a buffer of face numbers at twice
the picture's resolution. Each covered pixel then interpolates normals and texture coordinates in
its triangle, so shading is smooth and clothes have crisp edges though the mesh is coarse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

CACHED = 2**14  # pixels shaded at a time: their numbers stay near the core
NEAR = 0.2  # metres; faces nearer to the camera than this are not drawn


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: camera axes are x right, y down, z forward (metres).

    rotation [3,3] world to camera, position [3] world metres, focal in pixels, centre (2) the
    principal point in pixels (centre of the top-left pixel = (0, 0)), width and height in pixels.
    """

    rotation: np.ndarray
    position: np.ndarray
    focal: float
    centre: tuple[float, float]
    width: int
    height: int

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points [...,3] in the camera frame, metres."""
        return (points - self.position) @ self.rotation.T

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [...,2] and depths [...] (metres along the axis) of world points [...,3]."""
        seen = self.to_camera(points)
        depth = seen[..., 2]
        safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        return seen[..., :2] / safe[..., None] * self.focal + np.asarray(self.centre), depth

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """World directions [...,3] (not unit) of the lines of sight through pixels [...,2]."""
        flat = (pixels - np.asarray(self.centre)) / self.focal
        return np.concatenate([flat, np.ones_like(flat[..., :1])], -1) @ self.rotation


def look_at(position, target, focal: float, width: int, height: int, roll: float = 0.0) -> Camera:
    """Camera at position looking at target (world metres), turned by roll radians in the image."""
    position, target = np.asarray(position, float), np.asarray(target, float)
    forward = target - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    rotation = np.stack([c * right + s * down, c * down - s * right, forward])
    return Camera(rotation, position, focal, ((width - 1) / 2, (height - 1) / 2), width, height)


@dataclass(frozen=True)
class Light:
    """One distant lamp and the sky: direction [3] towards the lamp, colours [3] linear RGB."""

    direction: np.ndarray
    sun: np.ndarray
    sky: np.ndarray
    ground: np.ndarray  # light thrown back from below

    def shade(self, normals: np.ndarray) -> np.ndarray:
        """Light [n,3] falling on surfaces with the given unit normals [n,3]."""
        lit = np.clip(normals @ self.direction.astype(np.float32) + 0.08, 0, None)[:, None]
        up = (0.5 + 0.5 * normals[:, 2])[:, None]
        sun, sky, ground = (c.astype(np.float32) for c in (self.sun, self.sky, self.ground))
        return lit * sun + up * (sky - ground) + ground


@dataclass(frozen=True)
class Mesh:
    """Triangles with a painter: vertices [V,3] world metres, faces [F,3] counter-clockwise outside.

    paint(face numbers [n], texture [n,3]) gives colours [n,3] in [0,1] (display RGB); texture [V,3]
    holds any coordinates the painter wants (default: the vertices). person numbers who it is
    (-1: a thing). Faces that look away from the camera are left out unless two_sided.
    """

    vertices: np.ndarray
    faces: np.ndarray
    paint: Callable[[np.ndarray, np.ndarray], np.ndarray]
    texture: np.ndarray | None = None
    person: int = -1
    two_sided: bool = False
    flat: bool = False  # shade by face, for things with edges


@dataclass(frozen=True)
class Picture:
    """What was drawn, before the background: colour [H,W,3] premultiplied by alpha [H,W] in [0,1].

    person [h,w] (who is seen, -1 things, -2 nothing) and depth [h,w] metres (inf where nothing)
    are `scale` times finer than the picture.
    """

    colour: np.ndarray
    alpha: np.ndarray
    person: np.ndarray
    depth: np.ndarray
    scale: int

    def over(self, background: np.ndarray) -> np.ndarray:
        """The picture laid over a background [H,W,3] in [0,1]."""
        return self.colour + background * (1 - self.alpha[..., None])


def normals_of(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals of the faces [F,3] and, area-weighted, of the vertices [V,3]."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    vertex = np.zeros_like(vertices)
    for i in range(3):
        for axis in range(3):
            vertex[:, axis] += np.bincount(faces[:, i], face[:, axis], len(vertices))
    for n in (face, vertex):
        n /= np.sqrt(np.maximum(np.einsum("ni,ni->n", n, n), 1e-24))[:, None]
    return face, vertex


def render(
    camera: Camera, meshes: Sequence[Mesh], light: Light, scale: int = 2,
    among: Picture | None = None,
) -> Picture:
    """Draw the meshes as the camera sees them under the light.

    among is a picture by the same camera and scale of what stands there already: where it is
    nearer nothing is drawn, and its people and depths are kept there.
    """
    shape = (camera.height * scale, camera.width * scale)
    vertices = np.concatenate([m.vertices for m in meshes]).astype(np.float32)
    firsts = np.cumsum([0] + [len(m.vertices) for m in meshes])
    face_firsts = np.cumsum([0] + [len(m.faces) for m in meshes])
    faces = np.concatenate([m.faces + first for m, first in zip(meshes, firsts, strict=False)])
    two_sided = np.repeat([m.two_sided for m in meshes], np.diff(face_firsts))
    pixels, depth = camera.project(vertices)
    pixels = ((pixels + 0.5) * scale - 0.5).astype(np.float32)
    depth = depth.astype(np.float32)
    corners, depths = pixels[faces], depth[faces]  # [F,3,2], [F,3]

    e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]  # negative = facing us (y points down)
    usable = (depth > NEAR) & (np.abs(pixels[:, 0]) < 30000) & (np.abs(pixels[:, 1]) < 30000)
    beyond = np.stack([pixels[:, 0] < -1, pixels[:, 0] > shape[1], pixels[:, 1] < -1,
                       pixels[:, 1] > shape[0]])  # fmt: skip
    a, b, c = faces.T
    outside = (beyond[:, a] & beyond[:, b] & beyond[:, c]).any(0)
    drawn = (
        ((area < 0) | two_sided) & (np.abs(area) > 1e-6) & ~outside
        & usable[a] & usable[b] & usable[c]
    )
    order = np.flatnonzero(drawn)
    order = order[np.argsort(-(depth[a] + depth[b] + depth[c])[order], kind="stable")]
    number = np.full(shape, -1, np.int32)
    fixed = np.rint(corners[order] * 16).astype(np.int32)
    for face, polygon in zip(order.tolist(), fixed, strict=True):
        cv2.fillConvexPoly(number, polygon, face, cv2.LINE_8, 4)

    # Shade the covered pixels.
    rows, cols = np.nonzero(number >= 0)
    at = number[rows, cols]
    attributes = np.empty((len(vertices), 6), np.float32)
    face_normals = np.empty((len(faces), 3), np.float32)
    for m, first, f in zip(meshes, firsts, face_firsts, strict=False):
        of_faces, of_vertices = normals_of(m.vertices, m.faces)
        attributes[first:first + len(m.vertices), :3] = of_vertices
        attributes[first:first + len(m.vertices), 3:] = (
            m.vertices if m.texture is None else m.texture
        )
        face_normals[f:f + len(m.faces)] = of_faces
    pixel_depth = np.empty(len(at), np.float32)
    inside = np.empty((len(at), 6), np.float32)
    for first in range(0, len(at), CACHED):
        part = slice(first, first + CACHED)
        here = at[part]
        d = np.stack([cols[part], rows[part]], 1).astype(np.float32) - corners[here, 0]
        w1 = (d[:, 0] * e2[here, 1] - d[:, 1] * e2[here, 0]) / area[here]
        w2 = (e1[here, 0] * d[:, 1] - e1[here, 1] * d[:, 0]) / area[here]
        # [3,n], perspective-correct: what is linear in the picture is the value over the depth.
        weights = np.clip(np.stack([1 - w1 - w2, w1, w2]), 0, 1)
        of_corners = depths[here].T
        weights /= of_corners
        weights /= np.maximum(weights[0] + weights[1] + weights[2], 1e-9)
        weighted = weights * of_corners
        pixel_depth[part] = weighted[0] + weighted[1] + weighted[2]
        corner = faces[here]
        inside[part] = sum(attributes[corner[:, i]] * weights[i][:, None] for i in range(3))
        normal = inside[part, :3]
        normal /= np.sqrt(np.maximum(np.einsum("ni,ni->n", normal, normal), 1e-12))[:, None]
    if among is not None:
        front = pixel_depth < among.depth[rows, cols]
        rows, cols, at = rows[front], cols[front], at[front]
        pixel_depth, inside = pixel_depth[front], inside[front]
    normal = inside[:, :3]

    who = np.full(shape, -2, np.int16) if among is None else among.person.copy()
    far = np.full(shape, np.inf, np.float32) if among is None else among.depth.copy()
    far[rows, cols] = pixel_depth
    albedo = np.empty((len(at), 3), np.float32)
    mesh_of = np.searchsorted(face_firsts, at, side="right") - 1
    for i, m in enumerate(meshes):
        mine = np.flatnonzero(mesh_of == i)
        if len(mine):
            albedo[mine] = m.paint(at[mine] - face_firsts[i], inside[mine, 3:])
            who[rows[mine], cols[mine]] = m.person
            if m.flat:
                normal[mine] = face_normals[at[mine]]
            if m.two_sided:
                normal[mine] *= np.where(area[at[mine]] < 0, 1, -1)[:, None]
    # Gamma 2: squares and roots are near enough to sRGB, and quick.
    layer = np.zeros((*shape, 4), np.float32)
    for first in range(0, len(at), CACHED):
        part = slice(first, first + CACHED)
        lit = albedo[part] ** 2 * light.shade(normal[part])
        layer[rows[part], cols[part], :3] = np.sqrt(np.clip(lit, 0, 1))
    layer[rows, cols, 3] = 1
    small = cv2.resize(layer, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return Picture(small[..., :3], small[..., 3], who, far, scale)


def shadow(camera: Camera, meshes: Sequence[Mesh], direction: np.ndarray, blur: float):
    """How much of the lamp's light misses the ground z = 0 at each pixel: [H,W] in [0,1].

    direction [3] points towards the lamp; blur is the standard deviation in pixels.
    """
    mask = np.zeros((camera.height, camera.width), np.uint8)
    for m in meshes:
        faces = m.faces
        v = m.vertices - np.maximum(m.vertices[:, 2:], 0) / max(direction[2], 0.15) * direction
        pixels, depth = camera.project(v)
        usable = (depth > NEAR) & (np.abs(pixels[:, 0]) < 30000) & (np.abs(pixels[:, 1]) < 30000)
        a, b, c = (pixels[faces[:, i]] for i in range(3))
        turn = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
        keep = (turn < 0) & usable[faces[:, 0]] & usable[faces[:, 1]] & usable[faces[:, 2]]
        for polygon in np.rint(pixels[faces[keep]] * 16).astype(np.int32):
            cv2.fillConvexPoly(mask, polygon, 255, cv2.LINE_8, 4)
    if blur > 0.3:
        mask = cv2.GaussianBlur(mask, (0, 0), blur)
    return mask.astype(np.float32) / 255


def visibility(
    picture: Picture, camera: Camera, points: np.ndarray, person: int, slack: np.ndarray
) -> np.ndarray:
    """COCO visibility [K] of one person's points [K,3]: 2 seen, 1 hidden, 0 outside the frame.

    A point is hidden where the surface drawn over it is nearer by more than slack [K] metres (the
    depth of the joint below the person's own skin), or belongs to someone or something else.
    """
    pixels, depth = camera.project(points)
    inside = (
        (depth > NEAR) & (pixels > -0.5).all(1)
        & (pixels[:, 0] < camera.width - 0.5) & (pixels[:, 1] < camera.height - 0.5)
    )
    fine = np.rint((np.nan_to_num(pixels) + 0.5) * picture.scale - 0.5)
    col = np.clip(fine[:, 0], 0, picture.person.shape[1] - 1).astype(int)
    row = np.clip(fine[:, 1], 0, picture.person.shape[0] - 1).astype(int)
    mine = picture.person[row, col] == person
    nearer = picture.depth[row, col] < depth - np.where(mine, slack, 0.02)
    return np.where(inside, np.where(nearer, 1, 2), 0)
