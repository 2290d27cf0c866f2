"""The student against torchvision's Keypoint R-CNN, and as a finder of people."""

import pytest
import torch
from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.keypoint_rcnn import KeypointRCNN, KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.rpn import RPNHead

from fewpose.models.student.decoding import decode, expect
from fewpose.models.student.keypoint_rcnn import BRANCHES, find_all, find_people
from fewpose.models.weights import load_weights, save_weights
from tiny_cascade import ANCHORS, TinyBackbone
from tiny_student import tiny_student


def torchvisions(student):
    """torchvision's own network of the same layout with the weights of a student of one branch."""
    anchors = AnchorGenerator(tuple((a,) for a in ANCHORS), ((0.5, 1.0, 2.0),) * 5)
    model = KeypointRCNN(
        TinyBackbone(),
        None,
        64,
        128,
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(8, 3),
        rpn_pre_nms_top_n_train=30,
        rpn_pre_nms_top_n_test=20,
        rpn_post_nms_top_n_train=30,
        rpn_post_nms_top_n_test=20,
        box_head=TwoMLPHead(8 * 49, 16),
        box_predictor=student.roi_heads.box_predictor,
        box_detections_per_img=8,
        box_batch_size_per_image=16,
        keypoint_head=KeypointRCNNHeads(8, (8,)),
        keypoint_predictor=KeypointRCNNPredictor(8, 17),
    )
    state = {
        name.replace("keypoint_predictors.hard", "keypoint_predictor"): value
        for name, value in student.state_dict().items()
        if ".lifters." not in name
    }
    model.load_state_dict(state)
    return model


def images(n=2, size=(64, 80), seed=0):
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(n, 3, 8, 10, generator=generator)
    return list(nn.functional.interpolate(small, size, mode="bilinear"))


def targets(people=(3, 1), seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = []
    for p in people:
        corner, sides = (torch.rand(p, 2, generator=generator) for _ in "ab")
        boxes = torch.cat([40 * corner, 40 * corner + 12 + 12 * sides], 1)
        share = torch.rand(p, 17, 2, generator=generator)
        xy = boxes[:, None, :2] + share * (boxes[:, None, 2:] - boxes[:, None, :2])
        third = torch.rand(p, 17, 1, generator=generator)
        made.append(
            {
                "boxes": boxes,
                "labels": torch.ones(p, dtype=torch.long),
                "keypoints": torch.cat([xy, 2.0 * (third > 0.3)], -1),
                "keypoints_soft": torch.cat([xy, third], -1),
                "rays": torch.cat([xy / 40 - 1, 2.0 * (third > 0.3)], -1),
                "rays_soft": torch.cat([xy / 40 - 1, third], -1),
                "keypoints3d": 300 * torch.randn(p, 17, 3, generator=generator),
                "keypoints3d_soft": 300 * torch.randn(p, 17, 3, generator=generator),
            }
        )
    return made


def copied(given):
    return [{name: x.clone() for name, x in target.items()} for target in given]


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 80), (100, 90)])
def test_one_branch_predicts_as_torchvisions(size):
    ours = tiny_student("single_hard").eval()
    theirs = torchvisions(ours).eval()
    for own, other in zip(ours(images(size=size)), theirs(images(size=size)), strict=True):
        assert len(own["boxes"])
        for name in ("boxes", "scores", "labels", "keypoints_scores"):
            torch.testing.assert_close(own[name], other[name], atol=1e-4, rtol=1e-4)
        distance = (own["keypoints"] - other["keypoints"])[..., :2].abs()
        # keypoints are read on the network's image, the frame may be larger
        assert distance.max() <= 0.5 * max(1, min(size) / 64)


def test_one_branch_has_torchvisions_logits_and_losses():
    ours = tiny_student("single_hard").train()
    theirs = torchvisions(ours).train()
    found = []
    for model in (ours, theirs):
        torch.manual_seed(1)  # of the samplers
        found.append(model(images(), copied(targets())))
    own, other = found
    assert other["loss_keypoint"] > 1
    torch.testing.assert_close(own["keypoints_hard"], other.pop("loss_keypoint"))
    for name, value in other.items():
        torch.testing.assert_close(own[name], value)
    regions = torch.randn(3, 8, 14, 14)
    torch.testing.assert_close(
        ours.roi_heads.keypoint_predictors["hard"](ours.roi_heads.keypoint_head(regions)),
        theirs.roi_heads.keypoint_predictor(theirs.roi_heads.keypoint_head(regions)),
    )


def test_maps_are_28_and_twice_that_bilinearly():
    branch = tiny_student().roi_heads.keypoint_predictors["soft"]
    regions = torch.randn(1, 8, 14, 14)
    low = branch.kps_score_lowres(regions)
    assert low.shape == (1, 17, 28, 28)
    maps = branch(regions)
    assert maps.shape == (1, 17, 56, 56)
    # cell 2i + 1 lies a quarter of a coarse cell behind i: corners are not aligned
    expected = 0.75 * (0.75 * low[..., 3, 5] + 0.25 * low[..., 3, 6])
    expected += 0.25 * (0.75 * low[..., 4, 5] + 0.25 * low[..., 4, 6])
    torch.testing.assert_close(maps[..., 7, 11], expected)


@pytest.mark.parametrize("branches", BRANCHES)
def test_losses_are_named_by_label(branches):
    model = tiny_student(branches)
    losses = model(images(), targets())
    first = {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"}
    kinds = {kind for taught in BRANCHES[branches].values() for kind in taught}
    own = {f"{part}_{kind}" for part in ("keypoints", "points") for kind in kinds}
    assert set(losses) == first | own
    assert all(torch.isfinite(x) and x > 0 for x in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.roi_heads.parameters())


def test_lifters_teach_no_other_network():
    model = tiny_student()
    losses = model(images(), targets())
    (losses["points_hard"] + losses["points_soft"]).backward()
    taught = {name for name, p in model.named_parameters() if p.grad is not None}
    assert taught and all(".lifters." in name for name in taught)


def test_a_frame_without_people_teaches_its_background():
    model = tiny_student()
    losses = model(images(), targets((0, 0)))
    assert losses["keypoints_hard"] == losses["points_soft"] == 0
    assert losses["loss_classifier"] > 0
    sum(losses.values()).backward()


def frames(n=3, size=(60, 80)):
    return torch.stack([(255 * image).byte() for image in images(n, size)])


def test_people_of_a_batch_are_those_of_its_frames():
    model = tiny_student().eval()
    together = find_people(model, frames())
    for i, people in enumerate(together):
        (alone,) = find_people(model, frames()[i : i + 1])
        assert 0 < len(people) <= 8
        for part in ("boxes", "scores", "keypoints", "keypoints3d"):
            a, b = getattr(people, part), getattr(alone, part)
            torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
        assert people.keypoints.shape == (len(people), 17, 3)
        assert 0 <= people.keypoints[..., 2].min() and people.keypoints[..., 2].max() <= 1
        assert (people.scores.diff() <= 0).all()
        assert (people.boxes >= 0).all() and (people.boxes <= torch.tensor([80, 60] * 2)).all()
    mixed = find_all(model, [*frames(2), *frames(1, (70, 64))])
    torch.testing.assert_close(mixed[1].boxes, together[1].boxes)
    assert len(mixed) == 3 and find_people(model, frames()[:0]) == []


def test_keypoints_count_from_a_pixels_centre():
    model = tiny_student("single_hard").eval()
    (found,) = find_people(model, frames(1, (64, 80)))
    raw = model([frames(1, (64, 80))[0] / 255])[0]
    torch.testing.assert_close(found.keypoints[..., :2] + 0.5, raw["keypoints"][..., :2])


def test_fine_stripes_of_a_large_frame_are_averaged():
    transform = tiny_student().eval().transform  # shorter side 64
    stripes = torch.arange(400).remainder(2).float().expand(3, 300, 400)
    transform.image_mean, transform.image_std = [0.0] * 3, [1.0] * 3
    (image,) = transform([stripes])[0].tensors
    assert image.shape[-2:] == (64, 96)  # 64x85, filled up to a multiple of 32
    shown = image[:, :, 2:80]
    assert (shown - 0.5).abs().max() < 0.1
    plain = nn.functional.interpolate(stripes[None], (64, 85), mode="bilinear")
    assert plain.std() > 0.2  # as torchvision would have it


def test_nobody_is_found_by_a_sceptic():
    model = tiny_student().eval()
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.bias.copy_(torch.tensor([50.0, -50]))
    (people,) = find_people(model, frames(1))
    assert len(people) == 0
    assert people.keypoints.shape == (0, 17, 3) and people.keypoints3d.shape == (0, 17, 3)


@torch.no_grad()
def test_the_mean_of_both_branches():
    model = tiny_student().eval()
    heads = model.roi_heads
    features = model.backbone(torch.stack(images(1)))
    boxes, sizes = [torch.tensor([[5.0, 5, 45, 60], [30, 2, 79, 50]])], [(64, 80)]
    maps = heads.heat_maps(features, boxes, sizes)
    size = torch.tensor(sizes * 2)
    points = heads.lift(maps, torch.zeros(2, 17, 3), boxes[0], size)
    alone = [heads.lift({name: m}, *decoded(m, boxes[0]), size) for name, m in maps.items()]
    torch.testing.assert_close(points, (alone[0] + alone[1]) / 2)
    assert not torch.allclose(alone[0], alone[1])


def decoded(maps, boxes):
    return decode(maps, boxes)[0], boxes


@pytest.mark.parametrize("branches", BRANCHES)
def test_weights_of_the_double_student_start_all(tmp_path, branches):
    path = save_weights(tiny_student(seed=1), tmp_path / "double.safetensors")
    model = tiny_student(branches, seed=2)
    load_weights(model, path)
    given = tiny_student(seed=1).state_dict()
    assert all(torch.equal(value, given[name]) for name, value in model.state_dict().items())


def test_unknown_rows_are_named():
    with pytest.raises(ValueError, match=r"branches is one of double, single_hard.*'triple'"):
        tiny_student("triple")
    with pytest.raises(ValueError, match="soft is one of temperature, weighted, not 'x'"):
        tiny_student(soft="x")
    with pytest.raises(ValueError, match="reading is one of peak, oks, not 'deep'"):
        tiny_student(reading="deep")


@torch.no_grad()
def test_keypoints_are_read_as_set():
    peak, oks = (tiny_student("single_hard", reading=how).eval() for how in ("peak", "oks"))
    maps, boxes = torch.randn(2, 17, 56, 56), torch.tensor([[5.0, 5, 45, 60], [30, 2, 79, 50]])
    at_peak, at_oks = peak.roi_heads.read(maps, boxes), oks.roi_heads.read(maps, boxes)
    assert torch.equal(at_peak[0], decode(maps, boxes)[0])
    assert torch.equal(at_oks[0], expect(maps, boxes, oks.skeleton.sigmas)[0])
    for one, other in zip(find_people(peak, frames()), find_people(oks, frames()), strict=True):
        assert torch.equal(one.boxes, other.boxes)
        assert not torch.equal(one.keypoints, other.keypoints)
