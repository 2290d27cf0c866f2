"""Training of stage 1: views of frames with boxes, pasted together, and the loop over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torchvision.ops import box_iou

from fewpose import geometry
from fewpose.augment import jitter_colour
from fewpose.models.teacher.box_fusion import detect
from fewpose.models.teacher.crops import look
from fewpose.models.teacher.paper.cascade_rcnn import CascadeRCNN
from fewpose.training import History, Schedule, Sgd, batch_index, hash_of, minimise, weights_fingerprint


class Boxed(Protocol):
    """Frames [N, 3, H, W] uint8 with boxes [P, 4] of all people in each, as `data.boxes` reads."""

    name: str
    frames: Tensor
    boxes: list[Tensor]

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Collage:
    """How images for training are made of frames.

    An image is one frame or, with probability `four`, a mosaic of four; each frame fills its place times a factor
    from `zoom`, mirrored with probability `flip`. Mosaics show small people and crowds where the frames show one
    large person each.
    """

    size: tuple[int, int] = (240, 320)
    four: float = 0.5
    zoom: tuple[float, float] = (0.6, 1.4)
    flip: float = 0.5
    colour: float = 0.3


@dataclass(frozen=True)
class Place:
    """Where frame `frame` of a data set lies in a collage.

    `matrix` [1, 2, 3] maps its pixels to those of a place of `size` (H, W) whose upper left corner is `corner` (x,
    y); `flipped` says that it is mirrored.
    """

    frame: int
    matrix: Tensor
    size: tuple[int, int]
    corner: tuple[int, int]
    flipped: bool


def collage(data: Boxed, index: Tensor, how: Collage, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """An image [3, h, w] in 0..255 of four frames `index` (or their first) and its boxes [P, 4].

    A box cut by the border of its place is kept while a third of it, and 4 pixels, are to be seen.
    """
    image, places = draw(lambda i: data.frames[i : i + 1], index, how, generator)
    boxes = [torch.zeros(0, 4)]
    for place in places:
        moved, kept = move_boxes(data.boxes[place.frame], place.matrix, place.size)
        boxes.append(moved[kept] + torch.tensor(place.corner * 2))
    return image, torch.cat(boxes)


def draw(
    read: Callable[[int], Tensor], index: Tensor, how: Collage, generator: torch.Generator
) -> tuple[Tensor, list[Place]]:
    """A collage [3, h, w] in 0..255, and its places; `read(i)` is frame i, [1, 3, H, W]."""
    side = 2 if torch.rand(1, generator=generator) < how.four else 1
    height, width = how.size[0] // side, how.size[1] // side
    views, places = [], []
    for place, i in enumerate(index[: side**2].tolist()):
        u = torch.rand(4, generator=generator)
        frame = read(i)
        h, w = frame.shape[-2:]
        low, high = torch.tensor(how.zoom).log()
        scale = min(height / h, width / w) * torch.exp(low + (high - low) * u[0])
        room = torch.tensor([width, height]) - scale * torch.tensor([w, h])
        corner = room * u[1:3]  # of the frame, in pixels from the edge of its place
        matrix = torch.zeros(1, 2, 3)
        matrix[:, 0, 0] = matrix[:, 1, 1] = scale
        matrix[0, :, 2] = corner + 0.5 * scale - 0.5
        flipped = u[3:] < how.flip
        matrix = geometry.compose(matrix, geometry.mirror(w, flipped))
        index_ = torch.zeros(1, dtype=torch.long, device=frame.device)
        views.append(look(frame, index_, matrix.to(frame.device), (height, width))[0])
        at = (place % side * width, place // side * height)
        places.append(Place(i, matrix, (height, width), at, bool(flipped)))
    image = torch.zeros(3, *how.size, device=views[0].device)
    for view, place in zip(views, places, strict=True):
        left, top = place.corner
        image[:, top : top + height, left : left + width] = view
    if how.colour:
        image = jitter_colour(image[None], how.colour, generator)[0]
    return image, places


def move_boxes(boxes: Tensor, matrix: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Boxes [P, 4] (pixels from the edge) under a map [1, 2, 3] without rotation, cut at `size`.

    Also which [P] to keep: not those of which less than a third or less than 4 pixels remain.
    """
    corners = geometry.transform_points(matrix, boxes.view(1, -1, 2) - 0.5).view(-1, 2, 2) + 0.5
    whole = torch.cat([corners.amin(1), corners.amax(1)], 1)
    cut = whole.clamp_min(0).minimum(whole.new_tensor([size[1], size[0]] * 2))
    area, left = ((b[:, 2:] - b[:, :2]).clamp_min(0).prod(1) for b in (whole, cut))
    seen = (cut[:, 2:] - cut[:, :2]).amin(1) >= 4
    return cut, seen & (left >= area / 3)


def fit_detector(
    model: CascadeRCNN,
    train: Boxed,
    validation: Boxed | None,
    schedule: Schedule,
    *,
    how: Collage = Collage(),
    sgd: Sgd | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
) -> History:
    """Train all losses of a cascade, summed, on collages of `train`; best weights by F1.

    Resumes as `training.minimise`. ValueError if nobody is labelled.
    """
    if not any(len(boxes) for boxes in train.boxes):
        raise ValueError(f"{train.name}: not one person has a box")
    device = next(model.parameters()).device

    def losses(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        index = batch_index(len(train), 4 * schedule.batch_size, seed, step).view(-1, 4)
        made = [collage(train, four, how, generator) for four in index]
        torch.manual_seed(hash_of(seed, step))
        images = torch.stack([image for image, _ in made]).to(device)
        return model(images, [boxes.to(device) for _, boxes in made])

    identity = repr(
        (
            asdict(schedule),
            asdict(how),
            seed,
            len(train),
            weights_fingerprint(model),
            [round(sum(float(b.double().sum()) for b in d.boxes), 3) for d in (train, validation) if d is not None],
        )
    )
    return minimise(
        model,
        losses,
        schedule,
        fingerprint=identity,
        seed=seed,
        checkpoint=checkpoint,
        score=None if validation is None else lambda: f1(model, validation),
        title="detector",
        sgd=sgd,
    )


@torch.no_grad()
def f1(model: CascadeRCNN, data: Boxed, batch: int = 8) -> float:
    """F1 in % of the boxes found, overlap 0.5, at the score threshold where it is highest.

    One view of each frame, as it is.
    """
    scores, right = [torch.zeros(0)], [torch.zeros(0, dtype=torch.bool)]
    for part in torch.arange(len(data)).split(batch):
        images = data.frames[part].to(next(model.parameters()).device)
        found = detect(model, images, (1.0,), False)
        for i, (boxes, score) in zip(part.tolist(), found, strict=True):
            scores.append(score.cpu())
            right.append(matches(boxes.cpu(), data.boxes[i]))
    hits = torch.cat(right)[torch.cat(scores).argsort(descending=True)].cumsum(0)
    people = sum(len(boxes) for boxes in data.boxes)
    values = 200 * hits / (torch.arange(len(hits)) + 1 + people)
    return float(values.max()) if len(values) else 0.0


def matches(boxes: Tensor, truth: Tensor, iou: float = 0.5) -> Tensor:
    """Which boxes [P, 4], by falling score, find somebody of truth [Q, 4] whom none before found.

    [P] bool.
    """
    return partners(boxes, truth, iou) >= 0


def partners(boxes: Tensor, truth: Tensor, iou: float = 0.5) -> Tensor:
    """The row of `truth` [Q, 4] that each of boxes [P, 4], by falling score, finds; −1 for none."""
    row = torch.full((len(boxes),), -1, dtype=torch.long)
    if not len(truth):
        return row
    overlap = box_iou(boxes, truth)
    for i in range(len(boxes)):
        best, j = overlap[i].max(0)
        if best >= iou:
            row[i] = j
            overlap[:, j] = -1
    return row
