"""Realism of the jump world, measured: a pose network that never saw it finds the athletes."""

import numpy as np
import pytest

from fewpose.skeleton import HALPE, JUMP
from fewpose_worlds import worlds
from worlds.test_realism import WEIGHTS, rtmpose

SAME = {"left_toe": "left_big_toe", "right_toe": "right_big_toe"}


@pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"the weights of RTMPose-s are not at {WEIGHTS}")
def test_a_real_pose_network_finds_jumpers():
    pytest.importorskip("onnxruntime")
    data = worlds.jump(40, 256, seed=5, videos=12)
    poses = data.poses.numpy()
    seen = np.where(poses[..., 2:] > 0, poses[..., :2], np.nan)
    boxes = np.concatenate([np.nanmin(seen, 1), np.nanmax(seen, 1)], 1)
    found = rtmpose(data.frames.numpy(), boxes)
    names = [n for n in JUMP.keypoints if SAME.get(n, n) in HALPE.keypoints]
    ours, theirs = map(list, zip(*((JUMP.index(n), HALPE.index(SAME.get(n, n))) for n in names), strict=True))
    assert len(names) == 18, "all but the hands"
    ends = [JUMP.index("left_shoulder"), JUMP.index("right_hip")]
    reference = np.linalg.norm(poses[:, ends[0], :2] - poses[:, ends[1], :2], axis=1)[:, None]
    right = np.linalg.norm(found[:, theirs] - poses[:, ours, :2], axis=-1) <= 0.2 * reference
    assert right[poses[:, ours, 2] > 0].mean() >= 0.8
