import pytest
import torch
from torch import nn

from fewpose import pseudo_labels as method
from fewpose.heatmaps import gaussian_targets
from fewpose.models.pose_model import PoseModel
from fewpose.pseudo_labels import Candidates, as_labels, generate, select
from tiny import SHADES, TinyNet, dots


class Oracle(PoseModel):
    """Finds each dot by its colour; in a mirrored view left and right must change names."""

    keypoints, strides = 4, (1,)

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        from fewpose.augment import MEAN, STD

        std, mean = torch.tensor(STD).view(3, 1, 1), torch.tensor(MEAN).view(3, 1, 1)
        pixels = 255 * (images * std + mean)
        maps = []
        for shade in SHADES.float():
            near = torch.exp(-((pixels - shade.view(3, 1, 1)) ** 2).sum(1) / 3000)
            mass = near.sum((1, 2)).clamp_min(1e-6)
            x = (near.sum(1) * torch.arange(near.shape[2])).sum(1) / mass
            y = (near.sum(2) * torch.arange(near.shape[1])).sum(1) / mass
            pose = torch.stack([x, y, torch.ones_like(x)], -1)[:, None]
            maps.append(gaussian_targets(pose, images.shape[-2:], 1, 2.0))
        return [torch.cat(maps, 1)]


def test_a_sure_network_agrees_with_itself_in_every_unflipped_view(monkeypatch):
    from fewpose import augment
    from fewpose.augment import Augmentation

    # the oracle tells dots by colour, not by side, so it predicts without mirrored views
    monkeypatch.setattr(augment, "flipped_view", lambda n, w, s, d: augment.base_view(n, s, d))
    monkeypatch.setattr(method, "VIEWS", Augmentation(flip=0, scale=(0.8, 1.2), colour=0))
    data = dots(6, size=48)
    found = generate(Oracle(), data, augmentations=4, seed=1)
    assert found.views.shape == (5, 6, 4, 3)
    assert (found.base[..., :2] - data.poses[..., :2]).abs().max() < 1
    assert found.spread.median() < 0.5


def test_mirrored_views_swap_sides():
    """An oracle blind to sides is wrong by the distance of left and right in the mirrored view."""
    data = dots(6, size=48)
    found = generate(Oracle(), data, augmentations=0)
    gap = (data.poses[:, [0, 2], :2] - data.poses[:, [1, 3], :2]).norm(dim=-1) ** 2
    assert torch.allclose(found.spread[:, [0, 2]], gap, rtol=0.3)


def test_labels_in_shards_are_those_in_one_piece_and_a_kill_loses_one_shard(tmp_path, monkeypatch):
    data, model = dots(11, size=16), TinyNet().eval()
    options = dict(augmentations=2, seed=3, batch_size=2)
    whole = generate(model, data, **options)
    predict, labelled = method.predict_views, []

    def dying(model, data, index, *more):
        if len(labelled) == 3:
            raise KeyboardInterrupt
        labelled.append(index.tolist())
        return predict(model, data, index, *more)

    monkeypatch.setattr(method, "predict_views", dying)
    with pytest.raises(KeyboardInterrupt):
        generate(model, data, **options, folder=tmp_path, shard=2)
    labelled = [[]] * 4
    found = generate(model, data, **options, folder=tmp_path, shard=2)
    assert labelled[4:] == [[4, 5], [6, 7], [8, 9], [10]]  # the shard of frames 0 to 3 was whole
    for part in ("base", "spread", "views"):
        assert torch.equal(getattr(found, part), getattr(whole, part)), part
    # a shard that went missing is made again, behind the others; nothing else is
    labelled.clear()
    labelled += [[]] * 4
    sorted(tmp_path.glob("*.pt"))[1].unlink()
    assert torch.equal(generate(model, data, **options, folder=tmp_path, shard=2).views, whole.views)
    assert labelled[4:] == [[4, 5], [6, 7]]
    generate(TinyNet(seed=1).eval(), data, **options, folder=tmp_path, shard=2)
    assert len(labelled) == 4 + 2 + 6  # another network, other labels


def candidates(n=10):
    base = torch.full((n, 3, 3), 5.0)
    spread = torch.stack([torch.arange(n), torch.arange(n).flip(0), torch.zeros(n)], 1).float()
    return Candidates(base, spread, base[None])


@pytest.mark.parametrize("percent", [0, 60, 70, 90, 100])
def test_exactly_p_percent_of_each_keypoint(percent):
    keep = select(candidates(), percent)
    assert keep.sum(0).tolist() == [percent / 10] * 3


def test_the_smallest_spread_is_kept_for_each_keypoint_alone():
    keep = select(candidates(), 30)
    assert keep[:, 0].nonzero().flatten().tolist() == [0, 1, 2]
    assert keep[:, 1].nonzero().flatten().tolist() == [7, 8, 9]


def test_scores_below_the_threshold_are_never_kept():
    c = candidates()
    c.base[:4, 0, 2] = 0.0999
    c.base[4, 0, 2] = 0.1
    keep = select(c, 100, threshold=0.1)
    assert keep[:, 0].tolist() == [False] * 4 + [True] * 6
    assert keep[:, 1].all()


def test_nothing_found_nothing_kept_and_bad_percent():
    c = candidates()
    c.spread.fill_(torch.inf)
    assert not select(c, 90).any()
    with pytest.raises(ValueError, match="between 0 and 100"):
        select(c, 120)


def test_labels_are_the_base_prediction_and_never_the_ground_truth():
    data = dots(10).unlabelled()
    c = Candidates(torch.rand(10, 4, 3) + 1, torch.rand(10, 4), torch.zeros(1, 10, 4, 3))
    keep = torch.zeros(10, 4, dtype=bool)
    keep[3, 1] = keep[7, 0] = True
    labels = as_labels(data, c, keep)
    assert len(labels) == 2
    assert torch.equal(labels.poses[0, 1, :2], c.base[3, 1, :2])
    assert labels.poses[..., 2].tolist() == [[0, 2, 0, 0], [2, 0, 0, 0]]
