"""Poses for the lifter: 2D is 3D seen by a pinhole camera, and the cache gives the same again."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fewpose_worlds import lifting_poses as world
from fewpose_worlds import worlds


def test_bodies_are_adults_about_their_hips_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(world, "BATCH", 8)
    bodies = world.body_poses(20, seed=1, cache=tmp_path)
    assert bodies.shape == (20, 17, 3)
    torch.testing.assert_close(bodies[:, 11:13].mean(1), torch.zeros(20, 3), atol=1e-3, rtol=0)
    thigh = (bodies[:, 11] - bodies[:, 13]).norm(dim=-1)
    assert 300 < thigh.min() and thigh.max() < 560
    monkeypatch.setattr(world, "sample_bodies", None)
    assert torch.equal(world.body_poses(20, seed=1, cache=tmp_path), bodies)
    with pytest.raises(ValueError, match="a count of 0"):
        world.body_poses(0)


def test_cameras_all_about_a_person(monkeypatch):
    monkeypatch.setattr(world, "ABOVE", (-5, 60))
    monkeypatch.setattr(world, "ROLL", 0)
    standing = torch.zeros(500, 17, 3)
    standing[..., 2] = torch.linspace(700, -900, 17)  # head to feet along z, which is up
    draw = world.views(standing)
    rays, points = draw(2000, torch.Generator().manual_seed(0))
    assert rays.shape == points.shape == (2000, 17, 3) and points[..., 2].min() > 300
    torch.testing.assert_close(rays[..., :2], points[..., :2] / points[..., 2:])
    assert (points[:, 0, 1] < points[:, -1, 1]).all()  # the head is up in the image
    length = (points[:, 0] - points[:, -1]).norm(dim=-1)
    torch.testing.assert_close(length, torch.full((2000,), 1600.0), atol=0.1, rtol=0)
    # from above the head is nearer than the feet, and people are all over the image
    down = (points[:, -1, 2] - points[:, 0, 2]) / 1600
    assert down.min() < 0 and down.max() > 0.8
    middle = rays[..., :2].mean(1)
    assert (middle.amin(0) < -0.3).all() and (middle.amax(0) > 0.3).all()


def test_boxes_of_everybody_in_the_everyday_world(tmp_path, monkeypatch):
    frames = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    split = np.array(["train", "val"])
    made = SimpleNamespace(frames=frames, split=split, name="everyday")
    monkeypatch.setattr(worlds, "everyday", lambda *arguments: made)
    folder = worlds.everyday_folder(2, 32, 5, tmp_path)
    folder.mkdir()
    people = [{"image_id": 1, "bbox": [1, 2, 10, 20]}, {"image_id": 1, "bbox": [3, 4, 5, 6]}]
    content = {"images": [{"id": 0}, {"id": 1}], "annotations": people}
    (folder / "annotations.json").write_text(json.dumps(content))
    data = worlds.everyday_boxes(2, 32, 5, tmp_path)
    assert [b.tolist() for b in data.boxes] == [[], [[1, 2, 11, 22], [3, 4, 8, 10]]]
    assert data.split is split
