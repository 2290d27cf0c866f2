"""What the networks are trained to make small."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHARPNESS = 10.0  # of SimCC's softmaxes


def heatmap_mse(predicted: list[Tensor], target: list[Tensor], labelled: Tensor) -> Tensor:
    """Mean squared error of the heat maps, summed over resolutions (HigherHRNet section 3.3).

    predicted, target: one [N, K, h, w] a resolution. labelled [N, K] bool: keypoints without a label, such as dropped
    pseudo labels, are left out rather than taught to be absent.
    """
    weight = labelled.to(predicted[0].dtype)
    count = weight.sum().clamp_min(1)
    return sum((((p - t) ** 2).mean(dim=(2, 3)) * weight).sum() / count for p, t in zip(predicted, target, strict=True))


def simcc_divergence(bins: Tensor, place: Tensor, shown: Tensor, sigma: float) -> Tensor:
    """Kullback-Leibler divergence of one axis of a SimCC answer from its target.

    bins [N, K, B]: scores of the bins of one axis. place [N, K]: the true place, in bins. shown [N, K] bool: which
    count. As RTMPose was trained (its section 3.1): both are softmaxes, of 10 times the scores and of 10 times a
    Gaussian of `sigma` bins and peak 1.
    """
    cells = torch.arange(bins.shape[-1], device=bins.device)
    bell = torch.exp(-((cells - place.unsqueeze(-1)) ** 2) / (2 * sigma**2))
    target = (SHARPNESS * bell).softmax(-1)
    apart = F.kl_div((SHARPNESS * bins).log_softmax(-1), target, reduction="none").sum(-1)
    return (apart * shown).sum() / shown.sum().clamp_min(1)
