"""SGD as detectors are trained: a rise, then falls to a tenth."""

import pytest
import torch
from torch import nn

from fewpose.loop import Sgd, minimise
from fewpose.training import Schedule


def test_the_rate_rises_and_falls_to_a_tenth():
    schedule = Schedule(1000, 4, 0.1, warmup=10)
    sgd = Sgd((0.4, 0.6, 0.8))
    rates = [sgd.rate(step, schedule) for step in (0, 9, 399, 400, 599, 600, 999)]
    assert rates == pytest.approx([0.01, 0.1, 0.1, 0.01, 0.01, 0.001, 0.0001])


def test_minimise_steps_by_sgd():
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)

    def losses(step, generator):
        return {"weight": model.weight.sum()}  # of slope 1

    schedule = Schedule(2, 1, 0.1, warmup=1)
    minimise(model, losses, schedule, identity="", weight_decay=0, sgd=Sgd((0.5,)))
    # 0.1, then 0.01 times (1 + 0.9) of momentum
    assert model.weight.item() == pytest.approx(1 - 0.1 - 0.019)
