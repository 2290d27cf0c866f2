"""The published networks where this machine has them, and marks for tests that need them."""

import os
from pathlib import Path

import pytest

from fewpose.models.download import PUBLISHED

CACHE = Path(os.environ.get("FEWPOSE_CACHE") or Path.home() / ".cache" / "fewpose")
BESIDE = Path(__file__).parents[2] / "shared" / "weights"


def published(name: str) -> Path | None:
    """The file of `name` where its variable says, in the cache, or beside the repository."""
    wanted = PUBLISHED[name]
    given = Path(os.environ.get(wanted.variable, "absent"))
    places = (given, CACHE / wanted.file, BESIDE / wanted.file)
    return next((place for place in places if place.is_file()), None)


def needs(name: str):
    """A mark that skips a test where the file is not at hand."""
    reason = f"no {name} file: run `python -m fewpose weights {name}` once"
    return pytest.mark.skipif(published(name) is None, reason=reason)


RTMPOSE, YOLOX, MOVENET = published("rtmpose_s"), published("yolox_tiny"), published("movenet")
needs_rtmpose, needs_yolox, needs_movenet = needs("rtmpose_s"), needs("yolox_tiny"), needs("movenet")


def onnxruntime_outputs(names, images):
    """What onnxruntime gives in the tensors `names` of RTMPose-s to images [N, 3, H, W]."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is the reference here")
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(RTMPOSE))
    for name in names:
        if name not in [output.name for output in model.graph.output]:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    for side in (2, 3):  # the graph fixes 256x192, its backbone does not need that
        model.graph.input[0].type.tensor_type.shape.dim[side].dim_param = f"side{side}"
    cpu = ["CPUExecutionProvider"]
    session = runtime.InferenceSession(model.SerializeToString(), providers=cpu)
    return session.run(list(names), {"input": images.numpy()})
