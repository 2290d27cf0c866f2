import pytest

from fewpose.skeleton import COCO, HALPE, JUMP, LSP, Skeleton, find_flip_pairs, mirror_name


@pytest.mark.parametrize("skeleton", [COCO, JUMP, LSP, HALPE])
def test_mirror_partner_is_its_own_inverse(skeleton):
    flip = skeleton.flip_index
    assert [flip[i] for i in flip] == list(range(len(skeleton)))
    for i, name in enumerate(skeleton.keypoints):
        assert skeleton.keypoints[flip[i]] == mirror_name(name)


def test_sizes_of_the_published_schemes():
    assert (len(COCO), len(JUMP), len(LSP), len(HALPE)) == (17, 20, 14, 26)


def test_missing_partner_and_unknown_limb_are_refused():
    with pytest.raises(ValueError, match="left_eye has no mirror partner"):
        Skeleton("one-eyed", ("left_eye",), (), (0.1,))
    with pytest.raises(ValueError, match="no keypoint 'tail'"):
        Skeleton("cat", ("nose",), (("nose", "tail"),), (0.1,))
    with pytest.raises(ValueError, match="2 sigmas for 1 keypoints"):
        Skeleton("nose", ("nose",), (), (0.1, 0.2))


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        ("nose left_knee right_knee", [("left_knee", "right_knee")]),
        ("l_knee r_knee", [("l_knee", "r_knee")]),
        ("LKnee RKnee Lhip Rhip", [("LKnee", "RKnee"), ("Lhip", "Rhip")]),
        ("snout leftear rightear", [("leftear", "rightear")]),
        ("Paw.L Paw.R", [("Paw.L", "Paw.R")]),
        ("knee_left knee_right", [("knee_left", "knee_right")]),
        ("kneeLeft kneeRight earL earR", [("kneeLeft", "kneeRight"), ("earL", "earR")]),
        ("genou_gauche genou_droit main_g main_d", [("genou_gauche", "genou_droit"), ("main_g", "main_d")]),
        ("knie_rechts knie_links", [("knie_links", "knie_rechts")]),
        ("Left-Ski-Tip Right-Ski-Tip", [("Left-Ski-Tip", "Right-Ski-Tip")]),
        ("l_l_1 r_l_1 l_r_1", []),  # two candidates for the first
        ("tail bright lamp ramp", []),
        ("left_ear", []),
    ],
)
def test_mirror_partners_are_inferred_from_names(names, pairs):
    assert list(find_flip_pairs(names.split())) == pairs


def test_mirror_partners_given_win_over_names():
    skeleton = Skeleton("crab", ("claw_a", "claw_b", "eye"), (), (0.1,) * 3, (("claw_a", "claw_b"),))
    assert skeleton.flip_index == [1, 0, 2] and skeleton.sides == ["left", "right", ""]
    with pytest.raises(ValueError, match="two mirror partners"):
        Skeleton("crab", ("a", "b", "c"), (), (0.1,) * 3, (("a", "b"), ("b", "c")))
    with pytest.raises(ValueError, match="no keypoint 'd'"):
        Skeleton("crab", ("a", "b", "c"), (), (0.1,) * 3, (("a", "d"),))


@pytest.mark.parametrize(("reference", "message"), [(("nose", "tail"), "'tail'"), ("hip", "'hip'"), (0, "not 0")])
def test_an_impossible_reference_length_is_refused(reference, message):
    with pytest.raises(ValueError, match=message):
        Skeleton("cat", ("nose", "ear"), (), (0.1, 0.1), None, reference)
