"""Poses for the lifter: 2D is 3D seen by a pinhole camera, and the cache gives the same again."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fewpose import worlds
from fewpose.worlds import lifting_poses as world


def test_projection_and_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(world, "BATCH", 3)
    poses, points = world.lifting_poses(20, seed=1, cache=tmp_path)
    assert poses.shape == points.shape == (20, 17, 3)
    assert (points[..., 2] > 500).all() and (poses[..., 2] == 2).all()
    flat = 800 * points[..., :2] / points[..., 2:] + 499.5
    torch.testing.assert_close(poses[..., :2], flat, atol=0.1, rtol=1e-4)
    monkeypatch.setattr(world, "make", None)
    again = world.lifting_poses(20, seed=1, cache=tmp_path)
    assert torch.equal(again[0], poses) and torch.equal(again[1], points)
    with pytest.raises(ValueError, match="0 asked"):
        world.lifting_poses(0)


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
