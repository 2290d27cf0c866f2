"""Figures of several people: poses on the frame beside poses in the room, labels, curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from fewpose.data.multi_person import PeopleData
from fewpose.drawing import LEFT, MIDDLE, RIGHT, side_colour
from fewpose.geometry import place_in_camera
from fewpose.models.people import People
from fewpose.skeleton import Skeleton
from fewpose_report.figures import draw_pose
from fewpose_report.operating_room.people_results import PeopleTest, Summary
from fewpose_report.operating_room.people_tables import METRIC_NAMES, SCALES

SCORE, CONFIDENCE = 0.3, 0.1  # minimum of a person, and of a keypoint, to be drawn
# On white, where orange, blue and lime are too light.
_ON_WHITE = {LEFT: "#e07b00", RIGHT: "#0f8fc2", MIDDLE: "#4a5a2a"}
AZIMUTH = 20.0  # degrees by which the 3D view is turned from the camera's
_MARGIN = 400.0  # millimetres of floor around the people
_ANKLE = 80.0  # millimetres above the floor
_ASTRAY = 1500.0  # millimetres


@dataclass(frozen=True)
class Scene:
    """A frame as the network saw it, and the 2D and 3D poses of people to draw.

    frame [3, H, W] uint8; poses [P, K, 3] in its pixels, the third a visibility or confidence; points [P, K, 3] in mm,
    z up: in room coordinates if known, else as if the camera were level.
    """

    title: str
    frame: Tensor
    poses: Tensor
    points: Tensor


def true_scene(data: PeopleData, i: int, title: str = "ground truth") -> Scene:
    """Frame i with its true people."""
    points = upright(data.keypoints3d[i], data.to_room[i])
    return Scene(title, data.frames[i], data.keypoints[i], points)


def found_scene(data: PeopleData, i: int, people: People, title: str, score: float = SCORE) -> Scene:
    """Frame i with the people found there, each placed in 3D to fit its 2D pose."""
    kept = people.scores >= score
    poses, points = people.keypoints[kept], people.keypoints3d[kept]
    shift = place_in_camera(points, poses, data.cameras[i])
    return Scene(title, data.frames[i], poses, upright(points + shift[:, None], data.to_room[i]))


def side_by_side(tests: Sequence[PeopleTest]) -> Figure:
    """Ground truth and the people that several networks find in one example frame, all at one scale.

    People with a score of at least the network's `threshold`. The frame is one where each network finds somebody, if
    possible, with about three people.
    """
    examples, counts = tests[0].examples, [[int((p.scores >= t.threshold).sum()) for p in t.found] for t in tests]
    frames = range(len(examples))
    i = min(frames, key=lambda j: (min(count[j] for count in counts) == 0, abs(len(examples.boxes[j]) - 3)))
    scenes = [true_scene(examples, i)]
    for t in tests:
        title = f"{t.method.replace('_', ' ')} at {t.scale}x, score ≥ {t.threshold:.2f}"
        scenes.append(found_scene(examples, i, t.found[i], title, t.threshold))
    return people_figure(scenes, examples.skeleton, examples.to_room[i])


def upright(points: Tensor, to_room: Tensor | None = None) -> Tensor:
    """Points [P, K, 3] of a camera frame with z up: in the room, or else as if it were level."""
    if to_room is None:
        return torch.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)
    return points @ to_room[:3, :3].T + to_room[:3, 3]


def people_figure(
    scenes: Sequence[Scene],
    skeleton: Skeleton,
    to_room: Tensor | None = None,
    azimuth: float = AZIMUTH,
    width: float = 10.0,
) -> Figure:
    """Scenes side by side, 2D above and 3D below; where the first is the ground truth, it is grey in the others.

    to_room [4, 4] is the camera's, None if points are level with it; the 3D view is rotated by `azimuth` degrees from
    the camera's. The floor has a grid of one metre.
    """
    height, columns = scenes[0].frame.shape[-2] / scenes[0].frame.shape[-1], len(scenes)
    side = width / columns
    fig = plt.figure(figsize=(width, side * (height + 0.85) + 0.3))
    fig.set_layout_engine("none")
    margins = {"left": 0.005, "right": 0.995, "top": 1 - 0.25 / fig.get_figheight(), "bottom": 0}
    rows = fig.add_gridspec(2, columns, height_ratios=(height, 0.85), wspace=0.02, hspace=0, **margins)
    true = scenes[0].points if scenes[0].title == "ground truth" and columns > 1 else None
    limits = _limits(torch.cat([scene.points for scene in scenes]), true)
    for column, scene in enumerate(scenes):
        ax = fig.add_subplot(rows[0, column])
        ax.set_title(scene.title, fontsize=9, pad=4)
        draw_frame(ax, scene, skeleton)
        space = fig.add_subplot(rows[1, column], projection="3d")
        draw_room(space, scene.points, skeleton, limits, to_room, azimuth, true if column else None)
    return fig


def draw_frame(ax: Axes, scene: Scene, skeleton: Skeleton) -> None:
    """Draw the frame with its 2D poses."""
    ax.set_axis_off()
    ax.imshow(scene.frame.permute(1, 2, 0).numpy(), interpolation="bilinear")
    ax.set_autoscale_on(False)
    for pose in scene.poses:
        draw_pose(ax, pose, skeleton, CONFIDENCE)


def draw_room(
    ax: Axes,
    points: Tensor,
    skeleton: Skeleton,
    limits: np.ndarray,
    to_room: Tensor | None = None,
    azimuth: float = AZIMUTH,
    true: Tensor | None = None,
) -> None:
    """Draw 3D poses [P, K, 3] in mm, z up, over a floor of square metres; the true ones in grey.

    limits [3, 2] of the axes, all to one scale; to_room and azimuth as in `people_figure`.
    """
    for body in true if true is not None else ():
        for a, b in skeleton.limb_index:
            ax.plot(*body[[a, b]].T.numpy(), color="0.72", lw=1.6, zorder=1)
    _floor(ax, limits)
    for body in points[torch.isfinite(points).flatten(1).all(1)]:
        for a, b in skeleton.limb_index:
            x, y, z = body[[a, b]].T.numpy()
            ax.plot(x, y, limits[2, [0, 0]], color="0.86", lw=1.2, zorder=0)  # its shadow
            colour = _ON_WHITE[side_colour(skeleton, a, b)]
            ax.plot(x, y, z, color=colour, lw=1.6, solid_capstyle="round")
    ahead = np.array([0.0, 1]) if to_room is None else to_room[:2, 2].numpy()
    ax.view_init(elev=20, azim=np.degrees(np.arctan2(-ahead[1], -ahead[0])) + azimuth)
    ax.set(xlim=limits[0], ylim=limits[1], zlim=limits[2])
    ax.set_box_aspect(np.ptp(limits, axis=1), zoom=1.4)
    ax.set_axis_off()


def _limits(points: Tensor, true: Tensor | None = None) -> np.ndarray:
    """Limits [3, 2] around the people, from the floor that their feet stand on.

    With true people, floor and height are theirs, and points more than `_ASTRAY` outside their limits are ignored.
    """
    flat = points.reshape(-1, 3).numpy()
    flat = flat[np.isfinite(flat).all(1)]
    if true is not None and len(true):
        own = _limits(true)
        near = (flat > own[:, 0] - _ASTRAY) & (flat < own[:, 1] + _ASTRAY)
        limits = _limits(torch.from_numpy(flat[near.all(1)]))
        return np.stack([limits[0], limits[1], own[2]])
    if not len(flat):
        return np.array([[-1000.0, 1000], [-1000, 1000], [0, 1800]])
    low, high = np.percentile(flat, [1, 99], axis=0)
    limits = np.stack([low - _MARGIN, high + _MARGIN], axis=1)
    limits[2] = low[2] - _ANKLE, max(high[2] + 100, low[2] + 1500)
    return limits


def _floor(ax: Axes, limits: np.ndarray) -> None:
    (x0, x1), (y0, y1), (z, _) = limits
    for x in np.arange(np.ceil(x0 / 1000), x1 / 1000) * 1000:
        ax.plot([x, x], [y0, y1], [z, z], color="0.8", lw=0.6, zorder=0)
    for y in np.arange(np.ceil(y0 / 1000), y1 / 1000) * 1000:
        ax.plot([x0, x1], [y, y], [z, z], color="0.8", lw=0.6, zorder=0)


def soft_and_hard(
    frame: Tensor, people: People, skeleton: Skeleton, threshold: float, score: float = SCORE, width: float = 10.0
) -> Figure:
    """The two kinds of labels of one frame: soft, with their confidence, beside hard.

    Left every keypoint, larger and more opaque with its confidence; right the keypoints of confidence ≥ `threshold`,
    and hollow those that are dropped. People below `score` are left out.
    """
    height = width / 2 * frame.shape[1] / frame.shape[2] + 0.3
    fig, axes = plt.subplots(1, 2, figsize=(width, height), layout="constrained")
    poses = people.keypoints[people.scores >= score].numpy()
    sure = int((poses[..., 2] >= threshold).sum())
    titles = (
        f"soft: all {int((poses[..., 2] > 0).sum())} keypoints, by confidence",
        f"hard: {sure} of confidence ≥ {threshold:g}, the rest dropped",
    )
    for ax, title in zip(axes, titles, strict=True):
        ax.set_axis_off()
        ax.set_title(title, fontsize=9)
        ax.imshow(frame.permute(1, 2, 0).numpy(), interpolation="bilinear")
        ax.set_autoscale_on(False)
    for pose in poses:
        _soft_pose(axes[0], pose, skeleton)
        _hard_pose(axes[1], pose, skeleton, threshold)
    return fig


def _soft_pose(ax: Axes, pose: np.ndarray, skeleton: Skeleton) -> None:
    confidence = pose[:, 2].clip(0, 1)
    for a, b in skeleton.limb_index:
        alpha = float(min(confidence[a], confidence[b]))
        ax.plot(*pose[[a, b], :2].T, color=side_colour(skeleton, a, b), lw=1.5, alpha=alpha)
    for k in np.flatnonzero(confidence):
        size, alpha = 2 + 4 * confidence[k], 0.15 + 0.85 * confidence[k]
        ax.plot(*pose[k, :2], "o", color=side_colour(skeleton, k), ms=size, mew=0, alpha=alpha)


def _hard_pose(ax: Axes, pose: np.ndarray, skeleton: Skeleton, threshold: float) -> None:
    draw_pose(ax, torch.from_numpy(pose * (pose[:, 2:] >= threshold)), skeleton)
    for k in np.flatnonzero(pose[:, 2]):
        style = {"mew": 0} if pose[k, 2] >= threshold else {"mew": 0.9, "mfc": "none"}
        ax.plot(*pose[k, :2], "o", color=side_colour(skeleton, k), ms=4.5, **style)


def privacy_table(summary: Summary, methods: Sequence[str]) -> pd.DataFrame:
    """Each metric of the methods over the scale: method, scale, metric, value, low, high."""
    rows = []
    for method, scale, metric in product(methods, SCALES, METRIC_NAMES):
        ours = summary.get((method, scale, metric))
        if ours is not None:
            low, high = ours.interval
            row = {"method": method, "scale": scale, "metric": metric}
            rows.append(row | {"value": ours.value, "low": low, "high": high})
    return pd.DataFrame(rows)


def privacy_curves(table: pd.DataFrame) -> Figure:
    """The privacy curves: accuracy over downsampling, a line per method, with intervals.

    table: see `privacy_table`. The line of students trained at one scale each is dotted: each point is another network.
    """
    metrics = ("box_ap", "keypoint_ap", "mpjpe")
    fig, axes = plt.subplots(1, len(metrics), figsize=(10, 3.3))
    colours = dict(zip(dict.fromkeys(table["method"]), sns.color_palette("colorblind"), strict=False))
    for ax, metric in zip(axes, metrics, strict=True):
        part = table[table["metric"] == metric]
        for method, group in part.groupby("method", sort=False):
            style = "o:" if method == "student_fixed" else "o-"
            ax.plot(group["scale"], group["value"], style, ms=4, color=colours[method], label=method.replace("_", " "))
            ax.fill_between(group["scale"], group["low"], group["high"], color=colours[method], alpha=0.15, lw=0)
        ax.set(xlabel="downsampling factor", xticks=SCALES, ylabel=METRIC_NAMES[metric], ylim=(0, None))
        ax.set_xticklabels([f"{scale}x" for scale in SCALES])
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return fig
