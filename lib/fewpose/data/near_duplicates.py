"""Near-duplicates: pictures of one scene in two splits would turn a test into a memory."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fewpose.data.images import warn
from fewpose.data.pose_data import PoseData

SIDE = 20  # of the thumbnails that are compared
# Correlation of their edges above which two pictures show one scene: of LSP's training images 21 lie above it, nearly
# all of a test image's scene; of LSP Extended's 5,000 other scenes none.
ALIKE = 0.55


def thumbprints(frames: Tensor) -> Tensor:
    """Edges of a thumbnail of each frame [N, 3, H, W] uint8, as unit vectors [N, D].

    Black borders do not count, brightness and slow gradients (skies) neither.
    """
    prints = []
    for frame in frames:
        lit = frame.amax(0) > 0
        rows, columns = lit.any(1).nonzero().flatten(), lit.any(0).nonzero().flatten()
        if not len(rows):
            rows = columns = torch.tensor([0, 1])
        inside = frame[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].float()
        small = F.interpolate(inside[None], (SIDE, SIDE), mode="bilinear", antialias=True)[0]
        edges = torch.cat([small.diff(dim=1).flatten(), small.diff(dim=2).flatten()])
        prints.append(F.normalize(edges - edges.mean(), dim=0))
    return torch.stack(prints)


def without_neighbours(pool: PoseData, held_out: PoseData) -> PoseData:
    """The pool less every frame that shows the scene of a held-out one, mirrored or not.

    A warning names those left out: correlation of their thumbnails' edges above ALIKE.
    """
    theirs = torch.cat([thumbprints(held_out.frames), thumbprints(held_out.frames.flip(-1))])
    alike = (thumbprints(pool.frames) @ theirs.T).amax(1)
    near = (alike > ALIKE).numpy()
    if near.any():
        names = ", ".join(np.unique(pool.video[near]))
        warn(f"{pool.name}: {near.sum()} frames left out, they show held-out scenes: {names}")
    return pool.subset(~near)
