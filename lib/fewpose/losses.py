"""What the networks are trained to make small."""

from __future__ import annotations

from torch import Tensor


def heatmap_mse(predicted: list[Tensor], target: list[Tensor], labelled: Tensor) -> Tensor:
    """Mean squared error of the heat maps, summed over resolutions (HigherHRNet section 3.3).

    predicted, target: one [N, K, h, w] a resolution. labelled [N, K] bool: keypoints without a
    label, such as dropped pseudo labels, are left out rather than taught to be absent.
    """
    weight = labelled.to(predicted[0].dtype)
    count = weight.sum().clamp_min(1)
    return sum(
        (((p - t) ** 2).mean(dim=(2, 3)) * weight).sum() / count
        for p, t in zip(predicted, target, strict=True)
    )
