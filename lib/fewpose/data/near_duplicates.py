"""Near-duplicates: with images of one scene in training and test, the test would measure memorisation."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fewpose.data.images import warn
from fewpose.data.pose_data import PoseData

SIDE = 20  # of the thumbnails that are compared
# Correlation of their edges above which two images show one scene: 21 of LSP's training images lie above it, nearly
# all of which show a test image's scene, and none of LSP Extended's 5,000 images of other scenes.
SAME_SCENE = 0.55


def thumbnail_edges(frames: Tensor) -> Tensor:
    """Edges of a thumbnail of each frame [N, 3, H, W] uint8, as unit vectors [N, D].

    Black borders, brightness and slow gradients (skies) do not count.
    """
    vectors = []
    for frame in frames:
        bright = frame.amax(0) > 0
        rows, columns = bright.any(1).nonzero().flatten(), bright.any(0).nonzero().flatten()
        if not len(rows):
            rows = columns = torch.tensor([0, 1])
        inside = frame[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].float()
        small = F.interpolate(inside[None], (SIDE, SIDE), mode="bilinear", antialias=True)[0]
        edges = torch.cat([small.diff(dim=1).flatten(), small.diff(dim=2).flatten()])
        vectors.append(F.normalize(edges - edges.mean(), dim=0))
    return torch.stack(vectors)


def drop_near_duplicates(pool: PoseData, held_out: PoseData) -> PoseData:
    """The pool without the frames that show the scene of a held-out one, mirrored or not.

    Those have thumbnails whose edges correlate above SAME_SCENE; a warning names them.
    """
    held_out_edges = torch.cat([thumbnail_edges(held_out.frames), thumbnail_edges(held_out.frames.flip(-1))])
    similarity = (thumbnail_edges(pool.frames) @ held_out_edges.T).amax(1)
    near = (similarity > SAME_SCENE).numpy()
    if near.any():
        names = ", ".join(np.unique(pool.video[near]))
        warn(f"{pool.name}: {near.sum()} frames skipped, they show held-out scenes: {names}")
    return pool.subset(~near)
