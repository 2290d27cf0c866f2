"""A small deferred renderer: the painter's algorithm fills face numbers, numpy shades the pixels.

Faces are drawn far to near with OpenCV into a buffer of face numbers at twice the image's resolution. Each covered
pixel interpolates normals and texture coordinates in its triangle: smooth shading and crisp clothes on a coarse mesh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

CHUNK = 2**14  # pixels shaded at a time: they fit the processor's cache
NEAR = 0.2  # metres; faces nearer to the camera than this are not drawn


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: camera axes are x right, y down, z forward (metres).

    rotation [3,3] world to camera, position [3] world metres, focal in pixels, centre (2) the principal point in
    pixels (centre of the top-left pixel = (0, 0)), width and height in pixels.
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
    ground: np.ndarray  # reflected from below

    def shade(self, normals: np.ndarray) -> np.ndarray:
        """Light [n,3] on surfaces with unit normals [n,3]."""
        lit = np.clip(normals @ self.direction.astype(np.float32) + 0.08, 0, None)
        up = 0.5 + 0.5 * normals[:, 2]
        sun, sky, ground = (c.astype(np.float32) for c in (self.sun, self.sky, self.ground))
        # Channel by channel: broadcasting over a last axis of three is slower.
        return np.stack([lit * s + up * d + g for s, d, g in zip(sun, sky - ground, ground, strict=True)], -1)


@dataclass(frozen=True)
class Mesh:
    """Coloured triangles: vertices [V,3] in world metres, faces [F,3] counter-clockwise seen from outside.

    paint(face numbers [n], texture [n,3]) gives display RGB [n,3] in [0,1]; texture [V,3] holds the coordinates that
    paint needs (default: the vertices). person is the number of the person, -1 for an object. Faces that look away
    from the camera are skipped unless two_sided.
    """

    vertices: np.ndarray
    faces: np.ndarray
    paint: Callable[[np.ndarray, np.ndarray], np.ndarray]
    texture: np.ndarray | None = None
    person: int = -1
    two_sided: bool = False
    flat: bool = False  # shade by face, for objects with edges


@dataclass(frozen=True)
class Rendering:
    """Rendered meshes without background: colour [H,W,3] premultiplied by alpha [H,W] in [0,1].

    person [h,w] (number, -1 objects, -2 nothing) and depth [h,w] metres (inf: nothing) have `scale` times its pixels.
    """

    colour: np.ndarray
    alpha: np.ndarray
    person: np.ndarray
    depth: np.ndarray
    scale: int

    def over(self, background: np.ndarray) -> np.ndarray:
        """The rendering composed over a background [H,W,3] in [0,1]."""
        return self.colour + background * cv2.merge((1 - self.alpha,) * 3)


def normals_of(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals of the faces [F,3] and, area-weighted, of the vertices [V,3]."""
    at = np.ascontiguousarray(vertices.T)
    corners = np.ascontiguousarray(faces.T)
    a, b, c = (at[:, corner] for corner in corners)
    u, v = b - a, c - a
    face = np.stack([u[i - 2] * v[i - 1] - u[i - 1] * v[i - 2] for i in range(3)])
    vertex = np.zeros_like(at)
    for corner in corners:
        for axis in range(3):
            vertex[axis] += np.bincount(corner, face[axis], len(vertices))
    for n in (face, vertex):
        n /= np.sqrt(np.maximum(n[0] * n[0] + n[1] * n[1] + n[2] * n[2], 1e-24))
    return np.ascontiguousarray(face.T), np.ascontiguousarray(vertex.T)


def render(
    camera: Camera, meshes: Sequence[Mesh], light: Light, scale: int = 2, static: Rendering | None = None
) -> Rendering:
    """Render the meshes as the camera sees them under the light.

    static is a rendering by the same camera and scale of what is there already: where it is nearer, its persons and
    depths stay and no colour is drawn.
    """
    shape = (camera.height * scale, camera.width * scale)
    vertices = np.concatenate([m.vertices for m in meshes]).astype(np.float32)
    firsts = np.cumsum([0] + [len(m.vertices) for m in meshes])
    face_firsts = np.cumsum([0] + [len(m.faces) for m in meshes])
    faces = np.concatenate([m.faces + first for m, first in zip(meshes, firsts, strict=False)])
    mesh_of_face = np.repeat(np.arange(len(meshes)), np.diff(face_firsts))
    two_sided = np.array([m.two_sided for m in meshes])[mesh_of_face]
    pixels, depth = camera.project(vertices)
    pixels = ((pixels + 0.5) * scale - 0.5).astype(np.float32)
    depth = depth.astype(np.float32)
    # One array for each corner and coordinate: contiguous reads.
    a, b, c = np.ascontiguousarray(faces.T)
    x, y = np.ascontiguousarray(pixels.T)
    x0, y0 = x[a], y[a]
    e1x, e1y, e2x, e2y = x[b] - x0, y[b] - y0, x[c] - x0, y[c] - y0
    area = e1x * e2y - e1y * e2x  # negative = facing us (y points down)
    drawn = ((area < 0) | two_sided) & (np.abs(area) > 1e-6) & in_view(pixels, depth, (a, b, c), shape)
    order = np.flatnonzero(drawn)
    order = order[np.argsort(-(depth[a] + depth[b] + depth[c])[order], kind="stable")]
    number = np.full(shape, -1, np.int32)
    for face, polygon in zip(order.tolist(), list(fixed_point(pixels)[faces[order]]), strict=True):
        cv2.fillConvexPoly(number, polygon, face, cv2.LINE_8, 4)

    # Interpolate in the covered pixels.
    place = np.flatnonzero(number.ravel() >= 0)
    at = number.ravel()[place].astype(np.intp)
    attributes = np.empty((6, len(vertices)), np.float32)  # normals, then texture
    face_normals = np.empty((len(faces), 3), np.float32)
    for m, first, f in zip(meshes, firsts, face_firsts, strict=False):
        of_faces, of_vertices = normals_of(m.vertices, m.faces)
        own = slice(first, first + len(m.vertices))
        attributes[:3, own] = of_vertices.T
        attributes[3:, own] = (m.vertices if m.texture is None else m.texture).T
        face_normals[f : f + len(m.faces)] = of_faces
    pixel_depth = np.empty(len(at), np.float32)
    normal, texture = np.empty((2, len(at), 3), np.float32)
    for first in range(0, len(at), CHUNK):
        part = slice(first, first + CHUNK)
        here = at[part]
        row, col = np.divmod(place[part], np.int32(shape[1]))
        dx, dy = col.astype(np.float32) - x0[here], row.astype(np.float32) - y0[here]
        whole = area[here]
        w1 = (dx * e2y[here] - dy * e2x[here]) / whole
        w2 = (e1x[here] * dy - e1y[here] * dx) / whole
        # [3,n], perspective-correct: the value over the depth is linear in the image.
        weights = np.clip(np.stack([1 - w1 - w2, w1, w2]), 0, 1)
        corners = [corner[here] for corner in (a, b, c)]
        of_corners = np.stack([depth[corner] for corner in corners])
        weights /= of_corners
        weights /= np.maximum(weights[0] + weights[1] + weights[2], 1e-9)
        shares = weights * of_corners
        pixel_depth[part] = shares[0] + shares[1] + shares[2]
        weighted = list(zip(corners, weights, strict=True))
        inside = [sum(values[corner] * weight for corner, weight in weighted) for values in attributes]
        u, v, w = inside[:3]
        length = np.sqrt(np.maximum(u * u + v * v + w * w, 1e-12))
        np.stack([u / length, v / length, w / length], -1, out=normal[part])
        np.stack(inside[3:], -1, out=texture[part])
    if static is not None:
        front = pixel_depth < static.depth.ravel()[place]
        place, at, pixel_depth = place[front], at[front], pixel_depth[front]
        normal, texture = normal[front], texture[front]

    person = np.full(shape, -2, np.int16) if static is None else static.person.copy()
    far = np.full(shape, np.inf, np.float32) if static is None else static.depth.copy()
    far.ravel()[place] = pixel_depth
    albedo = np.empty((len(at), 3), np.float32)
    mesh_of = mesh_of_face[at]
    person.ravel()[place] = np.array([m.person for m in meshes], np.int16)[mesh_of]
    for i, m in enumerate(meshes):
        mine = np.flatnonzero(mesh_of == i)
        if len(mine):
            albedo[mine] = m.paint(at[mine] - face_firsts[i], texture[mine])
            if m.flat:
                normal[mine] = face_normals[at[mine]]
            if m.two_sided:
                normal[mine] *= np.where(area[at[mine]] < 0, 1, -1)[:, None]
    # Gamma 2: squares and roots approximate sRGB, and are fast.
    layer = np.zeros((*shape, 4), np.float32)
    pixel = layer.view(np.complex128).ravel()  # four float32 of a pixel, copied as one
    for first in range(0, len(at), CHUNK):
        part = slice(first, first + CHUNK)
        lit = albedo[part] ** 2 * light.shade(normal[part])
        drawn = np.ones((len(lit), 4), np.float32)
        np.sqrt(np.clip(lit, 0, 1), out=drawn[:, :3])
        pixel[place[part]] = drawn.view(np.complex128)[:, 0]
    small = cv2.resize(layer, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return Rendering(small[..., :3], small[..., 3], person, far, scale)


def in_view(pixels: np.ndarray, depth: np.ndarray, corners: Sequence, shape: tuple[int, int]) -> np.ndarray:
    """Which faces [F], given by three vertex numbers [F] each, may show in an image of `shape` (H, W).

    pixels [V,2] and depth [V] are of the vertices. A face is out of view if one side of the image has all of it.
    """
    x, y = pixels.T
    sides = x < -1, x > shape[1], y < -1, y > shape[0]
    beyond = np.packbits(np.stack(sides, -1), axis=-1)[:, 0]
    usable = (depth > NEAR) & (np.abs(x) < 30000) & (np.abs(y) < 30000)
    a, b, c = corners
    return (beyond[a] & beyond[b] & beyond[c] == 0) & usable[a] & usable[b] & usable[c]


def fixed_point(pixels: np.ndarray) -> np.ndarray:
    """Pixels [V,2] in sixteenths, as OpenCV's drawing functions take them with shift 4."""
    return np.rint(np.clip(pixels, -30000, 30000) * 16).astype(np.int32)


def shadow(camera: Camera, meshes: Sequence[Mesh], direction: np.ndarray, blur: float):
    """Share [H,W] of a lamp's light, direction [3] towards it, that the meshes keep from z = 0; blur in pixels."""
    mask = np.zeros((camera.height, camera.width), np.uint8)
    for m in meshes:
        a, b, c = m.faces.T
        v = m.vertices - np.maximum(m.vertices[:, 2:], 0) / max(direction[2], 0.15) * direction
        pixels, depth = camera.project(v)
        x, y = np.ascontiguousarray(pixels.T)
        turn = (x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a])
        keep = (turn < 0) & in_view(pixels, depth, (a, b, c), mask.shape)
        for polygon in list(fixed_point(pixels)[m.faces[keep]]):
            cv2.fillConvexPoly(mask, polygon, 255, cv2.LINE_8, 4)
    if blur > 0.3:
        # Outside the reach of the blur the shadow stays 0.
        reach = int(4 * blur) + 2
        x, y, wide, tall = cv2.boundingRect(mask)
        part = mask[max(0, y - reach) : y + tall + reach, max(0, x - reach) : x + wide + reach]
        if tall:
            part[:] = cv2.GaussianBlur(part, (0, 0), blur)
    return mask.astype(np.float32) / 255


def visibility(
    rendering: Rendering, camera: Camera, points: np.ndarray, person: int, skin_depth: np.ndarray
) -> np.ndarray:
    """COCO visibility [K] of one person's points [K,3] in world metres: 2 visible, 1 hidden, 0 outside the frame.

    A point is hidden where the person's own surface is nearer by more than skin_depth [K] metres (how deep the
    keypoint lies below the skin), or any other surface is nearer.
    """
    pixels, depth = camera.project(points)
    end = camera.width - 0.5, camera.height - 0.5
    inside = (depth > NEAR) & ((pixels > -0.5) & (pixels < end)).all(1)
    fine = np.rint((np.nan_to_num(pixels) + 0.5) * rendering.scale - 0.5)
    row, col = np.clip(fine[:, ::-1], 0, np.array(rendering.person.shape) - 1).astype(int).T
    mine = rendering.person[row, col] == person
    nearer = rendering.depth[row, col] < depth - np.where(mine, skin_depth, 0.02)
    return np.where(inside, np.where(nearer, 1, 2), 0)


def annotated(flags: np.ndarray, limbs: list[tuple[int, int]]) -> np.ndarray:
    """The visibility [K] that an annotator gives to keypoints of true visibility [K], joined by `limbs`.

    A hidden keypoint is marked only if a keypoint joined to it is visible, so that it can be inferred.
    """
    inferred = np.zeros(len(flags), bool)
    for a, b in limbs:
        inferred[a] |= flags[b] == 2
        inferred[b] |= flags[a] == 2
    return np.where((flags == 1) & ~inferred, 0, flags)
