"""Pose models: images in, heat maps out."""

from fewpose.models.higher_hrnet import (
    NARROW,
    HigherHRNet,
    narrow_higher_hrnet,
    new_head,
    set_dropout,
)

__all__ = ["NARROW", "HigherHRNet", "narrow_higher_hrnet", "new_head", "set_dropout"]
