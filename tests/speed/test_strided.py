"""The fast form of a strided depthwise convolution."""

import torch

from fewpose.speed.strided import StridedDepthwise


def test_training_computes_the_same_outputs_and_gradients():
    torch.manual_seed(0)
    layer, x = StridedDepthwise(6, 6, 3, stride=2, groups=6).double(), torch.randn(2, 6, 8, 12).double()
    found = []
    for training in (True, False):
        layer.train(training).zero_grad()
        y = layer(x)
        y.square().sum().backward()
        found.append((y.detach(), layer.weight.grad.clone(), layer.bias.grad.clone()))
    assert found[0][0].shape == (2, 6, 4, 6)
    for fast, plain in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain)
