"""Figures of a room over time: who is who, where people were for how long, agreement over resolution."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from fewpose.geometry import ANGLE
from fewpose.skeleton import Skeleton
from fewpose_report.figures import draw_pose

Heat = tuple[np.ndarray, np.ndarray, np.ndarray]  # values [Y, X], edges [X + 1] and [Y + 1]
_PEOPLE = sns.color_palette("colorblind")


def identities(
    frames: Tensor,
    poses: Sequence[Tensor],
    ids: Sequence[Tensor],
    skeleton: Skeleton,
    titles: Sequence[str] = (),
    width: float = 10.0,
) -> Figure:
    """Frames [N, 3, H, W] side by side, the poses [P, K, 3] in each numbered and in the colour of their person [P]."""
    height = width / len(frames) * frames.shape[2] / frames.shape[3] + 0.3
    fig, axes = plt.subplots(1, len(frames), figsize=(width, height), squeeze=False, layout="constrained")
    for i, ax in enumerate(axes.flat):
        ax.set_axis_off()
        ax.imshow(frames[i].permute(1, 2, 0).numpy())
        ax.set_autoscale_on(False)
        for pose, person in zip(poses[i], ids[i].tolist(), strict=True):
            if person < 0:
                continue
            colour = _PEOPLE[person % len(_PEOPLE)]
            draw_pose(ax, pose, skeleton, colour=colour)
            x, y = pose[pose[:, 1].argmin(), :2].tolist()
            ax.text(x, max(8, y - 6), str(person), color="white", ha="center", va="bottom", fontsize=7, clip_on=True,
                    bbox={"boxstyle": "round,pad=0.15", "fc": colour, "ec": "none"})  # fmt: skip
        if titles:
            ax.set_title(titles[i], fontsize=8)
    return fig


def room_plan(
    frame: Tensor, places: pd.DataFrame, feet: Heat, floor: Heat, title: str = "", width: float = 10.0
) -> Figure:
    """Person-minutes in a frame [3, H, W] by the feet, and on the floor as seen from above, with everybody's path.

    places has the columns person, right and ahead, in metres; feet is in cells of pixels, floor in cells of metres.
    """
    fig, (left, above) = plt.subplots(1, 2, figsize=(width, width * 0.4), layout="constrained", width_ratios=(1.15, 1))
    left.set_axis_off()
    left.imshow(frame.float().mean(0).numpy(), cmap="gray", vmin=0, vmax=320)
    left.set_autoscale_on(False)
    left.set_title(f"{title}: in the image, by the feet" if title else "in the image, by the feet", fontsize=9)
    _heat(left, feet, alpha=0.75)
    drawn = _heat(above, floor)
    for person, path in places.groupby("person"):
        colour = _PEOPLE[int(person) % len(_PEOPLE)]
        above.plot(path["right"], path["ahead"], color=colour, lw=1)
        above.text(*path[["right", "ahead"]].iloc[-1], str(person), color=colour, fontsize=8)
    reach = max(1.0, float(floor[2][-1]))
    side = reach * np.tan(np.radians(ANGLE / 2))
    above.plot([-side, 0, side], [reach, 0, reach], color="0.6", lw=0.8, ls=":")
    above.plot(0, 0, "^", color="0.3", ms=7)
    above.set_aspect("equal", adjustable="datalim")
    above.set(xlabel="metres to the right of the camera", ylabel="metres ahead of it")
    above.set_title("on the floor, in the camera's frame", fontsize=9)
    fig.colorbar(drawn, ax=above, label="person-minutes in a cell", shrink=0.85, ticks=MaxNLocator(4))
    return fig


def _heat(ax: Axes, heat: Heat, alpha: float = 1.0):
    values, x, y = heat
    shown = np.ma.masked_equal(values, 0)
    return ax.pcolormesh(x, y, shown, cmap="rocket_r", vmin=0, alpha=alpha, lw=0, zorder=1)


def agreement_curves(table: pd.DataFrame, kept: float) -> Figure:
    """Agreement over resolution: table has the columns network, scale, people and keypoints (%); kept is a scale."""
    fig, axes = plt.subplots(1, 2, figsize=(8, 2.9), sharey=True, layout="constrained")
    scales = sorted(table["scale"].unique())
    for ax, name in zip(axes, ("people", "keypoints"), strict=True):
        for network, group in table.groupby("network", sort=False):
            ax.plot(group["scale"], group[name], "o-", ms=4, label=network)
        ax.axvline(kept, color="0.6", lw=0.8, ls=":")
        ax.set(xlabel="downsampling factor (dotted: what is kept)", xticks=scales, ylim=(0, 103))
        ax.set_xticklabels([f"{scale:g}x" for scale in scales])
        ax.set_ylabel(f"{name} found, %")
        ax.set_title("of those that the teacher labelled at 1x", fontsize=9)
    axes[0].legend(loc="lower left")
    return fig
