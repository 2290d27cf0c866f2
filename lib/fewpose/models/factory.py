"""Networks by name: the notebooks' parameter `network`."""

from pathlib import Path

import torch

from fewpose.models.checkpoints import load_official, read_checkpoint
from fewpose.models.higher_hrnet import HigherHRNet
from fewpose.models.higher_movenet import HigherMoveNet
from fewpose.models.pose_model import PoseModel
from fewpose.models.weights import load_weights, shipped
from fewpose.skeleton import Skeleton

NETWORKS = ("movenet", "w32", "rtmpose_s")


def build(network: str, keypoints: int, seed: int = 0) -> PoseModel:
    """A network by name: "movenet" or "w32", a HigherHRNet, untrained, or "rtmpose_s"; ValueError for another.

    RTMPose has its published weights, except in the layer that depends on the keypoints. Untrained weights are drawn
    from `seed`.
    """
    torch.manual_seed(seed)
    if network == "rtmpose_s":
        from fewpose.models.rtmpose import rtmpose_s

        return rtmpose_s(keypoints)
    if network == "movenet":
        return HigherMoveNet(keypoints)
    if network == "w32":
        return HigherHRNet(keypoints)
    raise ValueError(f"network is one of {NETWORKS}, not {network!r}")


def pretrained(network: str, skeleton: Skeleton, weights: str = "", seed: int = 0) -> PoseModel:
    """A pretrained backbone under an untrained head for a skeleton (Ludwig et al., section 3).

    weights: a file; empty takes the shipped ones ("movenet") or downloads them once ("rtmpose_s"). "w32" reads an
    official HigherHRNet or HRNet checkpoint (.pth) or a file of `save_weights`. The head is drawn from `seed`; that
    of "rtmpose_s" is the published one, carried over to the keypoints of `skeleton`. ValueError if the weights are
    absent or do not fit.
    """
    keypoints = len(skeleton)
    if network == "rtmpose_s":
        from fewpose.models.rtmpose import rtmpose_s

        torch.manual_seed(seed)
        model = rtmpose_s(keypoints, weights or None)
        model.set_dropout(0.2)  # keeps the head from memorising the errors of pseudo labels
        model.carry_over(skeleton)
        return model
    model = build(network, keypoints, seed)
    if network == "w32" and not weights:
        raise ValueError(
            "network 'w32' needs the parameter weights: the path of an official HigherHRNet-W32 or "
            "HRNet-W32 checkpoint (see README), or of weights made by 02_pretraining"
        )
    if Path(weights).suffix in (".pth", ".pt"):
        print(load_official(model, read_checkpoint(weights), backbone_only=True))
    else:
        load_weights(model, weights or shipped("everyday_movenet"), backbone_only=True)
    return model
