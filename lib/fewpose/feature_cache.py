"""Fixed views of every frame and what a frozen backbone answers to them, computed once.

A backbone that does not learn gives the same maps for the same view, in every epoch, training and round of pseudo
labels. Kept on disk they leave only the head to be computed: on two cores that trains 140 images a second instead of
50, and labels 12 views of a frame anew in the time of one.
"""

from __future__ import annotations

import math
import os
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from fewpose.augment import Augmentation, View, labelling_views, network_input, normalise, random_view
from fewpose.speed.precision import half_precision

if TYPE_CHECKING:
    from fewpose.data.pose_data import PoseData

# Eight bits with a floating point halve the file and cost no PCK: maps need no fourth digit.
KEPT = torch.float8_e4m3fn


@dataclass(frozen=True)
class Kept:
    """One file of the maps of V views of M frames: views [M, V, 2, 3] as matrices, flips [M, V]."""

    path: Path
    matrix: Tensor
    flipped: Tensor


@dataclass(frozen=True)
class Views:
    """V views of N frames, with the backbone's maps of each in files.

    file, row  [N] which of the files a frame's views are in, and which frame of it that is
    shapes     [C, h, w] of each map of one view
    """

    files: tuple[Kept, ...]
    file: Tensor
    row: Tensor
    shapes: tuple[tuple[int, int, int], ...]
    skeleton: object

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, index: Tensor) -> Views:
        return replace(self, file=self.file[index], row=self.row[index])

    @property
    def count(self) -> int:
        """How many views there are of each frame: base, mirrored, and random ones."""
        return self.files[0].matrix.shape[1]

    def take(self, index: Tensor, view: Tensor, device: torch.device | str = "cpu") -> tuple[View, list[Tensor]]:
        """View `view[i]` of frame `index[i]`: the views, and the maps [n, C, h, w] of each scale.

        Both come on `device`. OSError if a file is gone.
        """
        sizes = [math.prod(shape) for shape in self.shapes]
        size = sum(sizes)
        found = np.empty((len(index), size), np.uint8)
        matrix, flipped = torch.empty(len(index), 2, 3), torch.empty(len(index), dtype=torch.bool)
        for number, kept in enumerate(self.files):
            here = (self.file[index] == number).nonzero().flatten()
            rows, which = self.row[index[here]], view[here]
            matrix[here], flipped[here] = kept.matrix[rows, which], kept.flipped[rows, which]
            with open(kept.path, "rb") as file:  # read, not mapped: memory stays small
                for i, record in zip(here, (rows * self.count + which).tolist(), strict=True):
                    file.seek(record * size)
                    file.readinto(found[i])
        flat = torch.from_numpy(found).view(KEPT).split(sizes, 1)
        maps = [
            part.unflatten(1, (h, w, c)).permute(0, 3, 1, 2).float().to(device)
            for part, (c, h, w) in zip(flat, self.shapes, strict=True)
        ]
        return View(matrix, flipped, self.skeleton).to(device), maps

    def answer(self, model: nn.Module, index: Tensor, view: Tensor) -> tuple[View, list[Tensor]]:
        """The views that `take` gives and the model's heat maps of them: its head alone works."""
        device = next(model.parameters()).device
        looked, maps = self.take(index, view, device)
        with half_precision(device):
            return looked, model.head_maps(maps)


def join(parts: list[Views]) -> Views | None:
    """The views of several parts, one after the other; None if they are not of one kind."""
    if len({(v.shapes, v.count) for v in parts}) > 1:
        return None
    files = list({kept.path: kept for v in parts for kept in v.files}.values())
    number = {kept.path: i for i, kept in enumerate(files)}
    file = [torch.tensor([number[k.path] for k in v.files])[v.file] for v in parts]
    row = torch.cat([v.row for v in parts])
    return replace(parts[0], files=tuple(files), file=torch.cat(file), row=row)


def random_look(
    model: nn.Module,
    data: PoseData,
    index: Tensor,
    augmentation: Augmentation,
    generator: torch.Generator,
    first: int = 0,
) -> tuple[View, list[Tensor]]:
    """A random view of some frames and what the model starts from there: images, or kept maps.

    The views are new ones, or drawn from the fixed ones that `data` brings along, from number `first` on (1 leaves
    out the frame as it is).
    """
    device = next(model.parameters()).device
    if data.views is not None:
        which = torch.randint(first, data.views.count, (len(index),), generator=generator)
        return data.views.take(index, which, device)
    view = random_view(len(index), data.size, data.skeleton, augmentation, generator, device)
    frames = data.frames[index].to(device)
    return view, [network_input(view, frames, augmentation.colour, generator)]


def answer(model: nn.Module, data: PoseData, inputs: list[Tensor]) -> list[Tensor]:
    """The model's answers to what `random_look` saw of `data`; to kept maps by its head alone."""
    with half_precision(inputs[0].device):
        return model(*inputs) if data.views is None else model.head_maps(inputs)


@torch.no_grad()
def look(
    model: nn.Module,
    data: PoseData,
    count: int,
    folder: Path,
    seed: int = 0,
    augmentation: Augmentation = Augmentation(),
    batch_size: int = 16,
) -> PoseData:
    """`data` with `count` views of each frame (base, mirrored, random) through a frozen backbone.

    The maps lie in one file in `folder`, named by all they depend on, and are read if they are there: trainings that
    share frames and backbone share it. ValueError if a part of the backbone still learns, for then its maps change,
    or with fewer than two views.
    """
    if count < 2:
        raise ValueError(f"views: {count} is too few, the first two are the base and its mirror")
    if not is_frozen(model):
        raise ValueError("views are kept of a frozen backbone only; this one learns, or has none")
    device = next(model.parameters()).device
    model.eval()
    matrix, flipped = fixed_views(data, count, seed, augmentation)
    name = identity(model, data, matrix, flipped, augmentation)
    first = normalise(data.frames[:1].to(device))
    shapes = tuple(tuple(m.shape[1:]) for m in model.backbone_maps(first))
    kept = Kept(Path(folder) / f"{name}.views", matrix, flipped)
    if not kept.path.exists():
        kept.path.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.path.with_suffix(f".{os.getpid()}")
        try:
            with open(partial, "wb") as file:
                for index in tqdm(
                    torch.arange(len(data)).split(batch_size),
                    leave=False,
                    desc=f"{count} views through the frozen backbone",
                ):
                    file.write(records(model, data, index, kept, seed, augmentation))
            os.replace(partial, kept.path)
        finally:
            partial.unlink(missing_ok=True)
    every = torch.arange(len(data))
    views = Views((kept,), torch.zeros_like(every), every, shapes, data.skeleton)
    return replace(data, views=views)


def records(
    model: nn.Module, data: PoseData, index: Tensor, kept: Kept, seed: int, augmentation: Augmentation
) -> bytes:
    """The records of some frames: for each frame, each view, all maps one after the other."""
    device = next(model.parameters()).device
    frames = data.frames[index].to(device)
    generator = torch.Generator().manual_seed(zlib.crc32(f"colour/{seed}/{index[0]}".encode()))
    found = []
    for v in range(kept.matrix.shape[1]):
        view = View(kept.matrix[index, v].to(device), kept.flipped[index, v], data.skeleton)
        images = network_input(view, frames, augmentation.colour if v > 1 else 0, generator)
        # channels last, as convolutions read them fastest
        maps = [m.permute(0, 2, 3, 1).flatten(1).to(KEPT) for m in model.backbone_maps(images)]
        found.append(torch.cat([m.view(torch.uint8) for m in maps], 1).cpu())
    return torch.stack(found, 1).numpy().tobytes()


def fixed_views(data: PoseData, count: int, seed: int, augmentation: Augmentation) -> tuple[Tensor, Tensor]:
    """Matrices [N, V, 2, 3] and flips [N, V] of the base view, the mirrored one and random ones."""
    n, generator = len(data), torch.Generator().manual_seed(seed)
    views = labelling_views(n, data.size, data.skeleton, count - 2, augmentation, generator)
    return torch.stack([v.matrix for v in views], 1), torch.stack([v.flipped for v in views], 1)


def is_frozen(model: nn.Module) -> bool:
    """Whether the model has a part that comes first, its `trunk`, and nothing of it learns."""
    trunk = getattr(model, "trunk", None)  # that of a HigherHRNet is a function, and learns
    parts = list(trunk.parameters()) if isinstance(trunk, nn.Module) else []
    return bool(parts) and not any(p.requires_grad for p in parts)


def identity(model: nn.Module, data: PoseData, matrix: Tensor, flipped: Tensor, augmentation: Augmentation) -> str:
    """A name for all that the maps depend on: frames, backbone, views, colours, number format."""
    mark = zlib.crc32(repr((KEPT, augmentation, data.frames.shape)).encode())
    for part in data.frames.split(64):
        mark = zlib.crc32(part.contiguous().numpy(), mark)
    for tensor in (matrix, flipped, *model.trunk.state_dict().values()):
        mark = zlib.crc32(tensor.detach().cpu().contiguous().numpy(), mark)
    return f"{data.name.replace(' ', '_')}_{matrix.shape[1]}x{len(data)}_{mark:08x}"
