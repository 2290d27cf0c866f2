"""The lifter: shapes, what it does not depend on, a set small enough to learn by heart."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fewpose import geometry
from fewpose.models.lifting import Lifter, Occlusion, centred, fit_lifter, layer, load_lifter, middle_ray, occlude
from fewpose.models.teacher.paper.hrnet import narrow_hrnet
from fewpose.models.weights import load_weights, save_weights
from fewpose.skeleton import COCO
from fewpose.training import Schedule

STILL = Occlusion(jitter=0, drop=0, cut=0, flip=0)


def rays_and_points(n=8, seed=0):
    """Random bodies before a pinhole camera, anywhere in its image."""
    generator = torch.Generator().manual_seed(seed)
    points = 400 * torch.randn(n, 17, 3, generator=generator)
    points += torch.tensor([1500.0, 1000, 0]) * torch.randn(n, 1, 3, generator=generator)
    points[..., 2] += 4000
    return torch.cat([points[..., :2] / points[..., 2:], torch.ones(n, 17, 1)], -1), points


def drawn(n=8):
    """Draws from n bodies at random."""
    rays, points = rays_and_points(n)

    def draw(count, generator):
        index = torch.randint(n, (count,), generator=generator)
        return rays[index], points[index]

    return draw


def test_the_papers_network():
    model = Lifter()
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    sizes = [(m.in_features, m.out_features) for m in linear]
    # the paper's 34 numbers are pixels of an image; ours are about the person, and its direction
    assert sizes == [(36, 1024), *[(1024, 1024)] * 4, (1024, 51)]
    assert [type(m).__name__ for m in layer(2, 3, 0.5)] == ["Linear", "BatchNorm1d", "ReLU", "Dropout"]


def test_shape_root_and_size():
    model = Lifter(16).eval()
    rays, _ = rays_and_points(3)
    points = model(rays)
    assert points.shape == (3, 17, 3)
    hips = points[:, [COCO.index("left_hip"), COCO.index("right_hip")]].mean(1)
    torch.testing.assert_close(hips, torch.zeros(3, 3), atol=1e-5, rtol=0)
    blank = torch.zeros(1, 17, 3)
    assert torch.isfinite(model(blank)).all() and (centred(blank) == 0).all()
    with pytest.raises(ValueError, match=r"reads poses \[P, 17, 3\], not \[1, 4, 3\]"):
        model(torch.zeros(1, 4, 3))


def test_a_turned_camera_sees_the_same_person_turned():
    """Without the two numbers of the direction the output turns with the camera, exactly."""
    model = Lifter(16).eval()
    with torch.no_grad():
        model.first[0].weight[:, -2:] = 0
    _, points = rays_and_points(4)
    middle = F.normalize(points.mean(1), dim=-1)
    ahead = points @ geometry.turn_to(middle)
    turn = geometry.turn_to(F.normalize(torch.tensor([[0.3, -0.2, 1.0]]), dim=-1))
    lifted = []
    for seen in (ahead, ahead @ turn.mT):
        rays = torch.cat([seen[..., :2] / seen[..., 2:], torch.ones(4, 17, 1)], -1)
        lifted.append(model(rays) @ geometry.turn_to(middle_ray(rays)))
        torch.testing.assert_close(
            model.target(rays, seen) * model.std3d + model.mean3d,
            model.root_relative(seen) @ geometry.turn_to(middle_ray(rays)),
        )
    torch.testing.assert_close(*lifted, atol=0.02, rtol=0.02)


def test_it_learns_a_few_poses_by_heart():
    torch.manual_seed(0)
    model = Lifter(64, dropout=0.0)
    schedule = Schedule(steps=200, batch_size=128, learning_rate=1e-2, evaluate_every=1000)
    fit_lifter(model, drawn(), schedule, occlusion=STILL, max_norm=0, validation=64)
    rays, points = rays_and_points()
    error = (model(rays) - model.root_relative(points)).norm(dim=-1).mean()
    still = (model.root_relative(points) - model.root_relative(points).mean(0)).norm(dim=-1).mean()
    assert error < 0.1 * still


def test_weights_within_the_norm_and_the_statistics_in_the_file(tmp_path):
    model = Lifter(16)
    fit_lifter(model, drawn(), Schedule(steps=3, batch_size=4), validation=8)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            assert module.weight.norm() <= 1 + 1e-5
    assert model.std3d.min() > 1
    path = save_weights(model, tmp_path / "lifter.safetensors")
    again = Lifter(16)
    load_weights(again, path)
    rays, _ = rays_and_points()
    torch.testing.assert_close(again.eval()(rays), model(rays))


def test_a_killed_training_ends_with_the_same_weights(tmp_path):
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
                fit_lifter(model, drawn(), schedule, validation=8, checkpoint=checkpoint)
            return None
        fit_lifter(model, drawn(), schedule, validation=8, checkpoint=checkpoint)
        return model.state_dict()

    whole = train()
    train(steps_until_kill=7, checkpoint=tmp_path / "c.pt")
    resumed = train(checkpoint=tmp_path / "c.pt")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_occlusion_mirrors_both_and_leaves_four():
    rays, points = rays_and_points(64)
    generator = torch.Generator().manual_seed(0)
    seen, deep = occlude(rays, points, Occlusion(0, 0, 0, flip=1.0), COCO, generator)
    assert torch.equal(seen[:, 5, 0], -rays[:, 6, 0])
    assert torch.equal(deep[:, 5, 1:], points[:, 6, 1:])
    lost = Occlusion(drop=0.9, cut=1.0, missing=1.0)
    seen, _ = occlude(rays, points, lost, COCO, generator)
    assert ((seen[..., 2] > 0).sum(1) >= 4).all() and (seen[..., 2] == 0).any()
    guessed = Occlusion(jitter=0, drop=0.5, cut=0, guess=0.3, missing=0, flip=0)
    seen, _ = occlude(rays, points, guessed, COCO, generator)
    moved = (seen[..., :2] != rays[..., :2]).any(-1)
    assert (seen[..., 2] == 1).all() and 0.3 < moved.float().mean() < 0.7


def test_a_lifter_comes_back_from_its_file(tmp_path):
    lifter = Lifter(16, dropout=0.1).eval()
    path = save_weights(lifter, tmp_path / "lifter.safetensors")
    rays, _ = rays_and_points(3)
    assert torch.equal(load_lifter(path)(rays), lifter(rays))
    assert load_lifter(path).config["dropout"] == 0.1
    other = save_weights(narrow_hrnet(17), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors holds a"):
        load_lifter(other)
