import os

import numpy as np
import pytest
from safetensors import SafetensorError
from scipy.spatial.transform import Rotation

from fewpose.disk import DiskFull
from fewpose_worlds import body
from fewpose_worlds.body import JOINTS, KEYPOINTS, PARENTS, bone_transforms, pose_bodies, rig

AVERAGE = np.array([[0.5, 2 / 3, 0.5, 0.5, 0.5, 0.5]])


def turned(**joints: tuple[str, float]) -> np.ndarray:
    """Rest, but each named joint turned about an axis by degrees: [1,21,3,3]."""
    rotations = np.tile(np.eye(3), (1, len(JOINTS), 1, 1))
    for name, (axis, degrees) in joints.items():
        rotations[0, JOINTS.index(name)] = Rotation.from_euler(axis, degrees, True).as_matrix()
    return rotations


def pose(**joints):
    return pose_bodies(AVERAGE, turned(**joints), np.zeros((1, 3)))


def test_parents_come_before_their_children():
    assert all(parent < j for j, parent in enumerate(PARENTS))


def test_rest_stands_upright_with_hanging_arms_and_feet_to_the_front():
    body = pose()
    at = {name: body.keypoints[0, k] for k, name in enumerate(KEYPOINTS)}
    assert at["head"][2] > at["neck"][2] > at["left_hip"][2] > at["left_knee"][2]
    for side, sign in (("left", -1), ("right", 1)):  # x is the person's right
        assert sign * at[f"{side}_shoulder"][0] > 0.1
        assert np.abs(at[f"{side}_shoulder"] - at[f"{side}_wrist"])[:2].max() < 0.06
        assert at[f"{side}_toe"][1] > at[f"{side}_heel"][1] + 0.15
    assert at["nose"][1] > at["left_ear"][1]
    height = np.ptp(body.vertices[0, :, 2])
    assert 1.6 < height < 2.0


def test_left_and_right_mirror_each_other():
    body = pose()
    for k, name in enumerate(KEYPOINTS):
        if name.startswith("left_"):
            twin = body.keypoints[0, KEYPOINTS.index(name.replace("left", "right"))]
            np.testing.assert_allclose(body.keypoints[0, k] * (-1, 1, 1), twin, atol=2e-3)


@pytest.mark.parametrize(
    ("joint", "end", "degrees", "goes"),
    [
        ("left_hip", "left_knee", 90, (0, 1, 0)),  # hip flexion lifts the thigh to the front
        ("left_knee", "left_ankle", -90, (0, -1, 0)),  # knee flexion takes the heel back
        ("right_elbow", "right_wrist", 90, (0, 1, 0)),
        ("spine", "neck", -90, (0, 1, 0)),  # bending forward
    ],
)
def test_flexions_go_where_the_convention_says(joint, end, degrees, goes):
    body = pose(**{joint: ("x", degrees)})
    a, b = body.joints[0, JOINTS.index(joint)], body.keypoint(end)[0]
    assert (b - a) @ goes > 0.9 * np.linalg.norm(b - a)


def test_bone_lengths_survive_posing_and_the_root_is_where_it_was_put():
    rng = np.random.default_rng(0)
    rotations = Rotation.random(3 * len(JOINTS), rng=rng).as_matrix().reshape(3, len(JOINTS), 3, 3)
    phenotypes, roots = rng.uniform(0.3, 0.9, (3, 6)), rng.normal(size=(3, 3))
    body = pose_bodies(phenotypes, rotations, roots)
    np.testing.assert_allclose(body.joints[:, 0], roots, atol=1e-5)
    for a, b in (("left_shoulder", "left_elbow"), ("right_hip", "right_knee"), ("right_knee", "right_ankle")):
        length, rest = (
            np.linalg.norm(p[:, JOINTS.index(a)] - p[:, JOINTS.index(b)], axis=1)
            for p in (body.joints, body.rest_joints)
        )
        np.testing.assert_allclose(length, rest, rtol=5e-3)  # half a twist bends the line a little


def test_keypoints_are_those_that_anny_regresses_from_its_full_mesh():
    import anny
    import torch

    full = anny.Anny(topology="anny")
    regressor = anny.KeypointsRegressor.coco(full)
    rng = np.random.default_rng(1)
    angles = rng.normal(0, 35, (len(JOINTS), 3))
    rotations = Rotation.from_euler("XYZ", angles, True).as_matrix()[None]
    phenotypes, roots = rng.uniform(0.3, 0.9, (1, 6)), np.zeros((1, 3))
    ours = pose_bodies(phenotypes, rotations, roots)

    r = rig()
    coefficients, _ = r.coefficients(phenotypes)
    heads = np.tensordot(coefficients, r.heads, 1)
    transforms = np.tile(np.eye(4), (1, len(r.labels), 1, 1))
    transforms[..., :3, :], _, _ = bone_transforms(r, heads, rotations.astype(np.float32), roots.astype(np.float32))
    names = ("gender", "age", "muscle", "weight", "height", "proportions")
    values = {name: torch.from_numpy(phenotypes[:, i]) for i, name in enumerate(names)}
    rest = full.get_rest_vertices(full.get_phenotype_blendshape_coefficients(**values))
    rest = rest * torch.tensor([-1.0, -1.0, 1.0])
    theirs = regressor({"vertices": full.get_skinned_vertices(rest, torch.from_numpy(transforms))})
    for k, name in enumerate(regressor.labels):
        if name in KEYPOINTS:
            np.testing.assert_allclose(ours.keypoint(name), theirs[:, k], atol=1e-4, err_msg=name)


def test_wrong_shapes_and_poses_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="shapes"):
        pose_bodies(AVERAGE, turned()[:, :20], np.zeros((1, 3)))
    with pytest.raises(ValueError, match="not finite"):
        pose_bodies(AVERAGE, turned() * np.nan, np.zeros((1, 3)))
    with pytest.raises(ValueError, match="at least 1"):
        pose_bodies(np.zeros((0, 6)), np.zeros((0, 21, 3, 3)), np.zeros((0, 3)))


# ---- what Anny keeps ------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    for variable in ("ANNY_CACHE_DIR", "WARP_CACHE_PATH", "FEWPOSE_CACHE"):
        monkeypatch.setenv(variable, "x")  # so that both are as before after the test
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_read_only_home_is_left_alone(home, monkeypatch, tmp_path):
    writable = body.is_writable
    monkeypatch.setattr(body, "is_writable", lambda folder: not folder.is_relative_to(home) and writable(folder))
    monkeypatch.setenv("FEWPOSE_CACHE", str(tmp_path / "kept"))
    assert body.model_cache() == tmp_path / "kept" / "anny"
    assert os.environ["WARP_CACHE_PATH"] == str(tmp_path / "kept" / "warp")  # also for processes that are started
    assert body.model_cache() == tmp_path / "kept" / "anny"


def test_a_writable_home_is_used(home):
    assert body.model_cache() == home / ".cache" / "anny"
    assert "ANNY_CACHE_DIR" not in os.environ and "WARP_CACHE_PATH" not in os.environ


def test_what_a_killed_process_left_of_the_model_is_made_again(home, monkeypatch):
    half = home / ".cache" / "anny" / "v1" / "a.safetensors"
    half.parent.mkdir(parents=True)
    half.write_text("half")
    calls = []

    def rig():
        calls.append(half.exists())
        if half.exists():
            raise SafetensorError("Error while deserializing header: incomplete metadata, file not fully covered")

    monkeypatch.setattr(body, "rig", rig)
    body.load_model()
    body.load_model()
    assert calls == [True, False, False, False]


def test_a_disk_too_small_for_the_model_is_said(home, monkeypatch):
    def rig():
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(body, "rig", rig)
    with pytest.raises(DiskFull, match=r"\.cache/anny: the disk is full, .* missing; make room"):
        body.load_model()
