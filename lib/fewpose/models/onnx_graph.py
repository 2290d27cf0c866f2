"""A part of an ONNX graph as a torch module that can be trained: its constants are the parameters.

Supported are the operators of RTMPose and YOLOX; any other raises a ValueError naming it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.onnx.operators import reshape_from_tensor_shape, shape_as_tensor  # stay symbolic when exported


@dataclass(frozen=True)
class Node:
    """One operation: the names of its inputs and outputs, and its attributes."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file in plain Python: nodes in order of execution, constants by name."""

    nodes: tuple[Node, ...]
    constants: dict[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_onnx(path: str | Path) -> OnnxFile:
    """Read an ONNX file; ValueError naming it if it is absent or damaged."""
    import onnx  # slow to import, and needed only here

    if not Path(path).is_file():
        raise ValueError(f"There is no ONNX file {path}.")
    try:
        graph = onnx.load(str(path)).graph
        constants = {
            tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer
        }
        nodes = tuple(
            Node(
                node.op_type,
                tuple(node.input),
                tuple(node.output),
                {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
            )
            for node in graph.node
        )
    except Exception as error:  # protobuf's own errors have no common base
        raise ValueError(f"{path} is not a readable ONNX file ({error}).") from error
    if not nodes:
        raise ValueError(f"{path} is not a readable ONNX file (it has no operations).")
    inputs = tuple(value.name for value in graph.input if value.name not in constants)
    return OnnxFile(nodes, constants, inputs, tuple(value.name for value in graph.output))


class OnnxGraph(nn.Module):
    """The operations between the tensors `inputs` and `outputs` of an ONNX file.

    `forward(*inputs)` returns the list of outputs. Floating-point constants become parameters under their ONNX
    names (dots become underscores), the others buffers.
    """

    def __init__(self, file: OnnxFile, inputs: tuple[str, ...], outputs: tuple[str, ...]):
        super().__init__()
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.nodes = _fuse_silu(_between(file, inputs, outputs), outputs)
        self.constants: dict[str, str] = {}
        for node in self.nodes:
            if node.op not in OPERATORS:
                raise ValueError(f"The ONNX operator {node.op} is not supported.")
            for name in node.inputs:
                if name in file.constants and name not in self.constants:
                    self._add(name, file.constants[name])

    def _add(self, name: str, value: Tensor) -> None:
        own = self.constants[name] = name.replace(".", "_")
        if value.is_floating_point():
            self.register_parameter(own, nn.Parameter(value.clone()))
        else:
            self.register_buffer(own, value.clone())

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        values = dict(zip(self.inputs, inputs, strict=True))
        values |= {name: getattr(self, own) for name, own in self.constants.items()}
        for node in self.nodes:
            given = [values[name] if name else None for name in node.inputs]
            result = OPERATORS[node.op](node.attributes, *given)
            results = result if isinstance(result, tuple | list) else [result]
            values |= zip(node.outputs, results, strict=True)
        return [values[name] for name in self.outputs]


def _between(file: OnnxFile, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> list[Node]:
    """The nodes that `outputs` need when `inputs` are given, in order."""
    needed, nodes = set(outputs), []
    for node in reversed(file.nodes):
        if needed & set(node.outputs):
            nodes.append(node)
            needed |= set(node.inputs) - set(inputs) - {""}
    made = {name for node in nodes for name in node.outputs} | set(inputs) | set(file.constants)
    if needed - made:
        raise ValueError(f"The ONNX graph has no tensor {sorted(needed - made)[0]}.")
    return nodes[::-1]


def _fuse_silu(nodes: list[Node], outputs: tuple[str, ...]) -> list[Node]:
    """x * Sigmoid(x) in one step: half the memory, a fifth faster."""
    gates = {n.outputs[0]: n.inputs[0] for n in nodes if n.op == "Sigmoid"}
    uses: dict[str, int] = {}
    for node in nodes:
        for name in node.inputs:
            uses[name] = uses.get(name, 0) + 1
    fused, gone = [], set()
    for node in nodes:
        if node.op == "Mul":
            x, gate = node.inputs
            if gates.get(gate) == x and uses[gate] == 1 and gate not in outputs:
                node = Node("SiLU", (x,), node.outputs, {})
                gone.add(gate)
        fused.append(node)
    return [node for node in fused if not set(node.outputs) <= gone]


def _pads(attributes: dict) -> list[int]:
    pads = list(attributes.get("pads", [0, 0, 0, 0]))
    if pads[:2] != pads[2:]:
        raise ValueError(f"Padding {pads} differs between the sides, which is not supported.")
    return pads[:2]


def _conv(a: dict, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    strides, dilations = list(a.get("strides", [1, 1])), list(a.get("dilations", [1, 1]))
    return F.conv2d(x, weight, bias, strides, _pads(a), dilations, a.get("group", 1))


def _max_pool(a: dict, x: Tensor) -> Tensor:
    kernel, strides = list(a["kernel_shape"]), list(a.get("strides", [1, 1]))
    return F.max_pool2d(x, kernel, strides, _pads(a), ceil_mode=bool(a.get("ceil_mode", 0)))


def _resize(a: dict, x: Tensor, roi: Tensor | None, scales: Tensor) -> Tensor:
    if a.get("mode") != b"nearest" or a.get("nearest_mode") != b"floor":
        raise ValueError("Resize is supported only by nearest neighbours, rounded down.")
    return F.interpolate(x, scale_factor=scales.tolist()[2:], mode="nearest")


def _slice(a: dict, x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None) -> Tensor:
    axes = range(len(starts)) if axes is None else axes.tolist()
    for axis, start, end in zip(axes, starts.tolist(), ends.tolist(), strict=True):
        x = x[(slice(None),) * axis + (slice(start, end),)]
    return x


def _squeeze(a: dict, x: Tensor) -> Tensor:
    return x.squeeze(tuple(a["axes"]))


def _unsqueeze(a: dict, x: Tensor) -> Tensor:
    for axis in sorted(a["axes"]):
        x = x.unsqueeze(axis)
    return x


OPERATORS: dict[str, Callable] = {
    "Add": lambda a, x, y: x + y,
    "Clip": lambda a, x, low=None, high=None: x.clamp(low, high),
    "Concat": lambda a, *x: torch.cat(x, a["axis"]),
    "Conv": _conv,
    "Div": lambda a, x, y: x / y,
    "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdim=True),
    "HardSigmoid": lambda a, x: (a.get("alpha", 0.2) * x + a.get("beta", 0.5)).clamp(0, 1),
    "MatMul": lambda a, x, y: x @ y,
    "MaxPool": _max_pool,
    "Mul": lambda a, x, y: x * y,
    "ReduceSum": lambda a, x: x.sum(tuple(a["axes"]), keepdim=bool(a.get("keepdims", 1))),
    "Relu": lambda a, x: x.relu(),
    "Reshape": lambda a, x, shape: reshape_from_tensor_shape(x, shape.cpu()),
    "Resize": _resize,
    "Shape": lambda a, x: shape_as_tensor(x).to(x.device),
    "SiLU": lambda a, x: F.silu(x),
    "Sigmoid": lambda a, x: x.sigmoid(),
    "Slice": _slice,
    "Split": lambda a, x: x.split(list(a["split"]), a.get("axis", 0)),
    "Sqrt": lambda a, x: x.sqrt(),
    "Squeeze": _squeeze,
    "Transpose": lambda a, x: x.permute(a["perm"]),
    "Unsqueeze": _unsqueeze,
}


def run_parts(parts: nn.ModuleList, x: Tensor, frozen: int) -> list[Tensor]:
    """The output of each of successive parts; those of the first `frozen` are not stored for the backward pass."""
    maps = []
    for i, part in enumerate(parts):
        with torch.set_grad_enabled(torch.is_grad_enabled() and i >= frozen):
            (x,) = part(x)
        maps.append(x)
    return maps


def freeze_parts(parts: nn.ModuleList, frozen: int, name: str) -> int:
    """Freeze the first `frozen` parts of a network and return how many; ValueError for more than there are."""
    if not 0 <= frozen <= len(parts):
        raise ValueError(f"Of {name} 0 to {len(parts)} parts can be frozen, not {frozen}.")
    for i, part in enumerate(parts):
        part.requires_grad_(i >= frozen)
    return frozen


def channels_of(file: OnnxFile, tensor: str) -> int:
    """The number of channels of a tensor: that of an ungrouped convolution that reads it."""
    node = next(n for n in file.nodes if n.op == "Conv" and n.inputs[0] == tensor)
    return file.constants[node.inputs[1]].shape[1]
