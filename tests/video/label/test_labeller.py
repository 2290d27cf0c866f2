import io
import json

import numpy as np
import pytest
from PIL import Image

from fewpose_video.label.label_file import open_labels, read_frames
from fewpose_video.label.labeller import Labeller, neighbour
from toy_labels import SIZE, write_toy_labels
from toy_teacher import SPOTS


@pytest.fixture
def toy(tmp_path):
    path, truth = write_toy_labels(tmp_path / "sport")
    return path, truth


def open_labeller(path):
    return Labeller(path, path.parent / "images")


def message(labeller, points, count=1, absent=(False,) * 4, file=None):
    keypoints = np.column_stack([points, np.full(4, 2.0)]).tolist()
    about = {"kind": "save", "editor": "tab", "count": count, "file": file or labeller.frame["file"]}
    labeller._message(None, about | {"keypoints": keypoints, "absent": list(absent)}, None)


def test_a_frame_and_its_image_are_sent_together(toy):
    labeller = open_labeller(toy[0])
    assert labeller.frame["index"] == 0 and labeller.frame["suggested"][0][2] == 0.9
    assert labeller.skeleton["limbs"] == [[0, 1], [1, 2], [1, 3]] and labeller.skeleton["pairs"] == [[2, 3]]
    assert Image.open(io.BytesIO(labeller.image)).size == SIZE[::-1]
    first = labeller.image
    labeller._message(None, {"kind": "open", "index": 99}, None)
    assert labeller.frame["index"] == 2 and labeller.image != first


def test_a_change_is_in_the_file_at_once_and_the_next_labeller_goes_on_there(toy):
    path, truth = toy
    labeller = open_labeller(path)
    message(labeller, truth[0])
    assert labeller.frame["count"] == 1 and labeller.frame["editor"] == "tab" and labeller.status == [2, 0, 0]
    np.testing.assert_allclose(read_frames(path)[0].keypoints[:, :2], truth[0], atol=0.006)
    message(labeller, truth[0] + 1, count=2)
    np.testing.assert_allclose(read_frames(path)[0].keypoints[:, :2], truth[0] + 1, atol=0.006)
    again = open_labeller(path)
    assert again.frame["index"] == 1 and again.status == [2, 0, 0]


def test_two_kernels_do_not_overwrite_each_other(toy):
    path, truth = toy
    one, other = open_labeller(path), open_labeller(path)
    message(one, truth[0])
    message(other, truth[0] + 7)
    assert other.frame["conflict"] and not one.frame["conflict"]
    np.testing.assert_allclose(np.array(other.frame["keypoints"])[:, :2], truth[0], atol=0.006)
    message(other, truth[0] + 7, count=2)  # undone in the browser: now it is meant
    assert not other.frame["conflict"]
    np.testing.assert_allclose(read_frames(path)[0].keypoints[:, :2], truth[0] + 7, atol=0.006)


def test_labels_are_copied_from_the_nearest_frame_of_the_video(toy):
    path, truth = toy
    labeller, sent = open_labeller(path), []
    labeller.send = sent.append
    ask = {"kind": "copy", "editor": "tab", "file": "run_000024.png"}
    labeller._message(None, ask, None)
    assert sent.pop()["source"] is None
    message(labeller, truth[0])
    labeller._message(None, ask, None)
    assert sent[0]["source"] == "run_000000.png" and sent[0]["editor"] == "tab"
    np.testing.assert_allclose(np.array(sent[0]["keypoints"])[:, :2], truth[0])
    frames = read_frames(path)
    assert neighbour(frames[1], frames).file == "run_000000.png" and neighbour(frames[0], frames) is None


def test_a_picture_stands_where_no_widget_is_shown(toy):
    path, truth = toy
    labeller = open_labeller(path)
    message(labeller, truth[0])
    data, _ = labeller._repr_mimebundle_()
    assert data["image/png"] and "application/vnd.jupyter.widget-view+json" in data


def test_an_image_that_is_gone_and_a_file_without_frames(toy, tmp_path):
    path, _ = toy
    (path.parent / "images" / "run_000000.png").unlink()
    assert Image.open(io.BytesIO(open_labeller(path).image)).size == SIZE[::-1]
    with pytest.raises(ValueError, match="no frames to label"):
        open_labeller(open_labels(tmp_path / "new", SPOTS))
    content = json.loads(path.read_text())
    content["images"] = content["images"][1:]
    labeller = open_labeller(path)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="any more"):
        message(labeller, np.zeros((4, 2)))
