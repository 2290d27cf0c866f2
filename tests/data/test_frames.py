import pickle

import numpy as np
import pytest
import torch

from fewpose.data.frames import Frames, change, join, select
from fewpose.low_resolution import low_resolution


@pytest.fixture
def stored(tmp_path):
    """Twelve frames in a file, their numbers as grey."""
    pixels = np.lib.format.open_memmap(tmp_path / "frames.npy", "w+", np.uint8, (12, 3, 8, 6))
    pixels[:] = np.arange(12)[:, None, None, None]
    pixels.flush()
    return torch.from_numpy(np.load(tmp_path / "frames.npy", mmap_mode="c"))


def numbers(frames):
    return frames[:, 0, 0, 0].tolist()


def test_subsets_of_subsets_and_joined_frames_are_read_in_order(stored):
    odd = select(stored, torch.tensor([1, 3, 5, 7]))
    assert isinstance(odd, torch.Tensor) and odd.shape == (4, 3, 8, 6) and odd.dtype == torch.uint8
    some = select(odd, np.array([-1, 0]))
    other = torch.full((2, 3, 8, 6), 99, dtype=torch.uint8)
    both = join([some, other, select(stored, torch.tensor([0, 7]))])
    assert numbers(both) == [7, 1, 99, 99, 0, 7]
    assert len(both.parts) == 2  # the file once
    assert numbers(both[torch.tensor([4, 0, 0])]) == [0, 7, 7] and numbers(both[-2:]) == [0, 7]
    assert numbers(both[[False, True, True, False, False, False]]) == [1, 99]
    assert both[-1].shape == (3, 8, 6) and int(both[-1][0, 0, 0]) == 7
    assert [numbers(part) for part in both.split(4)] == [[7, 1, 99, 99], [0, 7]]
    assert [int(frame[0, 0, 0]) for frame in both] == numbers(both)
    assert len(select(odd, [])) == 0 and select(odd, [])[:].shape == (0, 3, 8, 6)
    with pytest.raises(IndexError):
        select(odd, [4])


def test_it_computes_as_the_tensor_that_it_stands_for(stored):
    index = torch.tensor([2, 9])
    frames, plain = select(stored, index), stored[index]
    assert torch.equal(frames, plain) and (frames == plain).all() and torch.equal(frames.flip(-1), plain.flip(-1))
    assert torch.equal(frames.float() / 255, plain.float() / 255)
    assert torch.equal(torch.cat([frames, plain]), plain.repeat(2, 1, 1, 1))
    assert np.array_equal(frames.numpy(), plain.numpy())
    assert torch.equal(pickle.loads(pickle.dumps(frames)), plain)
    for write in (lambda: frames.add_(1), lambda: frames.__setitem__(0, 3)):
        with pytest.raises(TypeError, match="read-only"):
            write()


def test_nothing_is_read_before_it_is_needed(stored, monkeypatch):
    read = []
    monkeypatch.setattr(Frames, "_read", lambda self, part, row: read.append(len(row)) or stored[row])
    frames = join([select(stored, range(12)), select(stored, [3])])
    frames = select(frames, np.arange(13) % 5)
    assert len(frames) == 13 and frames.ndim == 4 and not read
    next(iter(frames.split(4)))
    assert read == [4]


def test_a_change_is_made_when_frames_are_read(stored):
    frames = change(select(stored, [4, 5, 6]), lambda some: some + 100)
    assert numbers(select(frames, [2, 0])) == [106, 104] and int(frames[1, 0, 0, 0]) == 105
    assert numbers(join([frames, stored[:1]])) == [104, 105, 106, 0]


def test_low_resolution_of_stored_frames_is_that_of_tensors(stored):
    noise = torch.randint(0, 256, (5, 3, 24, 36), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    lowered = low_resolution(select(noise, range(5)), 4)
    assert isinstance(lowered, Frames) and torch.equal(lowered, low_resolution(noise, 4))
