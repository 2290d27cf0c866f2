"""A labelled image of another tool's project."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Imported:
    """A labelled image of another tool.

    image   its file
    video   the video it is from, "" if the tool does not say
    people  [P, K, 3] x, y and COCO's visibility of the people (or animals) in it
    split   "train", "val" or "test", "" if the tool does not say
    """

    image: Path
    video: str
    people: np.ndarray
    split: str = ""

    @property
    def number(self) -> int:
        """Of the frame in the video: the last digits in the image's name, -1 without."""
        digits = re.findall(r"\d+", self.image.stem)
        return int(digits[-1]) if digits and self.video else -1
