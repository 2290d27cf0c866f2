"""The published networks where this machine has them, and marks for tests that need them."""

import os
from pathlib import Path

import pytest

from fewpose.models.fetching import ONNX

CACHE = Path(os.environ.get("FEWPOSE_CACHE") or Path.home() / ".cache" / "fewpose")
BESIDE = Path(__file__).parents[2] / "shared" / "weights"


def published(name: str) -> Path | None:
    """The ONNX file of `name` where its variable says, in the cache, or beside the house."""
    wanted = ONNX[name]
    given = Path(os.environ.get(wanted.variable, "absent"))
    places = (given, CACHE / wanted.file, BESIDE / wanted.file)
    return next((place for place in places if place.is_file()), None)


def needs(name: str):
    """A mark that skips a test where the file is not at hand."""
    reason = f"no {name} file: run `python -m fewpose weights {name}` once"
    return pytest.mark.skipif(published(name) is None, reason=reason)


RTMPOSE, YOLOX = published("rtmpose_s"), published("yolox_tiny")
needs_rtmpose, needs_yolox = needs("rtmpose_s"), needs("yolox_tiny")
