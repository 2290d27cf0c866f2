import torch

from fewpose.metrics.box_matching import match_boxes


def test_everybody_is_found_once():
    people = torch.tensor([[0.0, 0, 10, 10]])
    boxes = torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 10], [50, 50, 60, 60]])
    assert match_boxes(boxes, people).tolist() == [0, -1, -1]
    assert match_boxes(boxes, people[:0]).tolist() == [-1] * 3
