"""Tables and figures of what was measured, and the overlay in the cell."""

import base64

import numpy as np
import pytest

from fewpose.data.video import read_video, video_writer
from fewpose_report import measured


def write_video(path, frames=20, size=(90, 120)):
    """A bright square moves to the right by 4 pixels a frame."""
    with video_writer(path, size, 10, 5) as write:
        for t in range(frames):
            image = np.zeros((*size, 3), np.uint8)
            image[40:60, 4 * t : 4 * t + 20] = 255
            write(image)


def test_the_overlay_is_embedded_and_cut(tmp_path):
    write_video(tmp_path / "a.mp4")
    shown = measured.play_overlay(tmp_path / "a.mp4", tmp_path / "b.mp4", 0.5, 1.2)
    html = shown._repr_html_()
    assert base64.b64encode((tmp_path / "b.mp4").read_bytes()).decode()[:200] in html
    frames, _ = read_video(tmp_path / "b.mp4")
    assert len(frames) == 8
    assert frames[0][:, 50, 22:38].min() > 150 > frames[0][:, 50, 60:].max(), "the frame at 0.5 s"


def test_moments_show_the_frames_around_the_person(tmp_path):
    write_video(tmp_path / "a.mp4")
    poses = np.array([[[4 * t, 40, 1], [4 * t + 20, 60, 1]] for t in (3, 11)], float)
    fig = measured.moments(tmp_path / "a.mp4", [3, 11], poses, ["first", "second"])
    assert [ax.get_title() for ax in fig.axes] == ["first", "second"]
    height, width = measured.CROP
    for ax in fig.axes:
        image = ax.images[0].get_array()
        assert (
            image.shape == (height, width, 3) and image[height // 2, width // 2].min() > 150 and image[5, 5].max() < 60
        )


def test_left_and_right_share_a_panel():
    time, values = np.arange(5) / 10, np.arange(5.0)
    named = {"left knee": (values, values), "right knee": (values, None), "trunk": (values + np.nan, None)}
    fig = measured.over_time(time, named, "degrees", np.ones((5, 2), bool))
    assert [ax.get_title() for ax in fig.axes] == ["knee", "trunk"]
    assert [line.get_label() for line in fig.axes[0].lines] == ["left", "right"]


def test_tables_say_what_is_not_known():
    values, half = np.array([10.0, np.nan, 30]), np.array([4.0, np.nan, 6])
    named = {"left knee": (values, half), "trunk": (values, None)}
    knee, trunk = measured.summary(named, "degrees").to_dict("records")
    assert (knee["smallest"], knee["largest"], knee["range"], knee["band, degrees"]) == ("10", "30", "20", "± 5")
    assert trunk["band, degrees"] == "not calibrated"
    table = measured.event_table([(0.5, 7, "left contact"), (0.6, 8, "take-off")], named, 7).to_dict("records")
    assert table[0] == {
        "seconds": "0.500",
        "frame": "7",
        "event": "left contact",
        "left knee": "10° ± 4°",
        "trunk": "10°",
    }
    assert table[1]["left knee"] == ""
    radius = np.array([[6.0, np.nan], [8, np.nan]])
    assert measured.error_table(radius, ("left_heel", "nose"), 0.9).values.tolist() == [["left_heel", "7.0 px"]]
    assert not len(measured.error_table(None, ("left_heel", "nose"), 0.9))


def test_the_picker_starts_as_told():
    pytest.importorskip("ipywidgets")
    assert measured.picker((2, 5), 5, 3.0, 0.5, 9.0).value() == (5, 0.5, 3.0)
