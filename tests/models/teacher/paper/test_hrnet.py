"""HRNet: shapes, official names, and its size at width 48."""

import torch

from fewpose.models.checkpoints import load_official
from fewpose.models.higher_hrnet import narrow_higher_hrnet
from fewpose.models.teacher.paper.hrnet import HRNet, narrow_hrnet
from fewpose.models.weights import load_weights, save_weights


def test_heat_maps_at_a_quarter(tmp_path):
    model = narrow_hrnet(17).eval()
    with torch.no_grad():
        (maps,) = model(torch.zeros(1, 3, 64, 32))
    assert maps.shape == (1, 17, 16, 8) and model.strides == (4,)
    path = save_weights(model, tmp_path / "hrnet.safetensors", half=True)
    assert path.stat().st_size < 8e6 and not load_weights(narrow_hrnet(17), path).missing
    model.new_head(5)
    assert model.final_layer.out_channels == model.keypoints == 5


def test_its_trunk_is_higher_hrnets():
    higher, model = narrow_higher_hrnet(17).eval(), narrow_hrnet(17).eval()
    report = load_official(model, higher.state_dict(), backbone_only=True)
    assert not [name for name in report.missing if not name.startswith("final_layer.")]
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model.features(images), higher.features(images))


def test_width_48_has_the_parameters_of_the_paper():
    with torch.device("meta"):
        model = HRNet(17)
    assert 63.0e6 < sum(p.numel() for p in model.parameters()) < 64.2e6
