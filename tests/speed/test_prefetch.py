"""Steps made ahead by other processes are the very steps."""

import os

import numpy as np
import pytest
import torch

from fewpose.speed import prefetch as module
from fewpose.speed.prefetch import Prefetch


def make(step):
    generator = torch.Generator().manual_seed(step)
    return torch.rand(4, 5, generator=generator), {"step": torch.tensor(step)}


def test_a_cpu_makes_each_step_when_it_is_needed():
    steps = []
    prefetch = Prefetch(steps.append, 5, torch.device("cpu"))
    prefetch(3)
    prefetch(1)
    assert steps == [3, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")
def test_beside_a_gpu_other_processes_make_the_same(monkeypatch):
    monkeypatch.setattr(module, "cores", lambda: 2)  # one process beside this one, on any machine
    prefetch = Prefetch(lambda step: (*make(step), np.arange(step), os.getpid()), 6, torch.device("cuda"))
    for step in (0, 1, 2, 4, 5, 1):  # resumed elsewhere, and once more from an earlier step
        (image, target, array, process), (same, expected) = prefetch(step), make(step)
        assert torch.equal(image, same) and torch.equal(target["step"], expected["step"])
        assert isinstance(array, np.ndarray) and len(array) == step  # not made a tensor on the way
        assert process != os.getpid()
