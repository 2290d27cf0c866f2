import pytest
import torch

from fewpose.augment import normalise
from fewpose.beyond.published_head import (
    REACH,
    PublishedHead,
    body_size,
    fit_keypoint_map,
    fuse,
    limb_to,
    mirrored,
    namesakes,
    partners,
    predict_cropped,
    predict_views,
    published_head,
    shared_keypoints,
    vote,
)
from fewpose.pseudo_labels import Candidates, select
from fewpose.skeleton import HALPE, JUMP, Skeleton
from tiny import DOTS, SHADES, dots


def people(n=40, seed=0):
    """Halpe poses [n, 26, 3] of one figure, turned a little, at other sizes and places."""
    g = torch.Generator().manual_seed(seed)
    figure = 20 * torch.randn(26, 2, generator=torch.Generator().manual_seed(9))
    angle = 0.5 * torch.randn(n, generator=g)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], -2)
    scale = 0.8 + torch.rand(n, 1, 1, generator=g)
    points = scale * (figure @ turn.mT) + 100 * torch.rand(n, 1, 2, generator=g)
    return torch.cat([points, torch.ones(n, 26, 1)], -1)


def along_the_forearm(predictions, part=0.1):
    """Ground truth in the jump skeleton: namesakes, toes at the big toe, hands `part` body sizes on."""
    names = [
        n if n in HALPE.keypoints else n.replace("toe", "big_toe").replace("hand", "wrist") for n in JUMP.keypoints
    ]
    ground_truth = predictions[:, [HALPE.index(n) for n in names]].clone()
    for side in ("left", "right"):
        wrist, elbow = (predictions[:, HALPE.index(f"{side}_{p}"), :2] for p in ("wrist", "elbow"))
        along = (wrist - elbow) / (wrist - elbow).norm(dim=-1, keepdim=True)
        ground_truth[:, JUMP.index(f"{side}_hand"), :2] += part * body_size(predictions)[:, None] * along
    return ground_truth


def test_a_hand_is_learnt_as_the_forearm_prolonged():
    predictions = people()
    ground_truth = along_the_forearm(predictions)
    few = fit_keypoint_map(predictions[:12], ground_truth[:12], HALPE, JUMP)
    assert (few(predictions[12:]) - ground_truth[12:])[..., :2].norm(dim=-1).max() < 0.05
    names = [HALPE.keypoints[p] for p in few.partner]
    assert names[JUMP.index("left_hand")] == "left_wrist"
    assert names[JUMP.index("right_toe")] == "right_big_toe"
    assert torch.allclose(few.offset[JUMP.index("left_hand")], torch.tensor([0.1, 0.0]), atol=1e-3)
    plain = fit_keypoint_map(predictions[:12], ground_truth[:12], HALPE, JUMP, corrected=False)
    assert torch.equal(plain(predictions)[:, JUMP.index("head")], predictions[:, HALPE.index("head")])
    assert (plain(predictions) - ground_truth)[:, JUMP.index("left_hand"), :2].norm(dim=-1).min() > 1


def test_namesakes_stand_in_the_targets_order():
    poses = people(2)
    found = namesakes(poses, HALPE, JUMP)
    heel, hand = JUMP.index("left_heel"), JUMP.index("left_hand")
    assert torch.equal(found[:, heel], poses[:, HALPE.index("left_heel")]) and found[:, hand].isnan().all()
    assert [k for k in range(len(JUMP)) if not found[0, k].isnan().any()] == shared_keypoints(HALPE, JUMP)


def test_cropped_frames_are_shown_to_the_head_whole():
    """A crop of the head's own size reaches it as it is."""
    seen = []

    def predict(crops):
        seen.append(crops)
        return torch.ones(len(crops), len(HALPE), 3)

    frames = torch.randint(0, 255, (3, 3, 64, 48), dtype=torch.uint8)
    found = predict_cropped(PublishedHead(HALPE, (64, 48), predict), frames, count=2)
    assert found.shape == (2, 3, len(HALPE), 3) and torch.allclose(seen[0], normalise(frames), atol=1e-3)
    assert torch.allclose(seen[1], normalise(frames).flip(-1), atol=1e-3)
    assert predict_cropped(PublishedHead(HALPE, (64, 48), predict), frames[:0], 2).shape == (2, 0, len(HALPE), 3)


def test_outliers_do_not_spoil_the_map():
    predictions = people()
    ground_truth = along_the_forearm(predictions)
    seen = predictions[:20].clone()
    seen[::5, :, 0] = seen[::5, :, 0] + 60 * torch.randn(4, 26)  # four of twenty are nonsense
    few = fit_keypoint_map(seen, ground_truth[:20], HALPE, JUMP)
    error = (few(predictions[20:]) - ground_truth[20:])[..., :2].norm(dim=-1) / body_size(predictions[20:])[:, None]
    assert error.median() < 0.1


def test_unlabelled_keypoints_teach_nothing_and_keep_their_partner():
    predictions = people(20)
    ground_truth = along_the_forearm(predictions)
    head = JUMP.index("head")
    ground_truth[:, head] = 0
    few = fit_keypoint_map(predictions, ground_truth, HALPE, JUMP)
    assert torch.allclose(few(predictions)[:, head, :2], predictions[:, HALPE.index("head"), :2], atol=1e-3)


def test_the_map_moves_with_the_person():
    predictions = people()
    few = fit_keypoint_map(predictions[:12], along_the_forearm(predictions)[:12], HALPE, JUMP)
    moved = predictions.clone()
    moved[..., :2] = 1.7 * predictions[..., :2] + torch.tensor([30.0, -12.0])
    expected = 1.7 * few(predictions)[..., :2] + torch.tensor([30.0, -12.0])
    assert torch.allclose(few(moved)[..., :2], expected, atol=1e-2)


def test_partners_of_left_and_right_mirror_each_other():
    predictions = people()
    found = partners(predictions, along_the_forearm(predictions), HALPE, JUMP)
    flipped = [HALPE.flip_index[found[k]] for k in JUMP.flip_index]
    assert found == flipped


def test_limbs_end_in_their_keypoint():
    names = [HALPE.keypoints[i] for i in limb_to(HALPE.index("left_wrist"), HALPE)]
    assert names == ["left_elbow", "left_wrist"]
    assert limb_to(0, DOTS) == (0, 1) and limb_to(1, DOTS) == (0, 1)


def test_mirroring_twice_is_nothing():
    predictions = people(3)
    assert torch.equal(mirrored(mirrored(predictions, HALPE), HALPE), predictions)
    assert not torch.equal(mirrored(predictions, HALPE), predictions)


def test_votes_meet_where_most_are_and_one_far_off_does_not_pull():
    place = torch.tensor([50.0, 60.0])
    views = place.expand(4, 1, 1, 2).clone()
    views[3] += 40  # a mistaken twin limb
    poses = torch.cat([views, torch.ones(4, 1, 1, 1)], -1)
    found = vote([poses], torch.tensor([40.0]))
    assert torch.allclose(found.base[0, 0, :2], place, atol=0.1)
    assert found.base[0, 0, 2] == pytest.approx(0.75, abs=0.01)
    h2 = (REACH * 40) ** 2
    assert found.spread[0, 0] == pytest.approx(h2 * (0.75**-0.5 - 1), rel=0.02)


def test_the_spread_is_a_squared_distance():
    """Two votes at a distance of 2 d, each d from their middle: the spread is d²."""
    poses = torch.tensor([[[[10.0, 10.0, 1.0]]], [[[12.0, 10.0, 1.0]]]])
    found = vote([poses], torch.tensor([100.0]))
    assert torch.allclose(found.base[0, 0, :2], torch.tensor([11.0, 10.0]), atol=1e-3)
    assert found.spread[0, 0] == pytest.approx(1.0, rel=1e-3)


def test_labellers_weigh_the_same_however_many_views_they_have():
    one = torch.tensor([10.0, 10.0, 1.0]).expand(9, 1, 1, 3)
    other = torch.tensor([11.0, 10.0, 1.0]).expand(2, 1, 1, 3)
    found = vote([one, other], torch.tensor([100.0]))
    assert torch.allclose(found.base[0, 0, :2], torch.tensor([10.5, 10.0]), atol=1e-3)


class Same:
    """A mapping between equal skeletons."""

    def __call__(self, predictions):
        return predictions


def two(distance):
    """The network's candidates and a head's predictions for 10 frames, the head `distance` [10] px off."""
    pose = torch.tensor([[20.0, 20, 1], [60, 20, 1], [20, 60, 1], [60, 60, 1]])
    base = pose.expand(10, 4, 3)
    views = base.expand(3, 10, 4, 3)
    predictions = base.expand(2, 10, 4, 3).clone()
    predictions[..., 0] += distance[:, None]
    return Candidates(base, torch.zeros(10, 4), views), predictions


def test_labels_on_which_both_agree_are_selected_first():
    own, predictions = two(torch.arange(10.0))
    for who in ("both", "published_selects"):
        keep = select(fuse(own, predictions, Same(), who), 30)
        assert keep.all(1).nonzero().flatten().tolist() == [0, 1, 2]
    first, second = (fuse(own, predictions, Same(), who) for who in ("published_selects", "published"))
    assert torch.equal(first.base, own.base)
    assert torch.allclose(first.spread[4], torch.full((4,), 16.0), rtol=1e-3)
    assert torch.allclose(second.base[..., :2], predictions[0, ..., :2], atol=1e-4)
    with pytest.raises(ValueError, match="voters"):
        fuse(own, predictions, Same(), "third")


def find_dots(crops):
    """The poses of `tiny.dots` by their colours: a prediction that a mirrored view must not name."""
    from fewpose.augment import MEAN, STD

    std, mean = torch.tensor(STD).view(3, 1, 1), torch.tensor(MEAN).view(3, 1, 1)
    pixels = 255 * (crops * std + mean)
    poses = []
    for shade in SHADES.float():
        near = torch.exp(-((pixels - shade.view(3, 1, 1)) ** 2).sum(1) / 3000)
        mass = near.sum((1, 2)).clamp_min(1e-6)
        x = (near.sum(1) * torch.arange(near.shape[2])).sum(1) / mass
        y = (near.sum(2) * torch.arange(near.shape[1])).sum(1) / mass
        poses.append(torch.stack([x, y, torch.ones_like(x)], -1))
    return torch.stack(poses, 1)


COLOURS = Skeleton("colours", ("red", "green", "blue", "yellow"), (("red", "blue"),), (0.1,) * 4)


def test_predictions_are_in_pixels_of_the_frame():
    data = dots(6, size=48)
    predictions = predict_views(PublishedHead(COLOURS, (64, 64), find_dots), data.frames, data.poses, count=5, seed=1)
    assert predictions.shape == (5, 6, 4, 3)
    assert (predictions - data.poses)[..., :2].norm(dim=-1).median() < 0.7
    again = predict_views(PublishedHead(COLOURS, (64, 64), find_dots), data.frames, data.poses, count=5, seed=1)
    assert torch.equal(predictions, again)


def test_published_heads_have_names():
    with pytest.raises(ValueError, match="rtmpose_s"):
        published_head("openpose")
    head = published_head("movenet")
    predicted = head.predict(torch.zeros(1, 3, *head.size))
    assert predicted.shape == (1, len(head.skeleton), 3)
    assert predicted.isfinite().all()
