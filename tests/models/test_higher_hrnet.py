import pytest
import torch
from torch import nn

from fewpose.models.higher_hrnet import HigherHRNet, narrow_higher_hrnet


def count(model):
    return sum(p.numel() for p in model.parameters())


def dropouts(model, stage):
    layers = getattr(model, f"stage{stage}").modules()
    return [m.p for m in layers if isinstance(m, nn.Dropout2d)]


def test_w32_has_the_published_size():
    model = HigherHRNet(17)
    model.new_head(17, tag_maps=True)
    assert count(model) / 1e6 == pytest.approx(28.6, abs=0.05)


def test_heat_maps_at_a_quarter_and_a_half():
    model = narrow_higher_hrnet(20)
    assert model.strides == (4, 2) and count(model) < 2e6
    quarter, half = model(torch.randn(2, 3, 64, 96))
    assert quarter.shape == (2, 20, 16, 24) and half.shape == (2, 20, 32, 48)


def test_untrained_heat_maps_are_near_zero_and_every_parameter_learns():
    model = narrow_higher_hrnet(3)
    outputs = model(torch.randn(2, 3, 64, 64))
    assert all(out.abs().max() < 0.5 for out in outputs)
    sum(((out - 1) ** 2).mean() for out in outputs).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_dropout_stands_behind_every_fusion():
    model = narrow_higher_hrnet(3)
    names = list(model.state_dict())
    model.set_dropout(0.2)
    assert list(model.state_dict()) == names  # dropout changes no checkpoint
    for stage in (2, 3, 4):
        modules = len(getattr(model, f"stage{stage}"))
        assert dropouts(model, stage) == [0.2] * modules
    x = torch.randn(1, 3, 64, 64)
    assert not torch.equal(model(x)[0], model(x)[0])
    model.eval()
    assert torch.equal(model(x)[0], model(x)[0])
    model.set_dropout(0.0)
    assert not any(dropouts(model, stage) for stage in (2, 3, 4))


def test_dropout_drops_whole_channels_of_the_fused_map():
    model = narrow_higher_hrnet(3)
    model.set_dropout(0.5)
    module = model.stage2[0]
    fused = module.fuse_act(torch.ones(4, 16, 8, 8)).flatten(2)
    assert ((fused == 0).all(-1) | (fused == 2).all(-1)).all()
    assert (fused == 0).any() and (fused == 2).any()


def test_new_head_keeps_everything_else():
    torch.manual_seed(0)
    model = narrow_higher_hrnet(17)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.new_head(20)
    assert model.keypoints == 20
    for name, value in model.state_dict().items():
        if name.startswith("final_layers."):
            assert value.shape[0] == 20
        elif name == "deconv_layers.0.0.0.weight":
            assert torch.equal(value[:16], before[name][:16]) and len(value) == 36
        else:
            assert torch.equal(value, before[name])
    assert [out.shape[1] for out in model(torch.randn(1, 3, 64, 64))] == [20, 20]


def test_bad_arguments():
    with pytest.raises(ValueError, match="at least one keypoint"):
        HigherHRNet(0)
    with pytest.raises(ValueError, match="at least one keypoint"):
        narrow_higher_hrnet(3).new_head(0)
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        narrow_higher_hrnet(3).set_dropout(1.0)
