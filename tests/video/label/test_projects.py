import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fewpose.data.coco_file import load_coco
from fewpose.data.custom import read_custom
from fewpose_video.label.label_file import read_frames, save_frame, skeleton_of, write
from fewpose_video.label.projects import export_deeplabcut, export_yolo, import_labels
from toy_labels import write_toy_labels

MOUSE = """scorer,,,ann,ann,ann,ann,ann,ann
bodyparts,,,snout,snout,leftear,leftear,rightear,rightear
coords,,,x,y,x,y,x,y
labeled-data,m1,img007.png,10.5,20.25,,,30,40
labeled-data,m1,img120.png,1,2,3,4,5,6
"""
SEVERAL = """scorer,ann,ann,ann,ann,ann,ann,ann,ann
individuals,a,a,a,a,b,b,b,b
bodyparts,snout,snout,tail,tail,snout,snout,tail,tail
coords,x,y,x,y,x,y,x,y
labeled-data/m1/img1.png,1,2,3,4,5,6,7,8
labeled-data/m1/img2.png,1,2,,,,,,
"""


def images(folder, *names, size=(60, 50)):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        Image.new("RGB", size, (i, 0, 0)).save(folder / name)


def labelled_toy(folder):
    """Four frames of four videos, all labelled, one point occluded and one unlabelled; their label file."""
    path, truth = write_toy_labels(folder, frames=4)
    content = load_coco(path)
    for i, entry in enumerate(content["images"]):
        entry["video_id"] = f"run{i}.mp4"
    write(path, content)
    for pose, frame in zip(truth, read_frames(path), strict=True):
        keypoints = np.column_stack([pose, [2, 1, 2, 0]]) * [[1], [1], [1], [0]]
        save_frame(path, replace(frame, keypoints=keypoints), frame)
    return path


def test_a_deeplabcut_project(tmp_path):
    place = tmp_path / "dlc" / "labeled-data" / "m1"
    images(place, "img007.png", "img120.png")
    (place / "CollectedData_ann.csv").write_text(MOUSE)
    path = import_labels(tmp_path / "dlc", tmp_path / "mine")
    first, second = read_frames(path)
    assert first.file == "m1_img007.png" and (first.video, first.number, second.number) == ("m1", 7, 120)
    np.testing.assert_allclose(first.keypoints, [[10.5, 20.25, 2], [0, 0, 0], [30, 40, 2]])
    assert first.size == (50, 60) and (tmp_path / "mine" / "images" / first.file).is_file()
    assert skeleton_of(path).flip_index == [0, 2, 1] and skeleton_of(path).reference == "box"
    with pytest.raises(ValueError, match="import into a new folder"):
        import_labels(tmp_path / "dlc", tmp_path / "mine")


def test_several_animals_and_h5(tmp_path):
    place = tmp_path / "dlc" / "labeled-data" / "m1"
    images(place, "img1.png", "img2.png")
    (place / "CollectedData_ann.csv").write_text(SEVERAL)
    content = load_coco(import_labels(tmp_path / "dlc", tmp_path / "csv"))
    assert [a["image_id"] for a in content["annotations"]] == [1, 1, 2]
    assert content["annotations"][1]["keypoints"] == [5, 6, 2, 7, 8, 2]
    pytest.importorskip("tables")
    table = pd.read_csv(place / "CollectedData_ann.csv", header=[0, 1, 2, 3], index_col=0)
    table.index = pd.MultiIndex.from_tuples([tuple(name.split("/")) for name in table.index])
    table.columns.names = ["scorer", "individuals", "bodyparts", "coords"]
    table.to_hdf(place / "CollectedData_ann.h5", key="df_with_missing", mode="w")
    (place / "CollectedData_ann.csv").unlink()
    assert load_coco(import_labels(tmp_path / "dlc", tmp_path / "h5")) == content


def test_a_lightning_pose_project(tmp_path):
    images(tmp_path / "lp" / "labeled-data" / "m1", "img1.png")
    images(tmp_path / "lp" / "labeled-data" / "m2", "img1.png", "img2.png")
    rows = [line for line in SEVERAL.splitlines() if not line.startswith("individuals")]
    header = [",".join(line.split(",")[:5]) for line in rows[:3]]
    body = ["labeled-data/m1/img1.png,1,2,3,4", "labeled-data/m2/img1.png,5,6,,", "labeled-data/m2/img9.png,1,1,1,1"]
    (tmp_path / "lp" / "CollectedData.csv").write_text("\n".join([*header, *body]) + "\n")
    with pytest.warns(UserWarning, match=r"img9\.png"):
        frames = read_frames(import_labels(tmp_path / "lp", tmp_path / "mine"))
    assert [(f.file, f.video) for f in frames] == [("m1_img1.png", "m1"), ("m2_img1.png", "m2")]
    assert frames[1].keypoints.tolist() == [[5, 6, 2], [0, 0, 0]]


def test_deeplabcut_and_back(tmp_path):
    path = labelled_toy(tmp_path / "sport")
    tables = export_deeplabcut(path, tmp_path / "dlc")
    assert tables[0] == tmp_path / "dlc" / "labeled-data" / "run0" / "CollectedData_fewpose.csv"
    before = {frame.video: frame for frame in read_frames(path)}
    for number, source in enumerate((tmp_path / "dlc", tmp_path / "lightning")):
        if number:  # the same as one file
            (tmp_path / "lightning").mkdir()
            (tmp_path / "dlc" / "labeled-data").rename(tmp_path / "lightning" / "labeled-data")
            (tmp_path / "dlc" / "CollectedData.csv").rename(tmp_path / "lightning" / "CollectedData.csv")
            for table in (tmp_path / "lightning").glob("labeled-data/*/*.csv"):
                table.unlink()
        again = read_frames(import_labels(source, tmp_path / f"again{number}"))
        assert len(again) == 4 and skeleton_of(path).keypoints == ("head", "neck", "left_hip", "right_hip")
        for frame in again:
            np.testing.assert_allclose(frame.keypoints[:, :2], before[frame.video].keypoints[:, :2])
            assert frame.keypoints[:, 2].tolist() == [2, 2, 2, 0], "it knows no occlusion"


def test_yolo_and_back(tmp_path):
    path = labelled_toy(tmp_path / "sport")
    settings = export_yolo(path, tmp_path / "yolo").read_text()
    assert "kpt_shape: [4, 3]" in settings and "flip_idx: [0, 1, 3, 2]" in settings
    before = {frame.file: frame for frame in read_frames(path)}
    again = import_labels(tmp_path / "yolo", tmp_path / "again", skeleton_of(path).keypoints)
    for frame in read_frames(again):
        np.testing.assert_allclose(frame.keypoints, before[frame.file].keypoints, atol=0.01)
    splits = {entry["file_name"]: entry["split"] for entry in load_coco(again)["images"]}
    custom = read_custom(tmp_path / "sport", (97, 161))
    order = [entry["file_name"] for entry in load_coco(path)["images"]]
    assert [splits[name] for name in order] == custom.split.tolist()
    anonymous = skeleton_of(import_labels(tmp_path / "yolo", tmp_path / "anonymous"))
    assert anonymous.flip_index == [0, 1, 3, 2] and anonymous.keypoints[0] == "keypoint_0"
    with pytest.raises(ValueError, match="4 keypoints, not 2"):
        import_labels(tmp_path / "yolo", tmp_path / "wrong", ("a", "b"))


def test_a_yolo_line_by_hand_without_visibility(tmp_path):
    images(tmp_path / "yolo" / "valid" / "images", "a.jpg")
    (tmp_path / "yolo" / "valid" / "labels").mkdir()
    (tmp_path / "yolo" / "valid" / "labels" / "a.txt").write_text("0 .5 .5 1 1 .5 .5 0 0\n")
    (tmp_path / "yolo" / "data.yaml").write_text("kpt_shape: [2, 2]\n")
    path = import_labels(tmp_path / "yolo", tmp_path / "mine")
    assert read_frames(path)[0].keypoints.tolist() == [[29.5, 24.5, 2], [0, 0, 0]]  # the middle of 60x50
    assert load_coco(path)["images"][0]["split"] == "val"
    (tmp_path / "yolo" / "valid" / "labels" / "a.txt").write_text("0 .5 .5 1 1 .5\n")
    with pytest.raises(ValueError, match="line 1: 6 numbers instead of 9"):
        import_labels(tmp_path / "yolo", tmp_path / "other")


def test_coco_as_tools_export_it(tmp_path):
    """Paths of another machine, two images of one name, a box category first, keys of the tool."""
    images(tmp_path / "cvat" / "images" / "run1", "0001.png")
    images(tmp_path / "cvat" / "images" / "run2", "0001.png")
    (tmp_path / "cvat" / "annotations").mkdir()
    content = {
        "licenses": [{"id": 0, "name": ""}],
        "categories": [
            {"id": 1, "name": "ball"},
            {"id": 2, "name": "athlete", "keypoints": ["nose", "left_ski_tip", "right_ski_tip"], "skeleton": []},
        ],
        "images": [
            {"id": 5, "file_name": "run1/0001.png", "width": 60, "height": 50, "split": "val"},
            {"id": 6, "file_name": "run2/0001.png", "width": 60, "height": 50, "split": "test", "video_id": "two.mp4"},
        ],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4]},
            {"id": 2, "image_id": 6, "category_id": 2, "keypoints": [1, 2, 2, 3, 4, 1, 0, 0, 0], "score": 1},
        ],
    }
    source = tmp_path / "cvat" / "annotations" / "person_keypoints_default.json"
    source.write_text(json.dumps(content))
    path = import_labels(source, tmp_path / "mine")
    after = load_coco(path)
    assert after["annotations"] == content["annotations"] and after["licenses"] == content["licenses"]
    assert [image["split"] for image in after["images"]] == ["val", "test"]
    first, second = read_frames(path)
    assert first.file != second.file and second.video == "two"
    assert all((tmp_path / "mine" / "images" / frame.file).is_file() for frame in (first, second))
    assert second.keypoints.tolist() == [[1, 2, 2], [3, 4, 1], [0, 0, 0]]


def test_what_is_no_project(tmp_path):
    with pytest.raises(ValueError, match="no project that can be read"):
        import_labels(tmp_path, tmp_path / "mine")
    place = tmp_path / "dlc" / "labeled-data" / "m1"
    place.mkdir(parents=True)
    (place / "CollectedData_ann.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no bodyparts"):
        import_labels(tmp_path / "dlc", tmp_path / "mine")
