"""Frames that stay where they are, in memory-mapped files or other tensors, until some of them are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only


class Frames(Tensor):
    """Frames [N, C, H, W] of which only the places are stored: `part` [N] of the tensors `parts`, and `row` [N] in it.

    An index, a slice or `split` along the frames reads those frames and no other, as an ordinary tensor, after
    `change` was applied to them. As a tensor it goes anywhere, but any other operation reads all frames first.
    """

    @staticmethod
    def __new__(
        cls, parts: Sequence[Tensor], part: Tensor, row: Tensor, change: Callable[[Tensor], Tensor] | None = None
    ) -> Frames:
        return Tensor._make_wrapper_subclass(cls, (len(row), *parts[0].shape[1:]), dtype=parts[0].dtype)

    def __init__(
        self, parts: Sequence[Tensor], part: Tensor, row: Tensor, change: Callable[[Tensor], Tensor] | None = None
    ):
        self.parts, self.part, self.row, self.change = tuple(parts), part, row, change

    def __getitem__(self, key: object) -> Tensor:
        if isinstance(key, int | np.integer):
            return self._read(self.part[[int(key)]], self.row[[int(key)]])[0]
        if isinstance(key, tuple) or key is None or key is Ellipsis:
            return self[:][key]
        if not isinstance(key, slice):
            key = torch.as_tensor(np.asarray(key) if not isinstance(key, Tensor) else key)
        return self._read(self.part[key], self.row[key])

    def _read(self, part: Tensor, row: Tensor) -> Tensor:
        if len(self.parts) == 1:
            found = self.parts[0][row]
        else:
            found = torch.empty(len(row), *self.shape[1:], dtype=self.dtype)
            for number, frames in enumerate(self.parts):
                here = part == number
                if here.any():
                    found[here] = frames[row[here]]
        return found if self.change is None else self.change(found)

    def __setitem__(self, key: object, value: object) -> None:
        raise TypeError("these frames are read-only: copy them first, frames[:]")

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def split(self, size: int) -> Iterator[Tensor]:
        """The frames in order, `size` at a time, each group read when its turn comes."""
        return (self[first : first + size] for first in range(0, len(self), size))

    def numpy(self) -> np.ndarray:
        return self[:].numpy()

    def tolist(self) -> list:
        return self[:].tolist()

    def __repr__(self, **_: object) -> str:
        return f"Frames({list(self.shape)} of {len(self.parts)} tensors)"

    def __reduce_ex__(self, protocol: object) -> tuple:
        return Frames, (self.parts, self.part, self.row, self.change)

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if function._schema.is_mutable and isinstance(args[0], Frames):
            raise TypeError("these frames are read-only: copy them first, frames[:]")
        args, kwargs = tree_map_only(Frames, lambda frames: frames[:], (args, kwargs or {}))
        return function(*args, **kwargs)


def select(frames: Tensor, index: np.ndarray | Tensor) -> Frames:
    """The frames at the given indices; no pixels are copied."""
    index = torch.as_tensor(index, dtype=torch.long)
    index = torch.where(index < 0, index + len(frames), index)
    if len(index) and not 0 <= index.min() <= index.max() < len(frames):
        raise IndexError(f"frame {int(index.max())} of {len(frames)}")
    if isinstance(frames, Frames):
        return Frames(frames.parts, frames.part[index], frames.row[index], frames.change)
    return Frames((frames,), torch.zeros_like(index), index)


def join(several: Sequence[Tensor]) -> Frames:
    """Frames of the same size, one after the other; no pixels are copied."""
    parts: dict[int, Tensor] = {}
    part, row = [], []
    for frames in several:
        if not isinstance(frames, Frames) or frames.change is not None:
            frames = Frames((frames,), torch.zeros(len(frames), dtype=torch.long), torch.arange(len(frames)))
        parts |= {id(tensor): tensor for tensor in frames.parts}
        numbers = torch.tensor([list(parts).index(id(tensor)) for tensor in frames.parts])
        part.append(numbers[frames.part])
        row.append(frames.row)
    return Frames(tuple(parts.values()), torch.cat(part), torch.cat(row))


def change(frames: Frames, how: Callable[[Tensor], Tensor]) -> Frames:
    """The frames with `how`, which keeps their size and type, applied to those that are read, when they are read."""
    return Frames((frames,), torch.zeros(len(frames), dtype=torch.long), torch.arange(len(frames)), how)
