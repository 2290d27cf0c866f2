import math

import torch
from torch import nn

from fewpose.models.cost import cost, teacher_cost
from toy_teacher import toy_teacher


def test_multiply_adds_by_hand():
    layer, head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)
    found = cost([layer, head], lambda: head(layer(torch.zeros(2, 3, 10, 12)).mean((2, 3))))
    assert found.parameters == 3 * 8 * 9 + 8 + 8 * 5 + 5
    assert math.isclose(found.gflops * 1e9, 2 * 10 * 12 * 8 * 3 * 9 + 2 * 8 * 5)


def test_shared_parameters_count_once():
    layer = nn.Linear(4, 4)
    assert cost([layer, nn.Sequential(layer)], lambda: None).parameters == 20


def test_the_teacher_costs_more_the_more_people():
    teacher = toy_teacher()
    count = sum(teacher.sizes().values())
    nobody, two, four = (teacher_cost(teacher.plain(), people=n) for n in (0, 2, 4))
    assert nobody.parameters == two.parameters == count and nobody.gflops == 0
    assert math.isclose(four.gflops, 2 * two.gflops) and two.gflops > 0  # its lifter's
