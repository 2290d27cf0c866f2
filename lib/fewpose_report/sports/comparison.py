"""Predicted poses on test frames."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from fewpose.data.pose_data import PoseData
from fewpose.drawing import MIN_CONFIDENCE
from fewpose.heatmaps import predict_all
from fewpose.skeleton import Skeleton
from fewpose_report.figures import pose_grid, row_titles


def frame_scores(distances: Tensor, at: float = 0.1) -> Tensor:
    """PCK in % of each frame [N] of normalised distances [N, K]; NaN where nothing is labelled."""
    return 100 * (distances <= at).sum(1) / (~distances.isnan()).sum(1)


def best_to_worst(model: nn.Module, data: PoseData, distances: Tensor, n: int = 12) -> Figure:
    """Predictions on n frames spread evenly from the best to the worst PCK."""
    scores = frame_scores(distances).nan_to_num(0)
    order = scores.argsort(descending=True)
    chosen = order[torch.linspace(0, len(order) - 1, n).long()]
    poses = predict_all(model, data.frames[chosen])
    titles = [f"PCK {scores[i]:.0f} %" for i in chosen]
    return pose_grid(data.frames[chosen], poses, data.skeleton, titles, data.poses[chosen], threshold=MIN_CONFIDENCE)


def before_and_after(
    before: nn.Module, after: nn.Module, data: PoseData, d_before: Tensor, d_after: Tensor, n: int = 6
) -> Figure:
    """The n frames whose PCK changed most: two thirds of them improved most, one third worsened most.

    Top row the network before, bottom row after; d_before and d_after [N, K] are their normalised distances on `data`.
    """
    change = (frame_scores(d_after) - frame_scores(d_before)).nan_to_num(0)
    order = change.argsort(descending=True)
    worse = n // 3
    chosen = torch.cat([order[: n - worse], order[len(order) - worse :]])
    poses = torch.cat([predict_all(model, data.frames[chosen]) for model in (before, after)])
    titles = [""] * len(chosen) + [f"{change[i]:+.0f} points" for i in chosen]
    frames, ground_truth = data.frames[chosen].repeat(2, 1, 1, 1), data.poses[chosen].repeat(2, 1, 1)
    return pose_grid(frames, poses, data.skeleton, titles, ground_truth, len(chosen), MIN_CONFIDENCE)


def overview(named: dict[str, dict], skeleton: Skeleton) -> Figure:
    """The same test frames with each method's predictions, a row per method, ground truth in white.

    named: for each method a result of `pck_results.load_tests`, with its frames.
    """
    frames, poses, ground_truth = (
        torch.cat([entry[part] for entry in named.values()]) for part in ("frames", "poses", "ground_truth")
    )
    columns = len(frames) // len(named)
    fig = pose_grid(frames, poses, skeleton, [""] * len(frames), ground_truth, columns, MIN_CONFIDENCE)
    return row_titles(fig, list(named), columns)
