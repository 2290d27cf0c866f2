import torch
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

from fewpose.models.norms import freeze_norms


def test_a_frozen_network_predicts_as_before_and_learns_no_more():
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, eps=1e-2))
    model = nn.Sequential(inner, nn.ReLU(), nn.BatchNorm2d(4))
    images = torch.randn(8, 3, 5, 5)
    for _ in range(3):
        model(images)
    model.eval()
    before = model(images)
    for eps in (1e-5, 0.0):
        frozen = freeze_norms(model, eps)
        assert not any(isinstance(m, nn.BatchNorm2d) for m in frozen.modules())
        torch.testing.assert_close(frozen(images), before, atol=1e-6, rtol=1e-5)
    frozen.train()
    torch.testing.assert_close(frozen(images), before, atol=1e-6, rtol=1e-5)
    assert [n for n, _ in frozen.named_parameters()] == ["0.0.weight", "0.0.bias"]
    assert isinstance(frozen[2], FrozenBatchNorm2d)
