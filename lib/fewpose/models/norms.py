"""Freezing of trained batch norm."""

from __future__ import annotations

from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d


def freeze_norms(model: nn.Module, eps: float = 1e-5) -> nn.Module:
    """Replace each BatchNorm2d by torchvision's FrozenBatchNorm2d, in place; returns the model.

    In evaluation mode the outputs stay the same. `eps` is the ε of the new layers; its difference to the old ε is added
    to the variance.
    """
    for name, child in model.named_children():
        if not isinstance(child, nn.BatchNorm2d):
            freeze_norms(child, eps)
            continue
        frozen = FrozenBatchNorm2d(child.num_features, eps)
        frozen.weight.copy_(child.weight.detach())
        frozen.bias.copy_(child.bias.detach())
        frozen.running_mean.copy_(child.running_mean)
        frozen.running_var.copy_(child.running_var + (child.eps - eps))
        setattr(model, name, frozen.to(child.weight.device))
    return model
