import numpy as np
import pytest
import torch

from fewpose.data.pose_data import PoseData
from fewpose.skeleton import COCO, HALPE, JUMP, Skeleton
from fewpose_video.label import frames as label_frames
from fewpose_video.label.frames import Candidate, choose_frames, halpe_names, read_candidates, suggest, write_images
from fewpose_video.label.label_file import add_frames, open_labels, read_frames
from toy_teacher import SPOTS
from toy_video import write_toy_video


def test_candidates_of_videos_and_images(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "images").mkdir()
    for name, frames in (("a", 12), ("b", 3)):
        write_toy_video(tmp_path / "videos" / f"{name}.mp4", frames)
    (tmp_path / "videos" / "c.mp4").write_bytes(b"no video")
    with pytest.warns(UserWarning, match=r"c\.mp4"):
        found = read_candidates(tmp_path, 4)
    assert [(c.source.name, c.number) for c in found[:4]] == [("a.mp4", n) for n in (0, 4, 7, 11)]
    assert [c.number for c in found[4:]] == [0, 1, 2] and found[0].image.ndim == 3
    write_images(tmp_path, found[:2], np.zeros((2, 4, 3)))
    own = Candidate(tmp_path / "images" / "own.png", -1, found[0].image)
    (tmp_path / "images" / "own.png").write_bytes((tmp_path / "images" / "a_000000.png").read_bytes())
    with pytest.warns(UserWarning, match=r"c\.mp4"):
        again = read_candidates(tmp_path, 4)
    assert len(again) == 8 and again[-1].file == own.file, "frames written before are no candidates of their own"


def test_nothing_to_label_is_said(tmp_path):
    with pytest.raises(ValueError, match="no readable video in videos/ and no image"):
        read_candidates(tmp_path, 4)


def test_written_frames_are_added_to_the_label_file(tmp_path):
    (tmp_path / "videos").mkdir()
    write_toy_video(tmp_path / "videos" / "a.mp4")
    found = read_candidates(tmp_path, 2)
    points = np.zeros((2, 4, 3))
    points[1, 2] = 30, 40, 0.8
    path = open_labels(tmp_path, SPOTS)
    add_frames(path, write_images(tmp_path, found, points))
    first, second = read_frames(path)
    assert (first.file, second.file) == ("a_000000.png", "a_000011.png") and second.video == "a"
    assert not len(first.suggested) and second.suggested[2].tolist() == [30, 40, 0.8]


def clusters(sizes, videos):
    """Frames in well separated poses; video `videos[i]` of frame i."""
    points = np.concatenate([np.random.default_rng(i).normal(20 * i, 0.5, (n, 5)) for i, n in enumerate(sizes)])
    return points, np.array(videos)


def test_kmeans_takes_one_frame_of_each_pose_and_spreads_over_videos():
    features, video = clusters((30, 5, 5, 8), ["a", "b", "c"] * 16)
    for seed in range(3):
        chosen = choose_frames(features, video, 4, "kmeans", seed)
        poses = np.digitize(chosen, [30, 35, 40])
        assert sorted(poses) == [0, 1, 2, 3]
        assert sorted(np.unique(video[chosen], return_counts=True)[1]) == [1, 1, 2]
    assert len(set(choose_frames(np.zeros((9, 5)), ["a"] * 9, 4))) == 4, "equal frames make empty clusters"


def test_uniform_and_random_choice():
    video = ["a"] * 10 + ["b"] * 2 + ["c"] * 10
    chosen = choose_frames(np.zeros((22, 5)), video, 8, "uniform")
    assert chosen.tolist() == [1, 5, 8, 10, 11, 13, 17, 20]
    drawn = [choose_frames(np.zeros((22, 5)), video, 8, "random", seed).tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and len(set(drawn[0])) == 8
    assert choose_frames(np.zeros((2, 5)), ["a", "b"], 8).tolist() == [0, 1]
    with pytest.raises(ValueError, match="kmeans, uniform, random"):
        choose_frames(np.zeros((22, 5)), video, 8, "best")


def test_keypoints_of_the_same_names_are_suggested():
    assert [halpe_names(COCO)[k] for k in range(17)] == list(COCO.keypoints)
    jump = {JUMP.keypoints[k]: name for k, name in halpe_names(JUMP).items()}
    assert jump["left_toe"] == "left_big_toe" and jump["head"] == "head" and "left_hand" not in jump
    odd = Skeleton("odd", ("LKnee", "RKnee", "leftear", "rightear", "tail", "Nose"), (), (0.1,) * 6)
    assert halpe_names(odd) == {0: "left_knee", 1: "right_knee", 2: "left_ear", 3: "right_ear", 5: "nose"}
    poses = torch.zeros(1, 26, 3)
    poses[0, HALPE.index("left_knee")] = torch.tensor([5.0, 6, 0.9])
    poses[0, HALPE.index("nose")] = torch.tensor([7.0, 8, 0.2])  # too uncertain
    points = suggest(odd, poses)[0]
    np.testing.assert_allclose(points[0], [5, 6, 0.9], rtol=1e-6)
    assert not points[1:].any()


def test_errors_of_suggestions_are_relative_to_the_reference_length(monkeypatch):
    """The shoulders are suggested 5 and 20 pixels off; the ear is below the score, the left hip is not labelled."""
    poses = torch.zeros(1, len(COCO), 3)
    at = {"left_shoulder": (20, 10), "right_shoulder": (10, 10), "left_hip": (18, 50), "right_hip": (20, 60)}
    for name, xy in at.items():
        poses[0, COCO.index(name)] = torch.tensor([*xy, 2.0])
    poses[0, COCO.index("left_hip"), 2] = 0
    seen = torch.zeros(1, len(HALPE), 3)
    for name, shift in (("left_shoulder", 5), ("right_shoulder", 20), ("left_hip", 0), ("left_ear", 0)):
        x, y = at.get(name, (0, 0))
        seen[0, HALPE.index(name)] = torch.tensor([x + shift, y, 0.2 if name == "left_ear" else 0.9])
    data = PoseData(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), poses, COCO, np.array(["a"]), np.array(["test"]))
    monkeypatch.setattr(label_frames, "look_at", lambda *args: label_frames.PretrainedPoses(np.zeros((1, 4)), seen))
    relative, pixels = label_frames.suggestion_errors(data, None, None)
    shoulders = [COCO.index("left_shoulder"), COCO.index("right_shoulder")]
    assert pixels[0, shoulders].tolist() == [5, 20]
    assert torch.allclose(relative[0, shoulders] * 50, pixels[0, shoulders])
    assert (~pixels.isnan()).sum() == 2 and (~relative.isnan()).sum() == 2
