"""Frames of several people: parts that agree, and subsets that keep them together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fewpose.data.multi_person import BoxData
from two_people import world


def test_boxes_that_do_not_fit_the_frames():
    frames = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    split = np.array(["train"])
    with pytest.raises(ValueError, match="boxes must have one entry for each of 1 frames"):
        BoxData(frames, [], split)
    with pytest.raises(ValueError, match="frame 0 has a box without width"):
        BoxData(frames, [torch.zeros(1, 4)], split)
    with pytest.raises(ValueError, match=r"boxes of frame 0 are \(1, 3\), expected \(1, 4\)"):
        BoxData(frames, [torch.zeros(1, 3)], split)
    with pytest.raises(ValueError, match="boxes of frame 0 are not finite"):
        BoxData(frames, [torch.full((1, 4), torch.nan)], split)
    with pytest.raises(ValueError, match="frames must be uint8"):
        BoxData(frames.float(), [torch.ones(0, 4)], split)


def test_a_subset_keeps_all_parts_of_its_frames():
    people = world(6)
    few = people.subset([4, 1])
    assert few.image_id.tolist() == [4, 1] and few.day.tolist() == ["day2", "day0"] and few.name == "room"
    for part in ("frames", "boxes", "keypoints", "keypoints3d", "areas", "person", "cameras", "to_room"):
        for row, i in enumerate((4, 1)):
            assert torch.equal(getattr(few, part)[row], getattr(people, part)[i]), part
    assert len(people.subset("train")) == 0 and len(people.subset(people.moment < 2)) == 2


def test_poses_that_do_not_fit_the_boxes():
    people = world(2)
    with pytest.raises(ValueError, match=r"room: keypoints of frame 1 are \(1, 17, 3\), expected \(2, 17, 3\)"):
        replace(people, keypoints=[people.keypoints[0], people.keypoints[1][:1]])
    with pytest.raises(ValueError, match="day day0 lies in both"):
        replace(people, split=np.array(["train", "test"]))
