"""Trainings that die half way and go on."""

import pytest
import torch


def check_resumed(train, network, monkeypatch, checkpoint, steps=3):
    """A training killed after `steps` ends, called again, with the weights of an undisturbed one.

    train(checkpoint or None) gives the state dict of a `network` (its class) that it trained.
    """
    whole = train(None)
    calls, forward = iter(range(steps)), network.forward

    def dying(self, images, targets=None):
        if self.training and next(calls, None) is None:
            raise KeyboardInterrupt
        return forward(self, images, targets)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(network, "forward", dying)
        train(checkpoint)
    assert checkpoint.exists()
    resumed = train(checkpoint)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
