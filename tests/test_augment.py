import pytest
import torch

from fewpose import geometry
from fewpose.augment import Augmentation, base_view, flipped_view, jitter_colour, normalise, random_view
from fewpose.heatmaps import decode, gaussian_targets
from fewpose.skeleton import JUMP


def poses(n=6, k=20):
    torch.manual_seed(0)
    xy = 30 + 60 * torch.rand(n, k, 2)
    return torch.cat([xy, torch.full((n, k, 1), 2.0)], -1)


def test_undo_is_the_inverse_on_points():
    view = random_view(6, (128, 128), JUMP, Augmentation(), torch.Generator().manual_seed(1))
    p = poses()
    assert view.flipped.any() and not view.flipped.all()
    assert torch.allclose(view.undo_poses(view.poses(p)), p, atol=1e-3)


def test_flip_swaps_left_and_right_names():
    view = flipped_view(1, 128, JUMP)
    p = poses(1)
    out = view.poses(p)
    left, right = JUMP.index("left_wrist"), JUMP.index("right_wrist")
    assert torch.allclose(out[0, left, 0], 127 - p[0, right, 0])
    assert torch.allclose(out[0, left, 1], p[0, right, 1])


def test_undo_of_heatmaps_puts_peaks_home():
    view = random_view(6, (128, 128), JUMP, Augmentation(), torch.Generator().manual_seed(2))
    p = poses()
    seen = view.poses(p)
    maps = gaussian_targets(seen, (128, 128), 4)
    home = decode(view.undo_heatmaps(maps, 4), 4)
    shown = ((seen[..., :2] > 8) & (seen[..., :2] < 119)).all(-1)
    shown = view.rename(shown)
    error = (home[..., :2] - p[..., :2]).norm(dim=-1)[shown]
    assert shown.float().mean() > 0.5
    assert error.max() < 1.5 and error.mean() < 0.5  # cells are 4 px wide


VIEWS = {  # and how far a heat map may be off after two bilinear warps, its peaks being 1
    "flip": (Augmentation(flip=1, rotation=0, shift=0, scale=(1, 1)), 1e-4),
    "rotation": (Augmentation(flip=0, rotation=30, shift=0, scale=(1, 1)), 0.12),
    "scale": (Augmentation(flip=0, rotation=0, shift=0, scale=(0.75, 1.5)), 0.2),
    "all": (Augmentation(flip=0.5), 0.2),
}


@pytest.mark.parametrize("kind", VIEWS)
def test_a_view_and_its_inverse_are_the_identity(kind):
    """To 1e-3 px on points; on heat maps, where the view shows them, to a tolerance each."""
    augmentation, tolerance = VIEWS[kind]
    view = random_view(8, (128, 128), JUMP, augmentation, torch.Generator().manual_seed(3))
    p = poses(8)
    assert (view.undo_poses(view.poses(p)) - p)[..., :2].abs().max() < 1e-3
    maps = gaussian_targets(p, (128, 128), 2)
    there = geometry.warp(view.rename(maps), geometry.at_stride(view.matrix, 2), (64, 64))
    home = view.undo_heatmaps(there, 2)
    shown = view.shows((64, 64), 2)
    assert shown.float().mean() > 0.5
    assert ((home - maps) * shown).abs().max() < tolerance


def test_ranges_are_kept_and_reached():
    a = Augmentation(flip=0, rotation=30, shift=0, scale=(0.75, 1.5))
    view = random_view(2000, (100, 100), JUMP, a, torch.Generator().manual_seed(0))
    magnification = view.matrix[:, :, :2].det().sqrt()
    angle = torch.rad2deg(torch.atan2(view.matrix[:, 1, 0], view.matrix[:, 0, 0]))
    assert 1 / 1.5 <= magnification.min() < 0.68 and 1.31 < magnification.max() <= 1 / 0.75 + 1e-4
    assert -30.001 <= angle.min() < -29 and 29 < angle.max() <= 30.001


def test_base_view_changes_nothing():
    frames = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    view = base_view(2, JUMP)
    assert torch.allclose(view.images(frames), frames.float(), atol=1e-2)


def test_colour_jitter_is_brightness_contrast_saturation_in_turn():
    images = 255 * torch.rand(4, 3, 8, 8)
    generator = torch.Generator().manual_seed(5)
    factors = 1 + 0.1 * (2 * torch.rand(4, 3, generator=torch.Generator().manual_seed(5)) - 1)
    expected = []
    for image, (b, c, s) in zip(images, factors, strict=True):
        luma = torch.tensor([0.299, 0.587, 0.114])
        grey = (image * luma.view(3, 1, 1)).sum(0)
        image = s * image + (1 - s) * grey
        image = c * image + (1 - c) * grey.mean()
        expected.append(b * image)
    out = jitter_colour(images, 0.1, generator)
    assert torch.allclose(out, torch.stack(expected).clamp(0, 255), atol=0.05)
    same = jitter_colour(images, 0.0, torch.Generator().manual_seed(5))
    assert torch.allclose(same, images, atol=1e-3)


def test_normalise_has_imagenet_mean_at_zero():
    image = 255 * torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert normalise(image).abs().max() < 1e-5
