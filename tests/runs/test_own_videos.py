"""A user's folder: its division, unlabelled frames with their numbers, frames to label next."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from blobs import BLOBS, Red, blobs
from fewpose.beyond.budget import first_choice
from fewpose.data.coco_file import load_coco
from fewpose.data.pose_data import PoseData
from fewpose.data.video import read_video, video_writer
from fewpose.metrics.conformal import ErrorBands
from fewpose.skeleton import HALPE, JUMP
from fewpose_runs import own_videos
from fewpose_video.networks import PoseNetwork

PLAN = replace(first_choice(1, ()), size=32, raw_every=4)
NAMES = ["left_shoulder", "right_shoulder", "left_hip", "right_hip"]
POSE = [20, 10, 2, 10, 10, 2, 20, 30, 2, 10, 30, 2]


def make_folder(folder, videos, frames=10, split=None):
    """Each video has `frames` frames of 64 x 64 that grow brighter, and two labelled ones."""
    (folder / "images").mkdir(parents=True)
    (folder / "videos").mkdir()
    images, annotations = [], []
    for video in videos:
        with video_writer(folder / "videos" / f"{video}.mp4", (64, 64), 25) as write:
            for number in range(frames):
                write(np.full((64, 64, 3), 20 * number, np.uint8))
        for number in (0, 4):
            name = f"{video}_{number:06}.png"
            cv2.imwrite(str(folder / "images" / name), np.full((64, 64, 3), 20 * number, np.uint8))
            entry = {"id": len(images), "file_name": name, "height": 64, "width": 64}
            images.append(entry | ({"split": split[video]} if split else {}))
            annotations.append({"id": len(images), "image_id": entry["id"], "keypoints": POSE})
    categories = [{"id": 1, "name": "person", "keypoints": NAMES, "skeleton": []}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def test_few_videos_are_each_left_out_and_one_training_sees_all(tmp_path):
    folder = make_folder(tmp_path / "sport", ["run1", "run2", "run3"])
    people, folds = own_videos.read_labelled(folder, PLAN)
    assert people.size == (32, 32) and len(people) == 6
    assert [fold.held_out for fold in folds] == [("run1",), ("run2",), ("run3",), ()]
    assert [path.stem for path in own_videos.free_videos(folder, folds)] == ["run1", "run2", "run3"]


def test_named_splits_are_kept_and_their_test_is_held_out(tmp_path):
    split = {"run1": "train", "run2": "val", "run3": "test"}
    folder = make_folder(tmp_path / "sport", split, split=split)
    _, (fold,) = own_videos.read_labelled(folder, PLAN)
    assert fold.held_out == ("run2", "run3") and len(fold.train) == len(fold.val) == len(fold.test) == 2
    assert [path.stem for path in own_videos.free_videos(folder, [fold])] == ["run1"]


def test_unlabelled_frames_keep_their_numbers(tmp_path):
    folder = make_folder(tmp_path / "sport", ["run1", "run2"])
    (folder / "videos" / "broken.mp4").write_bytes(b"nothing")
    people, folds = own_videos.read_labelled(folder, PLAN)
    with pytest.warns(UserWarning, match="broken"):
        raw, number = own_videos.read_unlabelled(own_videos.free_videos(folder, folds), people, PLAN, tmp_path)
    assert number.tolist() == [0, 4, 8] * 2 and raw.video.tolist() == ["run1"] * 3 + ["run2"] * 3
    assert torch.equal(raw.frames[:3], read_video(folder / "videos" / "run1.mp4", 4, (32, 32))[0])
    assert not raw.poses.any() and raw.size == people.size
    none, number = own_videos.read_unlabelled([], people, PLAN, tmp_path)
    assert len(none) == len(number) == 0


def test_labelled_frames_are_known_by_their_names(tmp_path):
    folder = make_folder(tmp_path / "sport", ["run1"])
    found = own_videos.is_labelled(folder, np.array(["run1", "run1", "run2"]), np.array([4, 8, 4]))
    assert found.tolist() == [True, False, False]


def test_frames_to_label_are_written_whole_with_their_categories(tmp_path):
    folder = make_folder(tmp_path / "sport", ["run1", "run2"])
    video = {name: folder / "videos" / f"{name}.mp4" for name in ("run1", "run2")}
    chosen = [(video["run2"], 8), (video["run1"], 9), (video["run2"], 3)]
    path = own_videos.write_to_label(tmp_path / "to_label", chosen, folder)
    content = load_coco(path)
    names = {image["file_name"] for image in content["images"]}
    assert names == {"run1_000009.png", "run2_000003.png", "run2_000008.png"}
    assert (
        content["annotations"] == [] and content["categories"] == load_coco(folder / "annotations.json")["categories"]
    )
    image = cv2.imread(str(tmp_path / "to_label" / "images" / "run2_000008.png"))
    whole = read_video(video["run2"])[0][8].permute(1, 2, 0).numpy()
    assert image.shape == (64, 64, 3) and np.array_equal(image[..., ::-1], whole)


def test_new_labels_join_the_others(tmp_path):
    split = {"run1": "train", "run2": "val", "run3": "test"}
    folder, new = make_folder(tmp_path / "sport", split, split=split), tmp_path / "to_label"
    before = (folder / "annotations.json").read_text()
    assert own_videos.join_labels(folder, new) == 0
    path = own_videos.write_to_label(new, [(folder / "videos" / "run1.mp4", n) for n in (6, 9)], folder)
    assert own_videos.join_labels(folder, new) == 0 and (folder / "annotations.json").read_text() == before
    content = json.loads(path.read_text())
    content["annotations"] = [{"id": 1, "image_id": content["images"][1]["id"], "keypoints": POSE}]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="holds labels"):
        own_videos.write_to_label(new, [], folder)
    assert own_videos.join_labels(folder, new) == 1 and not new.exists()
    assert (folder / "annotations.before.json").read_text() == before
    people, (fold,) = own_videos.read_labelled(folder, PLAN)
    assert len(people) == 7 and people.video[6] == "run1" and people.split[6] == "train"
    assert torch.equal(people.poses[6], people.poses[0]) and fold.train.tolist() == [0, 1, 6]
    assert own_videos.is_labelled(folder, np.array(["run1", "run1"]), np.array([6, 9])).tolist() == [False, True]


def test_pixels_of_the_images_are_those_of_the_labels(tmp_path):
    folder = make_folder(tmp_path / "sport", ["run1", "run2"])
    people, _ = own_videos.read_labelled(folder, PLAN)  # 64 pixels shown in 32
    assert own_videos.image_pixels(people, folder) == pytest.approx(2, rel=1e-5)


def test_the_speed_is_measured_on_the_first_video_that_can_be_read(tmp_path):
    folder = make_folder(tmp_path / "sport", ["run1"])
    (folder / "videos" / "a.mp4").write_bytes(b"nothing")
    paths = sorted((folder / "videos").iterdir())
    assert own_videos.read_beginning(paths, PLAN) == own_videos.MEASURED
    assert own_videos.read_beginning(paths[:1], PLAN) == 0


# ---- predict_and_measure -----------------------------------------------------------------------------------------


def test_labels_are_matched_to_the_networks_keypoints():
    poses = np.zeros((2, len(JUMP), 3), np.float32)
    poses[0] = np.stack([np.arange(20), 2 * np.arange(20), np.full(20, 2)], 1)
    poses[1, JUMP.index("left_hip")] = (5, 6, 1)
    found = own_videos.as_skeleton(poses, JUMP, HALPE)
    assert np.array_equal(found[0, HALPE.index("left_big_toe")], poses[0, JUMP.index("left_toe")])
    hips = poses[0, [JUMP.index("left_hip"), JUMP.index("right_hip")]]
    assert np.array_equal(found[0, HALPE.index("hip")], hips.mean(0))
    assert (found[:, HALPE.index("left_eye")] == 0).all() and (found[1, HALPE.index("hip")] == 0).all()
    assert found[1, HALPE.index("left_hip")].tolist() == [5, 6, 1]


def test_errors_are_calibrated_in_pixels_of_the_networks_input():
    """Labels that are 2 pixels off in every frame; the crop shows the 25 pixels around them twice as large."""
    points = np.array([[[40.0, 30], [60, 30]]] * 20) + np.arange(20)[:, None, None] * (0.5, 0.25)
    frames = torch.from_numpy(np.stack([blobs(p, (90, 120)) for p in points])).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(np.concatenate([points + np.array([0, 2]), np.full((20, 2, 1), 2)], -1)).float()
    video = np.repeat([f"v{i}" for i in range(10)], 2)
    people = PoseData(frames, labels, BLOBS, video, np.full(20, "train"))
    network = PoseNetwork(Red(), BLOBS, (50, 50), 0.7)
    keypoints, angles = own_videos.calibrate_published(network, people)
    assert keypoints.radius["left_hand"] == pytest.approx(2 * 50 / (20 * 1.25), abs=0.3)
    assert (keypoints.frames, keypoints.videos, keypoints.size) == (20, 10, (50, 50))
    assert angles.radius == {}


def test_errors_beside_the_weights_are_read(tmp_path):
    assert own_videos.read_errors(tmp_path / "network.safetensors") == (None, None)
    bands = ErrorBands(0.9, (4, 4), {"a": 1.0}, {"a": None}, {"a": 0.9}, 3, 2)
    bands.save(tmp_path / "errors.json")
    bands.save(tmp_path / "angle_errors.json")
    assert own_videos.read_errors(tmp_path / "network.safetensors") == (bands, bands)
