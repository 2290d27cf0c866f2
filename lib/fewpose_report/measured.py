"""Figures, tables and widgets of `your_videos/predict_and_measure`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Image, Video
from matplotlib.figure import Figure

from fewpose.crops import crop_maps, cut_crops, person_boxes
from fewpose.data.images import letterbox, read_image
from fewpose.data.video import frame_rate, iter_frames, video_writer
from fewpose.drawing import LEFT, RIGHT
from fewpose_report.figures import pose_grid

SIDE_COLOURS = {"left": LEFT, "right": RIGHT}
CROP = (240, 180)  # of the frames of events, height and width
MOST_SECONDS = 12.0  # of the overlay in a cell
SHOWN = 480  # longer side in pixels of it


# ---- who and when ------------------------------------------------------------------------------------------------


def picker(people: Sequence[int], person: int, seconds: float, start: float, end: float):
    """A list of the people and a slider for the time; `value()` is the person, start and end that are set."""
    import ipywidgets as widgets

    who = widgets.Dropdown(options=[(f"person {p}", p) for p in people], value=person, description="who")
    when = widgets.FloatRangeSlider(
        value=(start, min(end, seconds)), min=0, max=seconds, step=0.02, description="seconds", readout_format=".2f"
    )
    box = widgets.HBox([who, when])
    box.value = lambda: (who.value, *when.value)
    return box


# ---- the video ---------------------------------------------------------------------------------------------------


def play_overlay(path: Path, out: Path, start: float, end: float) -> Video | Image:
    """A video with poses from `start` to `end` seconds, small, embedded in the cell; of an image the image.

    Its copy is written to `out`, at most MOST_SECONDS from the start.
    """
    if path.suffix.lower() == ".png":
        return Image(path.read_bytes())
    with closing(iter_frames(path)) as frames:
        height, width = next(frames)[2].shape[:2]
    scale = min(1.0, SHOWN / max(height, width))
    size = max(2, round(height * scale)), max(2, round(width * scale))
    with video_writer(out, size, frame_rate(path), 26) as write:
        for _, seconds, image in iter_frames(path):
            if start <= seconds <= min(end, start + MOST_SECONDS):
                write(np.ascontiguousarray(letterbox(image, size)[..., ::-1]))
    return Video(str(out), embed=True, html_attributes="controls loop muted")


def moments(path: Path, numbers: Sequence[int], poses: np.ndarray, titles: Sequence[str], columns: int = 8) -> Figure:
    """The frames `numbers` of a video with poses drawn, cut to the person with poses [N, K, 3] in each of them."""
    wanted, images = set(numbers), {}
    if path.suffix.lower() == ".png":
        images[numbers[0]] = read_image(path)
    else:
        for number, _, image in iter_frames(path):
            if number in wanted:
                images[number] = image
            if number >= max(wanted):
                break
    frames = torch.stack([torch.from_numpy(images[n].copy()).permute(2, 0, 1) for n in numbers])
    pose = torch.from_numpy(np.nan_to_num(poses)).float()
    maps = crop_maps(person_boxes(pose, tuple(frames.shape[-2:])), CROP, 1.4)
    crops = cut_crops(frames, torch.arange(len(frames)), maps, CROP).round().clamp(0, 255).byte()
    return pose_grid(crops, titles=list(titles), columns=columns)


# ---- over time ---------------------------------------------------------------------------------------------------


def over_time(
    seconds: np.ndarray,
    named: Mapping[str, tuple[np.ndarray, np.ndarray | None]],
    unit: str,
    contacts: np.ndarray | None = None,
) -> Figure:
    """Values [T] with their bands [T], half of them on each side, over time: a panel for each name without its side.

    Left orange, right blue. contacts [T, 2]: when the left and the right foot is on the ground, as bars below.
    """
    panels: dict[str, list[str]] = {}
    for name in named:
        side, _, rest = name.partition(" ")
        panels.setdefault(rest if side in SIDE_COLOURS else name, []).append(name)
    rows = -(-len(panels) // 2) if len(panels) > 1 else 1
    fig, axes = plt.subplots(rows, min(2, len(panels)), figsize=(10, 0.4 + 2.1 * rows), squeeze=False, sharex=True)
    for ax, (title, names) in zip(axes.flat, panels.items(), strict=False):
        for name in names:
            values, half = named[name]
            colour = SIDE_COLOURS.get(name.split(" ")[0], "0.3")
            ax.plot(seconds, values, color=colour, lw=1.4, label=name.split(" ")[0] if len(names) > 1 else name)
            if half is not None:
                ax.fill_between(seconds, values - half, values + half, color=colour, alpha=0.2, lw=0)
        values = np.concatenate([named[name][0] for name in names])
        if np.isfinite(values).any():  # by the values, as wide bands would hide them
            low, high = np.nanmin(values), np.nanmax(values)
            margin = max(0.35 * (high - low), 1e-6)
            ax.set_ylim(low - margin, high + margin)
        for i, colour in enumerate(SIDE_COLOURS.values() if contacts is not None else ()):
            at = 0.02 + 0.035 * i
            ax.fill_between(
                seconds, at, at + 0.03, contacts[:, i], color=colour, lw=0, transform=ax.get_xaxis_transform()
            )
        ax.set(title=title, ylabel=unit)
        ax.margins(x=0)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("seconds")
    axes[0, 0].legend(ncols=2, loc="upper right")
    return fig


def summary(named: Mapping[str, tuple[np.ndarray, np.ndarray | None]], unit: str) -> pd.DataFrame:
    """Smallest, largest and mean value of each quantity, and its median band to both sides."""
    rows = []
    for name, (values, half) in named.items():
        seen = values[np.isfinite(values)]
        if len(seen):
            row = {"": name, "smallest": seen.min(), "largest": seen.max(), "range": np.ptp(seen), "mean": seen.mean()}
            known = half is not None and np.isfinite(half).any()
            band = f"± {np.nanmedian(half):.0f}" if known else "not calibrated"
            rows.append({k: v if k == "" else f"{v:.0f}" for k, v in row.items()} | {f"band, {unit}": band})
    return pd.DataFrame(rows)


def error_table(radius: np.ndarray | None, keypoints: Sequence[str], coverage: float) -> pd.DataFrame:
    """How far off each keypoint is in the share `coverage` of frames: the median of its radii [T, K], in pixels."""
    column, rows = f"within, in {coverage:.0%} of frames", []
    for name, radii in zip(keypoints, () if radius is None else radius.T, strict=radius is not None):
        if np.isfinite(radii).any():
            rows.append({"keypoint": name, column: f"{np.nanmedian(radii):.1f} px"})
    return pd.DataFrame(rows, columns=["keypoint", column])


def event_table(
    rows: Sequence[tuple[float, int, str]], named: Mapping[str, tuple[np.ndarray, np.ndarray | None]], first: int
) -> pd.DataFrame:
    """Seconds, frame and name of each event, with the angles at that moment and their bands."""
    table = []
    for seconds, frame, what in rows:
        row = {"seconds": f"{seconds:.3f}", "frame": str(frame), "event": what}
        for name, (values, half) in named.items():
            value, band = values[frame - first], np.nan if half is None else half[frame - first]
            text = "" if np.isnan(value) else f"{value:.0f}°"
            row[name] = text + (f" ± {band:.0f}°" if text and np.isfinite(band) else "")
        table.append(row)
    return pd.DataFrame(table, columns=["seconds", "frame", "event", *named])
