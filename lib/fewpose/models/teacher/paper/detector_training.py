"""Training of the teacher's stage 1, the detector, on boxes of people."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from fewpose.data.multi_person import BoxData
from fewpose.metrics.box_matching import match_boxes
from fewpose.models.teacher.box_fusion import detect
from fewpose.models.teacher.paper.cascade_rcnn import CascadeRCNN
from fewpose.mosaic import Mosaic, draw_mosaic, move_boxes
from fewpose.training import History, Schedule, Sgd, batch_index, hash_of, minimise, weights_fingerprint


def training_image(data: BoxData, index: Tensor, mosaic: Mosaic, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """An image [3, h, w] in 0..255 of the four frames `index`, or of their first, and its boxes [P, 4]."""
    image, tiles = draw_mosaic(lambda i: data.frames[i : i + 1], index, mosaic, generator)
    boxes = [torch.zeros(0, 4)]
    for tile in tiles:
        moved, kept = move_boxes(data.boxes[tile.frame], tile)
        boxes.append(moved[kept])
    return image, torch.cat(boxes)


def fit_detector(
    model: CascadeRCNN,
    train: BoxData,
    validation: BoxData | None,
    schedule: Schedule,
    *,
    mosaic: Mosaic = Mosaic(),
    sgd: Sgd | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
) -> History:
    """Train a cascade with the sum of its losses on mosaics of `train`; the weights of best F1 are kept.

    Resumes as `training.minimise`. ValueError if nobody is labelled.
    """
    if not any(len(boxes) for boxes in train.boxes):
        raise ValueError(f"{train.name}: not one person has a box")
    device = next(model.parameters()).device

    def losses(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        index = batch_index(len(train), 4 * schedule.batch_size, seed, step).view(-1, 4)
        made = [training_image(train, frames, mosaic, generator) for frames in index]
        torch.manual_seed(hash_of(seed, step))
        images = torch.stack([image for image, _ in made]).to(device)
        return model(images, [boxes.to(device) for _, boxes in made])

    fingerprint = repr(
        (
            asdict(schedule),
            asdict(mosaic),
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
        fingerprint=fingerprint,
        seed=seed,
        checkpoint=checkpoint,
        score=None if validation is None else lambda: f1(model, validation),
        title="detector",
        sgd=sgd,
    )


@torch.no_grad()
def f1(model: CascadeRCNN, data: BoxData) -> float:
    """F1 in % of detected boxes at IoU 0.5 and the best score threshold, without test-time augmentation."""
    scores, right = [torch.zeros(0)], [torch.zeros(0, dtype=torch.bool)]
    for part in torch.arange(len(data)).split(8):
        images = data.frames[part].to(next(model.parameters()).device)
        found = detect(model, images, (1.0,), False)
        for i, (boxes, score) in zip(part.tolist(), found, strict=True):
            scores.append(score.cpu())
            right.append(match_boxes(boxes.cpu(), data.boxes[i]) >= 0)
    hits = torch.cat(right)[torch.cat(scores).argsort(descending=True)].cumsum(0)
    people = sum(len(boxes) for boxes in data.boxes)
    values = 200 * hits / (torch.arange(len(hits)) + 1 + people)
    return float(values.max()) if len(values) else 0.0
