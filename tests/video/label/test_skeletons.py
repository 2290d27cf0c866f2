import pytest

from fewpose.skeleton import COCO, JUMP
from fewpose_video.label.skeletons import TEMPLATES, describe_reference, make_skeleton, skeleton_table


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_template_can_be_labelled_measured_and_mirrored(name):
    skeleton = make_skeleton(name)
    assert describe_reference(skeleton)
    sided = [k for k, keypoint in enumerate(skeleton.keypoints) if keypoint.startswith(("left_", "right_"))]
    assert all(skeleton.flip_index[k] != k for k in sided) and sided
    joined = {keypoint for limb in skeleton.limbs for keypoint in limb}
    assert joined == set(skeleton.keypoints), "each keypoint is drawn on a limb"


def test_templates_of_the_papers_stay_themselves():
    assert make_skeleton("coco") == COCO and make_skeleton("jump") == JUMP
    assert make_skeleton("person_skis").keypoints[:17] == COCO.keypoints


def test_names_limbs_and_the_reference():
    names = ["snout", "ear-l", "ear-r", "tail base"]
    skeleton = make_skeleton("rat", names, ["snout-ear-l", "snout-ear-r", "snout-tail base"], "snout, tail base")
    assert skeleton.limbs[0] == ("snout", "ear-l") and skeleton.reference == ("snout", "tail base")
    assert skeleton_table(skeleton)["mirror partner"].tolist() == ["", "ear-r", "ear-l", ""]
    assert skeleton_table(skeleton)["joined to"][1] == "snout"
    assert make_skeleton("rat", names).reference == "box", "without shoulders and hips"
    assert make_skeleton("rat", names, pck_reference="12.5").reference == 12.5
    assert make_skeleton("coco", pck_reference="box").reference == "box"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("horse",), "no skeleton 'horse': coco, halpe"),
        (("x", ["a", "b"], ["a-c"]), "'a-c' is not two keypoints"),
        (("coco", (), (), "nose"), "pck_reference"),
        (("coco", (), (), "nose, tail"), "no keypoint 'tail'"),
        (("coco", (), (), "-3"), "not -3"),
    ],
)
def test_one_sentence_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_skeleton(*arguments)
