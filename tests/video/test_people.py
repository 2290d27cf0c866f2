"""Crops cut from a part of the image are those cut from the whole one."""

import numpy as np
import pytest
import torch

from fewpose.crops import cut_crops
from fewpose_video.people import crop_boxes, stack_images


@pytest.mark.parametrize(
    "box",
    [
        [40.0, 30, 90, 120],  # enlarged
        [20.0, 10, 260, 230],  # shrunk to a third
        [100.0, 60, 139.5, 100.2],
        [-40.0, -30, 60, 80],  # beyond a corner
        [250.0, 150, 340, 290],  # beyond the other
        [0.0, 0, 301, 243],
    ],
)
def test_a_crop_from_a_part_is_that_from_the_whole(box):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (243, 301, 3), np.uint8)
    crops, maps = crop_boxes([image], torch.tensor([box]), (96, 72), 1.2)
    expected = cut_crops(stack_images([image]), torch.tensor([0]), maps, (96, 72))
    difference = (crops.float() - expected).abs()
    assert crops.dtype == torch.uint8 and difference.max() <= 0.51  # of rounding


def test_a_box_outside_the_image_gives_black():
    image = np.full((50, 60, 3), 200, np.uint8)
    crops, _ = crop_boxes([image], torch.tensor([[-500.0, -500, -400, -400]]), (64, 64), 1.0)
    assert crops.shape == (1, 3, 64, 64) and (crops == 0).all()
