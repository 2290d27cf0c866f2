"""RTMPose-s: what was published is kept, and learns of other keypoints."""

import numpy as np
import pytest
import torch
from torch import nn

from fewpose.heatmaps import decode
from fewpose.mean_teacher import MeanTeacher
from fewpose.models.download import find_published
from fewpose.models.factory import pretrained
from fewpose.models.onnx_graph import OnnxGraph, read_onnx
from fewpose.models.rtmpose import (
    CROP,
    SIGMAS,
    PublishedRTMPose,
    backbone_cuts,
    halpe_of,
    published_rtmpose,
    rtmpose_predict,
    rtmpose_s,
)
from fewpose.models.weights import load_weights, save_weights
from fewpose.skeleton import HALPE, JUMP, Skeleton
from fewpose.speed import precision
from fewpose.training import Schedule, parameter_groups
from published import RTMPOSE, needs_rtmpose, onnxruntime_outputs


@needs_rtmpose
def test_untouched_it_outputs_what_was_published():
    images = torch.randn(2, 3, 256, 192, generator=torch.Generator().manual_seed(2))
    model = rtmpose_s(26, RTMPOSE).eval()
    reference = onnxruntime_outputs(read_onnx(RTMPOSE).outputs, images)
    with torch.no_grad():
        bins = model(images)
        for axis, true in zip(bins, reference, strict=True):
            np.testing.assert_allclose(axis.numpy(), true, atol=1e-4)
        model.carry_over(JUMP)
        knee = model(images)[0][:, JUMP.index("left_knee")]
    assert knee.shape == (2, 384)
    # attention lets the other keypoints change the outputs a little, the row is the published one
    row = model.final_layer.weight[JUMP.index("left_knee")]
    assert torch.equal(row, model.published["weight"][HALPE.index("left_knee")])
    with pytest.raises(ValueError, match="not 128x128"):
        model(torch.randn(1, 3, 128, 128))


@needs_rtmpose
def test_backbone_equals_onnxruntime_at_every_stage():
    images = torch.randn(2, 3, 256, 192, generator=torch.Generator().manual_seed(1))
    model, x = rtmpose_s(14, RTMPOSE).eval(), images
    reference = onnxruntime_outputs(backbone_cuts(read_onnx(RTMPOSE))[1:], images)
    assert reference[-1].shape == (2, 512, 8, 6)
    with torch.no_grad():
        for part, true in zip(model.backbone, reference, strict=True):
            (x,) = part(x)
            np.testing.assert_allclose(x.numpy(), true, atol=1e-4, rtol=1e-4)  # values reach 20


def test_keypoints_start_from_their_namesakes():
    rows = halpe_of(JUMP)
    assert len(rows) == len(JUMP)
    assert rows["left_knee"] == "left_knee" and rows["right_toe"] == "right_big_toe"
    assert rows["left_hand"] == "left_wrist", "by the limb that joins them"
    ball = Skeleton("ball", ("head", "ball"), (), (0.1, 0.1))
    assert halpe_of(ball) == {"head": "head"}


def target_bins(poses):
    """SimCC outputs that are the targets of RTMPose's training."""
    return [
        torch.exp(-((torch.arange(2 * side) - 2 * poses[..., i : i + 1]) ** 2) / (2 * sigma**2))
        for i, (side, sigma) in enumerate(zip((192, 256), SIGMAS, strict=True))
    ]


@needs_rtmpose
def test_bins_are_read_drawn_and_scored():
    model = rtmpose_s(3, RTMPOSE)
    poses = torch.tensor([[[20.0, 30.0, 2], [96.3, 200.2, 2], [150.8, 101.4, 2]]])
    bins = target_bins(poses)
    found = model.read(bins)
    assert (found - poses)[..., :2].abs().max() < 0.05
    assert (found[..., 2] > 0.6).all()
    (maps,) = model.heat_maps(bins)
    assert maps.shape == (1, 3, 64, 48) and 0.6 < maps.amax() <= 1.01
    assert (decode(maps, 4) - poses)[..., :2].abs().max() < 1.5
    here, there = model.loss(bins, poses, CROP), model.loss(bins, poses + torch.tensor([4.0, 0, 0]), CROP)
    assert abs(float(here)) < 1e-4 < 0.05 < float(there)
    outside = poses.clone()
    outside[0, 0, 0] = -3  # outside the image: does not count
    assert float(model.loss(bins, outside, CROP)) == pytest.approx(0, abs=1e-4)
    unlabelled = poses * torch.tensor([1.0, 1, 0])
    assert float(model.loss(bins, unlabelled, CROP)) == 0


@needs_rtmpose
@pytest.mark.parametrize("frozen", [0, 2, 4, 5])
def test_frozen_parts_do_not_learn_and_all_others_do(frozen):
    model = rtmpose_s(3, RTMPOSE, frozen=frozen)
    images = torch.randn(2, 3, 256, 192)
    model.loss(model(images), torch.full((2, 3, 3), 90.0), CROP).backward()
    for i, part in enumerate(model.backbone):
        for name, p in part.named_parameters():
            assert p.requires_grad == (i >= frozen), (i, name)
            assert (p.grad is not None) == (i >= frozen), (i, name)
    assert len(model.frozen_backbone.parts if frozen else []) == frozen
    assert all(p.grad is not None for p in model.final_layer.parameters())
    assert all(p.grad is not None for p in model.simcc.parameters())
    assert frozen or all(p.requires_grad for p in model.parameters())


@needs_rtmpose
def test_there_are_five_parts_to_freeze():
    with pytest.raises(ValueError, match="0 to 5 parts"):
        rtmpose_s(3, RTMPOSE, frozen=6)


@needs_rtmpose
def test_half_precision_teaches_the_same_and_predicts_nothing(monkeypatch):
    images = torch.randn(4, 3, 256, 192, generator=torch.Generator().manual_seed(3))
    poses = torch.rand(4, 26, 3, generator=torch.Generator().manual_seed(4)) * 190 + 1
    model = rtmpose_s(26, RTMPOSE)

    def learned(half):
        monkeypatch.setattr(precision, "fast_bf16", lambda: half)
        model.zero_grad()
        bins = model.train()(images)
        model.loss(bins, poses, CROP).backward()
        assert all(axis.dtype == torch.float32 for axis in bins)
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])
        return gradient, model.eval()(images)[0]

    (single, outputs), (half, same) = learned(False), learned(True)
    assert torch.equal(outputs, same)
    assert not torch.equal(single, half)
    assert torch.cosine_similarity(single, half, dim=0) > 0.99


@needs_rtmpose
def test_dropout_new_head_and_weights(tmp_path):
    model = rtmpose_s(26, RTMPOSE)
    model.set_dropout(0.3)
    x = torch.randn(1, 3, 256, 192)
    assert not torch.equal(model(x)[0], model(x)[0])
    file = save_weights(model, tmp_path / "r.safetensors")
    other = rtmpose_s(14, RTMPOSE)
    report = load_weights(other, file, backbone_only=True)
    assert set(report.missing) == {k for k in other.state_dict() if not k.startswith("backbone.")}
    other.new_head(20)
    assert other(x)[0].shape == (1, 20, 384)


@needs_rtmpose
def test_a_mean_teacher_reads_as_its_student():
    pair = MeanTeacher(pretrained("rtmpose_s", JUMP, str(RTMPOSE)))
    bins = pair(torch.zeros(1, 3, 256, 192))
    assert torch.equal(pair.read(bins), pair.student.read(bins))
    groups = parameter_groups(pair, Schedule(1))
    assert [group["factor"] for group in groups] == [1.0, 0.1]
    last = sum(p.numel() for p in pair.student.backbone[-1].parameters())
    assert sum(p.numel() for p in groups[1]["params"]) == last


def test_bad_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no rtmpose_s file .*absent\.onnx"):
        find_published("rtmpose_s", tmp_path / "absent.onnx")
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
def test_whole_network_equals_onnxruntime():
    crops = torch.randn(3, 3, 256, 192, generator=torch.Generator().manual_seed(0))
    file = read_onnx(RTMPOSE)
    with torch.no_grad():
        own = OnnxGraph(file, file.inputs, file.outputs)(crops)
    reference = onnxruntime_outputs(file.outputs, crops)
    for a, b in zip(own, reference, strict=True):
        np.testing.assert_allclose(a.numpy(), b, atol=1e-4)
    poses = rtmpose_predict(published_rtmpose(RTMPOSE), crops, batch=2)
    assert poses.shape == (3, 26, 3)
    np.testing.assert_allclose(poses[..., 0], reference[0].argmax(-1) / 2)
    np.testing.assert_allclose(poses[..., 1], reference[1].argmax(-1) / 2)
    lower = np.minimum(reference[0].max(-1), reference[1].max(-1))
    np.testing.assert_allclose(poses[..., 2], lower, atol=1e-4)
    assert rtmpose_predict(published_rtmpose(RTMPOSE), crops[:0]).shape == (0, 26, 3)


@needs_rtmpose
def test_crops_of_another_size():
    with pytest.raises(ValueError, match="256, 192"):
        rtmpose_predict(published_rtmpose(RTMPOSE), torch.zeros(1, 3, 192, 256))


def outputs_of(x, y):
    """A network of two rows of bins with one peak each."""
    model = PublishedRTMPose.__new__(PublishedRTMPose)
    nn.Module.__init__(model)
    bins = [torch.exp(-((torch.arange(n) - at) ** 2) / (2 * 12.0**2)) for n, at in ((384, x), (512, y))]
    model.graph = lambda images: [b.expand(len(images), 26, -1) for b in bins]
    return model


def test_rows_of_bins_as_heat_maps():
    maps = outputs_of(100, 301)(torch.zeros(2, 3, *CROP))
    assert maps[0].shape == (2, 17, 64, 48)
    found = outputs_of(100, 301).read(maps)[0, 0]
    # bins of half a pixel: 50 and 150.5
    assert found[:2].tolist() == pytest.approx([50, 150.5], abs=0.3)
    assert 0.9 < found[2] < 1.1
    with pytest.raises(ValueError, match="reads crops of"):
        outputs_of(1, 1)(torch.zeros(1, 3, 64, 64))


@needs_rtmpose
def test_heat_maps_agree_with_the_bins():
    generator = torch.Generator().manual_seed(0)
    crops = nn.functional.interpolate(torch.randn(2, 3, 16, 12, generator=generator), CROP)
    model = published_rtmpose(RTMPOSE)
    ours = model.read(model(crops))
    theirs = rtmpose_predict(published_rtmpose(RTMPOSE), crops)[:, :17]
    sure = theirs[..., 2] > 0.4
    distance = (ours - theirs)[..., :2].norm(dim=-1)
    assert not sure.any() or distance[sure].median() < 3
