import math

import numpy as np
import pytest

from fewpose.metrics.mpjpe import HIPS, UPPER_BODY, Scene3D, mpjpe

SIGMAS = (0.1, 0.1, 0.1)
WRIST = UPPER_BODY.index("left_wrist")


def person(x, depth=3000.0, seed=0):
    """2D pose [3, 3] and box [4] at x, and 3D joints [8, 4] of random proportions."""
    rng = np.random.default_rng(seed)
    joints = np.full((8, 4), 2.0)
    joints[:, :3] = rng.uniform(-400, 400, (8, 3)) + np.array([0, 0, depth])
    pose = np.array([[x, 100, 2], [x + 10, 150, 2], [x - 10, 150, 2]], float)
    return pose, np.array([x - 20, 90, 40, 80.0]), joints


def scene(people, found):
    """`found` are (2D pose, 3D joints) of each detection."""
    poses, boxes, joints = ([p[i] for p in people] for i in range(3))
    return Scene3D(
        np.array(poses).reshape(-1, 3, 3),
        np.array(boxes).reshape(-1, 4),
        np.array(joints).reshape(-1, 8, 4),
        np.array([f[0] for f in found]).reshape(-1, 3, 3),
        np.array([f[1][:, :3] for f in found]).reshape(-1, 8, 3),
    )


def moved(joints, joint, by):
    other = joints.copy()
    other[joint, :3] += by
    return other


both = pytest.mark.parametrize("protocol", ["one_to_one", "paper"])


@both
def test_errors_by_hand_relative_to_the_hips(protocol):
    pose, box, joints = person(100)
    exact = mpjpe([scene([(pose, box, joints)], [(pose, joints)])], SIGMAS, protocol)
    assert exact.mean == 0 and exact.missed == 0 and exact.errors.shape == (1, 8)
    far = joints + np.array([500, -200, 4000, 0])  # where the person stands does not matter
    assert mpjpe([scene([(pose, box, joints)], [(pose, far)])], SIGMAS, protocol).mean < 1e-9
    wrist = moved(joints, WRIST, [30, 0, 40])
    result = mpjpe([scene([(pose, box, joints)], [(pose, wrist)])], SIGMAS, protocol)
    assert math.isclose(result.per_joint[WRIST], 50) and math.isclose(result.mean, 50 / 8)
    assert result.pairs == pytest.approx({"shoulder": 0, "hip": 0, "elbow": 0, "wrist": 25})
    # one hip off by 80 mm moves the root by 40: seven joints are off by 40 and so is the hip
    hip = moved(joints, HIPS[0], [80, 0, 0])
    result = mpjpe([scene([(pose, box, joints)], [(pose, hip)])], SIGMAS, protocol)
    np.testing.assert_allclose(result.per_joint, 40)


def test_a_detection_serves_one_person_or_in_the_paper_several():
    (pose, box, joints), near = person(100), person(104, seed=1)
    people, found = [(pose, box, joints), near], [(pose, joints)]
    ours = mpjpe([scene(people, found)], SIGMAS)
    assert ours.mean == 0 and ours.missed == 1 and len(ours.errors) == 1
    paper = mpjpe([scene(people, found)], SIGMAS, "paper")
    assert paper.missed == 0 and len(paper.errors) == 2 and paper.mean > 50
    # two detections, both nearer to the first person: one to one shares them out by summed OKS
    second = (person(101)[0], near[2])
    ours = mpjpe([scene(people, [found[0], second])], SIGMAS)
    assert ours.mean == 0 and ours.missed == 0
    assert mpjpe([scene(people, [second, found[0]])], SIGMAS).mean == 0


def test_joints_without_ground_truth():
    pose, box, joints = person(100)
    found = [(pose, moved(joints, WRIST, [100, 0, 0]))]
    joints = joints.copy()
    joints[WRIST] = 0
    unseen = [scene([(pose, box, joints)], found)]
    ours, paper = mpjpe(unseen, SIGMAS), mpjpe(unseen, SIGMAS, "paper")
    assert np.isnan(ours.per_joint[WRIST]) and math.isnan(ours.mean)
    assert paper.per_joint[WRIST] == 0 and paper.mean == 0
    # beside one whose wrist is off by 100 mm, the paper's mean halves it
    other = scene([person(100)], found)
    assert math.isclose(mpjpe([*unseen, other], SIGMAS).per_joint[WRIST], 100)
    assert math.isclose(mpjpe([*unseen, other], SIGMAS, "paper").per_joint[WRIST], 50)
    # without a hip there is no root; without any joint the person does not count
    joints[HIPS[1]] = 0
    rootless = [scene([(pose, box, joints)], found)]
    assert len(mpjpe(rootless, SIGMAS).errors) == 0 and mpjpe(rootless, SIGMAS).missed == 0
    assert len(mpjpe(rootless, SIGMAS, "paper").errors) == 1
    blank = [scene([(pose, box, np.zeros((8, 4)))], found)]
    assert len(mpjpe(blank, SIGMAS, "paper").errors) == 0


@both
def test_empty_frames_no_detection_and_eight_people(protocol):
    assert math.isnan(mpjpe([], SIGMAS, protocol).mean)
    eight = [person(40 + 70 * i, seed=i) for i in range(8)]
    found = [(pose, moved(joints, WRIST, [8, 0, 0])) for pose, _, joints in eight[::-1]]
    nobody, unfound = scene([], found), scene(eight[:1], [])
    result = mpjpe([nobody, scene(eight, found), unfound], SIGMAS, protocol)
    assert math.isclose(result.mean, 1) and result.missed == 1
    assert result.scene.tolist() == [1] * 8


@both
def test_a_person_cut_by_the_border_is_matched_by_what_is_left(protocol):
    pose, box, joints = person(100)
    cut = pose.copy()
    cut[0] = 0
    other = person(130, seed=1)
    found = [(other[0], other[2]), (pose, joints)]
    assert mpjpe([scene([(cut, box, joints), other], found)], SIGMAS, protocol).mean == 0


def test_one_sentence_names_what_is_wrong():
    pose, box, joints = person(100)
    with pytest.raises(ValueError, match="protocol is one of one_to_one, paper, not 'hungarian'"):
        mpjpe([], SIGMAS, "hungarian")
    with pytest.raises(ValueError, match=r"found_joints\[0\] is not finite"):
        scene([(pose, box, joints)], [(pose, moved(joints, 0, np.nan))])
    with pytest.raises(ValueError, match=r"joints are \(1, 10, 4\), not \(1, 8, 4\)"):
        Scene3D(pose[None], box[None], np.zeros((1, 10, 4)), pose[None], joints[None, :, :3])
    with pytest.raises(ValueError, match="17 sigmas for poses of 3 keypoints"):
        mpjpe([scene([(pose, box, joints)], [(pose, joints)])], [0.1] * 17)
    with pytest.raises(ValueError, match=r"found_poses are \(1, 4, 3\), not \(1, 3, 3\)"):
        Scene3D(pose[None], box[None], joints[None], np.zeros((1, 4, 3)), joints[None, :, :3])
