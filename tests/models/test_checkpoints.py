import pytest
import torch

from fewpose.models.checkpoints import load_official
from fewpose.models.higher_hrnet import HigherHRNet, narrow_higher_hrnet
from models import official_reference as official


@pytest.fixture(scope="module")
def state():
    return official.random_state()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(1))


def with_tag_maps():
    model = HigherHRNet(17)
    model.new_head(17, tag_maps=True)
    return model


def test_names_and_shapes_are_the_official_ones():
    own = {k: tuple(v.shape) for k, v in with_tag_maps().state_dict().items()}
    assert own == official.shapes()
    own = {k: tuple(v.shape) for k, v in HigherHRNet(5, width=48).state_dict().items()}
    assert own == official.shapes(keypoints=5, width=48, tags=False)


@pytest.mark.parametrize("prefix", ["", "module.", "1.", "module.1."])
def test_official_weights_give_the_official_outputs(state, images, prefix):
    model = HigherHRNet(17).eval()
    report = load_official(model, {prefix + name: value for name, value in state.items()})
    assert not report.missing and not report.refused and len(report.taken) == len(state)
    quarter, half = official.forward(state, images)  # the first with tag maps
    with torch.no_grad():
        for own, true in zip(model(images), (quarter[:, :17], half), strict=True):
            assert own.shape == true.shape
            assert true.std(dim=(0, 2, 3)).median() > 0.1  # the comparison is of something
            torch.testing.assert_close(own, true, atol=1e-4, rtol=0)


def test_another_head_has_no_tag_maps(state, images):
    model = HigherHRNet(17)
    report = load_official(model, {"state_dict": state, "epoch": 3})
    assert not report.missing and not report.refused
    model.new_head(20)
    assert model.final_layers[0].out_channels == 20
    assert [out.shape[1] for out in model(images)] == [20, 20]


def test_backbone_only_takes_all_but_the_heads(state):
    model = HigherHRNet(20)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = load_official(model, state, backbone_only=True)
    after = model.state_dict()
    heads = [name for name in after if name.startswith("final_layers.")]
    assert set(report.missing) == set(heads)
    assert set(report.refused) == {*heads, "deconv_layers.0.0.0.weight"}
    for name in heads:
        assert torch.equal(after[name], before[name])
    deconvolution = "deconv_layers.0.0.0.weight"
    assert torch.equal(after[deconvolution][:32], state[deconvolution][:32])
    assert torch.equal(after[deconvolution][32:], before[deconvolution][32:])
    for name in set(after) - {*heads, deconvolution}:
        assert torch.equal(after[name], state[name]), name
    assert "belongs to the head" in str(report) and "4 of the model missing" in str(report)


def test_hrnet_of_single_persons_and_of_classification(state):
    trunk = {k: v for k, v in state.items() if not k.startswith(("final_layers", "deconv_layers"))}
    pose = {**trunk, "final_layer.weight": torch.randn(17, 32, 1, 1)}
    image_net = {
        **trunk,
        "stage4.2.fuse_layers.1.0.0.0.weight": torch.randn(64, 32, 3, 3),
        "incre_modules.0.0.conv1.weight": torch.randn(32, 32, 1, 1),
        "classifier.weight": torch.randn(1000, 2048),
    }
    for given in (pose, image_net):
        report = load_official(HigherHRNet(17), given)
        assert set(report.taken) == set(trunk)
        assert set(report.refused) == set(given) - set(trunk)
        assert all(k.startswith(("final_layers", "deconv_layers")) for k in report.missing)


def test_strange_state_dicts_end_with_one_sentence(state):
    with pytest.raises(ValueError, match="Nothing in this state dict fits a HigherHRNet"):
        load_official(HigherHRNet(17), {"features.0.weight": torch.zeros(3)})
    with pytest.raises(ValueError, match="Nothing in this state dict"):
        load_official(HigherHRNet(17), {})
    with pytest.raises(ValueError, match="width 16"):
        load_official(narrow_higher_hrnet(17), {"conv1.weight": torch.zeros(64, 3, 3, 3)})
    other = {**state, "conv1.weight": torch.zeros(8, 3, 3, 3)}
    report = load_official(with_tag_maps(), other)
    assert "shape (8, 3, 3, 3), the model has (64, 3, 3, 3)" in report.refused["conv1.weight"]
    assert report.missing == ("conv1.weight",)
