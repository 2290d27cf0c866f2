"""The three stages together: who is found, where, and what happens at the edges."""

import pytest
import torch

from fewpose.models.teacher.three_stages import find_all, find_people, lift
from toy_teacher import person, toy_frames, toy_teacher


def test_zero_one_and_eight_people():
    frames, poses = toy_frames([0, 1, 8])
    teacher = toy_teacher()
    found = find_people(teacher, frames)
    assert [len(people) for people in found] == [0, 1, 8]
    for people, ground_truth in zip(found, poses, strict=True):
        assert people.keypoints.shape == people.keypoints3d.shape == (len(ground_truth), 4, 3)
        for pose in ground_truth:
            nearest = (people.keypoints[..., :2] - pose).norm(dim=-1).amax(-1).min()
            assert nearest < 1
        hips = people.keypoints3d[:, 2:4].mean(1)
        torch.testing.assert_close(hips, torch.zeros(len(ground_truth), 3), atol=1e-4, rtol=0)


def test_people_cut_by_the_border_and_an_empty_frame():
    frame = torch.full((1, 3, 64, 96), 10, dtype=torch.uint8)
    person(frame[0], -8, 20, 24)
    (people,) = find_people(toy_teacher(), frame)
    assert len(people) == 1
    assert (people.boxes[:, :2] >= 0).all() and torch.isfinite(people.keypoints).all()
    (nobody,) = find_people(toy_teacher(), torch.zeros(1, 3, 64, 96, dtype=torch.uint8))
    assert nobody.boxes.shape == (0, 4) and nobody.keypoints3d.shape == (0, 4, 3)


def test_frames_of_several_sizes_keep_their_order():
    large, _ = toy_frames([1, 2])
    small, _ = toy_frames([3], size=(64, 80))
    teacher = toy_teacher().plain()
    found = find_all(teacher, [large[0], small[0], large[1]], batch=2)
    assert [len(people) for people in found] == [1, 3, 2]
    assert find_all(teacher, []) == []


def test_floor_and_most():
    frames, _ = toy_frames([4])
    assert len(find_people(toy_teacher(limit=3), frames)[0]) == 3
    assert len(find_people(toy_teacher(floor=0.95), frames)[0]) == 0


def test_a_stage_that_fails_is_named():
    teacher = toy_teacher()
    with torch.no_grad():
        teacher.lifter.last.weight.fill_(float("nan"))
    with pytest.raises(RuntimeError, match="the output of the teacher's lifter is not finite"):
        find_people(teacher, toy_frames([1])[0])


def test_missing_keypoints_do_not_matter_to_the_lift():
    teacher = toy_teacher()
    poses = torch.rand(2, 4, 3) * 50 + 1
    poses[:, 1, 2] = 0
    other = poses.clone()
    other[:, 1, :2] = 999
    torch.testing.assert_close(lift(teacher, poses, (64, 80)), lift(teacher, other, (64, 80)))
    assert lift(teacher, poses[:0], (64, 80)).shape == (0, 4, 3)
    assert set(teacher.sizes()) == {"detector", "pose", "lifter"}
