import pytest
import torch

from fewpose.heatmaps import gaussian_targets
from fewpose.models.higher_hrnet import narrow_higher_hrnet
from fewpose.models.teacher.paper.hrnet import narrow_hrnet


@pytest.mark.parametrize("build", [narrow_higher_hrnet, narrow_hrnet])
def test_a_model_of_heat_maps_can_do_all_that_a_pose_model_can(build):
    model, size = build(3).eval(), (64, 96)
    poses = torch.tensor([[[20.0, 30, 2], [50.5, 41, 2], [80, 10, 0]]])
    exact = [gaussian_targets(poses, size, stride, 2.0) for stride in model.strides]
    assert float(model.loss(exact, poses, size)) == 0 < float(model.loss(exact, poses + 4, size))
    torch.testing.assert_close(model.read(exact)[0, :2, :2], poses[0, :2, :2], atol=0.3, rtol=0)
    assert model.heat_maps(exact) is exact
    assert model.frozen_backbone is None
    assert {name for name, _ in model.named_parameters() if name.startswith(model.head)}
    assert model.backbone_rate == 1
