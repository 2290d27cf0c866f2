"""Fusion of boxes by hand, and views of a detector that sees the same in all of them."""

import pytest
import torch

from fewpose.models.teacher.box_fusion import detect, mirror, weighted_boxes_fusion
from toy_teacher import toy_frames, toy_teacher


def view(*rows):
    values = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
    return values[:, :4], values[:, 4]


def test_two_views_by_hand():
    first = view([0, 0, 10, 10, 0.8], [50, 50, 60, 60, 0.5])
    second = view([1, 0, 11, 10, 0.4])
    boxes, scores = weighted_boxes_fusion([first, second])
    # overlap 9 / 11: one person, (0.8 · 0 + 0.4 · 1) / 1.2 = 1/3; the other one was seen once
    expected = torch.tensor([[1 / 3, 0, 10 + 1 / 3, 10], [50, 50, 60, 60]])
    torch.testing.assert_close(boxes, expected)
    torch.testing.assert_close(scores, torch.tensor([0.6, 0.25]))


def test_boxes_that_overlap_less_stay_two_people():
    boxes, scores = weighted_boxes_fusion([view([0, 0, 10, 10, 0.8]), view([4, 0, 14, 10, 0.6])])
    assert len(boxes) == 2 and scores.tolist() == pytest.approx([0.4, 0.3])


def test_nothing_found_and_one_view():
    boxes, scores = weighted_boxes_fusion([view(), view()])
    assert boxes.shape == (0, 4) and scores.shape == (0,)
    boxes, scores = weighted_boxes_fusion([view([0, 0, 1, 1, 0.2], [5, 5, 9, 9, 0.7])])
    assert scores.tolist() == pytest.approx([0.7, 0.2]) and boxes[0, 0] == 5


def test_order_of_views_does_not_matter():
    views = [view([0, 0, 10, 10, 0.8]), view([1, 0, 11, 10, 0.4]), view([0, 1, 10, 12, 0.6])]
    one, other = weighted_boxes_fusion(views), weighted_boxes_fusion(views[::-1])
    torch.testing.assert_close(one, other)


def test_mirror_of_edges_is_its_own_inverse():
    boxes = torch.tensor([[0.0, 1, 10, 20]])
    assert mirror(boxes, 96).tolist() == [[86, 1, 96, 20]]
    torch.testing.assert_close(mirror(mirror(boxes, 96), 96), boxes)


def test_augmented_views_of_an_equivariant_detector_are_its_single_prediction():
    frames, _ = toy_frames([0, 1, 8])
    detector = toy_teacher().detector
    plain = detect(detector, frames, (1.0,), flip=False)
    many = detect(detector, frames, (1.0, 2.0, 3.0), flip=True)
    assert [len(b) for b, _ in many] == [0, 1, 8]
    for (boxes, scores), (more, sure) in zip(plain, many, strict=True):
        order = lambda b: (b[:, 0] + 1000 * b[:, 1]).argsort()  # noqa: E731
        torch.testing.assert_close(boxes[order(boxes)], more[order(more)], atol=0.5, rtol=0)
        torch.testing.assert_close(scores, sure)
    # mirrored views alone are exact
    for (boxes, _), (more, _) in zip(plain, detect(detector, frames, (1.0,), True), strict=True):
        order = lambda b: (b[:, 0] + 1000 * b[:, 1]).argsort()  # noqa: E731
        torch.testing.assert_close(boxes[order(boxes)], more[order(more)])
