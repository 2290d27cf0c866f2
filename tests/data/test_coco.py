import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fewpose.data.coco import read_coco
from fewpose.data.coco_file import read_skeleton
from fewpose.skeleton import JUMP


def dataset(names=("nose", "left_knee", "right_knee"), limbs=((1, 2), (1, 3))):
    return {
        "images": [{"id": 7, "file_name": "a.png", "width": 100, "height": 80}],
        "categories": [{"name": "ant", "keypoints": list(names), "skeleton": [list(pair) for pair in limbs]}],
        "annotations": [
            {"id": 1, "image_id": 7, "bbox": [20, 10, 40, 60], "keypoints": [40, 15, 2, 30, 40, 1, 0, 0, 0]}
        ],
    }


def write(folder, content):
    image = np.zeros((80, 100, 3), np.uint8)
    image[13:18, 38:43] = 255  # around (40, 15)
    Image.fromarray(image).save(folder / "a.png")
    (folder / "labels.json").write_text(json.dumps(content))
    return folder / "labels.json"


def test_crop_shows_the_keypoint_where_the_pose_says(tmp_path):
    data = read_coco(write(tmp_path, dataset()), tmp_path, (128, 96))
    assert data.frames.shape == (1, 3, 128, 96) and data.skeleton.name == "ant"
    assert data.skeleton.limbs == (("nose", "left_knee"), ("nose", "right_knee"))
    assert data.poses[0, :, 2].tolist() == [2, 1, 0]
    frame = data.frames[0, 0].double()
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(96.0), indexing="ij")
    found = torch.stack([(x * frame).sum(), (y * frame).sum()]) / frame.sum()
    torch.testing.assert_close(found.float(), data.poses[0, 0, :2], atol=0.15, rtol=0)


def test_people_crowds_main_and_missing_boxes(tmp_path):
    content = dataset()
    first = content["annotations"][0]
    content["annotations"] += [
        {**first, "id": 2, "iscrowd": 1},
        {**first, "id": 3, "keypoints": [0] * 9},
        {"image_id": 7, "keypoints": [40, 15, 2, 30, 41, 1, 0, 0, 0]},
    ]
    assert len(read_coco(write(tmp_path, content), tmp_path)) == 2
    content["annotations"][0]["main"] = True
    assert len(read_coco(write(tmp_path, content), tmp_path)) == 1


def test_split_and_video_of_the_file_go_first(tmp_path):
    content = dataset()
    assert read_coco(write(tmp_path, content), tmp_path, split="test").split.tolist() == ["test"]
    content["images"][0] |= {"split": "val", "video_id": "run 3"}
    data = read_coco(write(tmp_path, content), tmp_path)
    assert data.split.tolist() == ["val"] and data.video.tolist() == ["run 3"]


def test_known_skeletons_are_recognised(tmp_path):
    content = dataset(JUMP.keypoints, ())
    assert read_skeleton(content, tmp_path) is JUMP
    content["categories"][0]["keypoints"] = ["Nose", "Left Knee", "Right-Knee"]
    assert read_skeleton(content, tmp_path).keypoints == ("nose", "left_knee", "right_knee")
    content["categories"][0]["keypoints"] = ["nose", "knee_1", "knee_2"]
    with pytest.warns(UserWarning, match="swap no sides"):
        read_skeleton(content, tmp_path)


@pytest.mark.filterwarnings("ignore:.*mirrored views swap these pairs")
def test_a_category_names_its_mirror_partners_and_reference(tmp_path):
    content = dataset(names=("Nose", "earL", "earR"))
    skeleton = read_skeleton(content, tmp_path)
    assert skeleton.flip_index == [0, 2, 1] and skeleton.keypoints == ("nose", "left_ear", "right_ear")
    content["categories"][0] |= {"flip_pairs": [], "pck_reference": ["Nose", "earL"]}
    with pytest.warns(UserWarning, match="swap no sides"):
        skeleton = read_skeleton(content, tmp_path)
    assert skeleton.flip_index == [0, 1, 2] and skeleton.reference == ("nose", "earl")
    content["categories"][0] |= {"flip_pairs": [["earL", "earR"]]}
    assert read_skeleton(content, tmp_path).flip_index == [0, 2, 1]
    content["categories"][0] |= {"keypoints": list(JUMP.keypoints), "pck_reference": "box", "flip_pairs": None}
    assert read_skeleton(content, tmp_path) == replace(JUMP, reference="box")
    for key, value in (("flip_pairs", [["a"]]), ("flip_pairs", 3), ("pck_reference", {}), ("pck_reference", ["a", 3])):
        with pytest.raises(ValueError, match=f"{key} must be"):
            read_skeleton({**content, "categories": [{**content["categories"][0], key: value}]}, tmp_path)


def test_labels_outside_and_broken_images(tmp_path):
    content = dataset()
    content["annotations"][0]["keypoints"][3:6] = [500, 10, 2]
    content["images"].append({"id": 8, "file_name": "b.png"})
    content["annotations"].append({**content["annotations"][0], "id": 2, "image_id": 8})
    (tmp_path / "b.png").write_bytes(b"\x89PNG")
    path = write(tmp_path, content)
    with pytest.warns(UserWarning) as warnings:
        data = read_coco(path, tmp_path)
    assert len(data) == 1 and data.poses[0, :, 2].tolist() == [2, 0, 0]
    text = " ".join(str(w.message) for w in warnings)
    assert "b.png" in text and "1 labels lie outside" in text


def spoil(content, what):
    annotation = content["annotations"][0]
    if what == "count":
        annotation["keypoints"].append(0)
    if what == "text":
        annotation["keypoints"][0] = "forty"
    if what == "nan":
        annotation["keypoints"][0] = float("nan")
    if what == "image":
        annotation["image_id"] = 99
    if what == "box":
        annotation["bbox"] = [1, 2, "x", 4]
    if what == "limbs":
        content["categories"][0]["skeleton"] = [[1, 9]]
    if what == "partner":
        content["categories"][0]["keypoints"][2] = "tail"
    if what == "names":
        content["categories"] = []
    if what == "nothing":
        content["annotations"] = []
    if what == "no list":
        del content["images"]
    return content


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("count", "annotation 1: 10 numbers, 3 keypoints need 9"),
        ("text", "must be numbers"),
        ("nan", "not a finite number"),
        ("image", "no image 99"),
        ("box", "bbox"),
        ("limbs", "pairs of 1 … 3"),
        ("partner", "no mirror partner"),
        ("names", "no category names keypoints"),
        ("nothing", "no labelled person"),
        ("no list", "no list `images`"),
    ],
)
def test_one_sentence_names_the_file(tmp_path, what, message):
    path = write(tmp_path, spoil(dataset(), what))
    with pytest.raises(ValueError, match=message) as error:
        read_coco(path, tmp_path)
    assert "labels.json" in str(error.value)


def test_files_as_labelling_tools_write_them(tmp_path):
    """Box categories first, boxes among the poses, an empty box, paths that only the tool knows."""
    content = dataset()
    pose = {**content["annotations"][0], "category_id": 2, "bbox": [40, 15, 0, 0]}
    content["categories"] = [
        {"id": 1, "name": "car"},
        {**content["categories"][0], "id": 2},
        {"id": 3, "name": "bee", "keypoints": ["a", "b", "c"]},
    ]
    content["annotations"] = [
        {"id": 4, "image_id": 7, "category_id": 1, "bbox": [1, 1, 5, 5]},
        {"id": 5, "image_id": 7, "category_id": 1, "bbox": [1, 1, 5, 5], "keypoints": []},
        pose,
        {**pose, "id": 6, "category_id": 3},
    ]
    images = tmp_path / "images"
    (images / "default").mkdir(parents=True)
    path = write(tmp_path, content)
    image = (tmp_path / "a.png").rename(images / "a.png")
    for name in ("images/a.png", "images\\a.png", "a.png"):
        content["images"][0]["file_name"] = name
        path.write_text(json.dumps(content))
        with pytest.warns(UserWarning, match="1 poses of other categories than 'ant'"):
            data = read_coco(path, images, (80, 100))
        assert len(data) == 1 and data.skeleton.name == "ant"
        spread = data.poses[0, 0, :2] - data.poses[0, 1, :2]  # its box is that of the keypoints
        torch.testing.assert_close(spread[1] / spread[0], torch.tensor(-2.5), atol=1e-3, rtol=0)
    image.rename(images / "default" / "a.png")
    with pytest.warns(UserWarning, match="other categories"):
        assert len(read_coco(path, images)) == 1


def test_videos_are_named_as_their_files(tmp_path):
    content = dataset()
    for given, videos, name in (
        ("run1.mp4", [], "run1"),
        (3, [{"id": 3, "file_name": "run3.MOV"}], "run3"),
        (3, [], "3"),
        ("a.b", [], "a.b"),
        ("C:\\videos\\f0.mp4", [], "f0"),
        ("videos/f0.MP4", [], "f0"),
        (3, [{"id": 3, "name": "D:\\f1.avi"}], "f1"),
    ):
        content["images"][0]["video_id"], content["videos"] = given, videos
        assert read_coco(write(tmp_path, content), tmp_path).video.tolist() == [name]


def test_labels_of_another_image_size_are_refused(tmp_path):
    content = dataset()
    content["images"][0] |= {"width": 80, "height": 100}  # as the file lies, before it is turned
    assert len(read_coco(write(tmp_path, content), tmp_path)) == 1
    content["images"][0] |= {"width": 200, "height": 160}
    with pytest.raises(ValueError, match=r"a\.png was labelled with 200x160 pixels and has 100x80"):
        read_coco(write(tmp_path, content), tmp_path)


def test_large_images_are_averaged_and_stay_in_place(tmp_path):
    image = np.zeros((803, 1001, 3), np.uint8)
    image[:, ::2] = 200  # stripes a pixel wide
    image[100:180, 400:480] = 255
    Image.fromarray(image).save(tmp_path / "a.png")
    content = dataset()
    content["images"] = [{"id": 7, "file_name": "a.png"}]
    content["annotations"][0] |= {"keypoints": [439.5, 139.5, 2] + [0] * 6, "bbox": [400, 100, 80, 80]}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    data = read_coco(tmp_path / "labels.json", tmp_path, (96, 120), whole=True)
    frame = data.frames[0, 0].float()
    assert (frame[20:90, 5:40] - 100).abs().max() < 8
    y, x = (frame > 180).nonzero().double().mean(0)
    torch.testing.assert_close(torch.stack([x, y]).float(), data.poses[0, 0, :2], atol=0.4, rtol=0)


def test_missing_or_cut_json(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json is missing"):
        read_coco(tmp_path / "none.json", tmp_path)
    (tmp_path / "cut.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"cut\.json cannot be read"):
        read_coco(tmp_path / "cut.json", tmp_path)


def test_null_is_as_if_missing(tmp_path):
    content = dataset()
    content["images"][0] |= {"split": None, "video_id": None, "width": None}
    content["annotations"][0] |= {"bbox": None, "iscrowd": None, "main": None}
    content["categories"][0]["skeleton"] = content["videos"] = None
    data = read_coco(write(tmp_path, content), tmp_path, split="val")
    assert data.split.tolist() == ["val"] and data.video.tolist() == ["a.png"]
    assert data.skeleton.limbs == ()
    content["images"][0]["video_id"] = 3
    assert read_coco(write(tmp_path, content), tmp_path).video.tolist() == ["3"]


def test_a_byte_order_mark_is_read_over(tmp_path):
    path = write(tmp_path, dataset())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_coco(path, tmp_path)) == 1


def test_two_images_of_one_id_are_refused(tmp_path):
    content = dataset()
    content["images"].append({"id": 7, "file_name": "b.png"})
    message = r"labels\.json: two images have the id 7, the second is b\.png; renumber `images`"
    with pytest.raises(ValueError, match=message):
        read_coco(write(tmp_path, content), tmp_path)
