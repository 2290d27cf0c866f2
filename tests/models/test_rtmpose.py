
import numpy as np
import pytest
import torch

from fewpose.models import (
    find_onnx,
    load_weights,
    new_head,
    rtmpose_predict,
    rtmpose_s,
    save_weights,
    set_dropout,
)
from fewpose.models.onnx_graph import OnnxGraph, read_onnx
from fewpose.models.rtmpose import backbone_cuts
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
def test_backbone_equals_onnxruntime_at_every_stage():
    images = torch.randn(2, 3, 256, 192, generator=torch.Generator().manual_seed(1))
    model, x = rtmpose_s(14, RTMPOSE).eval(), images
    reference = onnxruntime_outputs(backbone_cuts(read_onnx(RTMPOSE))[1:], images)
    assert model.config["frozen"] == 0 and reference[-1].shape == (2, 512, 8, 6)
    with torch.no_grad():
        for part, true in zip(model.backbone, reference, strict=True):
            (x,) = part(x)
            np.testing.assert_allclose(x.numpy(), true, atol=1e-4)


@needs_rtmpose
def test_heat_maps_of_any_size_divisible_by_32():
    model = rtmpose_s(14, RTMPOSE)
    assert model.strides == (4,)
    for height, width in ((128, 128), (256, 192), (64, 96)):
        (maps,) = model(torch.randn(1, 3, height, width))
        assert maps.shape == (1, 14, height // 4, width // 4)
    with pytest.raises(ValueError, match="multiples of 32, not 100x128"):
        model(torch.randn(1, 3, 100, 128))


@needs_rtmpose
@pytest.mark.parametrize("frozen", [0, 2, 5])
def test_frozen_parts_do_not_learn_and_all_others_do(frozen):
    model = rtmpose_s(3, RTMPOSE, frozen=frozen)
    (maps,) = model(torch.randn(2, 3, 64, 64))
    ((maps - 1) ** 2).mean().backward()
    for i, part in enumerate(model.backbone):
        for name, p in part.named_parameters():
            assert p.requires_grad == (i >= frozen), (i, name)
            assert (p.grad is not None) == (i >= frozen), (i, name)
    assert all(p.grad is not None for p in model.laterals.parameters())
    model.freeze(0)
    assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(ValueError, match="0 to 5 parts"):
        model.freeze(6)


@needs_rtmpose
def test_dropout_new_head_and_weights(tmp_path):
    model = set_dropout(rtmpose_s(26, RTMPOSE), 0.3)
    x = torch.randn(1, 3, 64, 64)
    assert not torch.equal(model(x)[0], model(x)[0])
    file = save_weights(model, tmp_path / "r.safetensors")
    other = rtmpose_s(14, RTMPOSE)
    report = load_weights(other, file, backbone_only=True)
    assert set(report.missing) == {k for k in other.state_dict() if not k.startswith("backbone.")}
    assert new_head(other, 20)(x)[0].shape[1] == 20


def test_bad_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no rtmpose_s file .*absent\.onnx"):
        find_onnx("rtmpose_s", tmp_path / "absent.onnx")
    broken = tmp_path / "broken.onnx"
    for content in (b"", b"<html>not found</html>"):
        broken.write_bytes(content)
        with pytest.raises(ValueError, match=r"broken\.onnx is not a readable ONNX file"):
            rtmpose_s(14, broken)


def test_another_network_is_named(tmp_path):
    onnx = pytest.importorskip("onnx")
    relu = onnx.helper.make_node("Relu", ["x"], ["y"])
    value = onnx.helper.make_tensor_value_info
    x, y = (value(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
    other = tmp_path / "other.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([relu], "g", [x], [y])), str(other))
    with pytest.raises(ValueError, match=r"other\.onnx is not the ONNX graph of an RTMPose"):
        rtmpose_s(14, other)
    with pytest.raises(ValueError, match="no tensor z"):
        OnnxGraph(read_onnx(other), ("x",), ("z",))


@needs_rtmpose
def test_crops_of_another_size():
    with pytest.raises(ValueError, match="256, 192"):
        rtmpose_predict(RTMPOSE, torch.zeros(1, 3, 192, 256))
