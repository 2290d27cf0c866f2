"""Networks run by onnxruntime: on a CPU about twice as fast as in torch, and fair to other processes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import onnxruntime
import torch
from torch import Tensor, nn

from fewpose.models.pose_model import PoseModel
from fewpose.models.teacher.yolox import YoloX
from fewpose_video.networks import PoseNetwork

OPSET = 17
T = TypeVar("T")


class OnnxModule(nn.Module):
    """A module that maps a tensor to a list of tensors, run by onnxruntime on the CPU.

    `example` is an input; its axes `free` may have another length in others. `module` stays, for its weights.
    """

    def __init__(self, module: nn.Module, example: Tensor, free: Sequence[int] = (0,)):
        super().__init__()
        self.module = module
        self.session = open_session(to_onnx(module, example, ["outputs"], free))

    def forward(self, x: Tensor) -> list[Tensor]:
        """The outputs of the module, without gradients."""
        name = self.session.get_inputs()[0].name
        return [torch.from_numpy(y) for y in self.session.run(None, {name: x.numpy()})]


class OnnxPoses(OnnxModule):
    """A pose model for images of one size whose outputs are decoded too: for `heatmaps.predict`."""

    def __init__(self, model: PoseModel, size: tuple[int, int]):
        super().__init__(Decoded(model), torch.zeros(2, 3, *size))
        self.keypoints = model.keypoints

    def read(self, outputs: list[Tensor]) -> Tensor:
        """Poses [N, K, 3], which are the only output."""
        return outputs[0]


class Decoded(nn.Module):
    """A pose model from images [N, 3, H, W] to poses [N, K, 3]."""

    def __init__(self, model: PoseModel):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Poses as `model.read` decodes them."""
        return self.model.read(self.model(images))


def to_onnx(module: nn.Module, example: Tensor, outputs: Sequence[str], free: Sequence[int] = (0,)) -> bytes:
    """A module from one tensor, `images`, as ONNX file; the axes `free` of the input may have any length."""
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of sizes that are constants, as they shall
        # The newer exporter needs another package and ten times as long.
        torch.onnx.export(
            nn.Sequential(module).eval(),  # some parameters' names, which are numbers, need a prefix
            (example,),
            file,
            input_names=["images"],
            output_names=list(outputs),
            dynamic_axes={"images": {axis: f"axis{axis}" for axis in free}, **{name: {0: "axis0"} for name in outputs}},
            opset_version=OPSET,
            dynamo=False,
        )
    return file.getvalue()


def open_session(file: bytes) -> onnxruntime.InferenceSession:
    """An ONNX file on the CPU, in as many threads as torch has, which sleep while they wait.

    Spinning threads are a little faster alone, but two such processes slow each other manifold.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def on_cpu(network: T) -> T:
    """A PoseNetwork or YoloX for predictions by onnxruntime; others are returned as they are.

    So are students: onnxruntime was no faster with their backbone, and their heads cannot be exported.
    """
    if isinstance(network, PoseNetwork):
        return replace(network, model=OnnxPoses(network.model, network.size).eval())
    if isinstance(network, YoloX):
        network.graph = OnnxModule(network.graph, torch.zeros(1, 12, 32, 32), (0, 2, 3))
    return network
