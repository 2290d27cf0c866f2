import numpy as np
import pytest
import torch
from PIL import Image

from fewpose.low_resolution import low_resolution, sample_scales


def frames(n=3, size=(48, 64), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, *size), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("s", [2, 3.3, 8, 12])
def test_as_pil_makes_it(s):
    own = low_resolution(frames(), s)
    for frame, found in zip(frames(), own, strict=True):
        image = Image.fromarray(frame.permute(1, 2, 0).numpy())
        small = image.resize((int(64 / s), int(48 / s)), Image.Resampling.BILINEAR)
        large = np.asarray(small.resize((64, 48), Image.Resampling.BILINEAR)).astype(int)
        distance = np.abs(found.permute(1, 2, 0).numpy() - large)
        assert distance.max() <= 2 and distance.mean() < 0.5  # PIL rounds rows and columns each


def test_each_frame_its_own_scale():
    own = low_resolution(frames(), torch.tensor([1.0, 8, 2]))
    assert own.dtype == torch.uint8 and torch.equal(own[0], frames()[0])
    assert torch.equal(own[1:2], low_resolution(frames()[1:2], 8))
    assert torch.equal(own[2:], low_resolution(frames()[2:], 2))
    whole = low_resolution(frames().float(), 8)
    assert whole.dtype == torch.float32 and (whole - low_resolution(frames(), 8)).abs().max() < 1.1
    assert low_resolution(frames()[:0], 8).shape == (0, 3, 48, 64)


def test_constant_frames_stay():
    grey = torch.full((1, 3, 50, 70), 77, dtype=torch.uint8)
    assert torch.equal(low_resolution(grey, 12), grey)
    assert low_resolution(grey, 1) is grey


@pytest.mark.parametrize("s", [0.5, 49, float("nan")])
def test_scales_that_leave_nothing_are_refused(s):
    with pytest.raises(ValueError, match="can be downsampled 1 to 48 times"):
        low_resolution(frames(), s)


def test_the_papers_mixture():
    scales = sample_scales("all", 20000, torch.Generator().manual_seed(0))
    shares = [(scales == 1), (scales >= 2) & (scales < 8), (scales >= 8) & (scales <= 12)]
    for share, expected in zip(shares, (0.3, 0.35, 0.35), strict=True):
        assert float(share.double().mean()) == pytest.approx(expected, abs=0.012)
    assert float(scales[shares[1]].mean()) == pytest.approx(5, abs=0.1)
    assert float(scales[shares[2]].mean()) == pytest.approx(10, abs=0.1)
    released = sample_scales("all_as_released", 5000, torch.Generator().manual_seed(0))
    assert released.unique().tolist() == list(range(1, 12))
    assert sample_scales(12, 2, torch.Generator()).tolist() == [12, 12]
    with pytest.raises(ValueError, match="one of all, all_as_released; not 'some'"):
        sample_scales("some", 1, torch.Generator())
