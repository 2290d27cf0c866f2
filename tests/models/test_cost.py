import math

import pytest
import torch
from torch import nn

from fewpose.models.cost import cost, student_cost, teacher_cost
from fewpose.models.student.keypoint_rcnn import find_people
from fewpose.models.student.networks import light_student
from fewpose.models.teacher.three_stages import onnx_teacher
from tiny_student import tiny_student
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


@pytest.mark.parametrize("bias", [-20.0, 20.0])
def test_the_student_is_counts_about_so_many_people_whatever_it_predicts(bias):
    student = tiny_student().eval()
    with torch.no_grad():
        student.roi_heads.box_predictor.cls_score.bias[1] = bias
    counts = []
    predictor = student.roi_heads.keypoint_predictors["hard"]
    predictor.register_forward_hook(lambda _, regions, __: counts.append(len(regions[0])))
    costs = [student_cost(student, (64, 80), people) for people in (1, 3, 5)]
    assert counts == [1, 3, 5]
    assert 0 < costs[0].gflops < costs[1].gflops < costs[2].gflops
    assert costs[0].parameters == sum(p.numel() for p in student.parameters())
    find_people(student, torch.zeros(1, 3, 64, 80, dtype=torch.uint8))
    assert counts[-1] == (0 if bias < 0 else 8)  # as before


def test_the_laptops_student_costs_less_than_30_percent_of_its_teacher():
    teacher = teacher_cost(onnx_teacher().plain().eval())
    student = student_cost(light_student().eval())
    assert student.parameters < 0.3 * teacher.parameters
    assert student.gflops < 0.3 * teacher.gflops
