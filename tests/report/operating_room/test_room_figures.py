import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from fewpose.skeleton import COCO
from fewpose_report.operating_room.room_figures import agreement_curves, identities, room_plan
from two_people import world


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_person_has_one_colour_and_number_in_all_frames():
    data = world(2)
    ids = [torch.tensor([4, -1]), torch.tensor([1, 4])]
    fig = identities(data.frames, data.keypoints, ids, COCO, ["first", "second"])
    numbers = [[text.get_text() for text in ax.texts] for ax in fig.axes]
    colours = [[text.get_bbox_patch().get_facecolor() for text in ax.texts] for ax in fig.axes]
    assert numbers == [["4"], ["1", "4"]] and colours[0][0] == colours[1][1] != colours[1][0]
    assert [ax.get_title() for ax in fig.axes] == ["first", "second"]
    assert len(fig.axes[0].lines) * 2 == len(fig.axes[1].lines), "whoever has no number is not drawn"


def test_the_plan_shows_all_minutes_and_every_path():
    places = pd.DataFrame({"person": [0, 0, 7], "right": [0.1, 0.2, 1.0], "ahead": [2.0, 2.5, 3.0]})
    floor = np.array([[1.0, 0], [0, 2]]), np.array([0, 0.5, 1.0]), np.array([2, 2.5, 3.0])
    feet = np.array([[3.0]]), np.array([10.0, 20]), np.array([30.0, 40])
    left, above, _ = room_plan(world(1).frames[0], places, feet, floor, "room").axes
    assert left.collections[0].get_array().sum() == above.collections[0].get_array().sum() == 3
    assert left.get_title() == "room: in the image, by the feet"
    assert [text.get_text() for text in above.texts] == ["0", "7"]
    assert above.lines[0].get_xydata().tolist() == [[0.1, 2.0], [0.2, 2.5]]
    assert "camera's frame" in above.get_title() and "metres" in above.get_xlabel()


def test_curves_are_the_table():
    table = pd.DataFrame({"network": ["a", "b"] * 2, "scale": [1, 1, 8, 8], "people": [90, 80, 70, 60.0]})
    people, keypoints = agreement_curves(table.assign(keypoints=table["people"] / 2), 8).axes
    assert [line.get_ydata().tolist() for line in people.lines[:2]] == [[90, 70], [80, 60]]
    assert [line.get_ydata().tolist() for line in keypoints.lines[:2]] == [[45, 35], [40, 30]]
    assert people.lines[2].get_xdata()[0] == 8
