"""The lifter: shapes, what it does not depend on, a set small enough to learn by heart."""

import pytest
import torch
from torch import nn

from fewpose.models.hrnet import narrow_hrnet
from fewpose.models.lifting import (
    Lifter,
    Occlusion,
    fit_lifter,
    layer,
    load_lifter,
    occlude,
    own_frame,
)
from fewpose.models.weights import load_weights, save_weights
from fewpose.skeleton import COCO
from fewpose.training import Schedule

STILL = Occlusion(jitter=0, drop=0, cut=0, flip=0)


def poses_and_points(n=8, seed=0):
    """Random bodies before a pinhole camera."""
    generator = torch.Generator().manual_seed(seed)
    points = 400 * torch.randn(n, 17, 3, generator=generator)
    points[..., 2] += 4000
    flat = 900 * points[..., :2] / points[..., 2:] + 320
    return torch.cat([flat, torch.full((n, 17, 1), 2.0)], -1), points


def test_the_papers_network():
    model = Lifter()
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    sizes = [(m.in_features, m.out_features) for m in linear]
    assert sizes == [(34, 1024), *[(1024, 1024)] * 4, (1024, 51)]
    assert [type(m).__name__ for m in layer(2, 3, 0.5)] == [
        "Linear", "BatchNorm1d", "ReLU", "Dropout",
    ]  # fmt: skip


def test_shape_root_place_and_size():
    model = Lifter(16).eval()
    poses, _ = poses_and_points(3)
    points = model(poses)
    assert points.shape == (3, 17, 3)
    hips = points[:, [COCO.index("left_hip"), COCO.index("right_hip")]].mean(1)
    torch.testing.assert_close(hips, torch.zeros(3, 3), atol=1e-5, rtol=0)
    moved = poses.clone()
    moved[..., :2] = 0.1 * poses[..., :2] + 7
    torch.testing.assert_close(model(moved), points, atol=1e-4, rtol=1e-3)
    blank = torch.zeros(1, 17, 3)
    assert torch.isfinite(model(blank)).all() and (own_frame(blank) == 0).all()
    with pytest.raises(ValueError, match=r"reads poses \[P, 17, 3\], not \[1, 4, 3\]"):
        model(torch.zeros(1, 4, 3))


def test_it_learns_a_few_poses_by_heart():
    # many times each: batch norm divides by n when it learns and by n - 1 later
    poses, points = (x.repeat(16, 1, 1) for x in poses_and_points(8))
    torch.manual_seed(0)
    model = Lifter(64, dropout=0.0)
    schedule = Schedule(steps=150, batch_size=128, learning_rate=1e-2, evaluate_every=1000)
    fit_lifter(model, poses, points, schedule, occlusion=STILL, max_norm=0)
    error = (model(poses) - model.from_root(points)).norm(dim=-1).mean()
    still = (model.from_root(points) - model.mean3d).norm(dim=-1).mean()
    assert error < 0.1 * still


def test_weights_within_the_norm_and_the_statistics_in_the_file(tmp_path):
    poses, points = poses_and_points(8)
    model = Lifter(16)
    schedule = Schedule(steps=3, batch_size=4)
    fit_lifter(model, poses, points, schedule, validation=2)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            assert module.weight.norm() <= 1 + 1e-5
    assert model.std3d.min() > 1
    path = save_weights(model, tmp_path / "lifter.safetensors")
    again = Lifter(16)
    load_weights(again, path)
    torch.testing.assert_close(again.eval()(poses), model(poses))


def test_a_killed_training_ends_with_the_same_weights(tmp_path):
    poses, points = poses_and_points(12)

    def train(steps_until_kill=None, checkpoint=None):
        torch.manual_seed(1)
        model = Lifter(8)
        schedule = Schedule(steps=12, batch_size=4, evaluate_every=4)
        if steps_until_kill:
            original, calls = model.normalised, iter(range(steps_until_kill))

            def dying(x):
                if next(calls, None) is None:
                    raise KeyboardInterrupt
                return original(x)

            model.normalised = dying
            with pytest.raises(KeyboardInterrupt):
                fit_lifter(model, poses, points, schedule, checkpoint=checkpoint)
            return None
        fit_lifter(model, poses, points, schedule, checkpoint=checkpoint)
        return model.state_dict()

    whole = train()
    train(steps_until_kill=7, checkpoint=tmp_path / "c.pt")
    resumed = train(checkpoint=tmp_path / "c.pt")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_occlusion_mirrors_both_and_leaves_four():
    poses, points = poses_and_points(64)
    generator = torch.Generator().manual_seed(0)
    seen, deep = occlude(poses, points, Occlusion(0, 0, 0, flip=1.0), COCO, generator)
    assert torch.equal(seen[:, 5, 0], -poses[:, 6, 0])
    assert torch.equal(deep[:, 5, 1:], points[:, 6, 1:])
    seen, _ = occlude(poses, points, Occlusion(drop=0.9, cut=1.0), COCO, generator)
    assert ((seen[..., 2] > 0).sum(1) >= 4).all() and (seen[..., 2] == 0).any()
    with pytest.raises(ValueError, match="poses for"):
        fit_lifter(Lifter(8), poses[:8], points[:7], Schedule(steps=1))


def test_a_lifter_comes_back_from_its_file(tmp_path):
    lifter = Lifter(16, dropout=0.1).eval()
    path = save_weights(lifter, tmp_path / "lifter.safetensors")
    poses = torch.rand(3, 17, 3)
    assert torch.equal(load_lifter(path)(poses), lifter(poses))
    assert load_lifter(path).config["dropout"] == 0.1
    other = save_weights(narrow_hrnet(17), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors holds a"):
        load_lifter(other)
