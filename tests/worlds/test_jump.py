"""The jump world: ground truth of the stills, splits by video, the same frames from the same seed."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from fewpose.skeleton import JUMP
from fewpose_worlds import worlds
from fewpose_worlds.jump import stills
from fewpose_worlds.jump.video import pick_frames, render_frames, sample_video


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return worlds.jump(28, 64, seed=4, cache=cache, videos=7), next(p for p in cache.iterdir() if p.is_dir())


def test_stills_and_splits(made):
    data, _ = made
    assert data.frames.shape == (28, 3, 64, 64) and data.poses.shape == (28, 20, 3)
    assert data.skeleton is JUMP and set(data.split) == {"train", "val", "test"}
    for name in np.unique(data.video):
        assert len(set(data.split[data.video == name])) == 1
        assert (data.video == name).sum() == 4
    inside = (data.poses[..., :2] > -0.5) & (data.poses[..., :2] < 63.5)
    flags = data.poses[..., 2]
    assert inside.all(-1)[flags > 0].all(), "labelled only inside the frame"
    assert 0.05 < (flags == 1).float().mean() < 0.5
    assert 0 < (flags == 0).float().mean() < 0.2, "hidden without a visible neighbour"
    a, b = np.transpose(JUMP.limb_index)
    beside = torch.zeros_like(flags, dtype=torch.bool)
    for one, other in ((a, b), (b, a)):
        for i, j in zip(one, other, strict=True):
            beside[:, i] |= flags[:, j] == 2
    assert beside[flags == 1].all(), "inferred from a visible neighbour"
    assert data.frames.float().std((1, 2, 3)).min() > 5


def test_annotations_agree_with_each_other(made):
    data, folder = made
    coco = json.loads((folder / "annotations.json").read_text())
    assert len(coco["images"]) == len(coco["annotations"]) == 28
    for image, person in zip(coco["images"], coco["annotations"], strict=True):
        points = np.reshape(person["keypoints"], (20, 3))
        left, top, width, height = person["bbox"]
        inside = points[points[:, 2] > 0, :2]
        assert (inside >= [left - 2, top - 2]).all()
        assert (inside <= [left + width + 2, top + height + 2]).all()
        assert person["num_keypoints"] == (points[:, 2] > 0).sum()
        space = np.reshape(person["keypoints3d"], (20, 3))
        # a pinhole: x = f X / Z + c, so pixels are linear in X / Z
        for axis in (0, 1):
            ratio = space[:, axis] / space[:, 2]
            labelled = points[:, 2] > 0
            fit = np.polyfit(ratio[labelled], points[labelled, axis], 1)
            assert np.abs(np.polyval(fit, ratio) - points[:, axis])[labelled].max() < 0.2
        shin = np.linalg.norm(space[JUMP.index("left_knee")] - space[JUMP.index("left_ankle")])
        assert 280 < shin < 560, "millimetres"
        assert {"video_id", "frame", "split", "phase"} <= set(image)


def test_same_seed_same_frames_whatever_else_is_made(made):
    data, _ = made
    alone, metadata, _ = stills.make_stills(4, 2, 4, 64, "train")
    mine = data.video == metadata[0]["video_id"]
    assert np.array_equal(alone, data.frames.numpy()[mine])
    assert not np.array_equal(stills.make_stills(5, 2, 4, 64, "train")[0], alone)


def test_poses_do_not_depend_on_the_size():
    small, large = (render_frames(sample_video(0, 1, size), np.array([300]), 0) for size in (64, 128))
    scaled = (small.poses[..., :2] + 0.5) * 2 - 0.5
    labelled = (small.poses[..., 2] > 0) & (large.poses[..., 2] > 0)  # by few pixels hidden in one alone
    assert labelled.mean() > 0.8
    assert np.allclose(scaled[labelled], large.poses[labelled][:, :2], atol=0.02)


def test_every_phase_is_among_the_stills():
    for index in range(4):
        phases = sample_video(0, index, 64).motion.phases
        picked = pick_frames(np.random.default_rng(0), phases, 25)
        assert (np.diff(picked) > 0).all()
        assert set(phases[picked]) == set(phases)


def test_splits_follow_the_paper():
    names = np.array(stills.splits(186, 0))
    assert [(names == s).sum() for s in ("train", "val", "test")] == [122, 18, 46]
    assert sorted(stills.splits(3, 1)) == ["test", "train", "val"]
    assert stills.splits(20, 0) != stills.splits(20, 1)
    shares = [task[2] for task in stills.tasks(25, 64, 0, 4)]
    assert sum(shares) == 25 and max(shares) - min(shares) <= 1


@pytest.mark.parametrize("frames, size, videos", [(0, 64, None), (2, 64, None), (10, 8, None), (9, 64, 2), (4, 64, 5)])
def test_worlds_that_cannot_be(frames, size, videos):
    with pytest.raises(ValueError, match="world jump"):
        worlds.jump(frames, size, videos=videos)


def test_video_file_shows_the_same_athlete(tmp_path, monkeypatch):
    video = sample_video(4, 0, 64)
    monkeypatch.setattr(stills, "sample_video", lambda *_: _cut(video, 90))
    path = tmp_path / "sub" / "jump.mp4"
    assert stills.write_video(4, 0, 64, path) == 90
    written = cv2.VideoCapture(str(path))
    assert written.get(cv2.CAP_PROP_FPS) == pytest.approx(200)
    assert written.get(cv2.CAP_PROP_FRAME_COUNT) == 90
    first = written.read()[1][..., ::-1].astype(float)
    still = render_frames(video, np.array([0]), 4).images[0].astype(float)
    assert np.abs(first - still).mean() < 12, "the codec's error only"


def _cut(video, n):
    motion = video.motion
    return replace(
        video, motion=replace(motion, rotations=motion.rotations[:n], roots=motion.roots[:n], phases=motion.phases[:n])
    )
