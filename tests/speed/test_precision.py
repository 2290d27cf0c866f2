import pytest
import torch

from fewpose.speed import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize("fast", [True, False])
def test_a_cpu_trains_in_half_precision_if_it_is_fast_and_predicts_in_single(monkeypatch, fast):
    monkeypatch.setattr(precision, "fast_bf16", lambda: fast)
    a = torch.eye(3)
    with precision.half_in_training(CPU):
        assert (a @ a).dtype == (torch.bfloat16 if fast else torch.float32)
    with precision.half_precision(CPU):
        assert (a @ a).dtype == torch.float32


def test_what_the_machine_can_is_known():
    assert isinstance(precision.fast_bf16(), bool)
