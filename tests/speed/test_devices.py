"""Two processes on gloo that share a training, against one process alone."""

from dataclasses import replace

import pytest
import torch

from fewpose.training import fit
from tiny import dots
from two_devices import STEPS, Doubles, of_two, trained


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    found = of_two(folder)
    assert (folder / "training0.pt").exists() and not (folder / "training1.pt").exists()  # one writes
    return found


@pytest.fixture(scope="module")
def alone():
    return trained()


@pytest.mark.parametrize("name", ["doubles", "uneven", "mean teacher", "scored", "predictions"])
def test_two_processes_train_as_one_does(shared, alone, name):
    """Weights, running statistics of batch norm, the teacher's average and losses, after 20 steps with dropout."""
    torch.testing.assert_close(shared[0][name], alone[name], atol=1e-5, rtol=0)
    torch.testing.assert_close(shared[0][name], shared[1][name], atol=0, rtol=0)  # to the bit


def test_in_single_precision_the_losses_are_equal_too(shared, alone):
    torch.testing.assert_close(shared[0]["singles"][1], alone["singles"][1], atol=1e-5, rtol=0)
    torch.testing.assert_close(shared[0]["singles"], shared[1]["singles"], atol=0, rtol=0)


def test_the_comparison_would_see_half_a_batch(alone):
    model = Doubles()
    fit(model, dots(24), None, replace(STEPS, batch_size=8))
    other, expected = model.state_dict(), alone["doubles"][0]
    assert all((other[name] - expected[name]).abs().max() > 1e-3 for name in ("net.0.weight", "net.1.running_var"))
