"""Custom videos cropped to the person."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch

from fewpose import SkippedInput
from fewpose.crops import crop_maps
from fewpose_runs import sports_data
from fewpose_video.cropped import crop_video, read_cropped
from toy_teacher import SPOTS, Rectangles
from toy_video import write_toy_video


def test_crops_follow_the_person_and_boxes_are_cached(tmp_path):
    write_toy_video(tmp_path / "walk.mp4")
    write_toy_video(tmp_path / "empty.mp4", people=False)
    (tmp_path / "text.mp4").write_text("no video")
    detector = Rectangles(97)
    videos = [tmp_path / name for name in ("empty.mp4", "text.mp4", "walk.mp4")]
    with pytest.warns(SkippedInput, match=r"without a person, skipped: empty\.mp4, text\.mp4"):
        data = read_cropped(videos, SPOTS, 5, (64, 64), detector, tmp_path)
    assert len(data) == 3 and data.size == (64, 64) and set(data.video) == {"walk"}
    # the red head stands in the same place of each crop
    red = data.frames[:, 0].int() - data.frames[:, 1].int() > 100
    place = torch.stack([mask.nonzero().float().mean(0) for mask in red])
    assert (place - place[0]).abs().max() < 1
    before = detector.frames_seen
    assert len(crop_video(videos[2], 1, (64, 64), detector, tmp_path)) == 12
    assert detector.frames_seen == before
    with pytest.raises(ValueError, match=r"no video shows a person, tried empty\.mp4"):
        read_cropped(videos[:1], SPOTS, 5, (64, 64), detector, tmp_path)


def test_labelled_images_and_videos_are_cropped_alike(tmp_path, monkeypatch):
    """A folder whose labels are frames of its videos: both are cropped to the same images."""
    folder = tmp_path / "custom"
    (folder / "images").mkdir(parents=True)
    (folder / "videos").mkdir()
    images, annotations = [], []
    for i, split in enumerate(("train", "val", "test")):
        walk = write_toy_video(folder / "videos" / f"v{i}.mp4")
        video = cv2.VideoCapture(str(folder / "videos" / f"v{i}.mp4"))
        cv2.imwrite(str(folder / "images" / f"{i}.png"), video.read()[1])
        images.append({"id": i, "file_name": f"{i}.png", "video_id": f"v{i}", "split": split})
        keypoints = torch.cat([walk[0], torch.full((4, 1), 2.0)], 1).flatten().tolist()
        annotations.append({"id": i, "image_id": i, "category_id": 1, "keypoints": keypoints, "bbox": [20, 30, 40, 40]})
    category = {"id": 1, "name": "spots", "keypoints": list(SPOTS.keypoints)}
    (folder / "annotations.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [category]})
    )
    monkeypatch.setattr(sports_data, "yolox_tiny", lambda: Rectangles(97))
    labelled = sports_data.read_frames("custom", folder, 0, 0, 64, 64, tmp_path)
    raw = sports_data.read_raw("custom", folder, labelled, 0, 0, 64, 4, tmp_path)
    assert set(raw.video) == {"v0"} and len(raw) == 3
    difference = (raw.frames[0].float() - labelled.frames[0].float()).abs()
    assert difference[:, 12:-12, 12:-12].mean() < 12  # of the detector's box
    maps = crop_maps(torch.tensor([[20.0, 30, 60, 70]]), (64, 64))
    np.testing.assert_allclose(maps[0, 0, 0], 64 / 50, rtol=1e-5)
    whole = sports_data.read_frames("custom", folder, 0, 0, 64, 0, tmp_path)
    assert (labelled.poses[0, :, :2].amax(0) - labelled.poses[0, :, :2].amin(0)).min() > 1.5 * (
        whole.poses[0, :, :2].amax(0) - whole.poses[0, :, :2].amin(0)
    ).min()
    video = sports_data.read_test_video("custom", folder, 64, 64, {"v2"}, 0, 0, tmp_path)
    assert video.shape == (6, 3, 64, 64)
    shutil.rmtree(tmp_path / "boxes")


def test_boxes_are_cached_for_each_detector(tmp_path):
    write_toy_video(tmp_path / "walk.mp4")

    def calls(side, weight):
        detector = Rectangles(side)
        detector.unused.data.fill_(weight)
        crop_video(tmp_path / "walk.mp4", 1, (64, 64), detector, tmp_path)
        return detector.frames_seen

    cases = [(97, 0), (97, 0), (97, 1), (96, 0), (97, 1)]
    assert [calls(*case) for case in cases] == [12, 0, 12, 12, 0]


def test_cropping_stops_at_the_limit(tmp_path):
    write_toy_video(tmp_path / "walk.mp4")
    detector = Rectangles(97)
    crops = crop_video(tmp_path / "walk.mp4", 2, (64, 64), detector, tmp_path)
    few = crop_video(tmp_path / "walk.mp4", 2, (64, 64), detector, tmp_path, 4)
    assert len(crops) == 6 and torch.equal(few, crops[:4])
    assert few.untyped_storage().nbytes() == few.numel()


def test_a_step_of_no_frames_is_not_a_broken_video(tmp_path):
    write_toy_video(tmp_path / "walk.mp4")
    with pytest.raises(ValueError, match="every must be 1 or more, not 0"):
        read_cropped([tmp_path / "walk.mp4"], SPOTS, 0, (64, 64), Rectangles(97), tmp_path)
