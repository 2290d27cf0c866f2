"""RTMPose-s as published: against onnxruntime, and as heat maps against its own bins."""

import numpy as np
import pytest
import torch
from torch import nn

from fewpose.models.onnx_graph import OnnxGraph, read_onnx
from fewpose.models.teacher.simcc import CROP, Simcc, rtmpose_heatmaps, rtmpose_predict
from published import RTMPOSE, needs_rtmpose, onnxruntime_outputs


@needs_rtmpose
def test_whole_network_equals_onnxruntime():
    crops = torch.randn(3, 3, 256, 192, generator=torch.Generator().manual_seed(0))
    file = read_onnx(RTMPOSE)
    with torch.no_grad():
        own = OnnxGraph(file, file.inputs, file.outputs)(crops)
    reference = onnxruntime_outputs(file.outputs, crops)
    for a, b in zip(own, reference, strict=True):
        np.testing.assert_allclose(a.numpy(), b, atol=1e-4)
    poses = rtmpose_predict(RTMPOSE, crops, batch=2)
    assert poses.shape == (3, 26, 3)
    np.testing.assert_allclose(poses[..., 0], reference[0].argmax(-1) / 2)
    np.testing.assert_allclose(poses[..., 1], reference[1].argmax(-1) / 2)
    lower = np.minimum(reference[0].max(-1), reference[1].max(-1))
    np.testing.assert_allclose(poses[..., 2], lower, atol=1e-4)
    assert rtmpose_predict(RTMPOSE, crops[:0]).shape == (0, 26, 3)


@needs_rtmpose
def test_crops_of_another_size():
    with pytest.raises(ValueError, match="256, 192"):
        rtmpose_predict(RTMPOSE, torch.zeros(1, 3, 192, 256))


def answers(x, y):
    """A network of two rows of bins with one peak each."""
    model = Simcc.__new__(Simcc)
    nn.Module.__init__(model)
    bins = [torch.exp(-((torch.arange(n) - at) ** 2) / (2 * 12.0**2)) for n, at in ((384, x), (512, y))]
    model.graph = lambda images: [b.expand(len(images), 26, -1) for b in bins]
    return model


def test_rows_of_bins_as_heat_maps():
    maps = answers(100, 301)(torch.zeros(2, 3, *CROP))
    assert maps[0].shape == (2, 17, 64, 48)
    found = answers(100, 301).read(maps)[0, 0]
    # bins of half a pixel: 50 and 150.5
    assert found[:2].tolist() == pytest.approx([50, 150.5], abs=0.3)
    assert 0.9 < found[2] < 1.1
    with pytest.raises(ValueError, match="reads crops of"):
        answers(1, 1)(torch.zeros(1, 3, 64, 64))


@needs_rtmpose
def test_heat_maps_agree_with_the_bins():
    generator = torch.Generator().manual_seed(0)
    crops = nn.functional.interpolate(torch.randn(2, 3, 16, 12, generator=generator), CROP)
    model = rtmpose_heatmaps(RTMPOSE)
    ours = model.read(model(crops))
    theirs = rtmpose_predict(RTMPOSE, crops)[:, :17]
    sure = theirs[..., 2] > 0.4
    apart = (ours - theirs)[..., :2].norm(dim=-1)
    assert not sure.any() or apart[sure].median() < 3
