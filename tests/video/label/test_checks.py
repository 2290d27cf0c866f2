import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fewpose_video.label.checks import (
    corrections,
    find_doubles,
    find_long_limbs,
    find_mistakes,
    find_swaps,
    keypoint_counts,
)
from fewpose_video.label.label_file import LabelledFrame, read_frames, save_frame
from toy_labels import write_toy_labels
from toy_teacher import SPOTS

POSE = np.array([[20.0, 0, 2], [20, 20, 2], [30, 50, 2], [10, 50, 2]])
SWAPPED = POSE[[0, 1, 3, 2]]


def frame(number, keypoints, suggested=None, video="run"):
    suggested = np.zeros((0, 3)) if suggested is None else suggested
    return LabelledFrame(f"{video}_{number}.png", (100, 100), video, number, keypoints, np.zeros(4, bool), suggested)


def test_counts_by_hand():
    other = POSE.copy()
    other[1, 2], other[2] = 1, 0
    last = replace(frame(2, np.zeros((4, 3))), absent=np.array([True, False, False, False]))
    table = keypoint_counts([frame(0, POSE), frame(1, other), last], SPOTS)
    assert table.loc["head"].tolist() == [2, 0, 1, 0] and table.loc["neck"].tolist() == [1, 1, 0, 1]
    assert table.loc["left_hip"].tolist() == [1, 0, 0, 2]


def test_swapped_sides_are_found_by_the_suggestion_or_the_neighbour():
    suggested = POSE + np.array([1, 1, 0])
    (found,) = find_swaps([frame(0, POSE, suggested), frame(1, SWAPPED, suggested)], SPOTS)
    assert found.file == "run_1.png" and found.what == "swapped? left_hip and right_hip"
    away = POSE + np.array([40, 10, 0])  # the person has moved on
    assert not find_swaps([frame(0, POSE), frame(1, away)], SPOTS)
    assert len(find_swaps([frame(0, POSE), frame(1, away[[0, 1, 3, 2]])], SPOTS)) == 2, "either may be wrong"
    assert not find_swaps([frame(0, POSE), frame(1, SWAPPED, video="other")], SPOTS)
    narrow = POSE.copy()
    narrow[2:, 0] = 20.4, 19.6  # seen from the side: no matter
    assert not find_swaps([frame(0, narrow[[0, 1, 3, 2]], narrow)], SPOTS)


def test_a_long_limb_is_found_whatever_the_size_and_a_short_one_is_none():
    frames = [frame(i, POSE * [size, size, 1]) for i, size in enumerate((1, 1.1, 0.5, 2, 1.3, 1))]
    assert not find_long_limbs(frames, SPOTS)
    wrong, short = POSE.copy(), POSE.copy()
    wrong[2, :2], short[2, :2] = (90, 110), (21, 22)
    (found,) = find_long_limbs([*frames, frame(6, wrong), frame(7, short)], SPOTS)
    assert found.file == "run_6.png" and found.what == "long? neck–left_hip"
    assert not find_long_limbs([frame(0, wrong), frame(1, POSE)], SPOTS), "two frames do not say what is usual"
    assert not find_long_limbs([], SPOTS)


def test_two_labels_of_one_frame(tmp_path):
    path, truth = write_toy_labels(tmp_path / "sport")
    images = path.parent / "images"
    first = read_frames(path)[0]
    save_frame(path, replace(first, keypoints=np.column_stack([truth[0], [2] * 4])), first)
    assert not find_mistakes(path, images)
    content = json.loads(path.read_text())
    content["annotations"].append({**content["annotations"][0], "id": 9})
    content["images"].append({**content["images"][1], "id": 7, "file_name": "again.png"})
    shutil.copy(images / "run_000024.png", images / "copy.png")
    content["images"].append({"id": 8, "file_name": "copy.png", "height": 97, "width": 161})
    path.write_text(json.dumps(content))
    assert {(found.file, found.what) for found in find_doubles(path, images)} == {
        ("run_000000.png", "2 annotations, the first is shown"),
        ("again.png", "the same as run_000012.png"),
        ("copy.png", "the same as run_000024.png"),
    }


def test_corrections_are_in_reference_lengths():
    skeleton = replace(SPOTS, reference=("head", "neck"))
    suggested = POSE.copy()
    suggested[2, :2] += 3, 4
    suggested[3] = 0
    frames = [frame(0, POSE, suggested), frame(1, np.zeros((4, 3)), suggested), frame(2, POSE)]
    assert corrections(frames, skeleton) == pytest.approx([0, 0, 5 / 20])
    assert not len(corrections(frames[1:], skeleton))
