"""Networks by name, as the notebooks' parameter `network` asks for them."""

from pathlib import Path

import torch
from torch import nn

from fewpose.models.higher_hrnet import HigherHRNet, narrow_higher_hrnet
from fewpose.models.official import load_official
from fewpose.models.weights import load_part, load_weights, shipped
from fewpose.skeleton import Skeleton

NETWORKS = ("narrow", "w32", "rtmpose_s", "rtmpose_s_whole")


def build(network: str, keypoints: int, seed: int = 0) -> nn.Module:
    """A network to pretrain: "narrow" or "w32" HigherHRNet, or an untrained decoder on "rtmpose_s".

    "rtmpose_s_whole" has its published head, but for the layer that knows the keypoints.
    What is untrained is drawn from `seed`.
    """
    torch.manual_seed(seed)
    if network == "rtmpose_s":
        from fewpose.models.rtmpose import PARTS, rtmpose_s

        return rtmpose_s(keypoints, frozen=PARTS)
    if network == "rtmpose_s_whole":
        from fewpose.models.rtmpose_whole import rtmpose_s_whole

        return rtmpose_s_whole(keypoints)
    if network == "narrow":
        return narrow_higher_hrnet(keypoints)
    if network == "w32":
        return HigherHRNet(keypoints)
    raise ValueError(f"network is one of {NETWORKS}, not {network!r}")


def pretrained(network: str, skeleton: Skeleton, weights: str = "", seed: int = 0) -> nn.Module:
    """A pretrained backbone under an untrained head for a skeleton (Ludwig et al. section 4.2).

    weights: a file; empty takes the shipped ones ("narrow") or fetches them once ("rtmpose_s",
    whose decoder is shipped).
    "w32" reads an official HigherHRNet or HRNet checkpoint (.pth) or a file of `save_weights`.
    The head is drawn from `seed`; that of "rtmpose_s_whole" is the published one, carried over to
    the keypoints of `skeleton`. ValueError if the weights are absent or do not fit.
    """
    keypoints = len(skeleton)
    if network == "rtmpose_s_whole":
        from fewpose.models.rtmpose_whole import rtmpose_s_whole

        torch.manual_seed(seed)
        whole = rtmpose_s_whole(keypoints, weights or None)
        whole.carry_over(skeleton)
        return whole
    if network == "rtmpose_s":
        # It has learned photographs from millions of labels and its batch norm is folded: few
        # labels only spoil it (13 points of PCK lost on LSP at a fifth of the head's rate).
        from fewpose.models.rtmpose import PARTS, rtmpose_s

        torch.manual_seed(seed)
        model = rtmpose_s(keypoints, weights or None, frozen=PARTS)
        load_part(model, shipped("everyday_rtmpose_s"))
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
        load_weights(model, weights or shipped("everyday_narrow"), backbone_only=True)
    return model


def read_checkpoint(path: str) -> dict:
    """The state dict of a PyTorch checkpoint; ValueError naming the file if it cannot be read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds, all of which mean the same to a user
        raise ValueError(f"{path} cannot be read as a PyTorch checkpoint: {error}") from error
