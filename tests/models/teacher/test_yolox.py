"""YOLOX against onnxruntime, and as a stage of the teacher."""

import pytest
import torch
from torch import nn

from fewpose.models.lifting import Lifter
from fewpose.models.onnx_graph import OPERATORS
from fewpose.models.rtmpose import CROP, published_rtmpose
from fewpose.models.teacher.box_fusion import detect
from fewpose.models.teacher.three_stages import Teacher, find_people
from fewpose.models.teacher.yolox import read_level, yolox_tiny
from published import RTMPOSE, YOLOX, needs_rtmpose, needs_yolox


def test_boxes_of_one_level_by_hand():
    deltas = torch.zeros(1, 4, 2, 3)
    deltas[0, :, 1, 2] = torch.tensor([0.5, 0.25, 0.0, torch.tensor(2.0).log()])
    classes, objectness = torch.full((1, 80, 2, 3), 9.0), torch.zeros(1, 1, 2, 3)
    classes[0, 0] = 0
    boxes, scores = read_level(classes, deltas, objectness, 8)
    # centre (2.5, 1.25) · 8, one cell wide and two high
    torch.testing.assert_close(boxes[0, 5], torch.tensor([16.0, 2, 24, 18]))
    torch.testing.assert_close(scores, torch.full((1, 6), 0.25))


def test_only_nearest_neighbours_are_supported():
    x = torch.arange(4.0).view(1, 1, 2, 2)
    attributes = {"mode": b"nearest", "nearest_mode": b"floor"}
    scales = torch.tensor([1.0, 1, 2, 2])
    assert OPERATORS["Resize"](attributes, x, None, scales)[0, 0, 0].tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="Resize is supported only"):
        OPERATORS["Resize"]({"mode": b"linear"}, x, None, scales)


def test_files_that_are_no_yolox_are_named(tmp_path):
    with pytest.raises(ValueError, match="There is no yolox_tiny file"):
        yolox_tiny(tmp_path / "absent.onnx")


@needs_rtmpose
def test_another_network_is_no_yolox():
    with pytest.raises(ValueError, match="is not the ONNX graph of a YOLOX"):
        yolox_tiny(RTMPOSE)


@needs_yolox
def test_yolox_is_onnxruntimes():
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is the reference here")
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, 3, 26, 26), generator=generator).float()
    image = nn.functional.interpolate(image, (416, 416), mode="bilinear")
    session = runtime.InferenceSession(str(YOLOX), providers=["CPUExecutionProvider"])
    found = session.run(None, {"input": image.flip(1).numpy()})[0][0]
    theirs = torch.from_numpy(found)
    theirs = theirs[theirs[:, 4] > 0.05]
    boxes, scores = yolox_tiny(YOLOX).boxes(image)[0]
    best = min(len(theirs), len(boxes))
    torch.testing.assert_close(scores[:best], theirs[:best, 4], atol=1e-3, rtol=0)
    torch.testing.assert_close(boxes[:best], theirs[:best, :4].clamp(0, 416), atol=0.5, rtol=0)


@needs_yolox
def test_yolox_reads_any_size_and_finds_nobody_in_grey():
    found = detect(yolox_tiny(YOLOX, 128), torch.full((1, 3, 60, 100), 114.0), (1.0,))
    assert found[0][0].shape == (0, 4)


@needs_yolox
@needs_rtmpose
def test_they_are_stages_of_the_teacher():
    teacher = Teacher(yolox_tiny(YOLOX, 128), published_rtmpose(RTMPOSE), Lifter(8), CROP)
    (people,) = find_people(teacher.plain().eval(), torch.zeros(1, 3, 60, 80, dtype=torch.uint8))
    assert people.keypoints.shape == (len(people), 17, 3)
