"""Label files: what is written, and that a kill loses nothing."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import pytest
import torch
from pycocotools.coco import COCO as CocoFile

from fewpose.label_files import ImageFiles, fingerprint_of_frames, write_labels
from fewpose.models.teacher.three_stages import find_all
from fewpose.soft_hard_labels import Thresholds
from toy_teacher import toy_frames, toy_teacher

COUNTS = [1, 0, 2, 8, 0, 3, 1]
LIMITS = Thresholds(0.3, 0.2, 90.0, 80.0, "validation")


@pytest.fixture
def teacher():
    return toy_teacher().plain()


def test_pycocotools_reads_soft_and_hard_labels(tmp_path, teacher):
    frames, _ = toy_frames(COUNTS)
    found = find_all(teacher, frames)
    middle = float(torch.cat([p.keypoints[..., 2] for p in found]).median())
    limits = Thresholds(0.3, middle)
    path = write_labels(teacher, frames, tmp_path / "labels.json", limits, block=2)
    file = CocoFile(str(path))
    assert [len(file.getAnnIds(imgIds=[i])) for i in range(len(COUNTS))] == COUNTS
    assert file.getImgIds() == list(range(len(COUNTS)))
    for i, people in enumerate(found):
        rows = file.loadAnns(file.getAnnIds(imgIds=[i]))
        for row, box, pose in zip(rows, people.boxes, people.keypoints, strict=True):
            x, y, w, h = row["bbox"]
            torch.testing.assert_close(torch.tensor([x, y, x + w, y + h]), box, atol=0.02, rtol=0)
            soft = torch.tensor(row["keypoints_soft"]).view(4, 3)
            hard = torch.tensor(row["keypoints"]).view(4, 3)
            torch.testing.assert_close(soft, pose, atol=1e-3, rtol=0)
            sure = pose[:, 2] >= middle
            assert (hard[~sure] == 0).all() and (hard[sure, 2] == 2).all()
            torch.testing.assert_close(hard[sure, :2], pose[sure, :2], atol=0.01, rtol=0)
            assert row["num_keypoints"] == int(sure.sum()) and 0 < row["score"] <= 1
            assert len(row["keypoints3d"]) == len(row["keypoints3d_soft"]) == 12
            if not sure.any():
                assert not any(row["keypoints3d"])
    info = json.loads(path.read_text())["info"]
    assert info["thresholds"]["keypoint"] == middle and info["teacher"]["flip"] is False


def test_people_below_the_threshold_are_nobody(tmp_path, teacher):
    frames, _ = toy_frames([2, 0])
    path = write_labels(teacher, frames, tmp_path / "l.json", Thresholds(0.99, 0.1))
    content = json.loads(path.read_text())
    assert content["annotations"] == [] and len(content["images"]) == 2


def test_a_killed_run_ends_with_the_very_file_of_an_undisturbed_one(tmp_path, teacher):
    frames, _ = toy_frames(COUNTS)
    options = dict(batch=2, block=2)
    whole = write_labels(teacher, frames, tmp_path / "whole.json", LIMITS, **options)

    detector, out = teacher.detector, tmp_path / "killed.json"
    plain, calls = detector.boxes, iter(range(3))

    def dying(images):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return plain(images)

    detector.boxes = dying
    with pytest.raises(KeyboardInterrupt):
        write_labels(teacher, frames, out, LIMITS, **options)
    assert not out.exists()
    shards = tmp_path / "killed.json.shards"
    (shards / ".part_000003.json").write_text('[{"width": 96, "hei')  # killed in the middle of a shard
    detector.boxes = plain
    detector.frames_seen = 0
    write_labels(teacher, frames, out, LIMITS, **options)
    assert detector.frames_seen == 1  # three shards of two were done, one frame was left
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".lock") == ["killed.json", "whole.json"]

    detector.frames_seen = 0
    write_labels(teacher, frames, out, LIMITS, **options)
    assert detector.frames_seen == 0  # finished: nothing to do
    write_labels(teacher, frames, out, Thresholds(0.4, 0.2), **options)
    assert detector.frames_seen == len(frames)  # other labels
    detector.frames_seen, other = 0, frames.clone()
    other[0, 0, 0, 0] += 1
    write_labels(teacher, other, out, Thresholds(0.4, 0.2), **options)
    assert detector.frames_seen == len(frames)  # other images


def test_two_that_label_the_same_frames_share_them(tmp_path, monkeypatch):
    frames, _ = toy_frames(COUNTS)
    whole = write_labels(toy_teacher().plain(), frames, tmp_path / "whole.json", LIMITS, batch=1, block=1)
    teachers, both = [toy_teacher().plain(), toy_teacher().plain()], threading.Barrier(2)
    for teacher in teachers:
        plain, waited = teacher.detector.boxes, []

        def waiting(images, plain=plain, waited=waited):
            if not waited:
                waited.append(both.wait(20))  # each begins a shard, or nobody goes on
            return plain(images)

        monkeypatch.setattr(teacher.detector, "boxes", waiting)
    out, options = tmp_path / "shared.json", dict(batch=1, block=1)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda teacher: write_labels(teacher, frames, out, LIMITS, **options), teachers))
    assert out.read_bytes() == whole.read_bytes()
    assert [teacher.detector.frames_seen > 0 for teacher in teachers] == [True, True]
    assert sum(teacher.detector.frames_seen for teacher in teachers) == len(frames)


def test_shards_of_other_labels_are_not_taken(tmp_path, teacher):
    frames, _ = toy_frames([1, 1])
    right = write_labels(teacher, frames, tmp_path / "right.json", LIMITS, block=1)
    shards = tmp_path / "labels.json.shards"
    shards.mkdir()
    (shards / "info.json").write_text("{}")
    (shards / "000000.json").write_text("[]")
    assert write_labels(teacher, frames, tmp_path / "labels.json", LIMITS, block=1).read_bytes() == right.read_bytes()


def test_a_corrupt_frame_among_many(tmp_path, teacher):
    frames, _ = toy_frames([1] * 9)
    paths = []
    for i, frame in enumerate(frames):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[-1]), frame.permute(1, 2, 0).numpy()[..., ::-1])
    paths[4].write_bytes(paths[4].read_bytes()[:40])
    files = ImageFiles(paths)
    with pytest.warns(UserWarning, match=r"1 frames broken, skipped: 4\.png"):
        path = write_labels(teacher, files, tmp_path / "l.json", LIMITS, images=files.rows(), block=4)
    content = json.loads(path.read_text())
    assert [image["file_name"] for image in content["images"]] == [p.name for p in paths]
    assert [image.get("broken", False) for image in content["images"]].index(True) == 4
    assert [a["image_id"] for a in content["annotations"]] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert content["images"][5]["width"] == 96


def test_images_that_change_at_the_same_size_are_seen(tmp_path):
    for name, content in (("a.png", b"one"), ("b.png", b"two")):
        (tmp_path / name).write_bytes(content)
    prints = {fingerprint_of_frames(ImageFiles([tmp_path / name])) for name in ("a.png", "b.png", "none.png")}
    assert len(prints) == 3


@pytest.mark.parametrize("text", ['{"images": []}', '{"info": {"description": "mine"}}', '{"info": 3}', "notes"])
def test_a_file_of_the_users_is_not_replaced(tmp_path, teacher, text):
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(ValueError, match=r"mine\.json holds something else than labels of a teacher"):
        write_labels(teacher, [], tmp_path / "mine.json", LIMITS)
    assert (tmp_path / "mine.json").read_text() == text


def test_no_frames_at_all_and_rows_that_do_not_fit(tmp_path, teacher):
    path = write_labels(teacher, [], tmp_path / "none.json", LIMITS)
    assert json.loads(path.read_text())["images"] == []
    with pytest.raises(ValueError, match="1 frames need as many rows"):
        write_labels(teacher, toy_frames([1])[0], tmp_path / "x.json", LIMITS, images=[])
