"""Every case runs at a tiny size, those for the GPU on the CPU."""

import math
import re
from functools import partial

import pytest
import torch

from benchmarks import augmentation, frames, gpu, harness, heatmaps, people, steps
from fewpose.models.higher_hrnet import narrow_higher_hrnet

SMALL = {
    "targets": partial(heatmaps.targets, (64, 48), 2),
    "decoding": partial(heatmaps.decoding, (64, 48), 2),
    "decoding_hrnet": partial(heatmaps.decoding, (64, 48), 2, parser=False),
    "smooth_decoding": partial(heatmaps.smooth_decoding, (64, 48), 2),
    "reading": partial(frames.reading, 12, 64, 3),
    "mean_teacher": partial(steps.mean_teacher, 64, 2),
    "average": steps.moving_average,
    "cutout": partial(steps.masked_joints, "cutout", (64, 48), 2),
    "cutmix": partial(steps.masked_joints, "cutmix", (64, 48), 2),
    "matrices": partial(gpu.matrices, 32, "cpu"),
    "training": partial(gpu.training, 64, 2, False, "cpu", narrow_higher_hrnet, 32),
    "rcnn": partial(people.training, 64, 1, 1, regions=8),
    "student": partial(people.finding, people=1),
    **{
        library: partial(augmentation.augment, library, (64, 48), 2)
        for library in ("albumentations", "kornia", "torchvision")
    },
}


@pytest.mark.parametrize("name", SMALL)
def test_a_case_gives_a_row(name, monkeypatch):
    monkeypatch.setattr(harness, "BLOCK", 1e-4)
    (row,) = harness.run({name: SMALL[name]}, 1)
    if math.isnan(row["ratio"]):
        pytest.skip(row["notes"])
    assert row["ours"] > 0 and row["reference"] > 0 and row["unit"].endswith("/s")
    if name == "training":
        pattern = r"TFLOP/s of counted \d+ GFLOP an image, .*% of .* for bf16 matrices, 0.0 GiB peak"
        assert re.search(pattern, row["notes"])


@pytest.mark.parametrize("library", ["albumentations", "kornia", "torchvision"])
def test_the_libraries_do_the_same_work(library):
    torch.manual_seed(0)
    images = augmentation.smooth_frames(40, (64, 48))
    poses = torch.rand(40, 17, 3) * 40
    try:
        made, moved = getattr(augmentation, library)(images, poses)()
    except harness.Missing as missing:
        pytest.skip(str(missing))
    assert made.shape == (40, 3, 64, 48) and made.dtype == torch.float32
    assert tuple(moved.shape) == (40, 17, 2)
    ours, ours_moved = augmentation.augment(library, (64, 48), 40).ours()
    assert abs(made.mean() - ours.mean()) < 0.35 and abs(made.std() - ours.std()) < 0.35
    assert abs(torch.as_tensor(moved).float().std() - ours_moved[..., :2].std()) < 8


def test_operations_are_counted_forward_and_backward():
    layer = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    model = torch.nn.Sequential(layer)
    model.forward = lambda images: [layer(images)]
    multiplications = 3 * 8 * 9 * 16 * 16
    # twice for forward, and for the gradient of the weights; the images need none
    assert gpu.counted(model, 16, "cpu") == 4 * multiplications


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_step_on_a_gpu():
    (row,) = harness.run({"x": partial(gpu.training, 128, 4, matrix=1024)}, 1)
    assert row["ratio"] > 0
