import dataclasses

import pytest
import torch
from torch import nn

from fewpose.augment import Augmentation, normalise
from fewpose.data.pose_data import PoseData, concatenate
from fewpose.feature_cache import CachedPoseData, cache_features
from fewpose.models.factory import build
from fewpose.models.pose_model import PoseModel
from fewpose.pseudo_labels import generate
from fewpose.training import Schedule, fit
from tiny import dots

GREY = Augmentation(flip=0.5, colour=0)


class TwoParts(PoseModel):
    """A frozen backbone under a head that learns, and reads images or the backbone's features."""

    keypoints, strides = 4, (1,)

    def __init__(self, frozen=True):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Conv2d(3, 5, 3, padding=1).requires_grad_(not frozen)
        self.head_layer = nn.Conv2d(5, 4, 3, padding=1)
        self.frozen = frozen

    @property
    def frozen_backbone(self):
        return self.trunk if self.frozen else None

    def forward(self, images):
        return [self.head_layer(self.trunk(images) if images.shape[1] == 3 else images)]


def test_cached_features_are_those_of_the_views(tmp_path):
    model, data = TwoParts(), dots(20, size=32)
    cached = cache_features(model, data, 5, tmp_path, augmentation=GREY, batch_size=8)
    index, which = torch.tensor([3, 3, 19, 0]), torch.tensor([0, 1, 4, 2])
    view, features = cached._view(index, which, "cpu")
    exact = model.trunk(normalise(view.images(data.frames[index])))
    assert features.shape == exact.shape
    assert (features - exact).abs().max() <= 0.07 * exact.abs().max()  # four bits of mantissa
    assert torch.equal(view.flipped[:2], torch.tensor([False, True]))
    assert torch.allclose(view.undo_poses(view.poses(data.poses[index])), data.poses[index], atol=1e-3)


def test_subsets_and_joins_keep_their_cached_features(tmp_path):
    cached = cache_features(TwoParts(), dots(20, size=32), 3, tmp_path, augmentation=GREY)
    part = concatenate(cached.subset([4, 7]), cached.unlabelled().subset([2]))
    assert part.features.row.tolist() == [4, 7, 2]
    one, *_ = part.features.read(torch.tensor([2]), torch.tensor([2]))
    other, *_ = cached.features.read(torch.tensor([2]), torch.tensor([2]))
    assert torch.equal(one, other)
    assert type(concatenate(cached, dots(3, size=32))) is type(concatenate(dots(3, size=32), cached)) is PoseData
    assert type(concatenate(cached, cache_features(TwoParts(), dots(3, size=32), 4, tmp_path))) is PoseData


def test_cached_features_of_several_files_join(tmp_path):
    first = cache_features(TwoParts(), dots(9, size=32), 3, tmp_path, augmentation=GREY)
    second = cache_features(TwoParts(), dots(5, size=32, seed=1), 3, tmp_path, augmentation=GREY)
    both = concatenate(second.subset([4, 0]), first, second)
    assert isinstance(both, CachedPoseData) and len(both.features.files) == 2
    index, which = torch.tensor([1, 0, 6, 14]), torch.tensor([0, 1, 2, 1])
    matrix, _, features = both.features.read(index, which)
    for i, (data, frame) in enumerate([(second, 0), (second, 4), (first, 4), (second, 3)]):
        own, _, expected = data.features.read(torch.tensor([frame]), which[i : i + 1])
        assert torch.equal(matrix[i], own[0]) and torch.equal(features[i], expected[0])


def test_cached_features_go_with_their_frames_not_with_others(tmp_path):
    cached = cache_features(TwoParts(), dots(20, size=32), 3, tmp_path, augmentation=GREY)
    assert type(cached.resized(16)) is PoseData


def test_a_second_call_reads_the_cache_and_other_inputs_do_not(tmp_path):
    model, data = TwoParts(), dots(6, size=32)
    path = cache_features(model, data, 3, tmp_path, augmentation=GREY).features.files[0].path
    before = path.stat().st_mtime_ns
    assert cache_features(model, data, 3, tmp_path, augmentation=GREY).features.files[0].path == path
    assert path.stat().st_mtime_ns == before
    with torch.no_grad():
        model.trunk.weight += 1
    brighter = dataclasses.replace(data, frames=data.frames.clamp_min(60))
    names = {
        path,
        cache_features(model, data, 3, tmp_path, augmentation=GREY).features.files[0].path,
        cache_features(TwoParts(), brighter, 3, tmp_path, augmentation=GREY).features.files[0].path,
        cache_features(TwoParts(), data, 3, tmp_path, seed=1, augmentation=GREY).features.files[0].path,
        cache_features(TwoParts(), data, 3, tmp_path).features.files[0].path,
    }
    assert len(names) == 5 == len(list(tmp_path.glob("*.features")))


def test_the_head_learns_from_cached_features(tmp_path):
    model = TwoParts()
    cached = cache_features(model, dots(40, size=32), 4, tmp_path, augmentation=Augmentation(0, colour=0))
    backbone = model.trunk.weight.clone()
    history = fit(model, cached, None, Schedule(60, 16, 2e-2), sigma=2)
    assert history.loss[-1] < history.loss[0] / 2
    assert torch.equal(model.trunk.weight, backbone)


def test_candidates_are_predicted_from_cached_features(tmp_path):
    model, data = TwoParts().eval(), dots(10, size=32)
    cached = cache_features(model, data, 4, tmp_path, augmentation=GREY)
    found = generate(model, cached, augmentations=2, batch_size=4)
    assert found.views.shape == (3, 10, 4, 3)
    fewer = generate(model, cached, augmentations=1, batch_size=4)
    assert torch.equal(fewer.views, found.views[:2])
    plain = generate(model, data, augmentations=0)  # base and mirror alone: the same first views
    assert (found.base - plain.base)[..., :2].norm(dim=-1).median() < 1
    with pytest.raises(ValueError, match="4 views of each frame are cached"):
        generate(model, cached, augmentations=10)


def test_refused(tmp_path):
    with pytest.raises(ValueError, match="frozen backbone only"):
        cache_features(TwoParts(frozen=False), dots(4), 3, tmp_path)
    with pytest.raises(ValueError, match="too few"):
        cache_features(TwoParts(), dots(4), 1, tmp_path)
    assert not list(tmp_path.glob("*.features"))


def test_a_network_that_learns_whole_caches_no_features(tmp_path):
    with pytest.raises(ValueError, match="frozen"):
        cache_features(build("movenet", 4), dots(4, size=32), 3, tmp_path)


def test_no_views_no_cache(tmp_path):
    data = dots(4, size=32)
    assert cache_features(build("movenet", 4), data, 0, tmp_path) is data and not list(tmp_path.iterdir())
