"""MoveNet against LiteRT, which runs its file, and its decoding by hand."""

import numpy as np
import pytest
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image

from fewpose.augment import normalise
from fewpose.models import movenet as module
from fewpose.models.movenet import CHANNELS, HEADS, PYRAMID, MoveNet, movenet, people
from published import MOVENET, needs_movenet

# tensors of the file: the stages' maps, the pyramid's, the heads', and the decoded people
STAGES, FUSED, PEOPLE = (208, 220, 236, 263), (285, 278, 271, 264), 536
MAPS = dict(box_offset=288, box_scale=291, centre=299, heat_maps=372, offsets=404, regression=408)


@pytest.fixture(scope="module")
def photograph():
    """Grace Hopper twice, once mirrored: RGB [1, 3, 256, 448], uint8."""
    with get_sample_data("grace_hopper.jpg") as file, Image.open(file) as image:
        one = np.asarray(image.convert("RGB").resize((224, 256)))
    return torch.from_numpy(np.concatenate([one, one[:, ::-1]], 1)).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def published_maps(photograph):
    """What LiteRT computes of the photograph: tensors by their numbers, maps [1, C, h, w]."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is the reference here")
    runtime = litert.Interpreter(
        str(MOVENET),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    image = photograph.permute(0, 2, 3, 1).numpy()
    runtime.resize_tensor_input(0, image.shape)
    runtime.allocate_tensors()
    runtime.set_tensor(0, image)
    runtime.invoke()
    maps = {number: torch.from_numpy(runtime.get_tensor(number)) for number in (*STAGES, *FUSED, *MAPS.values())}
    return {**{k: x.permute(0, 3, 1, 2) for k, x in maps.items()}, PEOPLE: torch.from_numpy(runtime.get_tensor(PEOPLE))}


@needs_movenet
def test_every_map_is_literts(photograph, published_maps):
    model, images = movenet(MOVENET), normalise(photograph)
    with torch.no_grad():
        stages = model.backbone(images)
        fused, outputs = model.pyramid(stages), model(images)
    pairs = [*zip(stages, STAGES, strict=True), *zip(fused, FUSED, strict=True)]
    pairs += [(outputs[name], number) for name, number in MAPS.items()]
    for ours, number in pairs:
        theirs = published_maps[number]
        torch.testing.assert_close(ours, theirs, atol=2e-5 * float(theirs.abs().max()), rtol=0)
    assert tuple(outputs) == tuple(MAPS)


@needs_movenet
def test_people_are_literts(photograph, published_maps):
    with torch.no_grad():
        ((boxes, scores, keypoints),) = people(movenet(MOVENET)(normalise(photograph)))
    theirs, size = published_maps[PEOPLE][0], torch.tensor([256.0, 448])  # y and x as fractions
    assert (theirs[:, 55] > 0.3).sum() == 2 and len(scores) <= 6
    for i in range(2):
        torch.testing.assert_close(scores[i], theirs[i, 55], atol=1e-3, rtol=0)
        torch.testing.assert_close(boxes[i].view(2, 2).flip(1), theirs[i, 51:55].view(2, 2) * size, atol=0.1, rtol=0)
        points = theirs[i, :51].view(17, 3)
        torch.testing.assert_close(keypoints[i, :, :2].flip(1), points[:, :2] * size, atol=0.1, rtol=0)
        torch.testing.assert_close(keypoints[i, :, 2], points[:, 2], atol=1e-3, rtol=0)


def test_people_by_hand():
    outputs = {name: torch.zeros(2, channels, 8, 12) for name, channels in HEADS.items()}
    for name in ("centre", "heat_maps"):
        outputs[name].fill_(-200)
    outputs["centre"][0, 0, 4, 6] = 0  # one person in the first image, none in the second
    outputs["centre"][0, 0, 4, 5] = -1  # a lower neighbour
    outputs["box_scale"][0, :, 4, 6] = torch.tensor([4.0, 20])
    outputs["box_offset"][0, :, 4, 6] = torch.tensor([0.5, 0.25])
    outputs["regression"][0, :2, 4, 6] = torch.tensor([-1.0, 2])  # the nose is expected at row 3, column 8
    outputs["heat_maps"][0, 0, 3, 9] = 200  # and found one cell beside that,
    outputs["heat_maps"][0, 0, 3, 11] = 200  # rather than three cells,
    outputs["heat_maps"][0, 0, 1, 8] = 200  # and rather than outside the box
    outputs["offsets"][0, :2, 3, 9] = torch.tensor([0.75, 0.5])
    (boxes, scores, keypoints), nobody = people(outputs)
    # 4 + 0.5 ± 2 rows, columns up to the edges
    assert boxes.tolist() == [[0, 10, 48, 26]]
    confidence = float(np.exp(-1 / (0.3 * 8)))
    torch.testing.assert_close(keypoints[0, 0], torch.tensor([38, 15, confidence]))
    torch.testing.assert_close(scores, torch.tensor([0.5 * confidence]))
    assert [tuple(x.shape) for x in nobody] == [(0, 4), (0,), (0, 17, 3)]


def test_all_of_it_learns():
    model = MoveNet()
    images = torch.randn(1, 3, 64, 96, requires_grad=True)
    features = model.backbone(images)
    fused = model.pyramid(features)
    for maps, channels in ((features, CHANNELS), (fused, PYRAMID)):
        assert [tuple(x.shape[1:]) for x in maps] == [
            (c, 64 // s, 96 // s) for c, s in zip(channels, (4, 8, 16, 32), strict=True)
        ]
    outputs = model(images)
    assert {name: x.shape[1] for name, x in outputs.items()} == HEADS
    sum(x.square().mean() for x in outputs.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters()) and images.grad.any()
    with pytest.raises(ValueError, match="multiples of 32, not 64x100"):
        model(torch.zeros(1, 3, 64, 100))


@needs_movenet
@pytest.mark.parametrize("kept", [0, 3, 1000, 5_000_000, -1000, -1])
def test_a_cut_file_is_named(tmp_path, kept):
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(MOVENET.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"cut.tflite is not a readable TFLite file"):
        movenet(cut)


def test_other_files_are_named(tmp_path):
    other = tmp_path / "page.tflite"
    other.write_text("<html>404</html>")
    with pytest.raises(ValueError, match=r"page.tflite is not a readable TFLite file"):
        movenet(other)
    with pytest.raises(ValueError, match="There is no movenet file"):
        movenet(tmp_path / "absent.tflite")


@needs_movenet
def test_another_network_is_named(monkeypatch):
    published = module._read_convolutions(MOVENET)
    for others in (published[:-1], published[::-1], []):
        monkeypatch.setattr(module, "_read_convolutions", lambda path, others=others: others)
        with pytest.raises(ValueError, match="is not MoveNet MultiPose Lightning"):
            movenet(MOVENET)
