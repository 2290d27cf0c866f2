"""Pseudo labels with a second opinion: that of a head which others have published.

Ludwig et al. (section 3.1) ask one network in many views; where these agree on a mistake, nobody objects. But the
pretrained backbone was published with a head of its own, for other keypoints of people in photographs. It has never
seen these athletes and puts its keypoints a little elsewhere, yet it errs in other places than a network of few
labels. Translated into the skeleton at hand, it votes beside the views: where most votes meet lies the label, and how
many meet says whether to believe it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from fewpose import geometry
from fewpose.augment import Augmentation, labelling_views, normalise
from fewpose.heatmaps import read_poses
from fewpose.models.factory import build
from fewpose.models.teacher.crops import crop_maps, person_boxes
from fewpose.models.teacher.simcc import rtmpose_predict
from fewpose.models.weights import load_weights, shipped
from fewpose.pseudo_labels import Candidates
from fewpose.skeleton import COCO, HALPE, Skeleton

VIEWS = Augmentation(flip=0.5, rotation=30, shift=0.04, scale=(0.8, 1.25), colour=0)
REACH = 0.15  # h: how far a vote reaches, in body sizes
STEPS = 10  # from the best vote to the point of most support
RIDGE = 10.0  # how much the labelled poses must say before a keypoint leaves its limb's offset
ROUNDS = 6  # of reweighting against far-off answers


@dataclass(frozen=True)
class Head:
    """A network with its published head.

    `answer` takes normalised crops [N, 3, H, W] of `size` and gives the keypoints [N, S, 3] of `skeleton`: pixels of
    the crop and a score.
    """

    skeleton: Skeleton
    size: tuple[int, int]
    answer: Callable[[Tensor], Tensor]


def published(name: str) -> Head:
    """A head by name; ValueError for any other.

    "rtmpose_s" knows 26 Halpe keypoints from photographs and is fetched once; "narrow" comes with the package, knows
    17 COCO keypoints from rendered people and is weak.
    """
    if name == "rtmpose_s":
        return Head(HALPE, (256, 192), lambda crops: rtmpose_predict(None, crops, len(crops)))
    if name == "narrow":
        network = build("narrow", len(COCO)).eval().requires_grad_(False)
        load_weights(network, shipped("everyday_narrow"))
        return Head(COCO, (128, 96), lambda crops: read_poses(network, network(crops)))
    raise ValueError(f'published: "rtmpose_s" or "narrow", not {name!r}')


@torch.no_grad()
def ask(head: Head, frames: Tensor, poses: Tensor, count: int = 4, seed: int = 0, batch_size: int = 8) -> Tensor:
    """What the head says [V, N, S, 3] in `count` views of each person: frame pixels and score.

    frames [N, 3, H, W] uint8. The head reads a crop around the person: around the keypoints of poses [N, K, 3] that
    the network at hand predicts. Its views are the crop, the mirrored crop and random ones.
    """
    crops = crop_maps(person_boxes(poses, frames.shape[-2:]), head.size)
    generator, found = torch.Generator().manual_seed(seed), []
    batches = torch.arange(len(frames)).split(batch_size)
    for index in tqdm(batches, desc="second opinion", leave=False):
        images, told = frames[index].float(), []
        views = labelling_views(len(index), head.size, head.skeleton, count - 2, VIEWS, generator)
        for view in views:
            seen = geometry.warp(images, geometry.compose(view.matrix, crops[index]), head.size)
            seen = normalise(seen).contiguous(memory_format=torch.channels_last)
            home = view.undo_poses(head.answer(seen))
            told.append(geometry.transform_points(geometry.invert(crops[index]), home))
        found.append(torch.stack(told))
    return torch.cat(found, 1)


@dataclass(frozen=True)
class Translation:
    """From the keypoints of a head's skeleton `source` to those of another, `target`.

    partner  [K] the source keypoint that target keypoint k starts from
    limb     [K, 2] the source limb that ends there: offsets are measured along and across it
    offset   [K, 2] these offsets in body sizes; left and right share them
    slope, rest  [K, 2 S, 2] and [K, 2] linear correction of what is left, by the whole pose
    """

    source: Skeleton
    target: Skeleton
    partner: Tensor
    limb: Tensor
    offset: Tensor
    slope: Tensor
    rest: Tensor

    def __call__(self, told: Tensor) -> Tensor:
        """Poses [N, S, 3] of the source skeleton as [N, K, 3] of the target, in the same pixels."""
        start = told[:, self.partner]
        along, across = limb_axes(told, self.limb, self.target)
        move = self.offset[:, :1] * along + self.offset[:, 1:] * across
        move = move + torch.einsum("nd,kdc->nkc", outline(told), self.slope) + self.rest
        move = body_size(told)[:, None, None] * move
        return torch.cat([start[..., :2] + move, start[..., 2:]], -1)


def learn_translation(
    told: Tensor, truth: Tensor, source: Skeleton, target: Skeleton, corrected: bool = True
) -> Translation:
    """Learn it from what the head told of labelled frames: told [N, S, 3], truth [N, K, 3].

    A keypoint starts from its namesake or, without one, from the keypoint that lies nearest in the labelled frames.
    Then comes the median offset along and across the limb that ends there, and a ridge regression of what is left on
    the whole pose, with mirrored poses too; both weigh down far-off answers. Without `corrected` the partner stands
    as it is.
    """
    k, labelled = len(target), truth[..., 2] > 0
    partner = torch.tensor(partners(told, truth, source, target))
    limb = torch.tensor([limb_to(p, source) for p in partner.tolist()])
    slope, rest, offset = torch.zeros(k, 2 * len(source), 2), torch.zeros(k, 2), torch.zeros(k, 2)
    plain = Translation(source, target, partner, limb, offset, slope, rest)
    if not corrected:
        return plain
    off = (truth - told[:, partner])[..., :2] / body_size(told)[:, None, None]
    axes = limb_axes(told, limb, target)
    local = torch.stack([(off * axis).sum(-1) for axis in axes], -1)
    local[~labelled] = torch.nan
    both = torch.cat([local, local[:, target.flip_index]])
    offset = both.nanmedian(0).values.nan_to_num(0)
    left = off - offset[:, :1] * axes[0] - offset[:, 1:] * axes[1]
    x = torch.cat([outline(told), outline(mirrored(told, source))])
    y = torch.cat([left, mirrored(left, target)])
    seen = torch.cat([labelled, labelled[:, target.flip_index]])
    fits = [robust_ridge(x, y[:, i], seen[:, i]) for i in range(k)]
    slope, rest = (torch.stack(parts) for parts in zip(*fits, strict=True))
    return Translation(source, target, partner, limb, offset, slope, rest)


def partners(told: Tensor, truth: Tensor, source: Skeleton, target: Skeleton) -> list[int]:
    """For each target keypoint its namesake in the source or else the nearest keypoint there.

    The nearest by median over the labelled frames and their mirror images, so that a left one has a left partner if
    the right one has a right partner.
    """
    apart = (truth[:, :, None, :2] - told[:, None, :, :2]).norm(dim=-1)  # [N, K, S]
    apart = apart / body_size(told)[:, None, None]
    apart[truth[..., 2] == 0] = torch.nan
    both = torch.cat([apart, apart[:, target.flip_index][:, :, source.flip_index]])
    nearest = both.nanmedian(0).values.nan_to_num(torch.inf).argmin(1).tolist()
    return [
        source.keypoints.index(name) if name in source.keypoints else near
        for name, near in zip(target.keypoints, nearest, strict=True)
    ]


def limb_to(index: int, skeleton: Skeleton) -> tuple[int, int]:
    """The last limb that ends in keypoint `index`, or else the last one that it begins."""
    ends = [limb for limb in skeleton.limb_index if limb[1] == index]
    begins = [limb for limb in skeleton.limb_index if limb[0] == index]
    return (ends or begins)[-1]


def limb_axes(told: Tensor, limb: Tensor, target: Skeleton) -> tuple[Tensor, Tensor]:
    """Unit vectors [N, K, 2] along each limb and across it, to the other side for the right."""
    along = (told[:, limb[:, 1]] - told[:, limb[:, 0]])[..., :2]
    along = along / along.norm(dim=-1, keepdim=True).clamp_min(1e-3)
    right = torch.tensor([name.startswith("right_") for name in target.keypoints])
    across = torch.stack([-along[..., 1], along[..., 0]], -1)
    return along, torch.where(right[:, None], -across, across)


def robust_ridge(x: Tensor, y: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Slope [D, 2] and intercept [2] of y [M, 2] on x [M, D], of the rows that were `seen` [M].

    Rows lose weight as their error grows beyond twice the median (Cauchy). Zeros without rows.
    """
    x, y = x[seen], y[seen]
    if not len(x):
        return torch.zeros(x.shape[1], 2), torch.zeros(2)
    weight = torch.ones(len(x), 1)
    for _ in range(ROUNDS):
        mx, my = ((weight * v).sum(0) / weight.sum() for v in (x, y))
        a, b = x - mx, y - my
        damped = a.T @ (weight * a) + RIDGE * torch.eye(x.shape[1])
        slope = torch.linalg.solve(damped, a.T @ (weight * b))
        error = (b - a @ slope).norm(dim=1, keepdim=True)
        weight = 1 / (1 + (error / (2 * error.median().clamp_min(0.02))) ** 2)
    return slope, my - mx @ slope


def body_size(poses: Tensor) -> Tensor:
    """Mean distance [N] of the keypoints [N, K, 2 or 3] from their middle, in px; at least 1."""
    points = poses[..., :2]
    return (points - points.mean(1, keepdim=True)).norm(dim=-1).mean(1).clamp_min(1)


def outline(poses: Tensor) -> Tensor:
    """A pose about its middle in body sizes, as a row [N, 2 K]."""
    points = poses[..., :2]
    return ((points - points.mean(1, keepdim=True)) / body_size(poses)[:, None, None]).flatten(1)


def mirrored(points: Tensor, skeleton: Skeleton) -> Tensor:
    """Points or offsets [N, K, 2 or 3] mirrored at x = 0, left and right renamed."""
    points = points[:, skeleton.flip_index].clone()
    points[..., 0] *= -1
    return points


def opinion(own: Candidates, told: Tensor, translation: Translation, who: str = "both") -> Candidates:
    """Pseudo labels of unlabelled frames by two labellers, for `pseudo_labels.select`.

    own: what the network says in its views. told [V, N, S, 3]: what the head said in its own. How far votes reach
    follows the body's size in the head's first view, whoever votes. who: "both" vote; "second", the views of the head
    alone do, or "views", those of the network; "first", the network's base view is the label and its squared distance
    from the second opinion the spread. ValueError otherwise.
    """
    second = torch.stack([translation(view) for view in told])
    first = torch.cat([own.base[None], own.views])
    size = body_size(told[0])
    voters = {"both": [first, second], "second": [second], "views": [first]}
    if who in voters:
        return vote(voters[who], size)
    if who == "first":
        apart = ((own.base - vote([second], size).base)[..., :2] ** 2).sum(-1)
        return Candidates(own.base, apart, torch.cat([first, second]))
    raise ValueError(f'who: "both", "second", "views" or "first", not {who!r}')


def vote(opinions: list[Tensor], size: Tensor) -> Candidates:
    """The points where most votes meet, and how far apart the votes are.

    opinions: the poses [V, N, K, 3] that each labeller gives in its views, V for each its own; all weigh the same,
    and the views of each alike. size [N]: `body_size` in px. A vote at distance d from a point supports it by (1 + d²
    / h²)⁻², h = `REACH` body sizes. From the vote of most support the label moves to the mean of all votes, weighed
    by how much they support it, until it stays there: it has the most of (1 + d² / h²)⁻¹ nearby. Far-off votes hardly
    pull.

    The score of a label is its share s of all possible support; its spread is h² (s^(-1/2) - 1), the squared distance
    at which all votes together would give that share, with the h of the mean body: a large body is not doubted more
    than a small one.
    """
    votes = torch.cat(opinions)
    points = votes[..., :2]
    weight = torch.cat([points.new_full((len(o),), 1 / len(o) / len(opinions)) for o in opinions])
    weight, h2 = weight.view(-1, 1, 1), (REACH * size)[:, None] ** 2

    def support(point: Tensor) -> Tensor:
        return weight * (1 + ((points - point) ** 2).sum(-1) / h2) ** -2

    best = torch.stack([support(p).sum(0) for p in points]).argmax(0)
    point = points.gather(0, best[None, ..., None].expand(1, -1, -1, 2))[0]
    for _ in range(STEPS):
        pull = support(point)[..., None]
        point = (pull * points).sum(0) / pull.sum(0)
    share = support(point).sum(0)
    spread = h2.mean() * (share**-0.5 - 1)
    return Candidates(torch.cat([point, share[..., None]], -1), spread, votes)
