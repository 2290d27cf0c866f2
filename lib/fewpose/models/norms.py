"""Batch norm that learned, made one that stays as it is."""

from __future__ import annotations

from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d


def freeze_norms(model: nn.Module, eps: float = 1e-5) -> nn.Module:
    """Put torchvision's FrozenBatchNorm2d in the place of each BatchNorm2d, in place; returned.

    In evaluation mode the model answers as before. `eps` is the ε that the new ones add to the variance: what the old
    ones added more goes into the variance itself.
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
