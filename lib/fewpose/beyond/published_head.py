"""Pseudo labels by an ensemble of the trained network and the pretrained network's published head; not in the papers.

Ludwig et al. (section 3.1) predict many views with one network; a mistake on which its views agree goes unnoticed. But
the pretrained backbone was published with a head for other keypoints, trained on photographs. It was not trained on
these athletes and defines keypoints slightly differently, yet makes other mistakes than a network trained on few
labels. Mapped to the skeleton at hand, its predictions are votes like those of the network: the label is the point
where most votes meet, and how well they agree is the selection criterion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from fewpose import geometry
from fewpose.augment import Augmentation, labelling_views, normalise
from fewpose.crops import MARGIN, crop_maps, person_boxes
from fewpose.models.factory import build
from fewpose.models.rtmpose import published_rtmpose, rtmpose_predict
from fewpose.models.weights import load_weights, shipped
from fewpose.pseudo_labels import Candidates
from fewpose.skeleton import COCO, HALPE, Skeleton

VIEWS = Augmentation(flip=0.5, rotation=30, shift=0.04, scale=(0.8, 1.25), colour=0)
REACH = 0.15  # h: how far a vote reaches, in body sizes
STEPS = 10  # from the best vote to the point of most support
RIDGE = 10.0  # strength of the ridge regression that corrects the offsets
ROUNDS = 6  # of reweighting against outliers


@dataclass(frozen=True)
class PublishedHead:
    """A network with its published head.

    `predict` takes normalised crops [N, 3, H, W] of `size` and gives the keypoints [N, S, 3] of `skeleton`: pixels of
    the crop and a score.
    """

    skeleton: Skeleton
    size: tuple[int, int]
    predict: Callable[[Tensor], Tensor]


def published_head(name: str) -> PublishedHead:
    """A head by name; ValueError for any other.

    "rtmpose_s" predicts 26 Halpe keypoints, was trained on photographs and is downloaded once; "movenet" predicts 17
    COCO keypoints, was trained on rendered people, and is shipped.
    """
    if name == "rtmpose_s":
        rtmpose = published_rtmpose()
        return PublishedHead(HALPE, (256, 192), lambda crops: rtmpose_predict(rtmpose, crops, len(crops)))
    if name == "movenet":
        network = build("movenet", len(COCO)).eval().requires_grad_(False)
        load_weights(network, shipped("everyday_movenet"))
        return PublishedHead(COCO, (192, 160), lambda crops: network.read(network(crops)))
    raise ValueError(f'published: "rtmpose_s" or "movenet", not {name!r}')


@torch.no_grad()
def predict_views(
    head: PublishedHead, frames: Tensor, poses: Tensor, count: int = 4, seed: int = 0, batch_size: int = 8
) -> Tensor:
    """The head's predictions [V, N, S, 3] in `count` views of each person: frame pixels and score.

    frames [N, 3, H, W] uint8. The head sees a crop around the keypoints of poses [N, K, 3] that the trained network
    predicts. The views are the crop, the mirrored crop and random ones.
    """
    crops = crop_maps(person_boxes(poses, frames.shape[-2:]), head.size)
    generator, found = torch.Generator().manual_seed(seed), []
    batches = torch.arange(len(frames)).split(batch_size)
    for index in tqdm(batches, desc="published head", leave=False):
        images, predictions = frames[index].float(), []
        views = labelling_views(len(index), head.size, head.skeleton, count - 2, VIEWS, generator)
        for view in views:
            crop = geometry.warp(images, geometry.compose(view.matrix, crops[index]), head.size)
            crop = normalise(crop).contiguous(memory_format=torch.channels_last)
            home = view.undo_poses(head.predict(crop))
            predictions.append(geometry.transform_points(geometry.invert(crops[index]), home))
        found.append(torch.stack(predictions))
    return torch.cat(found, 1)


def predict_cropped(head: PublishedHead, frames: Tensor, count: int = 4, seed: int = 0) -> Tensor:
    """As `predict_views` for frames [N, 3, H, W] that are cropped to the person already: no network has to find it."""
    if not len(frames):
        return torch.zeros(count, 0, len(head.skeleton), 3)
    height, width = frames.shape[-2:]
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2, 1.0])
    half = torch.tensor([width / 2 / MARGIN, height / 2 / MARGIN, 0.0])
    corners = torch.stack([middle - half, middle + half]).expand(len(frames), 2, 3)
    return predict_views(head, frames, corners, count, seed)


def namesakes(poses: Tensor, source: Skeleton, target: Skeleton) -> Tensor:
    """Poses [N, S, 3] of the source skeleton as [N, K, 3] of the target: keypoints of the same name, else NaN."""
    found = poses.new_full((len(poses), len(target), poses.shape[-1]), torch.nan)
    for k in shared_keypoints(source, target):
        found[:, k] = poses[:, source.index(target.keypoints[k])]
    return found


def shared_keypoints(source: Skeleton, target: Skeleton) -> list[int]:
    """Indices of the target's keypoints that the source names, too."""
    return [k for k, name in enumerate(target.keypoints) if name in source.keypoints]


@dataclass(frozen=True)
class KeypointMap:
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

    def __call__(self, poses: Tensor) -> Tensor:
        """Map poses [N, S, 3] of the source skeleton to [N, K, 3] of the target, in the same pixels."""
        start = poses[:, self.partner]
        along, across = limb_axes(poses, self.limb, self.target)
        move = self.offset[:, :1] * along + self.offset[:, 1:] * across
        move = move + torch.einsum("nd,kdc->nkc", outline(poses), self.slope) + self.rest
        move = body_size(poses)[:, None, None] * move
        return torch.cat([start[..., :2] + move, start[..., 2:]], -1)


def fit_keypoint_map(
    predictions: Tensor, ground_truth: Tensor, source: Skeleton, target: Skeleton, corrected: bool = True
) -> KeypointMap:
    """Fit the map to the head's predictions [N, S, 3] on labelled frames and their ground truth [N, K, 3].

    A keypoint starts from its namesake or, without one, from the keypoint that is nearest in the labelled frames. Then
    come the median offset along and across the limb that ends there, and a ridge regression of the remainder on the
    whole pose, mirrored poses included; both are robust to outliers. Without `corrected` a keypoint is its partner.
    """
    k, labelled = len(target), ground_truth[..., 2] > 0
    partner = torch.tensor(partners(predictions, ground_truth, source, target))
    limb = torch.tensor([limb_to(p, source) for p in partner.tolist()])
    slope, rest, offset = torch.zeros(k, 2 * len(source), 2), torch.zeros(k, 2), torch.zeros(k, 2)
    plain = KeypointMap(source, target, partner, limb, offset, slope, rest)
    if not corrected:
        return plain
    off = (ground_truth - predictions[:, partner])[..., :2] / body_size(predictions)[:, None, None]
    axes = limb_axes(predictions, limb, target)
    local = torch.stack([(off * axis).sum(-1) for axis in axes], -1)
    local[~labelled] = torch.nan
    both = torch.cat([local, local[:, target.flip_index]])
    offset = both.nanmedian(0).values.nan_to_num(0)
    left = off - offset[:, :1] * axes[0] - offset[:, 1:] * axes[1]
    x = torch.cat([outline(predictions), outline(mirrored(predictions, source))])
    y = torch.cat([left, mirrored(left, target)])
    seen = torch.cat([labelled, labelled[:, target.flip_index]])
    fits = [robust_ridge(x, y[:, i], seen[:, i]) for i in range(k)]
    slope, rest = (torch.stack(parts) for parts in zip(*fits, strict=True))
    return KeypointMap(source, target, partner, limb, offset, slope, rest)


def partners(predictions: Tensor, ground_truth: Tensor, source: Skeleton, target: Skeleton) -> list[int]:
    """For each target keypoint its namesake in the source or else the nearest keypoint there.

    The nearest by median over the labelled frames and their mirror images, so that a left one has a left partner if
    the right one has a right partner.
    """
    distance = (ground_truth[:, :, None, :2] - predictions[:, None, :, :2]).norm(dim=-1)  # [N, K, S]
    distance = distance / body_size(predictions)[:, None, None]
    distance[ground_truth[..., 2] == 0] = torch.nan
    both = torch.cat([distance, distance[:, target.flip_index][:, :, source.flip_index]])
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


def limb_axes(predictions: Tensor, limb: Tensor, target: Skeleton) -> tuple[Tensor, Tensor]:
    """Unit vectors [N, K, 2] along each limb and across it, to the opposite side for right keypoints."""
    along = (predictions[:, limb[:, 1]] - predictions[:, limb[:, 0]])[..., :2]
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


def fuse(network: Candidates, published: Tensor, mapping: KeypointMap, voters: str = "both") -> Candidates:
    """Pseudo labels of unlabelled frames by network and published head, for `pseudo_labels.select`.

    network: its predictions in its views. published [V, N, S, 3]: those of the published head in its views. The
    reach of all votes is relative to the body size in the head's first view. voters: "both", "published" or "network"
    alone; with "published_selects" the network's base view is the label and its squared distance from the published
    head's vote the spread. ValueError otherwise.
    """
    mapped = torch.stack([mapping(view) for view in published])
    own = torch.cat([network.base[None], network.views])
    size = body_size(published[0])
    predictions = {"both": [own, mapped], "published": [mapped], "network": [own]}
    if voters in predictions:
        return vote(predictions[voters], size)
    if voters == "published_selects":
        spread = ((network.base - vote([mapped], size).base)[..., :2] ** 2).sum(-1)
        return Candidates(network.base, spread, torch.cat([own, mapped]))
    raise ValueError(f'voters: "both", "published", "network" or "published_selects", not {voters!r}')


def vote(predictions: list[Tensor], size: Tensor) -> Candidates:
    """The points where most votes meet, and how far apart the votes are.

    predictions: the poses [V, N, K, 3] of each labeller in its V views; all labellers have the same weight, and so do
    the views of each. size [N]: `body_size` in px. A vote p_i of weight w_i supports a point p by s_i(p) = w_i (1 +
    ‖p_i − p‖² / h²)⁻², h = `REACH` body sizes. Starting from the vote with most support, the label moves `STEPS` times
    to the mean of all votes, weighted by s_i. Outliers have little influence.

    The score of a label is its support s = Σ s_i, 1 if all votes agree; its spread is h² (s^(-1/2) − 1), the squared
    distance at which all votes together would give that support, with the h of the mean body: a large body is not
    more uncertain than a small one.
    """
    votes = torch.cat(predictions)
    points = votes[..., :2]
    w = torch.cat([points.new_full((len(p),), 1 / len(p) / len(predictions)) for p in predictions]).view(-1, 1, 1)
    h2 = (REACH * size)[:, None] ** 2

    def support(p: Tensor) -> Tensor:
        return w * (1 + ((points - p) ** 2).sum(-1) / h2) ** -2

    best = torch.stack([support(p).sum(0) for p in points]).argmax(0)
    p = points.gather(0, best[None, ..., None].expand(1, -1, -1, 2))[0]
    for _ in range(STEPS):
        pull = support(p)[..., None]
        p = (pull * points).sum(0) / pull.sum(0)
    s = support(p).sum(0)
    spread = h2.mean() * (s**-0.5 - 1)
    return Candidates(torch.cat([p, s[..., None]], -1), spread, votes)
