"""What `write_labels` writes is what the student reads."""

import json

import pytest
import torch

from fewpose.data.labels import ground_truth_labels, read_labels
from fewpose.label_files import write_labels
from fewpose.soft_hard_labels import Thresholds
from toy_teacher import SPOTS, toy_frames, toy_teacher


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    frames, _ = toy_frames([2, 0, 1, 8])
    path = tmp_path_factory.mktemp("labels") / "labels.json"
    given = [frames[0], frames[1], None, frames[3]]
    write_labels(toy_teacher().plain(), given, path, Thresholds(0.5, 0.3))
    return path, given


def test_labels_come_back(written):
    path, frames = written
    labels = read_labels(path, frames, SPOTS)
    content = json.loads(path.read_text())
    assert labels.use.tolist() == [0, 3] and len(labels) == 2
    assert [len(b) for b in labels.boxes] == [2, 0, 0, 8]
    first = content["annotations"][0]
    x, y, w, h = first["bbox"]
    torch.testing.assert_close(labels.boxes[0][0], torch.tensor([x, y, x + w, y + h]))
    for part, key in (
        ("hard", "keypoints"),
        ("soft", "keypoints_soft"),
        ("hard3d", "keypoints3d"),
        ("soft3d", "keypoints3d_soft"),
    ):
        expected = torch.tensor(first[key]).view(4, 3)
        if part == "soft":
            expected[:, 2].clamp_(0, 1)
        torch.testing.assert_close(getattr(labels, part)[0][0], expected)


def change(path, tmp_path, edit):
    content = json.loads(path.read_text())
    edit(content["annotations"][1])
    out = tmp_path / "broken.json"
    out.write_text(json.dumps(content))
    return out


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda a: a.pop("keypoints_soft"), "annotation 2: keypoints_soft is missing"),
        (lambda a: a.update(keypoints=[1, 2]), "keypoints must be 12 finite numbers"),
        (lambda a: a.update(keypoints3d=[float("nan")] * 12), "keypoints3d must be 12 finite"),
        (lambda a: a.update(bbox=[0, 0, 0, 5]), "bbox .* is empty"),
        (lambda a: a.update(image_id=77), "there is no image 77"),
    ],
)
def test_malformed_annotations_are_named(written, tmp_path, edit, message):
    path, frames = written
    with pytest.raises(ValueError, match=message):
        read_labels(change(path, tmp_path, edit), frames, SPOTS)


def test_files_and_frames_that_do_not_match(written, tmp_path):
    path, frames = written
    with pytest.raises(ValueError, match="labels 4 frames, there are 3"):
        read_labels(path, frames[:3], SPOTS)
    content = json.loads(path.read_text())
    other = content["images"][1]["id"]
    for edit, message in (
        (lambda c: c["images"][0].update(id=other), "two images have the id 1"),
        (lambda c: c["annotations"][0].update(id=2), "two annotations have the id 2"),
        (lambda c: c["annotations"][0].update(image_id=[1]), "image_id must be"),
        (lambda c: c["categories"][0]["keypoints"].reverse(), "other keypoints than those of the skeleton"),
        (lambda c: c["images"][3].update(width=7), r"the image 3 was labelled with 7x\d+ pixels"),
    ):
        changed = json.loads(json.dumps(content))
        edit(changed)
        (tmp_path / "no.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=message):
            read_labels(tmp_path / "no.json", torch.stack([f if f is not None else frames[0] for f in frames]), SPOTS)
    (tmp_path / "no.json").write_text("{")
    with pytest.raises(ValueError, match=r"no\.json is not a readable file of labels"):
        read_labels(tmp_path / "no.json", frames, SPOTS)


def test_ground_truth_as_labels_has_full_confidence():
    frames, boxes = torch.zeros(2, 3, 8, 8, dtype=torch.uint8), [torch.ones(1, 4), torch.ones(0, 4)]
    poses = [torch.tensor([[[1.0, 2, 2], [3, 4, 1], [0, 0, 0], [5, 6, 2]]]), torch.zeros(0, 4, 3)]
    points = [torch.ones(1, 4, 3), torch.zeros(0, 4, 3)]
    labels = ground_truth_labels(frames, boxes, poses, points, SPOTS, "exact")
    assert labels.soft[0][0, :, 2].tolist() == [1, 1, 0, 1]
    assert torch.equal(labels.hard[0], poses[0]) and labels.use.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"exact: soft3d of frame 1|hard3d of frame 1"):
        ground_truth_labels(frames, boxes, poses, [points[0]] * 2, SPOTS, "exact")
