"""Realism, measured: a pose network that never saw the worlds must find the people in them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fewpose_worlds import worlds

WEIGHTS = Path(__file__).parents[3] / "shared/weights/rtmpose-s_halpe26_256x192.onnx"
_MEAN, _STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


def crop(box: np.ndarray) -> np.ndarray:
    """The affine map [2,3] from frame pixels to the network's 192x256 input around a box."""
    centre = (box[:2] + box[2:]) / 2
    width, height = (box[2:] - box[:2]) * 1.25
    scale = 192 / max(width, height * 0.75)
    return np.array([[scale, 0, 95.5 - scale * centre[0]], [0, scale, 127.5 - scale * centre[1]]])


def rtmpose(frames: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """RTMPose-s on frames [N,3,H,W] with boxes [N,4] x0y0x1y1: 26 Halpe points [N,26,2], pixels."""
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(WEIGHTS), options, ["CPUExecutionProvider"])
    found = []
    for frame, box in zip(frames, boxes, strict=True):
        to_crop = crop(box)
        image = cv2.warpAffine(np.ascontiguousarray(frame.transpose(1, 2, 0)), to_crop, (192, 256))
        given = ((image - _MEAN) / _STD).transpose(2, 0, 1)[None].astype(np.float32)
        x, y = session.run(None, {session.get_inputs()[0].name: given})
        at = np.stack([x[0].argmax(1), y[0].argmax(1)], 1) / 2
        found.append((at - to_crop[:, 2]) / np.diag(to_crop[:, :2]))
    return np.stack(found)


def pck(found: np.ndarray, poses: np.ndarray, at: float = 0.2) -> np.ndarray:
    """Whether each labelled keypoint [N,17] was found within `at` of left shoulder to right hip;
    NaN where it is not labelled."""
    reference = np.linalg.norm(poses[:, 5, :2] - poses[:, 12, :2], axis=1, keepdims=True)
    right = np.linalg.norm(found - poses[..., :2], axis=-1) <= at * reference
    whole = (poses[:, [5, 12], 2] > 0).all(1)[:, None]
    return np.where((poses[..., 2] > 0) & whole, right, np.nan)


@pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"the weights of RTMPose-s are not at {WEIGHTS}")
def test_a_real_pose_network_finds_everyday_people():
    pytest.importorskip("onnxruntime")
    data = worlds.everyday(50, 256, seed=5)
    poses = data.poses.numpy()
    seen = np.where(poses[..., 2:] > 0, poses[..., :2], np.nan)
    boxes = np.concatenate([np.nanmin(seen, 1), np.nanmax(seen, 1)], 1)
    found = rtmpose(data.frames.numpy(), boxes)[:, :17]
    assert np.nanmean(pck(found, poses)) >= 0.85
