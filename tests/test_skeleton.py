import pytest

from fewpose.skeleton import COCO, HALPE, JUMP, LSP, Skeleton, mirror_name


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
