import warnings

import pytest

from fewpose import SkippedInput
from fewpose.data.coco_file import read_skeleton
from fewpose.data.keypoint_names import mirror_names, unpaired


@pytest.mark.parametrize(
    "pair",
    [
        ("left_knee", "right_knee"),
        ("Left Knee", "RIGHT-KNEE"),
        ("LKnee", "RKnee"),
        ("lKnee", "rKnee"),
        ("l_knee", "r_knee"),
        ("knee_l", "knee_r"),
        ("knee.L", "knee.R"),
        ("kneeL", "kneeR"),
        ("KneeLeft", "KneeRight"),
        ("leftKnee", "rightknee"),
        ("lknee", "rknee"),
        ("L Knee", "knee (right)"),
        ("LKnee", "right_knee"),
        ("knee_lt", "knee_rt"),
        ("Knee.Lft", "Knee.Rgt"),
        ("knee gauche", "knee droite"),
        ("knee_izquierda", "knee_derecha"),
        ("knee_sx", "knee_dx"),
        ("vänster knee", "höger knee"),
        ("左knee", "右knee"),
        ("knee左", "knee右"),
    ],
)
def test_pairs_of_any_scheme(pair):
    names = mirror_names(["nose", *pair, "left_hip", "right_hip"])
    assert names == ("nose", "left_knee", "right_knee", "left_hip", "right_hip")


def test_middle_names_stay():
    names = ("nose", "leg", "lip", "rib", "mid_hip", "l_value", "heel", "neck")
    assert mirror_names(names) == names
    assert unpaired(names) == ["l_value"]


def category(*names, skeleton=()):
    return {"categories": [{"name": "ant", "keypoints": list(names), "skeleton": skeleton}], "annotations": []}


def test_mixed_schemes_swap_all_sides_and_are_told(tmp_path):
    with pytest.warns(SkippedInput, match="mirrored views swap these pairs, as their names say: LKnee/RKnee"):
        skeleton = read_skeleton(category("left_hip", "right_hip", "RKnee", "LKnee"), tmp_path / "a.json")
    assert skeleton.flip_index == [1, 0, 3, 2]


def test_odd_ones_are_named(tmp_path):
    with pytest.warns(SkippedInput, match="RKnee have no partner"):
        read_skeleton(category("left_hip", "right_hip", "RKnee"), tmp_path / "a.json")
    with pytest.raises(ValueError, match=r"a\.json: .*left_knee has no mirror partner"):
        read_skeleton(category("left_hip", "right_hip", "left_knee"), tmp_path / "a.json")
    with pytest.raises(ValueError, match="each once; left_knee is there twice"):
        read_skeleton(category("left_knee", "right_knee", "LKnee"), tmp_path / "a.json")


@pytest.mark.parametrize(("pair", "said"), [("12", True), ("ab", True), ("13", False)])
def test_numbered_pairs_are_asked_for(tmp_path, pair, said):
    names = ("left_hip", "right_hip", f"wing_{pair[0]}", f"wing_{pair[1]}", "spine_1", "spine_2")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_skeleton(category(*names), tmp_path / "a.json")
    asked = [str(w.message) for w in caught if "are wing_" in str(w.message)]
    assert asked == [f"a.json: are wing_{pair[0]}/wing_{pair[1]} left and right? If so, name them in the category's "
                     "`flip_pairs`"] * said  # fmt: skip


def test_pairs_from_0(tmp_path):
    names = ("left_hip", "right_hip", "neck")
    from_1 = read_skeleton(category(*names, skeleton=[[1, 2], [2, 3]]), tmp_path)
    from_0 = read_skeleton(category(*names, skeleton=[[0, 1], [1, 2]]), tmp_path)
    assert from_0.limbs == from_1.limbs == (("left_hip", "right_hip"), ("right_hip", "neck"))
    for wrong in ([[0, 3]], [[1, 4]], [[-1, 2]], [[1]], [["a", 2]], 7):
        with pytest.raises(ValueError, match="pairs of 1 … 3"):
            read_skeleton(category(*names, skeleton=wrong), tmp_path)


@pytest.mark.parametrize("names", ["nose", 17, ["nose", 3], ["nose", ""], ["nose", "nose"], {"nose": 1}, True])
def test_what_are_no_names(tmp_path, names):
    with pytest.raises(ValueError, match="must be names, each once"):
        read_skeleton({"categories": [{"keypoints": names}], "annotations": []}, tmp_path)
