from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fewpose.data.coco_file import load_coco
from fewpose_video.label.label_file import read_frames, save_frame, skeleton_of, write
from fewpose_video.label.projects import import_labels
from fewpose_video.label.sleap import export_sleap
from toy_labels import write_toy_labels
from toy_video import write_toy_video

h5py = pytest.importorskip("h5py")
sio = pytest.importorskip("sleap_io")
NAMES = ["tail", "nose", "ear_b", "ear_a"]  # in no order that a computer would choose
LABELS = [[1.5, 2, 2], [30, 40.25, 1], [0, 0, 0], [7, 8, 2]]


def skeleton():
    return sio.Skeleton(list(NAMES), [("nose", "tail"), ("nose", "ear_a")], [("ear_a", "ear_b")], name="mouse")


def instance(own, labels=LABELS, kind=sio.Instance):
    points = np.array(labels, float)
    made = kind.from_numpy(np.where(points[:, 2:] > 0, points[:, :2], np.nan), own)
    made.points["visible"] = points[:, 2] == 2
    return made


def save(path, frames, own, **options):
    sio.save_slp(sio.Labels(frames, skeletons=[own]), str(path), verbose=False, **{"embed": False, **options})


def red_and_blue(path):
    """An image whose left half is red and whose right half is blue."""
    image = np.zeros((50, 60, 3), np.uint8)
    image[:, :30, 0] = image[:, 30:, 2] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return str(path)


def test_order_videos_and_invisible_points_survive(tmp_path):
    """Videos of one name in two folders; of the second a frame is labelled, and one is only predicted."""
    own, videos = skeleton(), []
    for camera in ("left", "right"):
        (tmp_path / camera).mkdir()
        write_toy_video(tmp_path / camera / "run.mp4", frames=6, size=(96, 160))
        videos.append(sio.Video.from_filename(str(tmp_path / camera / "run.mp4")))
    moved = [[x + 1, y, v] for x, y, v in LABELS]
    frames = [
        sio.LabeledFrame(video=videos[1], frame_idx=4, instances=[instance(own), instance(own, moved)]),
        sio.LabeledFrame(video=videos[0], frame_idx=2, instances=[instance(own)]),
        sio.LabeledFrame(video=videos[0], frame_idx=3, instances=[instance(own, LABELS, sio.PredictedInstance)]),
    ]
    save(tmp_path / "labels.slp", frames, own)
    path = import_labels(tmp_path / "labels.slp", tmp_path / "mine")
    found = {frame.video: frame for frame in read_frames(path)}
    assert {name: (f.number, f.file, f.size) for name, f in found.items()} == {
        "right_run": (4, "right_run_000004.png", (96, 160)),
        "left_run": (2, "left_run_000002.png", (96, 160)),
    }
    np.testing.assert_allclose(found["left_run"].keypoints, LABELS)
    content = load_coco(path)
    assert [a["keypoints"][0] for a in content["annotations"]] in ([1.5, 2.5, 1.5], [1.5, 1.5, 2.5])
    kept = skeleton_of(path)
    assert list(kept.keypoints) == NAMES and kept.flip_index == [0, 1, 3, 2]
    assert kept.limbs == (("nose", "tail"), ("nose", "ear_a"))
    shown = np.array(Image.open(path.parent / "images" / "right_run_000004.png"))
    expected = sio.Video.from_filename(str(tmp_path / "right" / "run.mp4"))[4]
    assert np.abs(shown.astype(int) - expected).mean() < 2, "the fifth frame of the right one"


def test_images_inside_of_the_file_keep_their_colours_and_numbers(tmp_path):
    own = skeleton()
    images = [red_and_blue(tmp_path / "cam1" / f"img{i}.png") for i in range(3)]
    video = sio.Video.from_filename(images)
    frames = [sio.LabeledFrame(video=video, frame_idx=2, instances=[instance(own)])]
    save(tmp_path / "labels.pkg.slp", frames, own, embed="user")
    for file in images:
        (tmp_path / "cam1" / file).unlink()
    path = import_labels(tmp_path / "labels.pkg.slp", tmp_path / "mine")
    (frame,) = read_frames(path)
    assert (frame.video, frame.number) == ("cam1", 2)
    shown = np.array(Image.open(path.parent / "images" / frame.file))
    assert shown[20, 10].tolist() == [255, 0, 0] and shown[20, 50].tolist() == [0, 0, 255]


def test_old_files_count_pixels_from_the_edge(tmp_path):
    own = skeleton()
    video = sio.Video.from_filename([red_and_blue(tmp_path / "m1" / "img0.png")])
    save(tmp_path / "old.slp", [sio.LabeledFrame(video=video, frame_idx=0, instances=[instance(own)])], own)
    with h5py.File(tmp_path / "old.slp", "a") as file:
        file["metadata"].attrs["format_id"] = 1.0
    (frame,) = read_frames(import_labels(tmp_path / "old.slp", tmp_path / "mine"))
    np.testing.assert_allclose(frame.keypoints[[0, 1, 3], :2], np.array(LABELS)[[0, 1, 3], :2] - 0.5)


def test_sleap_and_back(tmp_path):
    path, ground_truth = write_toy_labels(tmp_path / "sport", frames=4)
    content = load_coco(path)
    for i, entry in enumerate(content["images"]):
        entry |= {"video_id": f"run{i % 3}.mp4", "split": ("train", "test", "val")[i % 3]}
    write(path, content)
    for pose, frame in zip(ground_truth, read_frames(path), strict=True):
        keypoints = np.column_stack([pose, [2, 1, 2, 0]]) * [[1], [1], [1], [0]]
        save_frame(path, replace(frame, keypoints=keypoints), frame)
    written = export_sleap(path, tmp_path / "sleap")
    assert [p.name for p in written] == ["labels.train.slp", "labels.test.slp", "labels.val.slp"]
    (tmp_path / "sleap").rename(tmp_path / "elsewhere")
    again = import_labels(tmp_path / "elsewhere", tmp_path / "again")
    assert skeleton_of(again).keypoints == skeleton_of(path).keypoints
    assert skeleton_of(again).flip_index == skeleton_of(path).flip_index
    # an image keeps its name where that begins with the video's
    before = {tuple(frame.keypoints.ravel()): frame for frame in read_frames(path)}
    splits = {entry["file_name"]: entry["split"] for entry in load_coco(again)["images"]}
    assert len(splits) == 4
    for frame in read_frames(again):
        old = before[tuple(frame.keypoints.ravel())]
        assert f"{frame.video}.mp4" in (old.video, f"{old.video}.mp4") and frame.file.endswith(old.file)
        assert splits[frame.file] == {"run0": "train", "run1": "test", "run2": "val"}[frame.video]


def test_what_cannot_be_read_is_said(tmp_path):
    (tmp_path / "broken.slp").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"broken\.slp is no \.slp"):
        import_labels(tmp_path / "broken.slp", tmp_path / "mine")
    (tmp_path / "two.slp").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="name the one to import"):
        import_labels(tmp_path, tmp_path / "mine")
    (tmp_path / "a.val.slp").write_bytes(b"")
    (tmp_path / "b_val.slp").write_bytes(b"")
    with pytest.raises(ValueError, match="same split"):
        import_labels(tmp_path, tmp_path / "mine")


def test_missing_videos_are_named(tmp_path):
    own = skeleton()
    write_toy_video(tmp_path / "run.mp4", frames=3)
    video = sio.Video.from_filename(str(tmp_path / "run.mp4"))
    save(tmp_path / "labels.slp", [sio.LabeledFrame(video=video, frame_idx=1, instances=[instance(own)])], own)
    (tmp_path / "run.mp4").rename(tmp_path / "gone.mp4")
    with pytest.warns(UserWarning, match=r"run\.mp4"), pytest.raises(ValueError, match="none of the 1 labelled images"):
        import_labels(tmp_path / "labels.slp", tmp_path / "mine")
    assert not (tmp_path / "mine" / "annotations.json").exists()  # the next call may import into the folder
