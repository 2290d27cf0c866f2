"""Batches made ahead by worker processes, so that a GPU does not wait for them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator

import torch
from torch.utils.data import DataLoader, Dataset

from fewpose.speed.threads import cores

WORKERS = 8  # processes that make steps for one GPU, at most


class _Steps(Dataset):
    def __init__(self, make: Callable[[int], object]):
        self.make = make

    def __getitem__(self, step: int) -> object:
        return self.make(step)


def _as_made(made: object) -> object:
    return made


class Prefetch:
    """`make(step)` for successive steps; on CUDA computed ahead of time.

    `make` must depend on the step alone and stay on the CPU, so that the results are the same everywhere and training
    can resume at any step. For training on a CPU it is called directly.
    """

    def __init__(self, make: Callable[[int], object], steps: int, device: torch.device):
        self.make, self.steps = make, steps
        can_fork = "fork" in multiprocessing.get_all_start_methods()  # not on Windows
        self.workers = workers() if device.type == "cuda" and can_fork else 0
        self.next, self.made = -1, iter(())

    def __call__(self, step: int) -> object:
        """The result of `make(step)`."""
        if not self.workers:
            return self.make(step)
        if step != self.next:
            self.made = self._from(step)
        self.next = step + 1
        return next(self.made)

    def _from(self, step: int) -> Iterator:
        return iter(
            DataLoader(
                _Steps(self.make),
                None,
                sampler=range(step, self.steps),
                num_workers=self.workers,
                collate_fn=_as_made,
                # forked, to share the frames and allow any function as `make`; workers never use CUDA
                multiprocessing_context=multiprocessing.get_context("fork"),
                prefetch_factor=4,
            )
        )


def workers() -> int:
    """The number of processes: one fewer than cores, `WORKERS` at most."""
    return min((cores() or 1) - 1, WORKERS)
