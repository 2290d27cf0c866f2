"""Which unlabelled frames to label next: those on which the labellers disagree most; not in the papers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fewpose.pseudo_labels import Candidates


def disagreement(candidates: Candidates, limit: float = 0.1) -> Tensor:
    """How far apart the votes on a frame are [N]: the mean over its keypoints of the root of their spread, in pixels.

    candidates: of the views of a network or, by `published_head.fuse`, of both labellers. A keypoint counts `limit`
    frame sides at most (of the extent of all predictions), so that a single lost one does not decide.
    """
    extent = (candidates.base[..., :2].amax((0, 1)) - candidates.base[..., :2].amin((0, 1))).max()
    return candidates.spread.sqrt().clamp_max(limit * extent).mean(1)


def choose_disputed(scores: np.ndarray, video: np.ndarray, number: np.ndarray, count: int, apart: int) -> np.ndarray:
    """Indices of the `count` frames with the highest scores [N], highest first.

    Frames of one `video` [N] are at least `apart` apart in their `number` [N], as neighbours show the same; and while
    other videos have frames left, none gives more than its even share. Fewer than `count` if there are no more.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    share = -(-count // max(len(np.unique(video)), 1))
    chosen: list[int] = []
    for most in (share, count):
        for i in order:
            same = [j for j in chosen if video[j] == video[i]]
            free = all(abs(int(number[j]) - int(number[i])) >= max(apart, 1) for j in same)
            if len(chosen) < count and len(same) < most and free:
                chosen.append(int(i))
    return np.array(sorted(chosen, key=lambda i: -scores[i]), dtype=int)


def by_keypoint(candidates: Candidates, chosen: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """For each chosen frame the keypoint whose votes are farthest apart."""
    worst = candidates.spread[torch.from_numpy(chosen)].argmax(1)
    return [names[k] for k in worst]
