import json

import cv2
import numpy as np
import pytest
import torch

from fewpose_worlds import people, worlds
from fewpose_worlds.body import JOINTS
from fewpose_worlds.everyday import poses, scenes
from fewpose_worlds.render import look_at


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return worlds.everyday(40, 96, seed=2, cache=tmp_path_factory.mktemp("cache"))


def test_frames_poses_and_splits(data):
    assert data.frames.shape == (40, 3, 96, 96)
    assert {s: int((data.split == s).sum()) for s in ("train", "val", "test")} == {"train": 24, "val": 8, "test": 8}
    seen = data.poses[..., 2] > 0
    inside = (data.poses[..., :2] >= -0.5).all(-1) & (data.poses[..., :2] < 95.5).all(-1)
    assert inside[seen].all()
    assert (data.poses[..., :2][~seen] == 0).all()
    assert 0.75 < seen.float().mean() < 1  # some people are cut by the frame
    assert 0.5 < (data.poses[..., 2] == 2).float().mean() < 0.95  # some joints are hidden
    assert data.frames.float().std(dim=(1, 2, 3)).min() > 5


def test_a_frame_depends_on_its_seed_alone(data):
    fewer = worlds.everyday(11, 96, seed=2)  # in one process, and a part of a scene
    assert (fewer.frames == data.frames[:11]).all()
    assert (fewer.poses == data.poses[:11]).all()
    other = worlds.everyday(8, 96, seed=3)
    assert (other.frames != data.frames[:8]).any(dim=(1, 2, 3)).all()


def test_the_main_person_is_big_and_annotated_like_coco(tmp_path):
    out = worlds.export("everyday", 8, 96, 2, tmp_path / "out")
    coco = json.loads((out / "annotations.json").read_text())
    assert len(coco["images"]) == 8
    for image in coco["images"]:
        mine = [a for a in coco["annotations"] if a["image_id"] == image["id"]]
        assert sum(a["main"] for a in mine) == 1
        for a in mine:
            x, y, w, h = a["bbox"]
            assert x >= -0.5 and y >= -0.5 and x + w <= 96 and y + h <= 96 and w > 0 and h > 0
            depth = np.reshape(a["keypoints3d"], (17, 3))[:, 2]
            assert (depth > 500).all()  # millimetres before the camera
            if a["main"]:
                assert max(w, h) > 0.5 * 96


def test_everybody_is_labelled(tmp_path):
    people = worlds.everyday_people(8, 96, 2, tmp_path)
    data = worlds.everyday(8, 96, 2, tmp_path)
    boxes = worlds.everyday_boxes(8, 96, 2, tmp_path)
    assert people.use.tolist() == np.flatnonzero(data.split == "train").tolist()
    for i in range(8):
        torch.testing.assert_close(people.boxes[i], boxes.boxes[i])
        mine = (people.hard[i] == data.poses[i]).flatten(1).all(1)
        assert mine.sum() == 1
        assert people.hard3d[i][mine].abs().sum() > 0


def test_sizes_and_names_that_make_no_world_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 1 frame"):
        worlds.everyday(0, 96)
    with pytest.raises(ValueError, match="size from 32"):
        worlds.everyday(4, 8)
    with pytest.raises(ValueError, match="unknown world 'moon'"):
        worlds.export("moon", 4, 96, 0, tmp_path)


def test_poses_stay_within_joint_limits_and_are_mostly_sport():
    rng = np.random.default_rng(0)
    kinds = []
    for _ in range(300):
        rotations, kind, air = poses.sample_pose(rng)
        kinds.append(kind)
        np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-6)
        for side in ("left", "right"):
            knee = rotations[JOINTS.index(f"{side}_knee")]
            bend = -np.degrees(np.arctan2(knee[2, 1], knee[1, 1]))
            assert -1 < bend < 151
        assert 0 <= air < 1
    calm = {"stand", "walk", "sit", "crouch", "reach", "bend", "arms_up", "lie", "any"}
    assert np.mean([k not in calm for k in kinds]) > 0.45
    assert set(kinds) == set(poses.KINDS)


def test_every_garment_paints_colours():
    rng = np.random.default_rng(0)
    at = rng.normal(0, 0.3, (500, 3))
    seen = set()
    for _ in range(200):
        cloth = people.sample_garment(rng, plain=0.1)
        seen.add(cloth.pattern)
        colours = cloth.paint(at)
        assert colours.shape == (500, 3) and np.isfinite(colours).all()
    assert len(seen) == 10


def test_the_ground_lies_below_the_horizon_and_takes_shadows():
    place = scenes.sample_site(np.random.default_rng(3))
    camera = look_at((0, 4, 1.5), (0, 0, 1.5), 80, 64, 64)
    bright = scenes.backdrop(place, camera)
    dark = scenes.backdrop(place, camera, np.ones((64, 64), np.float32))
    assert bright.shape == (64, 64, 3) and 0 <= bright.min() and bright.max() <= 1
    assert (dark[-1] < bright[-1]).all()  # the last row is ground
    np.testing.assert_array_equal(dark[0], bright[0])  # the first is not


def test_each_pixel_of_a_place_is_ground_or_wall():
    place = scenes.sample_site(np.random.default_rng(3))
    camera = look_at((0, 4, 1.5), (0, 0, 1.5), 80, 64, 48, roll=0.2)
    dark = np.random.default_rng(0).random((48, 64), np.float32)
    found = scenes.backdrop(place, camera, dark)
    for row, col in np.ndindex(48, 64):
        x, y, z = camera.rays(np.array([col, row], float))
        away = 1.5 * np.hypot(x, y) / max(-z, 1e-9)
        if z < 0 and away < place.distance:
            tile = (camera.position[:2] + np.array([x, y]) * 1.5 / -z) / 8
            u, v = (tile - np.floor(tile)) * (len(place.ground) - 1)
            mean = place.ground[::8, ::8].mean((0, 1))
            near = np.exp(-away / (1500 / len(place.ground) + 80 * 0.12))
            texture = cv2.remap(place.ground, *np.float32([[[u]], [[v]]]), cv2.INTER_LINEAR)
            expected = mean + (texture[0, 0] - mean) * near
            expected = expected * (1 - place.shadow * dark[row, col])
        else:
            up = 1.5 + place.distance * z / np.hypot(x, y)
            height, width = place.wall.shape[:2]
            u = (0.5 - np.arctan2(y, x) / (2 * np.pi)) * (width - 1) * 3 % (width - 1)
            v = np.clip(1 - up / place.height, 0, 1) * (height - 1)
            expected = cv2.remap(place.wall, *np.float32([[[u]], [[v]]]), cv2.INTER_LINEAR)[0, 0]
        assert np.allclose(found[row, col], expected, atol=0.02)


@pytest.mark.parametrize("name", ["annotations.json", "images/1.jpg", "notes.txt"])
def test_export_keeps_what_a_folder_holds(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    for out in (tmp_path, tmp_path / name):
        with pytest.raises(ValueError, match="holds other files: give a new folder"):
            worlds.export("everyday", 4, 96, 0, out)
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]
