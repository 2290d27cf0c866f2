"""One training on several devices, one process each: every process does the same, but networks see a share of a batch.

All processes draw the same random numbers and compute the same losses of the whole batch; in `shared_pass` each runs
its rows through the network, and outputs, gradients and the statistics of batch norm are summed. The result is that of
one process with the whole batch, whatever the loss: it knows nothing of this, nor does the training loop.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import psutil
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

FOREVER = timedelta(days=1)  # a process that died is noticed by `_watch`, not by a time-out


def count() -> int:
    """The number of processes that share this training; 1 alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes files; the only one is."""
    return not dist.is_initialized() or dist.get_rank() == 0


def join(rank: int, processes: int, meeting: Path, device: torch.device) -> None:
    """Become process `rank` of a training on several devices, when all have come.

    `meeting` is a path that all see and where nothing is yet. If one dies before `leave`, all end.
    """
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(
        backend, init_method=f"file://{meeting.resolve()}", rank=rank, world_size=processes, timeout=FOREVER
    )
    others: list = [None] * processes
    dist.all_gather_object(others, os.getpid())
    threading.Thread(target=_watch, args=(others,), daemon=True).start()


def leave() -> None:
    """Wait until all processes are here; from then on each is alone."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def _watch(others: list[int]) -> None:
    """End this process if another has died: it would wait for it in vain."""
    while dist.is_initialized():
        if not all(map(psutil.pid_exists, others)) and dist.is_initialized():
            os._exit(1)
        time.sleep(1)


def shared_pass(model: nn.Module, inputs: Tensor) -> object:
    """`model(inputs)`, of which each process computes its rows; inputs, outputs and weights are equal in all.

    Gradients reach the weights as if one process had computed all rows. Batch norm in training mode sees the statistics
    of all rows, dropout the random numbers that one process would have drawn. ValueError if a batch to train on has
    fewer rows than there are processes; one to predict is then computed by each.
    """
    n, processes = len(inputs), count()
    if processes == 1:
        return model(inputs)
    if n < processes:
        if torch.is_grad_enabled():
            raise ValueError(f"a batch of {n} cannot be shared by {processes} devices: raise batch_size")
        return model(inputs)
    rank = dist.get_rank()
    rows = range(rank * n // processes, (rank + 1) * n // processes)
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if torch.is_grad_enabled() and weights:
        weights = dict(zip(weights, _SumOfGradients.apply(*weights.values()), strict=True))
    with _AsOneBatch(rows, n):
        outputs = torch.func.functional_call(model, weights, (inputs[rows.start : rows.stop],))
    return tree_map_only(Tensor, lambda part: _AllRows.apply(part, rows, n), outputs)


class _SumOfGradients(torch.autograd.Function):
    """Weights as they are; their gradient is the sum of all processes'."""

    @staticmethod
    def forward(ctx, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        return tuple(weight.view_as(weight) for weight in weights)

    @staticmethod
    def backward(ctx, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        there = [gradient for gradient in gradients if gradient is not None]
        flat = torch.cat([gradient.flatten() for gradient in there])
        dist.all_reduce(flat)
        sums = iter(flat.split([gradient.numel() for gradient in there]))
        return tuple(None if gradient is None else next(sums).view(gradient.shape) for gradient in gradients)


class _AllRows(torch.autograd.Function):
    """The rows of all processes. As each computes the same loss of all rows, each has the gradient of its own."""

    @staticmethod
    def forward(ctx, part: Tensor, rows: range, n: int) -> Tensor:
        ctx.rows = rows
        whole = part.new_zeros(n, *part.shape[1:])
        whole[rows.start : rows.stop] = part
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[ctx.rows.start : ctx.rows.stop], None, None


class _Sum(torch.autograd.Function):
    """The sum over all processes, each of which goes on with it to rows of its own."""

    @staticmethod
    def forward(ctx, part: Tensor) -> Tensor:
        total = part.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class _AsOneBatch(TorchFunctionMode):
    """Batch norm and dropout in training mode as for a batch of `n` rows, of which `rows` are here."""

    def __init__(self, rows: range, n: int):
        super().__init__()
        self.rows, self.n = rows, n
        self.replaced = {drop: partial(self._dropout, drop) for drop in (F.dropout, F.dropout1d, F.dropout2d)}
        self.replaced[F.batch_norm] = self._batch_norm

    def __torch_function__(self, function, types, args=(), kwargs=None):
        call = self.replaced.get(function, function)
        return call(*args, **(kwargs or {}))

    def _dropout(self, drop: Callable, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False):
        if not training or not p:
            return x
        return x * drop(x.new_ones(self.n, *x.shape[1:]), p)[self.rows.start : self.rows.stop]

    def _batch_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
        others = [i for i in range(x.ndim) if i != 1]
        number = x[0, 0].numel() * self.n
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = _Sum.apply(wide.sum(others)) / number
        var = _Sum.apply((wide - _per_channel(mean, x)).square().sum(others)) / number
        if running_mean is not None:
            running_mean.lerp_(mean.detach(), momentum)
            running_var.lerp_(var.detach() * number / (number - 1), momentum)
        scale = (var + eps).rsqrt() * (1 if weight is None else weight)
        shift = (0 if bias is None else bias) - mean * scale
        return (wide * _per_channel(scale, x) + _per_channel(shift, x)).to(x.dtype)


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    """Values [C] to be broadcast over [N, C, …]."""
    return values.view(-1, *[1] * (like.ndim - 2))
