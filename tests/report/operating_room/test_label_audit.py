"""Labels of a teacher against ground truth: a file written by hand."""

import json

import numpy as np
import pytest
import torch

from fewpose.data.multi_person import PeopleData
from fewpose.skeleton import COCO
from fewpose_report.operating_room.label_audit import label_audit

CATEGORIES = {"categories": [{"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}]}


def ground_truth():
    """One frame with one person of 100 pixels and one who is only a box."""
    pose = torch.zeros(2, 17, 3)
    pose[0, :, 0] = torch.arange(17.0) * 5 + 10
    pose[0, :, 1:] = torch.tensor([50.0, 2])
    pose[0, 8:, 2] = 1
    points = torch.arange(102.0).view(2, 17, 3)
    boxes = torch.tensor([[0.0, 0, 100, 100], [200, 0, 240, 90]])
    return PeopleData(
        frames=torch.zeros(1, 3, 120, 260, dtype=torch.uint8),
        boxes=[boxes],
        keypoints=[pose],
        keypoints3d=[points],
        areas=[torch.ones(2)],
        person=[torch.arange(2)],
        cameras=torch.eye(3)[None],
        to_room=torch.eye(4)[None],
        day=np.array(["a"]),
        moment=np.array([0]),
        view=np.array([0]),
        split=np.array(["train"]),
        image_id=np.array([0]),
        skeleton=COCO,
    )


def label(data, path, hard, soft):
    hips = data.keypoints3d[0][0, 11:13].mean(0)
    points = (data.keypoints3d[0][0] - hips + torch.tensor([0.0, 0, 7])).flatten().tolist()
    row = {
        "id": 1,
        "image_id": 0,
        "category_id": 1,
        "bbox": [0, 0, 100, 100],
        "score": 0.9,
        "keypoints": hard.flatten().tolist(),
        "keypoints_soft": soft.flatten().tolist(),
        "keypoints3d": points,
        "keypoints3d_soft": points,
    }
    path.write_text(json.dumps({**CATEGORIES, "images": [{"id": 0}], "annotations": [row]}))
    return path


def test_shares_by_hand(tmp_path):
    data = ground_truth()
    soft = data.keypoints[0][0].clone()
    soft[:, 2] = 0.5
    soft[0, 0] += 11  # more than a tenth of 100 pixels off
    soft[16, 0] -= 9
    soft[0, 2] = 1.0
    hard = soft.clone()
    hard[:, 2] = 2
    hard[12:] = 0  # five hidden keypoints are dropped
    table = label_audit(label(data, tmp_path / "labels.json", hard, soft), data)
    table = table.set_index("labels")
    assert table["people found in %"].tolist() == [50, 50]
    assert table.loc["hard", "labelled in %"] == pytest.approx(100 * 12 / 17)
    assert table.loc["soft", "labelled in %"] == 100
    assert table.loc["hard", "correct in %"] == pytest.approx(100 * 11 / 12)
    assert table.loc["soft", "correct in %"] == pytest.approx(100 * 16 / 17)
    assert table["hidden ones correct in %"].tolist() == [100, 100]
    assert table.loc["soft", "correct, weighted, in %"] == pytest.approx(100 * 8 / 9)
    assert table["3D error in mm"].tolist() == pytest.approx([7, 7], abs=1e-3)


def test_nobody_labelled_is_no_error(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({**CATEGORIES, "images": [{"id": 0}], "annotations": []}))
    table = label_audit(path, ground_truth())
    assert table["people found in %"].tolist() == [0, 0] and table["correct in %"].isna().all()
