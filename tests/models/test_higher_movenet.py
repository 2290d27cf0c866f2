"""HigherHRNet's heads on MoveNet's trunk."""

import pytest
import torch
from torch import nn

from fewpose.mean_teacher import MeanTeacher
from fewpose.models.factory import pretrained
from fewpose.models.higher_movenet import WIDTH, HigherMoveNet
from fewpose.models.movenet import movenet
from fewpose.models.weights import load_weights, save_weights
from fewpose.skeleton import JUMP
from fewpose.training import Schedule, parameter_groups
from published import MOVENET, needs_movenet


@pytest.fixture
def model():
    torch.manual_seed(0)
    return HigherMoveNet(5)


def test_heat_maps_at_a_quarter_and_half_of_the_images(model):
    maps = model.eval()(torch.randn(2, 3, 64, 96))
    assert [m.shape for m in maps] == [(2, 5, 16, 24), (2, 5, 32, 48)]
    assert model.read(maps).shape == (2, 5, 3)
    with pytest.raises(ValueError, match="multiples of 32"):
        model(torch.zeros(1, 3, 64, 48))


def test_every_resolution_reaches_the_heat_maps(model):
    model.eval()
    nn.init.normal_(model.final_layers[0].weight)
    images = torch.randn(1, 3, 64, 64)
    before = model(images)[0]
    for lateral in model.laterals:
        kept = lateral[0].weight.detach().clone()
        with torch.no_grad():
            lateral[0].weight.zero_()
            assert not torch.allclose(model(images)[0], before)
            lateral[0].weight.copy_(kept)
    assert torch.equal(model(images)[0], before)


def test_the_first_parts_do_not_learn_and_the_trunk_learns_slowly(model):
    sum(m.square().mean() for m in model.train()(torch.randn(2, 3, 64, 64))).backward()
    without = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is None}
    assert without == {"stem", "stages"}  # of the stages the first
    assert all(p.grad is not None for p in model.trunk.stages[1:].parameters())
    slow = {id(p) for g in parameter_groups(model, Schedule(1)) if g["factor"] == 0.1 for p in g["params"]}
    assert slow == {id(p) for p in model.trunk.parameters() if p.requires_grad}
    pair = MeanTeacher(model)
    factors = [g["factor"] for g in parameter_groups(pair, Schedule(1))]
    assert factors == [1.0, 0.1]


def test_dropout_in_the_fusions_only_in_training(model):
    images = torch.randn(1, 3, 64, 64)
    model.set_dropout(0.5)
    assert sum(isinstance(m, nn.Dropout2d) and m.p == 0.5 for m in model.modules()) == 3
    model.eval()
    assert torch.equal(model(images)[0], model(images)[0])
    nn.init.normal_(model.final_layers[0].weight)
    model.train()
    assert not torch.equal(model(images)[0], model(images)[0])
    with pytest.raises(ValueError, match="dropout"):
        model.set_dropout(1.0)


def test_weights_for_other_keypoints_keep_the_head(model, tmp_path):
    images = torch.randn(1, 3, 64, 64)
    features = model.eval().features(images)
    path = save_weights(model, tmp_path / "five.safetensors")
    other = HigherMoveNet(7).eval()
    report = load_weights(other, path, backbone_only=True)
    assert torch.equal(other.features(images), features)
    assert torch.equal(other.deconvolution[0].weight[:WIDTH], model.deconvolution[0].weight[:WIDTH])
    assert [m.shape[1] for m in other(images)] == [7, 7]
    assert any(name.startswith("final_layers") for name in report.missing)


def test_shipped_weights_under_a_new_head():
    first, second = (pretrained("movenet", JUMP, seed=seed) for seed in (0, 1))
    assert torch.equal(first.laterals[0][0].weight, second.laterals[0][0].weight)
    assert not torch.equal(first.final_layers[1].weight, second.final_layers[1].weight)


@needs_movenet
def test_the_trunk_is_published(model):
    model.load_trunk(MOVENET)
    images = torch.randn(1, 3, 64, 64)
    for ours, published in zip(model.trunk.backbone(images), movenet(MOVENET).backbone(images), strict=True):
        assert torch.equal(ours, published)
