"""Crops against geometry."""

import torch

from fewpose import geometry
from fewpose.crops import crop_maps, cut_crops, person_boxes


def test_crop_maps_centre_the_box():
    (matrix,) = crop_maps(torch.tensor([[20.0, 10, 60, 70]], dtype=torch.float64), (128, 96))
    centre = matrix @ torch.tensor([39.5, 39.5, 1], dtype=torch.float64)
    torch.testing.assert_close(centre, torch.tensor([47.5, 63.5], dtype=torch.float64))
    assert matrix[0, 0] == 128 / 60 / 1.25


def test_a_crop_far_smaller_than_the_person_is_averaged():
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    stripes = (255 * ((x + y) % 2)).expand(1, 3, 64, 64).to(torch.uint8)
    matrix = crop_maps(torch.tensor([[0.0, 0, 64, 64]]), (16, 16), margin=1.0)
    crop = cut_crops(stripes, torch.tensor([0]), matrix, (16, 16))
    assert (crop - 127.5).abs().max() < 1


def test_each_person_is_cut_from_the_own_frame():
    frames = torch.stack([torch.full((3, 32, 32), v, dtype=torch.uint8) for v in (50, 200)])
    matrix = geometry.identity(3)
    crops = cut_crops(frames, torch.tensor([1, 0, 1]), matrix, (8, 8))
    assert crops.mean((1, 2, 3)).round().tolist() == [200, 50, 200]


def test_boxes_hold_the_sure_keypoints_or_the_whole_frame():
    poses = torch.tensor([[[10, 20, 0.9], [30, 60, 0.5], [99, 99, 0.05]]] * 2)
    poses[1, :, 2] = 0
    boxes = person_boxes(poses, (80, 120))
    assert boxes.tolist() == [[10.5, 20.5, 30.5, 60.5], [0, 0, 120, 80]]


def test_boxes_and_crops_by_hand():
    poses = torch.zeros(1, 3, 3)
    poses[0, :, :2] = torch.tensor([[10.0, 20.0], [40.0, 60.0], [500.0, 500.0]])
    poses[0, :2, 2] = 2
    box = person_boxes(poses, (640, 480), 1)
    assert box.tolist() == [[10.5, 20.5, 40.5, 60.5]]
    # 30 x 40 widened to 37.5 x 50 is just 3:4, so it fills 192 x 256
    corners = torch.tensor([[25 - 18.75, 40 - 25.0]])
    (matrix,) = crop_maps(box, (256, 192))
    mapped = matrix[:, :2] @ corners[0] + matrix[:, 2]
    assert torch.allclose(mapped, torch.tensor([-0.5, -0.5]), atol=1e-3)
