"""Boxes from COCO files: placed, cut, and refused where they are wrong."""

import json

import cv2
import numpy as np
import pytest
import torch

from fewpose.data.boxes import BoxData, read_boxes


def folder(tmp_path, annotations, broken=()):
    rows = []
    for i in range(3):
        image = np.zeros((40, 80, 3), np.uint8)
        image[10:30, 20:40] = 255
        cv2.imwrite(str(tmp_path / f"{i}.png"), image)
        if i in broken:
            (tmp_path / f"{i}.png").write_bytes(b"no image")
        rows.append({"id": i, "file_name": f"{i}.png", **({"split": "val"} if i == 2 else {})})
    content = {"images": rows, "annotations": annotations, "categories": [{"id": 1, "keypoints": ["nose"]}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    return tmp_path / "a.json"


def person(image, box=(20, 10, 20, 20), **more):
    return {"id": 7, "image_id": image, "bbox": list(box), **more}


def test_boxes_lie_on_people_and_images_without_people_stay(tmp_path):
    path = folder(tmp_path, [person(0), person(0, (0, 0, 80, 40))])
    data = read_boxes(path, tmp_path, (32, 32))
    assert [len(b) for b in data.boxes] == [2, 0, 0]
    assert data.split.tolist() == ["train", "train", "val"]
    torch.testing.assert_close(data.boxes[0], torch.tensor([[8.0, 12, 16, 20], [0, 8, 32, 24]]))
    assert data.frames[0, :, 13:19, 9:15].min() > 200
    assert len(data.subset("val")) == 1


def test_crowds_and_broken_images_are_left_out(tmp_path):
    path = folder(tmp_path, [person(0), person(1), person(1, iscrowd=1)], broken=[2])
    with pytest.warns(UserWarning, match=r"1 images missing or broken, skipped: 2\.png"):
        assert len(read_boxes(path, tmp_path, (32, 32))) == 1


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (person(9), "there is no image 9"),
        (person(0, (0, 0, 0, 5)), "empty or not finite"),
        (person(0, (0, 0, 5)), "must be x, y, width, height"),
    ],
)
def test_malformed_boxes_are_named(tmp_path, row, says):
    with pytest.raises(ValueError, match=f"a.json, annotation 7.*{says}"):
        read_boxes(folder(tmp_path, [row]), tmp_path, (32, 32))


def test_parts_that_disagree():
    frames = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match="0 lists of boxes"):
        BoxData(frames, [], np.array(["train"]))
    with pytest.raises(ValueError, match="frame 0 has a box without width"):
        BoxData(frames, [torch.zeros(1, 4)], np.array(["train"]))
