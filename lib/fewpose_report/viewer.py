"""Viewers with sliders, and the static image shown in their place without a live kernel."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from fewpose.data.multi_person import PeopleData
from fewpose.models.people import People
from fewpose.skeleton import Skeleton
from fewpose_report.figures import draw_pose
from fewpose_report.operating_room.people_figures import AZIMUTH, SCORE, found_scene, people_figure, true_scene


def pose_png(frame: Tensor, pose: Tensor, skeleton: Skeleton, threshold: float) -> bytes:
    """PNG of a frame [3, H, W] with those keypoints of its pose [K, 3] whose confidence is above `threshold`."""
    fig = plt.figure(figsize=(4, 4 * frame.shape[1] / frame.shape[2]), layout="none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.imshow(frame.permute(1, 2, 0).numpy(), interpolation="bilinear")
    ax.set_autoscale_on(False)
    draw_pose(ax, pose, skeleton, threshold)
    return png(fig)


def png(fig: Figure) -> bytes:
    """The figure as a PNG; the figure is closed."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=100)
    plt.close(fig)
    return buffer.getvalue()


def pose_viewer(frames: Tensor, poses: Tensor, skeleton: Skeleton):
    """Sliders for the frame and the confidence over frames [N, 3, H, W] and poses [N, K, 3]."""
    import ipywidgets as widgets

    index = widgets.IntSlider(0, 0, len(frames) - 1, description="frame")
    threshold = widgets.FloatSlider(0.1, min=0, max=1, step=0.05, description="confidence")
    image = widgets.Image(value=pose_png(frames[0], poses[0], skeleton, 0.1), format="png")

    def show(_) -> None:
        i = index.value
        image.value = pose_png(frames[i], poses[i], skeleton, threshold.value)

    index.observe(show, "value")
    threshold.observe(show, "value")
    return widgets.VBox([widgets.HBox([index, threshold]), image])


def people_png(
    data: PeopleData, found: Sequence[People], i: int, title: str, score: float = SCORE, azimuth: float = AZIMUTH
) -> bytes:
    """PNG of frame i: its true people beside those found with at least this score, in 2D and 3D."""
    scenes = [true_scene(data, i), found_scene(data, i, found[i], title, score)]
    return png(people_figure(scenes, data.skeleton, data.to_room[i], azimuth, width=8))


def people_viewer(tests: Mapping[int, tuple[PeopleData, Sequence[People]]], i: int = 0):
    """Sliders for frame, scale, score and 3D azimuth over the people found at each scale.

    tests: by scale the frames as the network saw them, and the people found in each; at least one. Without a live
    kernel (on a web page) frame i at the first scale is shown instead.
    """
    import ipywidgets as widgets

    scales = sorted(tests)
    frame = widgets.IntSlider(i, 0, len(tests[scales[0]][1]) - 1, description="frame")
    scale = widgets.SelectionSlider(options=[(f"{s}x", s) for s in scales], description="scale")
    score = widgets.FloatSlider(SCORE, min=0, max=1, step=0.05, description="score")
    azimuth = widgets.IntSlider(int(AZIMUTH), -180, 180, 5, description="azimuth")
    image = widgets.Image(format="png")

    def show(_=None) -> None:
        data, found = tests[scale.value]
        image.value = people_png(data, found, frame.value, f"found at {scale.value}x", score.value, azimuth.value)

    class Viewer(widgets.VBox):
        """The sliders over the image; the image alone where sliders cannot be shown."""

        def _repr_mimebundle_(self, **kwargs) -> dict:
            still = base64.b64encode(image.value).decode()
            return {**super()._repr_mimebundle_(**kwargs), "image/png": still}

    for slider in (frame, scale, score, azimuth):
        slider.continuous_update = False  # an image takes half a second
        slider.observe(show, "value")
    show()
    return Viewer([widgets.HBox([frame, scale]), widgets.HBox([score, azimuth]), image])
