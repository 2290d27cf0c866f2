"""A viewer with sliders, and what it shows where there is no live kernel."""

from __future__ import annotations

import io

import matplotlib.pyplot as plt
from torch import Tensor

from ..skeleton import Skeleton
from .figures import draw_pose


def pose_picture(frame: Tensor, pose: Tensor, skeleton: Skeleton, threshold: float) -> bytes:
    """PNG of a frame [3, H, W] with its pose [K, 3], less keypoints below the confidence."""
    fig = plt.figure(figsize=(4, 4 * frame.shape[1] / frame.shape[2]), layout="none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.imshow(frame.permute(1, 2, 0).numpy(), interpolation="bilinear")
    ax.set_autoscale_on(False)
    draw_pose(ax, pose, skeleton, threshold)
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=100)
    plt.close(fig)
    return buffer.getvalue()


def pose_viewer(frames: Tensor, poses: Tensor, skeleton: Skeleton):
    """Sliders for the frame and the confidence over frames [N, 3, H, W] and poses [N, K, 3]."""
    import ipywidgets as widgets

    index = widgets.IntSlider(0, 0, len(frames) - 1, description="frame")
    threshold = widgets.FloatSlider(0.1, min=0, max=1, step=0.05, description="confidence")
    image = widgets.Image(value=pose_picture(frames[0], poses[0], skeleton, 0.1), format="png")

    def show(_) -> None:
        i = index.value
        image.value = pose_picture(frames[i], poses[i], skeleton, threshold.value)

    index.observe(show, "value")
    threshold.observe(show, "value")
    return widgets.VBox([widgets.HBox([index, threshold]), image])
