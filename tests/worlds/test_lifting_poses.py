"""Poses for the lifter: 2D is 3D seen by a pinhole camera, and the cache gives the same again."""

import pytest
import torch

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
