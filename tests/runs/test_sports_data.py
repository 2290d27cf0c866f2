import json
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from fewpose import SkippedInput
from fewpose.data import video
from fewpose.data.custom import read_custom, split_videos, training_videos
from fewpose.data.file_names import match_video
from fewpose.data.pose_data import concatenate, draw_labels
from fewpose.training import Schedule
from fewpose_runs.sports_data import SportsSplit, first_training, load_sports, read_frames, read_raw, read_test_video
from fewpose_worlds import worlds
from tiny import dots
from toy_teacher import Rectangles
from toy_video import write_toy_video


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A jump world as `python -m fewpose world jump` writes it, with short videos."""
    folder = tmp_path_factory.mktemp("custom")
    worlds.export("jump", 12, 64, 3, folder, videos=0)
    paths = worlds.jump_videos(12, 64, 3, folder, 6, "train", rate=4)
    paths += worlds.jump_videos(12, 64, 3, folder, 6, "test", rate=4)
    (folder / "videos").mkdir()
    for path in paths:
        shutil.move(path, folder / "videos" / path.name)
    return folder


def test_an_exported_world_is_read_as_custom_data(exported):
    rendered = worlds.jump(12, 64, 3, videos=6)
    custom = read_frames("custom", exported, 0, 0, 64, 0, exported)
    assert custom.skeleton == rendered.skeleton
    assert np.array_equal(custom.video, rendered.video) and np.array_equal(custom.split, rendered.split)
    labelled = rendered.poses[..., 2] > 0
    assert torch.equal(custom.poses[..., 2] > 0, labelled)
    assert (custom.poses - rendered.poses)[..., :2][labelled].abs().max() < 0.01
    assert (custom.frames.float() - rendered.frames.float()).abs().mean() < 4  # JPEG


def test_custom_videos_of_held_out_athletes_stay_out(exported):
    custom = read_custom(exported, (64, 64))
    raw = read_raw("custom", exported, custom, 0, 0, 0, 3, exported)
    assert set(raw.video) == set(custom.video[custom.split == "train"])
    assert (raw.poses == 0).all() and set(raw.split) == {"train"}
    assert raw.size == custom.size


@pytest.mark.parametrize("dataset", ["jump", "custom"])
def test_no_test_frame_nor_a_neighbour_is_in_a_training_pool(dataset, exported, tmp_path):
    """The pool as the notebooks make it: the rest of the training frames and raw video."""
    athletes = read_frames(dataset, exported, 12, 6, 64, 0, tmp_path)
    train, test = athletes.subset("train"), athletes.subset("test")
    few, rest = draw_labels(train, 3, 0)
    raw = read_raw(dataset, exported, athletes, 12, 6, 0, 3, tmp_path, rate=4)
    pool = concatenate(train.subset(few), train.subset(rest), raw)
    held_out = set(athletes.video[athletes.split != "train"])
    assert len(raw) and not set(pool.video) & held_out
    distances = (pool.frames[:, None].float() - test.frames[None].float()).abs().mean((2, 3, 4))
    assert distances.min() > 10  # neighbouring frames of one video differ by less


def test_a_truncated_video_of_the_pool_is_named_and_the_rest_read(exported, tmp_path):
    folder = tmp_path / "custom"
    shutil.copytree(exported, folder)
    custom = read_custom(folder, (64, 64))
    files = sorted((folder / "videos").glob("*.mp4"))
    cut = next(f for f in files if f.stem in set(custom.video[custom.split == "train"]))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    with pytest.warns(SkippedInput, match=f"1 broken or truncated, skipped: {cut.name}"):
        raw = read_raw("custom", folder, custom, 0, 0, 0, 3, folder)
    assert set(raw.video) == set(custom.video[custom.split == "train"]) - {cut.stem}


def test_a_test_video_is_read_and_a_broken_one_passed_over(exported, tmp_path):
    folder = tmp_path / "custom"
    shutil.copytree(exported, folder)
    custom = read_custom(folder, (64, 64))
    test = set(custom.video[custom.split == "test"])
    video = read_test_video("custom", folder, 64, 0, test, 0, 0, tmp_path)
    assert video.shape[1:] == (3, 64, 64) and 1 <= len(video) <= 60
    videos = [f for f in sorted((folder / "videos").glob("*.mp4")) if f.stem in test]
    for f in videos:
        f.write_bytes(b"no video")
    with pytest.warns(SkippedInput, match=videos[0].name):
        assert read_test_video("custom", folder, 64, 0, test, 0, 0, tmp_path) is None
    assert read_test_video("lsp", folder, 64, 0, test, 0, 0, tmp_path) is None


@pytest.mark.parametrize("width", [0, 64])
def test_no_more_of_a_test_video_is_read_than_shown(width, tmp_path, monkeypatch):
    (tmp_path / "videos").mkdir()
    write_toy_video(tmp_path / "videos" / "walk.mp4")
    monkeypatch.setattr("fewpose_runs.sports_data.yolox_tiny", lambda: Rectangles(97))
    whole = read_test_video("custom", tmp_path, 64, width, {"walk"}, 0, 0, tmp_path)
    assert len(whole) == 6
    read, convert = [], video.to_image
    monkeypatch.setattr(video, "to_image", lambda frame: read.append(1) or convert(frame))
    monkeypatch.setattr("fewpose_runs.sports_data.SHOWN", 3)
    shown = read_test_video("custom", tmp_path, 64, width, {"walk"}, 0, 0, tmp_path)
    assert torch.equal(shown, whole[:3]) and len(read) == 3
    assert shown.untyped_storage().nbytes() == shown.numel()


def test_one_video_of_the_test_split_can_be_exported(tmp_path):
    (path,) = worlds.jump_videos(12, 64, 3, tmp_path, 6, "test", rate=4, limit=1)
    data = worlds.jump(12, 64, 3, videos=6)
    assert path.exists() and path.stem in set(data.video[data.split == "test"])


def test_without_splits_whole_videos_are_dealt(exported, tmp_path):
    content = json.loads((exported / "annotations.json").read_text())
    for image in content["images"]:
        del image["split"]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    shutil.copytree(exported / "images", tmp_path / "images")
    custom = read_custom(tmp_path, (64, 64))
    assert {s: len(set(custom.video[custom.split == s])) for s in ("train", "val", "test")} == {
        "train": 3,
        "val": 1,
        "test": 2,
    }
    assert np.array_equal(custom.split, read_custom(tmp_path, (64, 64)).split)
    content["images"][0]["split"] = "train"
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="only some images name"):
        read_custom(tmp_path, (64, 64))


def test_images_without_video_id_are_of_the_video_that_their_name_holds(exported, tmp_path):
    content = json.loads((exported / "annotations.json").read_text())
    folder = tmp_path / "custom"
    shutil.copytree(exported, folder)
    for number, image in enumerate(content["images"]):
        old, video = folder / "images" / image["file_name"], image.pop("video_id")
        image["file_name"] = f"5f3a-{video}_{number:06d}.jpg"
        old.rename(folder / "images" / image["file_name"])
    (folder / "annotations.json").write_text(json.dumps(content))
    custom = read_custom(folder, (64, 64))
    videos = {path.stem for path in (folder / "videos").glob("*.mp4")}
    known = read_custom(exported, (64, 64)).video
    assert [v for v in custom.video if v in videos] == [v for v in known if v in videos]
    raw = read_raw("custom", folder, custom, 0, 0, 0, 3, folder)
    assert set(raw.video) == set(custom.video[custom.split == "train"])
    shutil.rmtree(folder / "videos")
    with pytest.warns(UserWarning, match="no image names its video"):
        read_custom(folder, (64, 64))


@pytest.mark.parametrize(
    ("image", "video"),
    [
        ("run1_0120.jpg", "run1"),
        ("run1/0120.jpg", "run1"),
        ("5f3a-run1_0120.jpg", "run1"),
        ("run10_0120.jpg", None),
        ("run1.b_3.jpg", "run1.b"),
        ("brun1.jpg", None),
    ],
)
def test_the_video_in_a_name(image, video):
    assert match_video(image, {"run1", "run1.b"}) == video


def test_held_out_videos_that_cannot_be_known_and_other_files_are_named(exported, tmp_path):
    folder = tmp_path / "custom"
    shutil.copytree(exported, folder)
    custom = read_custom(folder, (64, 64))
    (folder / "videos" / "notes.txt").write_text("no video")
    with pytest.warns(SkippedInput, match=r"1 files that are no videos, skipped: notes\.txt"):
        training_videos(folder, custom)
    for number, path in enumerate(sorted((folder / "videos").glob("*.mp4"))):
        path.rename(path.with_name(f"video {number}.mp4"))
    with pytest.raises(ValueError, match=r"no file in videos/ is named like a video of validation.*rename"):
        training_videos(folder, custom)


def test_every_split_needs_a_person(exported, tmp_path):
    content = json.loads((exported / "annotations.json").read_text())
    for image in content["images"]:
        image["split"] = "train" if image["split"] == "val" else image["split"]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    shutil.copytree(exported / "images", tmp_path / "images")
    with pytest.raises(ValueError, match="nobody is labelled in images of the split 'val'"):
        read_custom(tmp_path, (64, 64))


def test_two_videos_cannot_be_split(tmp_path):
    with pytest.raises(ValueError, match=r"2 video\(s\) cannot be divided"):
        split_videos(np.array(["a", "b", "a"]), tmp_path / "annotations.json")


def test_a_wide_image_lies_whole_in_the_frame(tmp_path):
    (tmp_path / "images").mkdir()
    names = [f"{i}.png" for i in range(3)]
    for name in names:
        image = np.zeros((100, 200, 3), np.uint8)
        image[40:61, 140:161] = 255
        cv2.imwrite(str(tmp_path / "images" / name), image)
    content = {
        "images": [{"id": i, "file_name": n} for i, n in enumerate(names)],
        "annotations": [
            {"id": i, "image_id": i, "bbox": [140, 40, 21, 21], "num_keypoints": 1, "keypoints": [150, 50, 2]}
            for i in range(3)
        ],
        "categories": [{"id": 1, "name": "ball", "keypoints": ["centre"]}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="mirrored views swap no sides"):
        custom = read_custom(tmp_path, (100, 100))
    assert torch.allclose(custom.poses[0, 0], torch.tensor([74.75, 49.75, 2.0]), atol=0.01)
    y, x = (custom.frames[0, 0] > 128).nonzero().float().mean(0)
    assert abs(x - 74.75) < 0.5 and abs(y - 49.75) < 0.5


def test_labels_without_ground_truth_are_not_audited():
    data, few = dots(6), dots(2)
    known = SportsSplit(few, data.unlabelled(), data, few, few)
    assert known.audited and str(known) == "2 labelled, 6 unlabelled, 2 val, 2 test frames"
    unknown = SportsSplit(few, data.unlabelled(), data.unlabelled(), few, few)
    assert not unknown.audited and "no audit" in str(unknown)
    none = data.subset(torch.tensor([], dtype=torch.long))
    assert "audit" not in str(SportsSplit(few, none, none, few, few))


def test_what_pck_needs_is_told_at_reading(exported, tmp_path):
    content = json.loads((exported / "annotations.json").read_text())
    names = content["categories"][0]["keypoints"]
    content["categories"][0]["keypoints"] = [name.replace("hip", "pelvis") for name in names]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    shutil.copytree(exported / "images", tmp_path / "images")
    p = dict(dataset="custom", data_path="", frames=0, videos=0, size=64, width=0, world_seed=0, labels=3)
    run = SimpleNamespace(parameters=p, path=lambda text: tmp_path, cache=tmp_path, seed=0)
    with pytest.raises(ValueError, match=r"has no right_hip, which PCK is relative to: .* `pck_reference`"):
        load_sports(run)


def test_a_pool_needs_a_video(exported, tmp_path):
    custom = read_custom(exported, (64, 64))
    with pytest.raises(ValueError, match=r"videos holds no video: \.mp4"):
        read_raw("custom", tmp_path, custom, 0, 0, 0, 10, tmp_path)
    (tmp_path / "videos").mkdir()
    held_out = custom.video[custom.split == "test"][0]
    (tmp_path / "videos" / f"{held_out}.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match="holds no video outside of validation and test"):
        read_raw("custom", tmp_path, custom, 0, 0, 0, 10, tmp_path)


def test_an_unknown_data_set_is_named(tmp_path):
    with pytest.raises(ValueError, match='"custom", not "mpii"'):
        read_frames("mpii", tmp_path, 10, 5, 64, 0, tmp_path)


def test_videos_of_training_athletes_are_the_pool(tmp_path):
    athletes = read_frames("jump", "", 12, 6, 64, 0, tmp_path)
    raw = read_raw("jump", "", athletes, 12, 6, 0, 3, tmp_path, rate=4)
    assert set(raw.video) == set(athletes.video[athletes.split == "train"])
    videos = sorted((tmp_path).rglob("*.mp4"))
    written = [f.stat().st_mtime_ns for f in videos]
    again = read_raw("jump", "", athletes, 12, 6, 0, 3, tmp_path, rate=4)
    assert torch.equal(raw.frames, again.frames)
    assert written == [f.stat().st_mtime_ns for f in videos]  # kept, not made again


def test_a_first_network_is_trained_as_the_run_it_comes_from(tmp_path, monkeypatch):
    monkeypatch.setattr("fewpose_runs.sports_data.find_run", tmp_path.joinpath)
    parameters = {"steps": 7, "batch_size": 3, "labels": 50}
    read = "fewpose_runs.sports_data.read_manifest"
    monkeypatch.setattr(read, lambda folder: {"parameters": parameters})
    run = SimpleNamespace(
        profile="mine", checkpoint=lambda name: tmp_path / name, parameters={"labels": 50, "steps": 1}
    )
    schedule = Schedule(99)
    assert first_training(run, "", schedule, "warm_up.pt") == (schedule, tmp_path / "warm_up.pt")
    earlier, checkpoint = first_training(run, "few", schedule)
    assert earlier == Schedule(7, batch_size=3)
    assert checkpoint == tmp_path / "mine" / "sports" / "few" / "checkpoints" / "supervised.pt"
    run.parameters["labels"] = 100
    with pytest.raises(ValueError, match="labels is 100 here and 50 in the run few"):
        first_training(run, "few", schedule)
