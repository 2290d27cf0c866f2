import dataclasses

import pytest
import torch
from torch import nn

from fewpose.augment import Augmentation, normalise
from fewpose.data.pose_data import concatenate
from fewpose.feature_cache import look
from fewpose.models.factory import build
from fewpose.models.pose_model import PoseModel
from fewpose.pseudo_labels import generate
from fewpose.training import Schedule, fit
from tiny import dots

GREY = Augmentation(flip=0.5, colour=0)


class TwoParts(PoseModel):
    """A frozen backbone of two scales under a head that learns."""

    keypoints, strides = 4, (1,)

    def __init__(self, frozen=True):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 5, 3, padding=1).requires_grad_(not frozen)
        self.head_layer = nn.Conv2d(8, 4, 3, padding=1)

    @property
    def trunk(self):
        return self.first

    def backbone_maps(self, images):
        return [self.trunk(images), images[:, :, ::2, ::2]]

    def head_maps(self, maps):
        fine = nn.functional.interpolate(maps[1], scale_factor=2)
        return [self.head_layer(torch.cat([maps[0], fine], 1))]

    def forward(self, images):
        return self.head_maps(self.backbone_maps(images))


def test_kept_maps_are_those_of_the_views(tmp_path):
    model, data = TwoParts(), dots(20, size=32)
    looked = look(model, data, 5, tmp_path, augmentation=GREY, batch_size=8)
    index, which = torch.tensor([3, 3, 19, 0]), torch.tensor([0, 1, 4, 2])
    view, maps = looked.views.take(index, which)
    expected = model.backbone_maps(normalise(view.images(data.frames[index])))
    for kept, exact in zip(maps, expected, strict=True):
        assert kept.shape == exact.shape
        assert (kept - exact).abs().max() <= 0.07 * exact.abs().max()  # four bits of mantissa
    assert torch.equal(view.flipped[:2], torch.tensor([False, True]))
    assert torch.allclose(view.undo_poses(view.poses(data.poses[index])), data.poses[index], atol=1e-3)


def test_subsets_and_joins_keep_their_views(tmp_path):
    looked = look(TwoParts(), dots(20, size=32), 3, tmp_path, augmentation=GREY)
    part = concatenate(looked.subset([4, 7]), looked.unlabelled().subset([2]))
    assert part.views.row.tolist() == [4, 7, 2]
    one, _ = part.views.take(torch.tensor([2]), torch.tensor([2]))
    other, _ = looked.views.take(torch.tensor([2]), torch.tensor([2]))
    assert torch.equal(one.matrix, other.matrix)
    assert concatenate(looked, dots(3, size=32)).views is None
    assert concatenate(looked, look(TwoParts(), dots(3, size=32), 4, tmp_path)).views is None


def test_views_of_several_files_join(tmp_path):
    first = look(TwoParts(), dots(9, size=32), 3, tmp_path, augmentation=GREY)
    second = look(TwoParts(), dots(5, size=32, seed=1), 3, tmp_path, augmentation=GREY)
    both = concatenate(second.subset([4, 0]), first, second)
    assert len(both.views.files) == 2
    index, which = torch.tensor([1, 0, 6, 14]), torch.tensor([0, 1, 2, 1])
    view, maps = both.views.take(index, which)
    for i, (data, frame) in enumerate([(second, 0), (second, 4), (first, 4), (second, 3)]):
        own, expected = data.views.take(torch.tensor([frame]), which[i : i + 1])
        assert torch.equal(view.matrix[i], own.matrix[0])
        assert all(torch.equal(m[i], e[0]) for m, e in zip(maps, expected, strict=True))


def test_views_go_with_their_frames_not_with_others(tmp_path):
    looked = look(TwoParts(), dots(20, size=32), 3, tmp_path, augmentation=GREY)
    assert looked.resized(16).views is None


def test_a_second_look_reads_and_another_one_does_not(tmp_path):
    model, data = TwoParts(), dots(6, size=32)
    path = look(model, data, 3, tmp_path, augmentation=GREY).views.files[0].path
    before = path.stat().st_mtime_ns
    assert look(model, data, 3, tmp_path, augmentation=GREY).views.files[0].path == path
    assert path.stat().st_mtime_ns == before
    with torch.no_grad():
        model.trunk.weight += 1
    brighter = dataclasses.replace(data, frames=data.frames.clamp_min(60))
    names = {
        path,
        look(model, data, 3, tmp_path, augmentation=GREY).views.files[0].path,
        look(TwoParts(), brighter, 3, tmp_path, augmentation=GREY).views.files[0].path,
        look(TwoParts(), data, 3, tmp_path, seed=1, augmentation=GREY).views.files[0].path,
        look(TwoParts(), data, 3, tmp_path).views.files[0].path,
    }
    assert len(names) == 5 == len(list(tmp_path.iterdir()))


def test_the_head_learns_from_kept_views(tmp_path):
    model = TwoParts()
    looked = look(model, dots(40, size=32), 4, tmp_path, augmentation=Augmentation(0, colour=0))
    backbone = model.trunk.weight.clone()
    history = fit(model, looked, None, Schedule(60, 16, 2e-2), sigma=2)
    assert history.loss[-1] < history.loss[0] / 2
    assert torch.equal(model.trunk.weight, backbone)


def test_agreement_is_asked_of_the_kept_views(tmp_path):
    model, data = TwoParts().eval(), dots(10, size=32)
    looked = look(model, data, 4, tmp_path, augmentation=GREY)
    found = generate(model, looked, augmentations=2, batch_size=4)
    assert found.views.shape == (3, 10, 4, 3)
    fewer = generate(model, looked, augmentations=1, batch_size=4)
    assert torch.equal(fewer.views, found.views[:2])
    plain = generate(model, data, augmentations=0)  # base and mirror alone: the same first views
    assert (found.base - plain.base)[..., :2].norm(dim=-1).median() < 1
    with pytest.raises(ValueError, match="brings 4 views along"):
        generate(model, looked, augmentations=10)


def test_refused(tmp_path):
    with pytest.raises(ValueError, match="frozen backbone only"):
        look(TwoParts(frozen=False), dots(4), 3, tmp_path)
    with pytest.raises(ValueError, match="too few"):
        look(TwoParts(), dots(4), 1, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_network_that_learns_whole_keeps_no_views(tmp_path):
    with pytest.raises(ValueError, match="frozen"):
        look(build("narrow", 4), dots(4, size=32), 3, tmp_path)
