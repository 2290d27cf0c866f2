"""Training of the student on soft and hard labels, at many resolutions: Srivastav et al., sections 2.3 and 3.3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fewpose import geometry
from fewpose.data.labels import LabelledPeople
from fewpose.low_resolution import low_resolution, sample_scales
from fewpose.models.student.keypoint_rcnn import Student
from fewpose.mosaic import Mosaic, Tile, draw_mosaic, move_boxes
from fewpose.speed.precision import half_in_training
from fewpose.speed.prefetch import Prefetch
from fewpose.training import History, Schedule, Sgd, batch_index, hash_of, minimise, weights_fingerprint

MIRROR = torch.tensor([-1.0, 1, 1])  # x of the camera's axes


def training_image(
    data: LabelledPeople, index: Tensor, scale: float, mosaic: Mosaic, generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """An image [3, h, w] in 0..255 and its target as `Student` reads them.

    It shows the four frames `index`, or only the first, each downsampled `scale` times by `low_resolution`. People cut
    by the border of their tile are kept as in `move_boxes`; keypoints outside the tile are missing. ValueError if
    `index` is empty.
    """
    if not len(index):
        raise ValueError(f"{data.name}: nobody is labelled in any of {len(data.frames)} frames")

    def read(i: int) -> Tensor:
        return low_resolution(data.frames[i][None], scale)

    image, tiles = draw_mosaic(read, index, mosaic, generator)
    moved = [move_people(data, tile) for tile in tiles]
    target = {name: torch.cat([part[name] for part in moved]) for name in moved[0]}
    return image, target


def move_people(data: LabelledPeople, tile: Tile) -> dict[str, Tensor]:
    """The target of the people in the tile's frame, in pixels of the training image, mirrored with the tile."""
    boxes, kept = move_boxes(data.boxes[tile.frame], tile)
    target = {"boxes": boxes[kept], "labels": torch.ones(int(kept.sum()), dtype=torch.long)}
    size, swap = data.frames[tile.frame].shape[-2:], data.skeleton.flip_index
    for kind, poses, points in (("", data.hard, data.hard3d), ("_soft", data.soft, data.soft3d)):
        poses, points = poses[tile.frame][kept], points[tile.frame][kept]
        # rays of the frame's camera, wherever the tile is
        rays = geometry.rays(poses, size)
        poses = move_keypoints(poses, tile)
        if tile.flipped:
            poses, rays, points = poses[:, swap], (rays * MIRROR)[:, swap], (points * MIRROR)[:, swap]
        target |= {f"keypoints{kind}": poses, f"rays{kind}": rays, f"keypoints3d{kind}": points}
    return target


def move_keypoints(poses: Tensor, tile: Tile) -> Tensor:
    """Keypoints [P, K, 3] in pixels from the edge of the training image, as torchvision counts; 0 outside the tile."""
    xy = geometry.transform_points(tile.matrix, poses[..., :2].reshape(1, -1, 2)) + 0.5
    xy = xy.view(*poses.shape[:2], 2)
    inside = ((xy >= 0) & (xy < xy.new_tensor(tile.size[::-1]))).all(-1)
    shown = (inside & (poses[..., 2] > 0)).unsqueeze(-1)
    return torch.cat([xy + torch.tensor(tile.corner), poses[..., 2:]], -1) * shown


def fit_student(
    model: Student,
    data: LabelledPeople,
    schedule: Schedule,
    *,
    scales: str | float = 1,
    mosaic: Mosaic = Mosaic(),
    weights: Mapping[str, float] | None = None,
    score: Callable[[], float] | None = None,
    sgd: Sgd | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
) -> History:
    """Train the student on mosaics of labelled frames, with the sum of all its losses as in the paper.

    `scales` says how images are downsampled (`low_resolution.sample_scales`); `weights` are those of losses, by name,
    1 where not given. Lifters without statistics get those of the soft labels. With `score()`, higher is better, the
    best-scored weights are kept. The optimizer is AdamW, or `sgd`. Resumes as `training.minimise`. ValueError if nobody
    is labelled or `weights` names an unknown loss.
    """
    if not any(len(data.boxes[i]) for i in data.use.tolist()):
        raise ValueError(f"{data.name}: not one person has a box")
    device = next(model.parameters()).device
    weights = dict(weights or {})
    set_lifter_statistics(model, data)

    def make(step: int) -> tuple[Tensor, list[dict[str, np.ndarray]]]:
        generator = torch.Generator().manual_seed(hash_of(seed, step))
        index = data.use[batch_index(len(data), 4 * schedule.batch_size, seed, step)].view(-1, 4)
        lowered = sample_scales(scales, len(index), generator).tolist()
        made = [training_image(data, frames, s, mosaic, generator) for frames, s in zip(index, lowered, strict=True)]
        # arrays are pickled between processes, while each tensor would hold a file open
        targets = [{name: x.numpy() for name, x in target.items()} for _, target in made]
        return torch.stack([image for image, _ in made]), targets

    batches = Prefetch(make, schedule.steps, device)

    def losses(step: int, _: torch.Generator) -> dict[str, Tensor]:
        images, people = batches(step)
        targets = [{name: torch.from_numpy(x).to(device) for name, x in target.items()} for target in people]
        with half_in_training(device):
            parts = model(list(images.to(device) / 255), targets)
        if unknown := set(weights) - set(parts):
            raise ValueError(f"no loss is named {', '.join(unknown)}; there are {', '.join(parts)}")
        return {name: weights.get(name, 1.0) * loss for name, loss in parts.items()}

    settings = schedule, mosaic, scales, sorted(weights.items()), seed, model.roi_heads.branches, model.roi_heads.soft
    labels = data.name, len(data), round(label_sum(data), 3)
    return minimise(
        model,
        losses,
        schedule,
        fingerprint=repr((settings, labels, weights_fingerprint(model))),
        score=score,
        seed=seed,
        checkpoint=checkpoint,
        title="student",
        sgd=sgd,
    )


def set_lifter_statistics(model: Student, data: LabelledPeople) -> None:
    """Set mean and standard deviation of lifters that have none yet to those of the soft labels."""
    new = [lifter for lifter in model.lifters if (lifter.std3d == 1).all()]
    if not new:
        return
    used = data.use.tolist()
    poses = torch.cat([geometry.rays(data.soft[i], data.frames[i].shape[-2:]) for i in used])
    points = torch.cat([data.soft3d[i] for i in used])
    known = (points != 0).flatten(1).any(1)
    for lifter in new if known.any() else ():
        lifter.set_statistics(poses[known].to(lifter.mean2d), points[known].to(lifter.mean3d))


def label_sum(data: LabelledPeople) -> float:
    """The sum of all labels, for the fingerprint of the training."""
    parts = (data.boxes, data.hard, data.soft, data.hard3d, data.soft3d)
    return sum(float(part[i].double().sum()) for part in parts for i in data.use.tolist())
