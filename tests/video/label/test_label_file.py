import json
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest

from fewpose.data.custom import read_custom
from fewpose.skeleton import Skeleton
from fewpose_video.label.label_file import (
    ChangedElsewhere,
    add_frames,
    open_labels,
    read_frames,
    save_frame,
    skeleton_of,
)
from toy_labels import write_toy_labels
from toy_teacher import SPOTS


def labelled(frame, points, visibility=2):
    keypoints = np.column_stack([points, np.full(len(points), visibility)])
    return replace(frame, keypoints=keypoints)


def test_labels_come_back_as_they_were_saved(tmp_path):
    path, truth = write_toy_labels(tmp_path / "sport")
    first, second, third = read_frames(path)
    assert [f.number for f in (first, second, third)] == [0, 12, 24] and first.video == "run"
    assert first.suggested[:, 2].tolist() == [0.9, 0.9, 0, 0]
    absent = np.array([False, False, True, False])
    changed = replace(labelled(second, truth[1]), absent=absent)
    changed.keypoints[2] = 0
    changed.keypoints[3, 2] = 1
    save_frame(path, changed, second)
    again = read_frames(path)
    assert [f.done for f in again] == [False, True, False] and [f.started for f in again] == [False, True, False]
    np.testing.assert_allclose(again[1].keypoints, changed.keypoints, atol=0.005)
    assert again[1].absent.tolist() == absent.tolist() and not again[0].keypoints.any()
    (annotation,) = json.loads(path.read_text())["annotations"]
    assert annotation["num_keypoints"] == 3 and annotation["image_id"] == 2 and annotation["absent"] == ["left_hip"]
    x, y, width, height = annotation["bbox"]
    low, high = truth[1][[0, 1, 3]].min(0), truth[1][[0, 1, 3]].max(0)
    np.testing.assert_allclose([x, y, x + width, y + height], [*(low - 0.5), *(high + 0.5)], atol=0.006)


def test_labels_taken_away_leave_no_annotation(tmp_path):
    path, truth = write_toy_labels(tmp_path / "sport")
    frame = read_frames(path)[0]
    save_frame(path, labelled(frame, truth[0]), frame)
    save_frame(path, frame, labelled(frame, truth[0]))
    assert json.loads(path.read_text())["annotations"] == [] and not read_frames(path)[0].started


def test_labels_of_another_tab_are_not_overwritten(tmp_path):
    path, truth = write_toy_labels(tmp_path / "sport")
    first, second, _ = read_frames(path)
    save_frame(path, labelled(first, truth[0]), first)
    save_frame(path, labelled(second, truth[1]), second)  # another frame of the file that has changed
    with pytest.raises(ChangedElsewhere, match="was labelled elsewhere"):
        save_frame(path, labelled(first, truth[0] + 5), first)
    np.testing.assert_allclose(read_frames(path)[0].keypoints[:, :2], truth[0], atol=0.006)


def label_some(path, numbers, truth):
    for number in numbers:
        frame = read_frames(path)[number]
        save_frame(path, labelled(frame, truth[number]), frame)


def test_two_processes_write_at_once_and_nothing_is_lost(tmp_path):
    path, truth = write_toy_labels(tmp_path / "sport", frames=8)
    context = get_context("fork")
    processes = [context.Process(target=label_some, args=(path, range(i, 8, 2), truth)) for i in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert all(frame.done for frame in read_frames(path))


def test_what_others_have_written_stays(tmp_path):
    path, truth = write_toy_labels(tmp_path / "sport")
    content = json.loads(path.read_text())
    content["info"] = {"year": 2026}
    content["categories"].insert(0, {"id": 9, "name": "ball"})
    content["annotations"].append({"id": 4, "image_id": 1, "category_id": 9, "bbox": [1, 2, 3, 4]})
    content["images"][0]["split"] = "val"
    path.write_text(json.dumps(content))
    frame = read_frames(path)[0]
    save_frame(path, labelled(frame, truth[0]), frame)
    after = json.loads(path.read_text())
    assert after["info"] == {"year": 2026} and after["images"] == content["images"]
    assert after["annotations"][0] == content["annotations"][0]
    assert after["annotations"][1]["id"] == 5 and after["annotations"][1]["category_id"] == 1


def test_adding_frames_again_keeps_their_labels(tmp_path):
    path, truth = write_toy_labels(tmp_path / "sport")
    frames = read_frames(path)
    save_frame(path, labelled(frames[0], truth[0]), frames[0])
    add_frames(path, [*frames, replace(frames[0], file="new.png", number=-1, video="new.png")])
    again = read_frames(path)
    assert [f.file for f in again][3:] == ["new.png"] and again[3].video == "new.png" and again[0].done
    assert [image["id"] for image in json.loads(path.read_text())["images"]] == [1, 2, 3, 4]


def test_the_skeleton_is_kept_with_its_spelling(tmp_path):
    crab = Skeleton("crab", ("Eye", "claw A", "claw B"), (("Eye", "claw A"),), (0.08,) * 3, (("claw A", "claw B"),), 9)
    path = open_labels(tmp_path, crab)
    assert skeleton_of(path) == crab
    assert open_labels(tmp_path, replace(crab, reference=("Eye", "claw B"))) == path
    assert skeleton_of(path).reference == ("Eye", "claw B")
    with pytest.raises(ValueError, match="has the keypoints eye, claw_a, claw_b"):
        open_labels(tmp_path, SPOTS)


def test_the_reader_of_custom_data_reads_it(tmp_path):
    """As `adapt` starts: three videos, one frame each, one keypoint unlabelled."""
    path, truth = write_toy_labels(tmp_path / "sport")
    content = json.loads(path.read_text())
    for number, image in enumerate(content["images"]):
        image["video_id"] = f"run{number}.mp4"
    path.write_text(json.dumps(content))
    for number, frame in enumerate(read_frames(path)):
        some = labelled(frame, truth[number])
        some.keypoints[3] = 0
        save_frame(path, some, frame)
    people = read_custom(tmp_path / "sport", (97, 161))
    assert sorted(people.video) == ["run0", "run1", "run2"] and set(people.split) == {"train", "val", "test"}
    order = np.argsort(people.video)
    np.testing.assert_allclose(people.poses[order][:, :3, :2], truth[:, :3], atol=0.01)
    assert (people.poses[:, 3, 2] == 0).all() and (people.poses[:, :3, 2] == 2).all()
    assert people.skeleton.keypoints == SPOTS.keypoints
