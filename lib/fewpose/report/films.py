"""A film with the poses of trained networks drawn on its frames."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from .. import metrics, models
from ..skeleton import Skeleton
from .figures import pose_grid, side_colour
from .poses import SHOWN
from .results import skeleton_of

CODES = ("vp09", "mp4v")  # browsers play the first; the second is written wherever OpenCV is


def film_networks(
    entries: dict[str, dict], named: dict[str, list[Tensor]]
) -> dict[str, nn.Module]:
    """Two networks to look at: the first of `entries`, few labels, and the best with as many.

    entries and named hold for each name of `results.compared` a result of `load_tests` and the
    normalised distances of all draws. Networks that their run does not keep are left out.
    """
    first, *others = entries
    labels = entries[first]["labels"]
    others = [name for name in others if entries[name]["labels"] == labels
              and entries[name].get("network", True)]  # fmt: skip
    best = sorted(others, key=lambda name: -np.mean([metrics.pck(d) for d in named[name]]))[:1]
    networks = {name: network_of(entries[name]) for name in [first, *best]}
    return {name: network for name, network in networks.items() if network is not None}


def network_of(entry: dict) -> nn.Module | None:
    """The network of a result of `results.load_tests`, as its run left it in checkpoints/.

    None where it is not there (any more): the committed reference holds no networks.
    """
    path = entry["folder"] / "checkpoints" / "network.safetensors"
    if not path.exists():
        return None
    parameters = parameters_of(entry)
    model = models.build(parameters["network"], len(skeleton_of(entry)))
    models.load_weights(model, path)
    return model.eval()


def parameters_of(entry: dict) -> dict:
    """The parameters of the run that a result of `results.load_tests` comes from."""
    return json.loads((entry["folder"] / "run.json").read_text())["parameters"]


def overlay_film(
    frames: Tensor, named: dict[str, Tensor], skeleton: Skeleton, path: Path, rate: float
) -> Path:
    """Write frames [T, 3, H, W] uint8 as MP4 with poses [T, K, 3] drawn, a column a network.

    named: for each network its poses in pixels of the frames; `rate` in frames a second. Returns
    `path`; RuntimeError if the film cannot be written.
    """
    height, width = frames.shape[2:]
    with film_writer(path, (height, width * len(named)), rate) as write:
        for t, frame in enumerate(frames):
            picture = np.ascontiguousarray(frame.permute(1, 2, 0).numpy()[..., ::-1])
            columns = [
                titled(drawn(picture, poses[t], skeleton), name) for name, poses in named.items()
            ]
            write(np.concatenate(columns, 1))
    return path


@contextmanager
def film_writer(
    path: Path, size: tuple[int, int], rate: float
) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that adds a picture [H, W, 3] BGR of `size` to an MP4 of `rate` frames a second.

    The file is there when all is written, and not at all after an error; RuntimeError if OpenCV can
    write none. Codecs halve the sides of colours, so an odd last row or column is left out.
    """
    height, width = (side - side % 2 for side in size)
    # absolute, as `data.video.open_video` reads: FFmpeg takes "10:30 run.mp4" for a protocol
    part = path.absolute().with_suffix(".part.mp4")
    for code in CODES:
        film = cv2.VideoWriter(str(part), cv2.VideoWriter_fourcc(*code), rate, (width, height))
        if film.isOpened():
            break
    else:
        raise RuntimeError(f"{path}: OpenCV can write no MP4 here")
    try:
        yield lambda picture: film.write(np.ascontiguousarray(picture[:height, :width]))
        film.release()
        os.replace(part, path)
    finally:
        film.release()
        part.unlink(missing_ok=True)


def drawn(picture: np.ndarray, pose: Tensor, skeleton: Skeleton) -> np.ndarray:
    """A copy of a picture [H, W, 3] BGR with the limbs and keypoints of a pose [K, 3]."""
    picture, shown = picture.copy(), pose[:, 2] > SHOWN
    thick = max(1, round(max(picture.shape[:2]) / 500))
    # 1/16 of a pixel: whole pixels would make limbs tremble from frame to frame
    points = (pose[:, :2] * 16).round().int().tolist()
    for a, b in skeleton.limb_index:
        if shown[a] and shown[b]:
            cv2.line(picture, points[a], points[b], bgr(side_colour(skeleton, a, b)), thick,
                     cv2.LINE_AA, 4)  # fmt: skip
    for k in torch.nonzero(shown).flatten().tolist():
        colour = bgr(side_colour(skeleton, k))
        cv2.circle(picture, points[k], 24 * thick, colour, -1, cv2.LINE_AA, 4)
    return picture


def titled(picture: np.ndarray, name: str) -> np.ndarray:
    """The picture with a name in its upper left corner, in place; returned."""
    size = picture.shape[1] / 640
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(picture, name, (4, int(28 * size) + 2), cv2.FONT_HERSHEY_SIMPLEX, size, colour,
                    thickness, cv2.LINE_AA)  # fmt: skip
    return picture


def bgr(colour: str) -> tuple[int, int, int]:
    """A colour of matplotlib as OpenCV draws it."""
    return tuple(round(255 * c) for c in mpl.colors.to_rgb(colour)[::-1])


def film_strip(
    frames: Tensor, named: dict[str, Tensor], skeleton: Skeleton, n: int = 8
) -> Figure:
    """n frames of the film of `overlay_film`, evenly spread: a row a network."""
    chosen = torch.linspace(0, len(frames) - 1, min(n, len(frames))).long()
    poses = torch.cat([p[chosen] for p in named.values()])
    pictures = frames[chosen].repeat(len(named), 1, 1, 1)
    fig = pose_grid(pictures, poses, skeleton, [""] * len(pictures), columns=len(chosen),
                    threshold=SHOWN)  # fmt: skip
    for row, name in enumerate(named):
        fig.axes[row * len(chosen)].set_title(name, loc="left", fontsize=9)
    return fig
