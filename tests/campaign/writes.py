"""What the project writes, small: each makes its files in a folder, the same in every call, and says what they are."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fewpose.data.images import write_image
from fewpose.data.pose_data import PoseData
from fewpose.data.video import video_writer
from fewpose.feature_cache import cache_features
from fewpose.models import download
from fewpose.models.weights import save_weights
from fewpose.skeleton import JUMP
from fewpose.training import History, save_checkpoint
from fewpose_runs import runs
from fewpose_video.cropped import cached_boxes
from fewpose_video.formats import FORMATS
from fewpose_video.label import label_file
from fewpose_video.poses import VideoPoses
from fewpose_video.tables import write_poses
from fewpose_worlds import store, worlds
from toy_teacher import Rectangles
from toy_video import write_toy_video

TIMED = ("run.json", "metrics.csv", "notebook.ipynb")  # files with times in them: only whether they are whole counts


class Network(nn.Module):
    """A linear network with a frozen convolution before it."""

    config, keypoints = {}, len(JUMP)

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head, self.frozen_backbone = nn.Linear(300, 300), nn.Conv2d(3, 8, 3, 2, 1).requires_grad_(False)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


def render(start: int) -> tuple:
    frames = np.full((20, 3, 64, 64), start, np.uint8)
    return frames, [{"video_id": "a", "frame": i, "split": "train"} for i in range(20)], [[] for _ in range(20)]


def world(folder: Path) -> None:
    parameters = {"name": "w", "frames": 60, "size": 64}
    store.generate(render, [(i,) for i in range(3)], JUMP, parameters, folder / "world", assemble=lambda *parts: parts)


def rendered_world(folder: Path) -> None:
    worlds.jump(6, 32, 0, folder, 3)


def exported_world(folder: Path) -> None:
    worlds.export("jump", 6, 32, 0, folder / "mine", videos=0)


def features(folder: Path) -> None:
    frames = torch.from_numpy(noise(20, 3, 64, 64))
    data = PoseData(frames, torch.zeros(20, len(JUMP), 3), JUMP, np.array(["a"] * 20), np.array(["train"] * 20), "x")
    cache_features(Network(), data, 3, folder)


def checkpoint(folder: Path) -> None:
    model = Network()
    save_checkpoint(folder / "last.pt", "f", model, torch.optim.SGD(model.parameters(), 0.1), History(), None, 1)


def weights(folder: Path) -> None:
    save_weights(Network(), folder / "network.safetensors")


def downloaded(folder: Path) -> None:
    """As a first download, from a source that is here."""
    content = noise(400_000).tobytes()
    fetched, download._fetch = download._fetch, lambda source, place: content
    known = download.Published("own.bin", hashlib.sha256(content).hexdigest(), "NO_SUCH_VARIABLE", {"https://": ()})
    download.PUBLISHED["own"] = known
    try:
        download.download("own", folder)
    finally:
        download._fetch = fetched


@functools.cache
def walking() -> Path:
    """The video of `boxes`, by whose path and time they are named."""
    path = Path(tempfile.mkdtemp()) / "walk.mp4"
    write_toy_video(path, frames=80)
    return path


def boxes(folder: Path) -> None:
    cached_boxes(walking(), Rectangles(97), folder)


def labels(folder: Path) -> None:
    label_file.write(folder / "annotations.json", {"images": [f"image {i}" for i in range(20_000)]})


def image(folder: Path) -> None:
    write_image(folder / "frame.png", noise(300, 300, 3))


def video(folder: Path) -> None:
    with video_writer(folder / "drawn.mp4", (96, 96), 25, crf=1) as write:
        for frame in noise(30, 96, 96, 3):
            write(frame)


def predictions(folder: Path) -> None:
    values = noise(200, 2, len(JUMP), 3).astype(float)
    poses = VideoPoses("a.mp4", (64, 64), np.arange(200) / 25, (1, 2), values, JUMP)
    write_poses(poses, folder / "a_poses.csv")
    for name in ("dlc-csv", "trc", "coco", "openpose", "c3d"):
        suffix, write = FORMATS[name]
        write(poses, folder / f"a{suffix}")


def run(folder: Path) -> None:
    """A run's folder, its figure, table and manifest, as a notebook writes them."""
    import matplotlib.pyplot as plt

    (folder / "notebooks" / "sports").mkdir(parents=True, exist_ok=True)
    cell = {"cell_type": "code", "source": "seed = 0", "metadata": {"tags": ["parameters"]}}
    notebook = {"cells": [cell | {"outputs": [], "execution_count": None}], "metadata": {}}
    (folder / "notebooks" / "sports" / "tiny.ipynb").write_text(json.dumps(notebook | {"nbformat": 4}))
    before = os.environ.get("FEWPOSE_ROOT")
    os.environ["FEWPOSE_ROOT"] = str(folder)
    try:
        made = runs.start_run("sports/tiny", {"seed": 0})
        fig, axis = plt.subplots()
        axis.imshow(noise(200, 200, 3))
        made.figure(fig, "noise")
        plt.close(fig)
        made.record({"method": "supervised", "dataset": "jump", "metric": "pck", "value": 1.0})
        made.finish()
    finally:
        os.environ.pop("FEWPOSE_ROOT") if before is None else os.environ.update(FEWPOSE_ROOT=before)


WRITES: dict[str, Callable[[Path], None]] = {
    "world": world,
    "features": features,
    "checkpoint": checkpoint,
    "weights file": weights,
    "downloaded weights": downloaded,
    "boxes of a video": boxes,
    "label file": labels,
    "image": image,
    "video": video,
    "predictions in six formats": predictions,
    "run: figure, table, manifest": run,
    "rendered world": rendered_world,
    "exported world": exported_world,
}


def files(folder: Path) -> dict[str, str]:
    """Hashes of the files of a folder by name, without locks, parts and what stands for itself (TIMED)."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            found[name.as_posix()] = hashlib.sha256(content(path)).hexdigest()
    return found


def content(path: Path) -> bytes:
    """What a file must always be; of those with times, their keys or lines."""
    if path.name not in TIMED:
        return path.read_bytes()
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        return text.split(",cpu")[0].encode()
    return ",".join(json.loads(text)).encode()
