"""Networks by onnxruntime against the same networks in torch."""

import numpy as np
import pytest
import torch

from fewpose import heatmaps
from fewpose.models.factory import build
from fewpose.models.teacher.box_fusion import detect
from fewpose.models.teacher.yolox import yolox_tiny
from fewpose.skeleton import HALPE
from fewpose_video.inference import OnnxPoses, on_cpu
from fewpose_video.networks import PoseNetwork
from fewpose_video.people import detect_people, stack_images
from published import YOLOX, needs_rtmpose, needs_yolox
from tiny import DOTS, random_hrnet
from toy_teacher import Rectangles


def compare(model, skeleton, size):
    network = on_cpu(PoseNetwork(model, skeleton, size, 0.8))
    assert isinstance(network.model, OnnxPoses) and network.skeleton is skeleton
    for n in (1, 3):
        frames = torch.randint(0, 256, (n, 3, *size), dtype=torch.uint8)
        expected, found = heatmaps.predict_all(model, frames), heatmaps.predict_all(network.model, frames)
        assert found.shape == expected.shape and torch.allclose(found, expected, atol=0.05)


@pytest.mark.parametrize("size", [(64, 96), (128, 64)])
def test_poses_are_those_of_torch(size):
    compare(random_hrnet(4), DOTS, size)


@needs_rtmpose
def test_rtmpose_gives_the_poses_of_torch():
    compare(build("rtmpose_s", 26).eval(), HALPE, (256, 192))


def test_threads_sleep_while_they_wait():
    options = on_cpu(PoseNetwork(random_hrnet(4), DOTS, (64, 64), 0.8)).model.session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (torch.get_num_threads(), 1)


@needs_yolox
@pytest.mark.parametrize("size", [(480, 640), (300, 223)])
def test_boxes_are_those_of_torch(size):
    from fewpose_worlds import worlds

    still = worlds.jump(3, 128, 5, videos=3).frames.float()
    frames = torch.nn.functional.interpolate(still, size, mode="bilinear").byte()
    images = [frame.permute(1, 2, 0).numpy() for frame in frames]
    expected, found = (detect_people(network, images) for network in (yolox_tiny(YOLOX), on_cpu(yolox_tiny(YOLOX))))
    plain = detect(yolox_tiny(YOLOX), frames, (1.0,), flip=False)
    for (boxes, scores), (others, theirs), (resized, _) in zip(found, expected, plain, strict=True):
        assert torch.allclose(scores, theirs, atol=1e-3) and torch.allclose(boxes, others, atol=0.05)
        assert (boxes[0] - resized[0]).abs().max() < 2  # which are resized in floating-point numbers


def test_other_networks_stay():
    detector = Rectangles(64)
    assert on_cpu(detector) is detector and on_cpu(None) is None
    image = np.full((40, 80, 3), 10, np.uint8)
    image[10:30, 20:40] = 200
    ((boxes, _),) = detect_people(detector, [image])
    assert (boxes[0] - torch.tensor([20.0, 10, 40, 30])).abs().max() < 1 and len(stack_images([image])) == 1
