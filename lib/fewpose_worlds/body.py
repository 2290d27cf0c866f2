"""The bodies of all worlds: poses of a small axis-aligned skeleton applied to Anny's mesh.

A pose is one local rotation per joint of `JOINTS` (child relative to parent) and the position of the pelvis. At rest
all joint frames are axis-aligned: x = the person's right, y = forward, z = up, arms hanging, palms to the thighs. So
hip flexion, elbow flexion and ankle dorsiflexion are rotations by +angle about x, knee flexion and bending the trunk
forward by -angle about x.

Posing is linear blend skinning in numpy: it runs in worker processes, and the correction of Anny's rest pose (its arms
are spread) depends on the person.
"""

from __future__ import annotations

import errno
import getpass
import os
import tempfile
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from scipy.spatial.transform import Rotation

from fewpose.disk import full_disk_named
from fewpose.made_once import made_once
from fewpose.skeleton import COCO

SIDES = ("left", "right")
_TRUNK = ("pelvis", "spine", "chest", "neck", "head")
_LIMBS = ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toes")
JOINTS = (*_TRUNK, *(f"{side}_{part}" for part in _LIMBS for side in SIDES))
JOINT_INDEX = {name: i for i, name in enumerate(JOINTS)}
PARENTS = (-1, 0, 1, 2, 3, 2, 2, 5, 6, 7, 8, 9, 10, 0, 0, 13, 14, 15, 16, 17, 18)
KEYPOINTS = (*COCO.keypoints, "head", "neck", *(f"{side}_{part}" for part in ("hand", "heel", "toe") for side in SIDES))
PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")

COMPUTED = "v*/*.safetensors"  # files of Anny's cache
MODEL_BYTES = 860_000_000  # of all of them

# Anny faces -y with its left at +x; turning it by 180 degrees about z gives our axes.
_TURN = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Bodies:
    """B posed people in world metres.

    vertices [B,V,3]; keypoints [B,25,3] in the order of `KEYPOINTS`; joints [B,21,3] and frames [B,21,3,3], position
    and orientation (columns are the axes) of `JOINTS`; rest [B,V,3], rest_keypoints [B,25,3] and rest_joints [B,21,3]
    the same at rest, pelvis at 0.
    """

    vertices: np.ndarray
    keypoints: np.ndarray
    joints: np.ndarray
    frames: np.ndarray
    rest: np.ndarray
    rest_keypoints: np.ndarray
    rest_joints: np.ndarray

    def __len__(self) -> int:
        return len(self.vertices)

    def keypoint(self, name: str) -> np.ndarray:
        """Keypoint `name` of every body [B,3], world metres."""
        return self.keypoints[:, KEYPOINTS.index(name)]

    def subset(self, which: slice) -> Bodies:
        """The bodies of a slice; arrays are views."""
        return Bodies(*(getattr(self, f.name)[which] for f in fields(self)))

    def translate(self, i: int, by: np.ndarray) -> None:
        """Move body i by a vector [3], in place."""
        for points in (self.vertices, self.keypoints, self.joints):
            points[i] += by


@dataclass(frozen=True)
class Rig:
    """Anny's mesh and skinning data in our axes."""

    faces: np.ndarray  # [F,3] counter-clockwise seen from outside
    vertices: np.ndarray  # [1+C,V,3] template, then blend shapes
    heads: np.ndarray  # [1+C,N,3] bone heads
    weights: np.ndarray  # [V,N] dense skinning weights
    parents: np.ndarray  # [N]
    labels: tuple[str, ...]
    points: np.ndarray  # [1+D,K,N,4] keypoints as weighted homogeneous points of each bone
    coefficients: object  # phenotypes [B,6] -> ([B,1+C], [B,1+D])
    joint_bones: np.ndarray  # [21,2] bones; the mean of their heads is the joint


@lru_cache(maxsize=1)
def rig() -> Rig:
    """Load Anny once (some seconds; a minute or more the first time on a machine, which is announced)."""
    cache = model_cache()  # before anny and warp are imported, which read where theirs is
    import torch
    import warp

    warp.config.log_level = warp.LOG_ERROR  # Anny's skinning library prints at import
    import anny

    if not any(cache.glob(COMPUTED)):
        print("preparing the body model, once per machine: a minute or more")
    mesh = anny.Anny(topology="notoes_collapse10pc")
    full = anny.Anny(topology="anny")
    regressor = anny.KeypointsRegressor.coco(full)
    labels = tuple(mesh.bone_labels)

    def dense_weights(model) -> np.ndarray:
        out = np.zeros((len(model.template_vertices), len(labels)))
        rows = np.arange(len(out))[:, None]
        np.add.at(out, (rows, model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy())
        return out

    def stacked(template, shapes) -> np.ndarray:
        return np.concatenate([template.numpy()[None], shapes.numpy()]) * _TURN

    # A regressed keypoint is sum_v w_v sum_b W_vb T_b x_v, linear in the bone transforms T_b, so the sum over the
    # full mesh is done here once: exact keypoints at the cost of a few bones.
    full_vertices = stacked(full.template_vertices, full.blendshapes)
    full_weights = dense_weights(full)
    regress = dict(zip(regressor.labels, regressor.regression_weights.numpy(), strict=True))
    tips = {"left_toe": "left_big_toe", "right_toe": "right_big_toe"}
    on_head = np.where(full_weights[:, labels.index("head")] > 0.9, full_vertices[0, :, 2], -9)
    regress["head"] = np.eye(1, len(on_head), on_head.argmax())[0]  # its highest vertex alone
    points = np.zeros((len(full_vertices), len(KEYPOINTS), len(labels), 4))
    heads = stacked(mesh.template_bone_heads, mesh.bone_heads_blendshapes)
    full_heads = stacked(full.template_bone_heads, full.bone_heads_blendshapes)
    bone_points = {"neck": "neck01", "left_hand": "finger3-1.L", "right_hand": "finger3-1.R"}
    for k, name in enumerate(KEYPOINTS):
        if name in bone_points:
            bone = labels.index(bone_points[name])
            points[:, k, bone, :3] = full_heads[:, bone]
            points[0, k, bone, 3] = 1
            continue
        weight = regress[tips.get(name, name)]
        used = np.flatnonzero(weight)
        both = weight[used, None] * full_weights[used]  # [v, bones]
        points[:, k, :, :3] = np.einsum("vb,cvd->cbd", both, full_vertices[:, used])
        points[0, k, :, 3] = both.sum(0)

    def coefficients(phenotypes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        columns = torch.from_numpy(np.ascontiguousarray(phenotypes.T, np.float64))
        values = dict(zip(PHENOTYPES, columns, strict=True))
        ones = np.ones((len(phenotypes), 1))
        return tuple(
            np.concatenate([ones, m.get_phenotype_blendshape_coefficients(**values).numpy()], 1).astype(np.float32)
            for m in (mesh, full)
        )

    joint_bones = dict(pelvis="upperleg01.L", spine="spine04", chest="spine02", neck="neck01", head="head")
    joint_bones |= dict(collar="clavicle", shoulder="upperarm01", elbow="lowerarm01", wrist="wrist")
    joint_bones |= dict(hip="upperleg01", knee="lowerleg01", ankle="foot", toes="toe2-1")
    pairs = []
    for joint in JOINTS:
        side, _, part = joint.rpartition("_")
        bone = labels.index(joint_bones[part] + (f".{side[0].upper()}" if side else ""))
        pairs.append([bone, labels.index("upperleg01.R") if joint == "pelvis" else bone])
    return Rig(
        faces=mesh.get_triangular_faces().numpy().astype(np.int32),
        vertices=stacked(mesh.template_vertices, mesh.blendshapes).astype(np.float32),
        heads=heads.astype(np.float32),
        weights=dense_weights(mesh).astype(np.float32),
        parents=np.array(mesh.bone_parents),
        labels=labels,
        points=points.astype(np.float32),
        coefficients=coefficients,
        joint_bones=np.array(pairs),
    )


def load_model() -> None:
    """Load Anny once, before worker processes start; what it computes and keeps the first time is made by one process.

    What a process left that was killed at that is made again. DiskFull if it does not fit.
    """
    cache = model_cache()
    if is_writable(cache):
        with made_once(cache / f".whole_{version('anny')}") as part, full_disk_named(cache, size=MODEL_BYTES):
            if part is not None:
                try:
                    rig()
                except SafetensorError as error:
                    if "deserializ" not in str(error):
                        raise
                    for damaged in cache.glob(COMPUTED):
                        damaged.unlink()
                    rig()
                part.touch()
    rig()


def model_cache() -> Path:
    """Where Anny keeps what it has computed: in the user's cache, or, where that is read only, beside our downloads.

    Without those ($FEWPOSE_CACHE) it is in the folder of temporary files. Anny's and Warp's variables are set.
    """
    home, ours = Path.home() / ".cache", os.environ.get("FEWPOSE_CACHE")
    instead = Path(ours) if ours else Path(tempfile.gettempdir()) / f"fewpose_{getpass.getuser()}"
    for variable, name in (("ANNY_CACHE_DIR", "anny"), ("WARP_CACHE_PATH", "warp")):
        folder = Path(os.environ.get(variable) or home / name)
        if not (is_writable(folder) or any(folder.glob(COMPUTED))):
            os.environ[variable] = str(instead / name)
    return Path(os.environ.get("ANNY_CACHE_DIR") or home / "anny")


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made if it is not there; True if only the disk is full."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    return True


def rotation(axis: str, angle: np.ndarray) -> np.ndarray:
    """Rotation matrices [...,3,3] about one axis ('x', 'y' or 'z') by angles [...] in radians."""
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    angle = np.asarray(angle, dtype=float)
    matrix = np.tile(np.eye(3), (*angle.shape, 1, 1))
    matrix[..., i, i] = matrix[..., j, j] = np.cos(angle)
    matrix[..., i, j] = -np.sin(angle)
    matrix[..., j, i] = np.sin(angle)
    return matrix


def pose_bodies(phenotypes: np.ndarray, rotations: np.ndarray, roots: np.ndarray) -> Bodies:
    """Pose B people: blend shapes, forward kinematics, linear blend skinning.

    phenotypes [B,6] in [0,1] in the order of `PHENOTYPES` (gender 0 = female, 1 = male; age 1/3 = child, 2/3 = young
    adult, 1 = old); rotations [B,21,3,3] local; roots [B,3] pelvis (middle of the hip joints) in world metres.
    ValueError for other shapes or poses that are not finite.
    """
    phenotypes, rotations, roots = (np.asarray(a, np.float32) for a in (phenotypes, rotations, roots))
    b = len(roots)
    if b == 0 or phenotypes.shape != (b, 6) or rotations.shape != (b, len(JOINTS), 3, 3) or roots.shape != (b, 3):
        raise ValueError(
            f"pose_bodies: shapes {phenotypes.shape}, {rotations.shape}, {roots.shape} are not "
            f"[B,6], [B,{len(JOINTS)},3,3], [B,3] with one B of at least 1"
        )
    if not (np.isfinite(rotations).all() and np.isfinite(roots).all()):
        raise ValueError("pose_bodies: a rotation or root is not finite")
    r = rig()
    mesh_c, full_c = r.coefficients(phenotypes)
    rest = np.tensordot(mesh_c, r.vertices, 1)  # [B,V,3]
    heads = np.tensordot(mesh_c, r.heads, 1)  # [B,N,3]
    points = np.tensordot(full_c, r.points, 1)  # [B,K,N,4]

    transforms, joints, frames = bone_transforms(r, heads, rotations, roots)
    keypoints = np.einsum("bnij,bknj->bki", transforms, points)
    blended = (r.weights @ transforms.reshape(b, len(r.labels), 12)).reshape(b, -1, 3, 4)
    vertices = (blended[..., :3] @ rest[..., None])[..., 0] + blended[..., 3]
    rest_joints = heads[:, r.joint_bones].mean(2)
    at_rest = (points - rest_joints[:, :1] for points in (rest, points[..., :3].sum(2), rest_joints))
    return Bodies(vertices, keypoints, joints, frames, *at_rest)


def pose_keypoints(phenotypes: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints [B,25,3] of B posed people with the pelvis at 0, and at rest: as `pose_bodies`, ten times as fast."""
    phenotypes, rotations = (np.asarray(a, np.float32) for a in (phenotypes, rotations))
    r = rig()
    mesh_c, full_c = r.coefficients(phenotypes)
    heads, points = np.tensordot(mesh_c, r.heads, 1), np.tensordot(full_c, r.points, 1)
    transforms, _, _ = bone_transforms(r, heads, rotations, np.zeros((len(heads), 3), np.float32))
    return np.einsum("bnij,bknj->bki", transforms, points, optimize=True), points[..., :3].sum(2)


def bone_transforms(r: Rig, heads: np.ndarray, rotations: np.ndarray, roots: np.ndarray) -> tuple[np.ndarray, ...]:
    """Transforms [B,N,3,4] of Anny's bones from rest to world, our joints [B,21,3] and their frames [B,21,3,3].

    World metres; heads [B,N,3] are the bones' heads at rest.
    """
    frames = np.empty_like(rotations)
    for j, parent in enumerate(PARENTS):
        frames[:, j] = rotations[:, j] if parent < 0 else frames[:, parent] @ rotations[:, j]
    delta = _bone_rotations(r, heads, rotations, frames)
    placed = np.zeros_like(heads)
    for n, parent in enumerate(r.parents):
        if parent >= 0:
            offset = (heads[:, n] - heads[:, parent])[..., None]
            placed[:, n] = placed[:, parent] + (delta[:, parent] @ offset)[..., 0]
    joints = placed[:, r.joint_bones].mean(2)
    shift = roots - joints[:, 0]
    placed += shift[:, None]
    joints += shift[:, None]

    transforms = np.empty((*heads.shape[:2], 3, 4), np.float32)
    transforms[..., :3] = delta
    transforms[..., 3] = placed - (delta @ heads[..., None])[..., 0]
    return transforms, joints, frames


def _bone_rotations(r: Rig, heads, rotations, frames) -> np.ndarray:
    """World rotation [B,N,3,3] of each of Anny's bones relative to its rest pose."""
    at = {label: heads[:, i] for i, label in enumerate(r.labels)}
    delta: dict[str, np.ndarray] = {}
    g = {name: frames[:, i] for i, name in enumerate(JOINTS)}
    local = {name: rotations[:, i] for i, name in enumerate(JOINTS)}
    delta["root"] = g["pelvis"]
    delta["spine05"] = g["pelvis"] @ _part(local["spine"], 0.5)
    delta["spine04"] = g["spine"]
    delta["spine03"] = g["spine"] @ _part(local["chest"], 0.5)
    delta["spine02"] = delta["spine01"] = g["chest"]
    delta["neck01"] = g["chest"] @ _part(local["neck"], 0.5)
    delta["neck02"] = delta["neck03"] = g["neck"]
    delta["head"] = delta["eye.L"] = delta["eye.R"] = g["head"]
    up, down, forward = np.array([0, 0, 1.0]), np.array([0, 0, -1.0]), np.array([0, 1.0, 0])
    for s, side in (("L", "left"), ("R", "right")):
        # Arms: Anny's spread, bent arm is turned to hang straight, its elbow's axis along x.
        upper = at[f"lowerarm01.{s}"] - at[f"upperarm01.{s}"]
        fore = at[f"wrist.{s}"] - at[f"lowerarm01.{s}"]
        hand = at[f"finger3-1.{s}"] - at[f"wrist.{s}"]
        to_upper = _align(upper, fore, down, forward)
        to_fore = _align(fore, fore - upper * (_dot(fore, fore) / _dot(upper, fore)), down, forward)
        to_hand = _align(hand, at[f"finger2-1.{s}"] - at[f"finger5-1.{s}"], down, forward)
        collar, elbow = g[f"{side}_collar"], g[f"{side}_elbow"]
        whole = local[f"{side}_shoulder"] @ to_upper
        delta[f"clavicle.{s}"] = collar
        delta[f"shoulder01.{s}"] = collar @ _part(whole, 0.3)
        delta[f"upperarm01.{s}"] = collar @ _half_twist(whole, upper)
        delta[f"upperarm02.{s}"] = collar @ whole
        delta[f"lowerarm01.{s}"] = elbow @ to_fore
        bend = to_fore.mT @ local[f"{side}_wrist"] @ to_hand
        delta[f"lowerarm02.{s}"] = elbow @ to_fore @ _twist(bend, fore, 0.5)
        delta[f"wrist.{s}"] = g[f"{side}_wrist"] @ to_hand
        # Legs: Anny's straddle is closed, its feet turned to the front.
        thigh = at[f"lowerleg01.{s}"] - at[f"upperleg01.{s}"]
        shank = at[f"foot.{s}"] - at[f"lowerleg01.{s}"]
        toes = at[f"toe2-1.{s}"] - at[f"foot.{s}"]
        toes[:, 2] = 0
        to_thigh, to_shank = _arc(thigh, down), _arc(shank, down)
        to_foot = _align(toes, np.broadcast_to(up, toes.shape), forward, up)
        delta[f"pelvis.{s}"] = g["pelvis"]
        whole = local[f"{side}_hip"] @ to_thigh
        delta[f"upperleg01.{s}"] = g["pelvis"] @ _half_twist(whole, thigh)
        delta[f"upperleg02.{s}"] = g[f"{side}_hip"] @ to_thigh
        delta[f"lowerleg01.{s}"] = delta[f"lowerleg02.{s}"] = g[f"{side}_knee"] @ to_shank
        delta[f"foot.{s}"] = g[f"{side}_ankle"] @ to_foot
        for label in r.labels:
            if label.startswith("toe") and label.endswith(s):
                delta[label] = g[f"{side}_toes"] @ to_foot
            if label.startswith(("finger", "metacarpal")) and label.endswith(s):
                delta[label] = delta[f"wrist.{s}"]
    return np.stack([delta[label] for label in r.labels], 1).astype(np.float32)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1, keepdims=True)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def _basis(primary, secondary) -> np.ndarray:
    """Right-handed frame [...,3,3] (columns) whose first axis is primary, second near secondary."""
    first = _unit(primary)
    second = _unit(secondary - first * _dot(secondary, first))
    return np.stack([first, second, np.cross(first, second)], -1)


def _align(primary, secondary, to_primary, to_secondary) -> np.ndarray:
    """Rotation that takes primary onto to_primary and secondary as near to to_secondary as possible."""
    return _basis(to_primary, to_secondary) @ _basis(primary, secondary).mT


def _arc(vector, to) -> np.ndarray:
    """The smallest rotation [B,3,3] taking vector [B,3] onto to [3]."""
    axis = np.cross(_unit(vector), to)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, _dot(_unit(vector), to))
    return Rotation.from_rotvec(_unit(axis) * angle).as_matrix()


def _part(m: np.ndarray, fraction: float) -> np.ndarray:
    """The given fraction of each rotation [B,3,3]."""
    return Rotation.from_rotvec(Rotation.from_matrix(m).as_rotvec() * fraction).as_matrix()


def _twist(m: np.ndarray, axis: np.ndarray, fraction: float) -> np.ndarray:
    """The given fraction of each rotation's twist about its axis [B,3]."""
    quaternion = Rotation.from_matrix(m).as_quat()
    axis = _unit(axis)
    angle = 2 * np.arctan2(_dot(quaternion[:, :3], axis), quaternion[:, 3:])
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    return Rotation.from_rotvec(axis * angle * fraction).as_matrix()


def _half_twist(m: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Each rotation without half its twist about axis [B,3], so that the skin of limbs does not collapse."""
    return m @ _twist(m, axis, -0.5)
