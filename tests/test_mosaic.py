import pytest
import torch

from fewpose.mosaic import Mosaic, Tile, draw_mosaic, move_boxes


def test_boxes_cut_by_the_border():
    matrix = torch.tensor([[[1.0, 0, -5], [0, 1, 0]]])
    tile = Tile(0, matrix, (10, 20), (0, 0), False)
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 7, 10], [20, 0, 30, 10]])
    cut, kept = move_boxes(boxes, tile)
    # the first keeps half of itself, the second less than a third, the last loses a third
    assert cut[kept].tolist() == [[0, 0, 5, 10], [15, 0, 20, 10]]
    moved, _ = move_boxes(boxes, Tile(0, matrix, (10, 20), (20, 10), False))
    assert torch.equal(moved - cut, torch.tensor([20.0, 10, 20, 10]).expand(3, 4))


@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_tiles_show_their_frames_side_by_side(prob):
    shades = [40.0, 90, 140, 190]
    mosaic = Mosaic((32, 48), prob, (1.0, 1.0), 0.5, 0.0)
    image, tiles = draw_mosaic(
        lambda i: torch.full((1, 3, 64, 96), shades[i]), torch.tensor([2, 0, 3, 1]), mosaic, torch.Generator()
    )
    assert [tile.frame for tile in tiles] == ([2, 0, 3, 1] if prob else [2])
    for tile in tiles:
        (x, y), (h, w) = tile.corner, tile.size
        assert image[:, y + 1 : y + h - 1, x + 1 : x + w - 1].sub(shades[tile.frame]).abs().max() < 0.01
    assert sum(tile.size[0] * tile.size[1] for tile in tiles) == 32 * 48
