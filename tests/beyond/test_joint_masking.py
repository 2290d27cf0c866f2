import pytest
import torch

from fewpose.augment import Augmentation
from fewpose.beyond.joint_masking import HALF, JITTER, MaskedConsistency, joint_cutmix, joint_cutout, patches
from tiny import dots


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def colours(n, height, width):
    """Images of one colour each, all different and none of them the grey of a patch."""
    shade = torch.linspace(10, 240, n).view(n, 1, 1, 1)
    return shade.expand(n, 3, height, width).clone()


def test_patches_lie_on_the_joints_that_are_known():
    poses = torch.tensor([[[40.0, 200.0, 2.0], [90.0, 10.0, 0.0]]])  # low in a tall image
    found = patches(torch.zeros(1, 3, 256, 96), poses, generator(), 400)
    centres = torch.tensor([[(c.start + c.stop - 1) / 2, (r.start + r.stop - 1) / 2] for _, (_, r, c) in found])
    assert (centres.mean(0) - torch.tensor([40.0, 200.0])).abs().max() < 1.5
    assert (centres.std(0) - 256 * JITTER).abs().max() < 1.5
    sides = [r.stop - r.start for _, (_, r, _) in found]
    assert 2 * 256 * HALF[0] - 1 <= min(sides) and max(sides) <= 2 * 256 * HALF[1] + 2


def test_cutout_covers_joints_and_nothing_else():
    images = colours(2, 256, 192)
    poses = torch.zeros(2, 3, 3)
    poses[0, 1] = torch.tensor([150.0, 60.0, 1.0])
    hidden = joint_cutout(images, poses, generator(), holes=8)
    assert torch.equal(hidden[1], images[1])  # nothing known, nothing hidden
    changed = (hidden[0] != images[0]).any(0)
    assert changed[60, 150]
    y, x = changed.nonzero().unbind(1)
    reach = 256 * (HALF[1] + 4 * JITTER)
    assert (x - 150).abs().max() < reach and (y - 60).abs().max() < reach
    assert torch.equal(images, colours(2, 256, 192))  # the input is left as it was
    assert (hidden[0][:, 60, 150] == 255 * torch.tensor([0.485, 0.456, 0.406])).all()


def test_cutmix_shows_a_joint_of_the_next_image():
    images = colours(2, 128, 128)
    images[1, :, 50:55, 20:25] = 255  # what the second person's joint looks like
    poses = torch.tensor([[[90.0, 80.0, 2.0]], [[22.0, 52.0, 2.0]]])
    mixed = joint_cutmix(images, poses, generator(), holes=1)
    changed = (mixed[0] != images[0]).any(0)
    y, x = changed.nonzero().unbind(1)
    assert (mixed[0][:, y, x] >= images[1].min()).all()
    white = (mixed[0] == 255).all(0)
    assert white.sum() == 25  # the joint came along whole, in the middle of the patch
    wy, wx = white.nonzero().float().mean(0)
    assert abs(wx - x.float().mean()) <= 1 and abs(wy - y.float().mean()) <= 1


@pytest.mark.parametrize("hide", [joint_cutout, joint_cutmix])
def test_joints_at_and_beyond_the_border(hide):
    poses = torch.tensor([[[0.0, 0.0, 2.0], [31.0, 31.0, 2.0]], [[-90.0, 500.0, 2.0]] * 2])
    hidden = hide(colours(2, 32, 32), poses, generator(), holes=5)
    assert hidden.shape == (2, 3, 32, 32) and hidden.isfinite().all()


@pytest.mark.parametrize("hide", [joint_cutout, joint_cutmix])
def test_the_same_generator_hides_the_same(hide):
    images, poses = torch.rand(3, 3, 64, 48) * 255, torch.rand(3, 4, 3) * 40
    assert torch.equal(hide(images, poses, generator(1)), hide(images, poses, generator(1)))
    assert not torch.equal(hide(images, poses, generator(1)), hide(images, poses, generator(2)))


def test_hidden_joints_still_count_in_the_loss():
    """Cutout covers the teacher's points in the student's view, whatever the loss compares."""
    data = dots(6, size=48)
    still = Augmentation(flip=0, rotation=0, shift=0, scale=(1, 1))
    loss = MaskedConsistency(data, 6, hide="cutout", augmentation=still)
    index, labels = torch.arange(6), data.poses
    view, images = loss.student_view(index, labels, torch.Generator().manual_seed(0))
    at = view.poses(labels)[..., :2].round().long()
    grey = [(images[i, :, y, x].abs() < 1e-4).all() for i in range(6) for x, y in at[i].tolist()]
    assert sum(grey) >= 12  # five patches about four joints miss one now and then
    assert loss.settings() != MaskedConsistency(data, 6, augmentation=still).settings()
    with pytest.raises(ValueError, match="hide is empty or one of cutout, cutmix, not 'mask'"):
        MaskedConsistency(data, 6, hide="mask")
