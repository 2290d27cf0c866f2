"""The backbone of YOLOX-tiny: the maps of the whole graph, and what of it learns."""

import pytest
import torch

from fewpose.models.onnx_graph import Node, OnnxFile, OnnxGraph, read_onnx
from fewpose.models.student.darknet import MEAN, STD, backbone_cuts, yolox_darknet
from fewpose.models.student.keypoint_rcnn import find_people
from fewpose.models.student.networks import light_student
from fewpose.models.teacher.yolox import focus
from published import YOLOX, needs_yolox


def conv(x, y, stride=1):
    return Node("Conv", (x, f"weight_{y}"), (y,), {"strides": [stride, stride]})


def test_cuts_are_where_the_resolution_halves():
    nodes = [
        conv("in", "stem"),
        conv("stem", "a", 2),
        conv("a", "a1"),
        conv("a1", "b", 2),
        conv("b", "c", 2),
        conv("c", "d", 2),
        conv("d", "d1"),
        conv("d1", "neck"),
        Node("Resize", ("neck",), ("up",), {}),
        conv("up", "down", 2),
    ]
    assert backbone_cuts(OnnxFile(tuple(nodes), {}, ("in",), ("down",))) == ["in", "stem", "a1", "b", "c", "d1"]
    with pytest.raises(KeyError, match="four convolutions"):
        backbone_cuts(OnnxFile(tuple(nodes[:8]), {}, ("in",), ("neck",)))


def test_files_that_are_no_yolox_are_named(tmp_path):
    with pytest.raises(ValueError, match="There is no yolox_tiny file"):
        yolox_darknet(tmp_path / "absent.onnx")


@needs_yolox
@torch.no_grad()
def test_maps_are_those_of_the_whole_graph():
    model = yolox_darknet(YOLOX)
    images = 255 * torch.rand(1, 3, 64, 96)
    file = read_onnx(YOLOX)
    cuts = backbone_cuts(file)
    whole = OnnxGraph(file, (cuts[0],), tuple(cuts[2:]))
    x, maps = focus(images.flip(1)), []
    for part in model.body:
        (x,) = part(x)
        maps.append(x)
    for own, other in zip(maps[1:], whole(focus(images.flip(1))), strict=True):
        torch.testing.assert_close(own, other)
    assert [m.shape[1] for m in maps[1:]] == [48, 96, 192, 384]
    pyramid = model(images)
    assert [tuple(m.shape[1:]) for m in pyramid.values()] == [
        (64, 16, 24),
        (64, 8, 12),
        (64, 4, 6),
        (64, 2, 3),
        (64, 1, 2),
    ]


@needs_yolox
def test_what_is_frozen_does_not_learn():
    model = yolox_darknet(YOLOX, frozen=3)
    sum(m.sum() for m in model(torch.rand(1, 3, 64, 64)).values()).backward()
    for i, part in enumerate(model.body):
        assert all((p.grad is None) == (i < 3) for p in part.parameters())
    with pytest.raises(ValueError, match="0 to 5 parts can be frozen, not 6"):
        yolox_darknet(YOLOX, frozen=6)


@needs_yolox
def test_the_light_student_is_light_and_reads_0_to_255():
    model = light_student(YOLOX).eval()
    assert sum(p.numel() for p in model.parameters()) <= 3.6e6
    images, _ = model.transform([torch.ones(3, 240, 320)])
    assert images.tensors.shape == (1, 3, 256, 320)
    assert images.tensors[0, :, :240].unique().tolist() == [pytest.approx(255)]
    assert MEAN == (0, 0, 0) and STD == (1 / 255,) * 3
    assert [all(p.requires_grad for p in part.parameters()) for part in model.backbone.body] == [
        False,
        True,
        True,
        True,
        True,
    ]
    (people,) = find_people(model, torch.zeros(1, 3, 480, 640, dtype=torch.uint8))
    assert people.keypoints3d.shape == (len(people), 17, 3)
