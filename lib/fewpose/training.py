"""One readable training loop."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from fewpose.augment import Augmentation
from fewpose.data.pose_data import PoseData
from fewpose.feature_cache import answer, random_look
from fewpose.heatmaps import predict_all
from fewpose.metrics.pck import normalised_distances, pck


class Consistency(Protocol):
    """A loss on unlabelled frames that each step adds; `methods.mean_teacher` has one.

    `ask` draws what of them the model is to see, of the kind that it sees of labelled ones (`views.random_look`);
    called with the model's answers it is the loss.
    """

    def ask(self, model: nn.Module, generator: torch.Generator) -> Question: ...

    def __call__(self, model: nn.Module, step: int, question: Question, answers: list[Tensor]) -> Tensor: ...

    def settings(self) -> str: ...


class Question(Protocol):
    """What a `Consistency` asks the model about: it answers to `inputs`."""

    inputs: list[Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    The learning rate rises over `warmup` steps and falls to 1 % as a cosine. With a validation set the network is
    scored before the first step and every `evaluate_every` steps; after `patience` scores without a new best training
    stops. The best-scored weights are the result: what training spoils, as a fine-tuning may, stays as it was. The
    backbone learns at `backbone_rate` times the rate of the head, whose parameters the model names by their prefixes
    in `head`.
    """

    steps: int
    batch_size: int = 32
    learning_rate: float = 1e-3
    backbone_rate: float = 1.0
    warmup: int = 20
    evaluate_every: int = 50
    patience: int = 1000


def schedule_in(parameters: dict) -> Schedule:
    """The schedule among the parameters of a notebook, which have the names of its parts."""
    names = [part.name for part in fields(Schedule) if part.name in parameters]
    return Schedule(**{name: parameters[name] for name in names})


@dataclass
class History:
    """Loss of each step, and the scores (step, validation PCK@0.1) along the way."""

    loss: list[float] = field(default_factory=list)
    score: list[tuple[int, float]] = field(default_factory=list)
    best_step: int = 0
    best_score: float = float("nan")
    seconds: float = 0.0


def fit(
    model: nn.Module,
    train: PoseData,
    validation: PoseData | None,
    schedule: Schedule,
    *,
    augmentation: Augmentation = Augmentation(),
    sigma: float = 2.0,
    seed: int = 0,
    checkpoint: Path | None = None,
    title: str = "training",
    consistency: Consistency | None = None,
) -> History:
    """Train `model` on the labelled keypoints of `train` and leave it with its best weights.

    A mean teacher brings a second loss, its `consistency` on unlabelled frames.

    Every random number of step t is drawn from (seed, t), so a run that was killed and resumes from `checkpoint` ends
    with the very weights of an undisturbed one. A finished checkpoint is loaded, one of another training is ignored.
    Raises ValueError if a checkpoint cannot be read, nothing is labelled or validation cannot be scored,
    FloatingPointError if the loss is no longer finite.
    """
    if not (train.poses[..., 2] > 0).any():
        raise ValueError(f"{title}: not one keypoint of {train.name} is labelled")
    if validation is not None and not can_be_scored(validation):
        raise ValueError(
            f"{title}: no validation frame of {validation.name} can be scored: PCK is measured "
            "against left_shoulder and right_hip (or right and left), label both in some of them"
        )
    device = next(model.parameters()).device
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(parameter_groups(model, schedule), fused=True)
    identity = signature(model, train, validation, schedule, augmentation, sigma, seed, consistency)

    def step_loss(step: int) -> float:
        loss = train_step(model, optimizer, train, schedule, augmentation, sigma, seed, step, device, consistency)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"{title}: the loss is {loss} at step {step}; lower the learning rate "
                f"({schedule.learning_rate}) or look for broken labels in {train.name}"
            )
        return loss

    score = None if validation is None else lambda: pck(evaluate(model, validation))
    return run_steps(model, optimizer, schedule, step_loss, score, identity, checkpoint, title)


def run_steps(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    step_loss: Callable[[int], float],
    score: Callable[[], float] | None,
    identity: str,
    checkpoint: Path | None,
    title: str,
) -> History:
    """The loop of every training: rate, step, score, checkpoint; leaves the best-scored weights.

    `step_loss(step)` makes a step and returns its loss; `score()`, higher is better, leaves the model in training
    mode. A checkpoint of this `identity` is gone on from.
    """
    history, best, start = History(), None, 0

    def look(step: int) -> None:
        nonlocal best
        value = score()
        history.score.append((step, value))
        if best is None or value > history.best_score:
            history.best_score, history.best_step = value, step
            best = copy.deepcopy(model.state_dict())

    if state := load_checkpoint(checkpoint, identity):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        history, best, start = History(**state["history"]), state["best"], state["step"]
    began = time.monotonic() - history.seconds
    model.train()
    if score is not None and start == 0:
        look(0)
    bar = tqdm(
        range(start, schedule.steps), initial=start, total=schedule.steps, desc=title, mininterval=2, leave=False
    )
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = group.get("factor", 1.0) * learning_rate(step, schedule)
        history.loss.append(step_loss(step))
        if (step + 1) % schedule.evaluate_every and step + 1 < schedule.steps:
            continue
        if score is not None:
            look(step + 1)
            bar.set_postfix(
                loss=f"{history.loss[-1]:.2e}", score=f"{history.score[-1][1]:.1f}", best=f"{history.best_score:.1f}"
            )
        history.seconds = time.monotonic() - began
        waited = sum(s > history.best_step for s, _ in history.score)
        over = step + 1 == schedule.steps or waited >= schedule.patience
        save_checkpoint(checkpoint, identity, model, optimizer, history, best, schedule.steps if over else step + 1)
        if over:
            break
    bar.close()
    if best is not None:
        model.load_state_dict(best)
    return history


def parameter_groups(model: nn.Module, schedule: Schedule) -> list[dict]:
    """The head's parameters at the full learning rate, the backbone's at its share of it.

    The share is the schedule's, times the model's own `backbone_rate` if it has one.
    """
    heads = getattr(model, "head", ())
    head, backbone = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (head if name.startswith(heads) else backbone).append(parameter)
    rate = schedule.backbone_rate * getattr(model, "backbone_rate", 1.0)
    factors = ((head, 1.0), (backbone, rate))
    return [{"params": p, "factor": f, "lr": f * schedule.learning_rate} for p, f in factors if p]


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: PoseData,
    schedule: Schedule,
    augmentation: Augmentation,
    sigma: float,
    seed: int,
    step: int,
    device: torch.device,
    consistency: Consistency | None = None,
) -> float:
    """One step of Adam on a random batch of augmented views; returns the loss.

    The views are new ones, or drawn from the fixed ones that `train` brings along.
    """
    generator = torch.Generator().manual_seed(hash_of(seed, step))
    torch.manual_seed(hash_of(seed, step))  # for the dropout
    index = batch_index(len(train), schedule.batch_size, seed, step)
    view, inputs = random_look(model, train, index, augmentation, generator)
    question = consistency.ask(model, generator) if consistency else None
    if question is not None:  # in one pass, as Tarvainen and Valpola's code has it
        inputs = [torch.cat(both) for both in zip(inputs, question.inputs, strict=True)]
    answers = answer(model, train, inputs)
    poses = view.poses(train.poses[index].to(device))
    loss = pose_loss(model, [a[: len(index)] for a in answers], poses, train.size, sigma)
    if question is not None:
        loss = loss + consistency(model, step, question, [a[len(index) :] for a in answers])
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if consistency is not None:
        model.after_step()
    return float(loss.detach())


def pose_loss(model: nn.Module, answers: list[Tensor], poses: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Loss of a model's outputs for images of `size` (H, W) that show poses [N, K, 3]."""
    return model.loss(answers, poses, size, sigma)


def batch_index(n: int, batch_size: int, seed: int, step: int) -> Tensor:
    """Frames of step `step`: the shuffled data set read through, shuffled anew each epoch."""
    out = []
    for i in range(step * batch_size, (step + 1) * batch_size):
        out.append((i // n, i % n))
    order = {
        epoch: torch.randperm(n, generator=torch.Generator().manual_seed(hash_of(seed, -1 - epoch)))
        for epoch in {e for e, _ in out}
    }
    return torch.stack([order[epoch][i] for epoch, i in out])


def hash_of(seed: int, step: int) -> int:
    """A seed of its own for each (seed, step)."""
    return zlib.crc32(f"{seed}/{step}".encode())


def learning_rate(step: int, schedule: Schedule) -> float:
    """Linear warm-up, then half a cosine down to 1 %."""
    rise = min(1.0, (step + 1) / max(1, schedule.warmup))
    fall = 0.5 * (1 + math.cos(math.pi * step / max(1, schedule.steps)))
    return schedule.learning_rate * rise * (0.01 + 0.99 * fall)


def evaluate(model: nn.Module, data: PoseData) -> Tensor:
    """Normalised distances [N, K] of the model's predictions on `data` (see `metrics`)."""
    return normalised_distances(predict_all(model, data.frames), data.poses, data.skeleton)


def can_be_scored(data: PoseData) -> bool:
    """Whether a keypoint counts in PCK: it is labelled in a pose that has a reference length."""
    own = normalised_distances(data.poses, data.poses, data.skeleton)
    return not bool(own.isnan().all())


def signature(
    model: nn.Module,
    train: PoseData,
    validation: PoseData | None,
    schedule: Schedule,
    augmentation: Augmentation,
    sigma: float,
    seed: int,
    consistency: Consistency | None = None,
) -> str:
    """What makes two trainings the same: settings, labels, and the weights they start from."""
    start = sum(p.double().sum().item() for p in model.parameters())
    dropout = sorted({m.p for m in model.modules() if isinstance(m, nn.Dropout2d)})
    labels = [round(float(d.poses.double().sum()), 3) for d in (train, validation) if d is not None]
    views = [kept.path.name for kept in train.views.files] if train.views else []
    return json.dumps(
        [
            asdict(schedule),
            asdict(augmentation),
            sigma,
            seed,
            len(train),
            labels,
            round(start, 6),
            views,
            dropout,
            getattr(model, "decay", None),
            consistency.settings() if consistency else "",
        ]
    )


def save_checkpoint(
    path: Path | None,
    identity: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: History,
    best: dict | None,
    step: int,
) -> None:
    """Write everything a resume needs, atomically: a kill leaves the old file or the new one."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "identity": identity,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": asdict(history),
        "best": best,
        "step": step,
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load_checkpoint(path: Path | None, identity: str) -> dict | None:
    """The state saved at `path` if it is of this training; ValueError if it is not readable."""
    if path is None or not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        saved = state["identity"]
    except (RuntimeError, KeyError, EOFError, TypeError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} is not a readable checkpoint ({type(error).__name__}); delete it to start this training anew"
        ) from error
    return state if saved == identity else None
