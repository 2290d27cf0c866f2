"""Mosaics keep boxes on people; the loop over them resumes exactly."""

import numpy as np
import pytest
import torch

from fewpose.data.multi_person import BoxData
from fewpose.models.teacher.paper.detector_training import f1, fit_detector, training_image
from fewpose.mosaic import Mosaic
from fewpose.training import Schedule
from killed import check_resumed
from tiny_cascade import tiny


def rectangles(n=6, size=48):
    frames = torch.full((n, 3, size, size), 20, dtype=torch.uint8)
    boxes = []
    for i in range(n):
        x, y = 4 + 3 * i, 8 + 2 * i
        frames[i, :, y : y + 20, x : x + 12] = 220
        boxes.append(torch.tensor([[x, y, x + 12.0, y + 20.0]]))
    return BoxData(frames, boxes, np.array(["train"] * n), name="rectangles")


@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_boxes_of_a_mosaic_hold_what_is_bright(prob):
    mosaic = Mosaic((64, 96), prob, (0.8, 1.2), 0.5, colour=0)
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        image, boxes = training_image(rectangles(), torch.arange(4), mosaic, generator)
        assert image.shape == (3, 64, 96)
        bright = torch.zeros(64, 96, dtype=torch.bool)
        for x0, y0, x1, y1 in boxes.round().long().tolist():
            bright[y0:y1, x0:x1] = True
            assert image[0, y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].mean() > 180
        assert not (image[0] > 150)[~bright].sum() > 40  # but a rim, or what was cut off


def test_f1_at_the_best_threshold():
    class Known(torch.nn.Module):
        side = 48

        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def boxes(self, images):
            # the true box of frame 0 and one of nobody, whatever the frame
            boxes = torch.tensor([[4.0, 8, 16, 28], [0, 0, 3, 3]])
            return [(boxes, torch.tensor([0.8, 0.3]))] * len(images)

    data = rectangles()
    assert f1(Known(), data.subset([0])) == pytest.approx(100)
    assert f1(Known(), data.subset([5])) == 0


def test_a_killed_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    data, schedule = rectangles(), Schedule(steps=4, batch_size=1, evaluate_every=2)
    mosaic = Mosaic((64, 64))

    def train(checkpoint=None):
        model = tiny()
        fit_detector(model, data, data.subset([0]), schedule, mosaic=mosaic, checkpoint=checkpoint)
        return model.state_dict()

    check_resumed(train, type(tiny()), monkeypatch, tmp_path / "c.pt")


def test_nobody_labelled_is_refused():
    data = rectangles()
    data.boxes = [torch.zeros(0, 4)] * len(data)
    with pytest.raises(ValueError, match="rectangles: not one person has a box"):
        fit_detector(tiny(), data, None, Schedule(steps=1))
