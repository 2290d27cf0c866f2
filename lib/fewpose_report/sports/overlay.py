"""A video with the poses of trained networks drawn on its frames."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from fewpose.data.video import video_writer
from fewpose.drawing import MIN_CONFIDENCE, add_title, draw_pose_on
from fewpose.metrics.pck import pck
from fewpose.models.factory import build
from fewpose.models.weights import load_weights
from fewpose.skeleton import Skeleton
from fewpose_report.figures import pose_grid, row_titles
from fewpose_report.sports.pck_results import skeleton_of


def video_networks(entries: dict[str, dict], named: dict[str, list[Tensor]]) -> dict[str, nn.Module]:
    """Two networks to compare: the first of `entries`, and the best of the others with as many labels.

    entries and named hold for each name of `pck_results.compared` a result of `load_tests` and the normalised
    distances of all draws. Networks whose weights were not kept are left out.
    """
    first, *others = entries
    labels = entries[first]["labels"]
    others = [name for name in others if entries[name]["labels"] == labels and entries[name].get("network", True)]
    best = sorted(others, key=lambda name: -np.mean([pck(d) for d in named[name]]))[:1]
    networks = {name: network_of(entries[name]) for name in [first, *best]}
    return {name: network for name, network in networks.items() if network is not None}


def network_of(entry: dict) -> nn.Module | None:
    """The network of a result of `pck_results.load_tests`, from the checkpoints of its run.

    None if the file is missing, as in the committed reference.
    """
    path = entry["folder"] / "checkpoints" / "network.safetensors"
    if not path.exists():
        return None
    model = build(parameters_of(entry)["network"], len(skeleton_of(entry)))
    load_weights(model, path)
    return model.eval()


def parameters_of(entry: dict) -> dict:
    """The parameters of the run that a result of `pck_results.load_tests` comes from."""
    return json.loads((entry["folder"] / "run.json").read_text(encoding="utf-8"))["parameters"]


def overlay_video(frames: Tensor, named: dict[str, Tensor], skeleton: Skeleton, path: Path, rate: float) -> Path:
    """Write frames [T, 3, H, W] uint8 as MP4 with poses [T, K, 3] drawn, a column per network.

    named: for each network its poses in pixels of the frames; `rate` in frames per second. Returns `path`.
    """
    height, width = frames.shape[2:]
    with video_writer(path, (height, width * len(named)), rate) as write:
        for t, frame in enumerate(frames):
            image = np.ascontiguousarray(frame.permute(1, 2, 0).numpy()[..., ::-1])
            columns = [add_title(draw_pose_on(image, poses[t], skeleton), name) for name, poses in named.items()]
            write(np.concatenate(columns, 1))
    return path


def video_strip(frames: Tensor, named: dict[str, Tensor], skeleton: Skeleton, n: int = 8) -> Figure:
    """n frames of the video of `overlay_video`, evenly spread, a row per network."""
    chosen = torch.linspace(0, len(frames) - 1, min(n, len(frames))).long()
    poses = torch.cat([p[chosen] for p in named.values()])
    images = frames[chosen].repeat(len(named), 1, 1, 1)
    fig = pose_grid(images, poses, skeleton, [""] * len(images), columns=len(chosen), threshold=MIN_CONFIDENCE)
    return row_titles(fig, list(named), len(chosen))
