"""Images for the student carry their labels along; the loop over them resumes exactly."""

import pytest
import torch

from fewpose import geometry
from fewpose.data.labels import ground_truth_labels
from fewpose.low_resolution import low_resolution
from fewpose.models.student.keypoint_rcnn import find_people
from fewpose.mosaic import Mosaic
from fewpose.skeleton import COCO
from fewpose.speed import precision
from fewpose.student_training import fit_student, training_image
from fewpose.training import Schedule
from killed import check_resumed
from tiny_student import tiny_student

STILL = Mosaic((64, 96), prob=0.0, zoom=(1.0, 1.0), flip=0.0, colour=0.0)


def people(n=4, size=(64, 96), seed=0):
    """Frames of dark people with a bright dot at every keypoint, two each."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.full((n, 3, *size), 20, dtype=torch.uint8)
    boxes, poses, points = [], [], []
    for frame in frames:
        corner = torch.tensor([[6.0, 6], [52, 20]]) + 6 * torch.rand(2, 2, generator=generator)
        boxes.append(torch.cat([corner, corner + torch.tensor([28.0, 36])], 1))
        share = torch.rand(2, 17, 2, generator=generator)
        xy = corner[:, None] + 4 + share * torch.tensor([20.0, 28])
        for x, y in xy.flatten(0, 1).round().long().tolist():
            frame[:, y, x] = 250
        poses.append(torch.cat([xy.round(), torch.full((2, 17, 1), 2.0)], -1))
        points.append(300 * torch.randn(2, 17, 3, generator=generator))
    return ground_truth_labels(frames, boxes, poses, points, COCO, "dots")


def test_a_still_image_is_the_frame():
    data = people()
    generator = torch.Generator().manual_seed(0)
    image, target = training_image(data, torch.arange(4), 1, STILL, generator)
    torch.testing.assert_close(image, data.frames[0].float(), atol=0.01, rtol=0)
    torch.testing.assert_close(target["boxes"], data.boxes[0])
    torch.testing.assert_close(target["keypoints"][..., :2], data.hard[0][..., :2] + 0.5)
    torch.testing.assert_close(target["keypoints_soft"][..., 2], torch.ones(2, 17))
    torch.testing.assert_close(target["keypoints3d"], data.hard3d[0])
    torch.testing.assert_close(target["rays"], geometry.rays(data.hard[0], (64, 96)))


def test_mirrored_people_swap_left_and_right():
    data, mosaic = people(), Mosaic((64, 96), 0.0, (1.0, 1.0), 1.0, 0.0)
    generator = torch.Generator().manual_seed(0)
    image, target = training_image(data, torch.arange(4), 1, mosaic, generator)
    torch.testing.assert_close(image, data.frames[0].flip(-1).float(), atol=0.01, rtol=0)
    left, right = COCO.index("left_wrist"), COCO.index("right_wrist")
    for name in ("keypoints", "keypoints_soft"):
        torch.testing.assert_close(target[name][:, left, 0], 96 - (data.hard[0][:, right, 0] + 0.5))
    for name in ("keypoints3d", "keypoints3d_soft"):
        expected = data.hard3d[0][:, right] * torch.tensor([-1.0, 1, 1])
        torch.testing.assert_close(target[name][:, left], expected)
    seen = geometry.rays(data.hard[0], (64, 96))[:, right] * torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(target["rays"][:, left], seen)


@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_keypoints_stay_on_their_dots(prob):
    data, mosaic = people(), Mosaic((128, 192), prob, (0.9, 1.5), 0.5, 0.0)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        image, target = training_image(data, torch.arange(4), 1, mosaic, generator)
        seen = target["keypoints"][..., 2] > 0
        assert seen.any() and (target["keypoints"][~seen] == 0).all()
        # in a grey image those pixels are much brighter than others
        u, v = target["keypoints"][seen][:, :2].floor().long().unbind(1)
        assert image[0, v, u].mean() > 5 * image[0].median()
        assert (u < 192).all() and (v < 128).all()
        assert len(target["boxes"]) == len(target["keypoints3d"]) == len(target["labels"])


def test_a_person_cut_by_the_border_keeps_what_is_seen():
    data, mosaic = people(), Mosaic((64, 96), 0.0, (2.0, 2.0), 0.0, 0.0)
    hidden = 0
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        _, target = training_image(data, torch.arange(4), 1, mosaic, generator)
        assert (target["boxes"] >= 0).all()
        assert (target["boxes"] <= torch.tensor([96, 64] * 2)).all()
        hidden += int((target["keypoints"][..., 2] == 0).sum())
        assert (target["keypoints3d"] != 0).flatten(1).any(1).all()
    assert hidden


def test_lowered_at_the_size_of_the_frame():
    data = people()
    generator = torch.Generator().manual_seed(0)
    image, _ = training_image(data, torch.arange(4), 8, STILL, generator)
    expected = low_resolution(data.frames[:1], 8)[0].float()
    torch.testing.assert_close(image, expected, atol=0.01, rtol=0)


def test_a_killed_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    data, schedule = people(), Schedule(steps=4, batch_size=1, evaluate_every=2)

    def train(checkpoint=None):
        model = tiny_student()
        fit_student(model, data, schedule, scales="all", mosaic=Mosaic((64, 96)), checkpoint=checkpoint)
        return model.state_dict()

    check_resumed(train, type(tiny_student()), monkeypatch, tmp_path / "c.pt")


def test_losses_fall_and_the_best_score_is_kept():
    data, model, scores = people(), tiny_student(), iter([2.0, 3.0, 1.0])
    schedule = Schedule(steps=12, batch_size=2, learning_rate=5e-3, warmup=1, evaluate_every=6)
    history = fit_student(model, data, schedule, mosaic=STILL, score=lambda: next(scores))
    assert sum(history.loss[-3:]) < sum(history.loss[:3])
    assert history.best_step == 6 and not model.training
    assert find_people(model, data.frames[:1])[0].keypoints.shape[1:] == (17, 3)


def test_lifters_learn_the_size_of_people_once():
    data, model = people(), tiny_student("single_hard")
    fit_student(model, data, Schedule(steps=1, batch_size=1), mosaic=STILL)
    own = tiny_student("single_hard").lifters[0]
    own.set_statistics(geometry.rays(torch.cat(data.soft), (64, 96)), torch.cat(data.soft3d))
    torch.testing.assert_close(model.lifters[0].std3d, own.std3d)
    other = tiny_student("single_hard")
    other.lifters[0].load_state_dict(model.lifters[0].state_dict())
    fit_student(other, people(seed=1), Schedule(steps=1, batch_size=1), mosaic=STILL)
    torch.testing.assert_close(other.lifters[0].mean3d, model.lifters[0].mean3d)


def test_mistakes_are_named():
    data = people()
    with pytest.raises(ValueError, match="no loss is named keypoint; there are"):
        fit_student(tiny_student(), data, Schedule(steps=1, batch_size=1), weights={"keypoint": 2})
    data.use = data.use[:0]
    with pytest.raises(ValueError, match="dots: not one person has a box"):
        fit_student(tiny_student(), data, Schedule(steps=1))
    with pytest.raises(ValueError, match="dots: nobody is labelled in any of 4 frames"):
        training_image(data, data.use, 1, STILL, torch.Generator())


def test_half_precision_costs_what_single_costs_and_lifts_in_single(monkeypatch):
    data, costs = people(), {}
    target = training_image(data, torch.arange(4), 1, STILL, torch.Generator().manual_seed(0))[1]
    images = [data.frames[0].float() / 255]
    for fast in (False, True):
        monkeypatch.setattr(precision, "fast_bf16", lambda fast=fast: fast)
        model = tiny_student().train()
        torch.manual_seed(0)  # for the sampling of proposals and the dropout
        with precision.half_in_training(torch.device("cpu")):
            costs[fast] = model(images, [target])
    for name, cost in costs[True].items():
        assert cost.item() == pytest.approx(costs[False][name].item(), rel=0.05), name
        if name.startswith("points"):
            assert torch.equal(cost, costs[False][name])


def test_half_precision_does_not_reach_boxes(monkeypatch):
    """Proposals are compared with true boxes and refined in all digits, whatever maps come in."""
    monkeypatch.setattr(precision, "fast_bf16", lambda: True)
    model, data = tiny_student().train(), people()
    target = training_image(data, torch.arange(4), 1, STILL, torch.Generator().manual_seed(0))[1]
    target["boxes"] += 0.3  # no bf16 numbers
    seen = {}

    def keep(proposals, targets, plain=model.roi_heads.select_training_samples):
        seen["proposals"], seen["boxes"] = proposals[0], targets[0]["boxes"]
        return plain(proposals, targets)

    monkeypatch.setattr(model.roi_heads, "select_training_samples", keep)
    with precision.half_in_training(torch.device("cpu")):
        model([data.frames[0].float() / 255], [target])
    for boxes in seen.values():
        assert boxes.dtype == torch.float32
        assert not torch.equal(boxes, boxes.bfloat16().float())
