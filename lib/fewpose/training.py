"""One training loop for every network, and the supervised training of a pose network on it."""

from __future__ import annotations

import copy
import json
import math
import pickle
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from fewpose.augment import Augmentation
from fewpose.data.pose_data import PoseData
from fewpose.disk import replacing
from fewpose.heatmaps import predict_all
from fewpose.metrics.pck import normalised_distances, pck
from fewpose.speed import devices
from fewpose.speed.precision import half_precision

Losses = Callable[[int, torch.Generator], dict[str, Tensor]]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    The learning rate rises over `warmup` steps and falls to 1 % as a cosine. With a validation set the network is
    scored before the first step and every `evaluate_every` steps; after `patience` scores without a new best, training
    stops. The best-scored weights are the result. The backbone learns at `backbone_rate` times the rate of the head,
    whose parameters are those with a prefix in the model's `head`.
    """

    steps: int
    batch_size: int = 32
    learning_rate: float = 1e-3
    backbone_rate: float = 1.0
    warmup: int = 20
    evaluate_every: int = 50
    patience: int = 1000


def schedule_in(parameters: dict) -> Schedule:
    """The schedule in a notebook's parameters, which are named like its fields."""
    names = [part.name for part in fields(Schedule) if part.name in parameters]
    return Schedule(**{name: parameters[name] for name in names})


@dataclass(frozen=True)
class Sgd:
    """SGD with momentum; the learning rate falls to a tenth after each of `falls`, fractions of all steps.

    The common schedule for detectors since Fast R-CNN, after a linear rise over the schedule's `warmup`.
    """

    falls: tuple[float, ...]
    momentum: float = 0.9

    def rate(self, step: int, schedule: Schedule) -> float:
        """The learning rate of a step."""
        rise = min(1.0, (step + 1) / max(1, schedule.warmup))
        return schedule.learning_rate * rise * 0.1 ** sum(step >= share * schedule.steps for share in self.falls)


@dataclass
class History:
    """Loss of each step, and the scores as (step, score); `fit` scores by validation PCK@0.1."""

    loss: list[float] = field(default_factory=list)
    score: list[tuple[int, float]] = field(default_factory=list)
    best_step: int = 0
    best_score: float = float("nan")
    seconds: float = 0.0

    def then(self, after: History) -> History:
        """This training and one that went on from its best weights, as one history; the best is the latter's."""
        start = len(self.loss)
        scores = [(start + step, value) for step, value in after.score]
        best = start + after.best_step, after.best_score
        return History(self.loss + after.loss, self.score + scores, *best, self.seconds + after.seconds)


# ---- the loop ----------------------------------------------------------------------------------------------------


def minimise(
    model: nn.Module,
    losses: Losses,
    schedule: Schedule,
    *,
    fingerprint: str,
    optimizer: torch.optim.Optimizer | None = None,
    sgd: Sgd | None = None,
    weight_decay: float = 1e-4,
    clip: float = 10.0,
    score: Callable[[], float] | None = None,
    after_step: Callable[[], None] = lambda: None,
    seed: int = 0,
    checkpoint: Path | None = None,
    title: str = "training",
    watch: Callable[[History], None] = lambda history: None,
) -> History:
    """Train `model` on the sum of the named `losses(step, generator)`; leave it with its best-scored weights.

    The optimizer is AdamW, `sgd`, or the given `optimizer`; gradients are clipped to the norm `clip`. `score()`, higher
    is better, is called in evaluation mode; `watch` gets the history after each, or every `evaluate_every` steps. Every
    random number of step t is drawn from (seed, t), so a killed run that resumes from `checkpoint` ends with the same
    weights as an uninterrupted one. A finished checkpoint is loaded, one with another `fingerprint` ignored. ValueError
    if a checkpoint cannot be read, FloatingPointError if a loss is no longer finite.
    """
    if optimizer is None:
        groups, rate = parameter_groups(model, schedule), schedule.learning_rate
        if sgd is None:
            optimizer = torch.optim.AdamW(groups, rate, weight_decay=weight_decay)
        else:
            optimizer = torch.optim.SGD(groups, rate, sgd.momentum, weight_decay=weight_decay)
            fingerprint += repr(sgd)
    rate_of = sgd.rate if sgd else learning_rate
    history, best, start = History(), None, 0

    def evaluate_now(step: int) -> None:
        nonlocal best
        model.eval()
        value = score()
        model.train()
        history.score.append((step, value))
        if best is None or value > history.best_score:
            history.best_score, history.best_step = value, step
            best = copy.deepcopy(model.state_dict())

    if state := load_checkpoint(checkpoint, fingerprint):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        history, best, start = History(**state["history"]), state["best"], state["step"]
    began = time.monotonic() - history.seconds
    model.train()
    if score is not None and start == 0:
        evaluate_now(0)
    steps = range(start, schedule.steps)
    bar = tqdm(steps, initial=start, total=schedule.steps, desc=title, mininterval=2, leave=False)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = group.get("factor", 1.0) * rate_of(step, schedule)
        torch.manual_seed(hash_of(seed, step))  # for dropout and the samplers of torchvision
        parts = losses(step, torch.Generator().manual_seed(hash_of(seed, step)))
        history.loss.append(descend(model, optimizer, parts, clip, f"{title}, step {step}"))
        after_step()
        if (step + 1) % schedule.evaluate_every and step + 1 < schedule.steps:
            continue
        if score is not None:
            evaluate_now(step + 1)
            shown = dict(loss=history.loss[-1], score=history.score[-1][1], best=history.best_score)
            bar.set_postfix({name: f"{value:.3g}" for name, value in shown.items()})
        history.seconds = time.monotonic() - began
        watch(history)
        waited = sum(s > history.best_step for s, _ in history.score)
        over = step + 1 == schedule.steps or waited >= schedule.patience
        done = schedule.steps if over else step + 1
        save_checkpoint(checkpoint, fingerprint, model, optimizer, history, best, done)
        if over:
            break
    bar.close()
    if best is not None:
        model.load_state_dict(best)
    model.eval()
    return history


def descend(
    model: nn.Module, optimizer: torch.optim.Optimizer, losses: dict[str, Tensor], clip: float, where: str
) -> float:
    """One step of the optimizer on the sum of losses, which is returned; FloatingPointError if it is not finite."""
    loss = sum(losses.values())
    if not math.isfinite(value := float(loss.detach())):
        named = ", ".join(f"{name} {float(part.detach()):.3g}" for name, part in losses.items())
        raise FloatingPointError(f"{where}: the loss is {value} ({named}); lower the learning rate or fix the labels")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if math.isfinite(clip):
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], clip)
    optimizer.step()
    return value


def parameter_groups(model: nn.Module, schedule: Schedule) -> list[dict]:
    """All parameters at the full learning rate but the backbone's, which learn at its share of it.

    The share is the schedule's `backbone_rate` times the model's own.
    """
    full, backbone = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            slow = name.startswith(model.at_backbone_rate) and not name.startswith(model.head)
            (backbone if slow else full).append(parameter)
    rate = schedule.backbone_rate * model.backbone_rate
    factors = ((full, 1.0), (backbone, rate))
    return [{"params": p, "factor": f, "lr": f * schedule.learning_rate} for p, f in factors if p]


def learning_rate(step: int, schedule: Schedule) -> float:
    """Linear warm-up, then half a cosine down to 1 %."""
    rise = min(1.0, (step + 1) / max(1, schedule.warmup))
    fall = 0.5 * (1 + math.cos(math.pi * step / max(1, schedule.steps)))
    return schedule.learning_rate * rise * (0.01 + 0.99 * fall)


def batch_index(n: int, batch_size: int, seed: int, step: int) -> Tensor:
    """Indices [batch_size] of the frames of a step; the data set is reshuffled every epoch."""
    places = [divmod(i, n) for i in range(step * batch_size, (step + 1) * batch_size)]
    order = {
        epoch: torch.randperm(n, generator=torch.Generator().manual_seed(hash_of(seed, -1 - epoch)))
        for epoch in {epoch for epoch, _ in places}
    }
    return torch.stack([order[epoch][i] for epoch, i in places])


def hash_of(seed: int, step: int) -> int:
    """A different seed for each (seed, step)."""
    return zlib.crc32(f"{seed}/{step}".encode())


def weights_fingerprint(model: nn.Module) -> float:
    """A number that identifies the weights a training starts from."""
    return round(sum(p.double().sum().item() for p in model.state_dict().values()), 6)


def save_checkpoint(
    path: Path | None,
    fingerprint: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: History,
    best: dict | None,
    step: int,
) -> None:
    """Write everything needed to resume, atomically: a kill leaves the old file or the new one."""
    if path is None or not devices.is_first():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"fingerprint": fingerprint, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    state |= {"history": asdict(history), "best": best, "step": step}
    with replacing(path, size=size_of_tensors(state)) as part, open(part, "wb") as file:
        torch.save(state, file)  # not the path, whose name would be in the file


def size_of_tensors(state: object) -> int:
    """The bytes of all tensors in nested dicts and lists."""
    if isinstance(state, torch.Tensor):
        return state.nbytes
    below = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return sum(map(size_of_tensors, below))


def load_checkpoint(path: Path | None, fingerprint: str) -> dict | None:
    """The state saved at `path` if its fingerprint is this one; ValueError if it is not readable."""
    if path is None or not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        saved = state["fingerprint"]
    except (RuntimeError, KeyError, EOFError, TypeError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} is not a readable checkpoint ({type(error).__name__}); delete it to restart this training"
        ) from error
    return state if saved == fingerprint else None


# ---- pose networks -----------------------------------------------------------------------------------------------


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
    losses: Losses | None = None,
    after_step: Callable[[], None] = lambda: None,
    settings: str = "",
    watch: Callable[[History], None] = lambda history: None,
) -> History:
    """Train `model` on the labelled keypoints of `train`, scored by PCK@0.1 on `validation`; see `minimise`.

    `losses` replaces `supervised_loss`, `after_step` is called after each step, and `settings` names everything that
    these two depend on. ValueError if nothing is labelled or validation cannot be scored.
    """
    if not (train.poses[..., 2] > 0).any():
        raise ValueError(f"{title}: not one keypoint of {train.name} is labelled")
    if validation is not None and not can_be_scored(validation):
        raise ValueError(
            f"{title}: no validation frame of {validation.name} can be scored: PCK is measured "
            "against left_shoulder and right_hip (or right and left), label both in some of them"
        )
    model = model.to(memory_format=torch.channels_last)

    def labels_alone(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        index = batch_index(len(train), schedule.batch_size, seed, step)
        return {"labelled": supervised_loss(model, train, index, augmentation, sigma, generator)}

    return minimise(
        model,
        losses or labels_alone,
        schedule,
        fingerprint=fingerprint(model, train, validation, schedule, augmentation, sigma, seed, settings),
        optimizer=torch.optim.Adam(parameter_groups(model, schedule), fused=True),
        clip=math.inf,
        score=None if validation is None else lambda: pck(evaluate(model, validation)),
        after_step=after_step,
        seed=seed,
        checkpoint=checkpoint,
        title=title,
        watch=watch,
    )


def supervised_loss(
    model: nn.Module,
    data: PoseData,
    index: Tensor,
    augmentation: Augmentation,
    sigma: float,
    generator: torch.Generator,
) -> Tensor:
    """The model's loss on a random view of each of the labelled frames `index`."""
    device = next(model.parameters()).device
    view, inputs = data.random_view(index, augmentation, generator, device)
    poses = view.poses(data.poses[index].to(device))
    return model.loss(outputs_of(model, inputs), poses, data.size, sigma)


def outputs_of(model: nn.Module, inputs: Tensor) -> list[Tensor]:
    """The model's outputs, in half precision on a GPU; several devices share the pass."""
    with half_precision(inputs.device):
        return devices.shared_pass(model, inputs)


def evaluate(model: nn.Module, data: PoseData) -> Tensor:
    """Normalised distances [N, K] of the model's predictions on `data` (see `metrics.pck`)."""
    return normalised_distances(predict_all(model, data.frames), data.poses, data.skeleton)


def can_be_scored(data: PoseData) -> bool:
    """Whether a keypoint counts in PCK: it is labelled in a pose that has a reference length."""
    return not bool(normalised_distances(data.poses, data.poses, data.skeleton).isnan().all())


def fingerprint(
    model: nn.Module,
    train: PoseData,
    validation: PoseData | None,
    schedule: Schedule,
    augmentation: Augmentation,
    sigma: float,
    seed: int,
    settings: str = "",
) -> str:
    """Text that identifies a training: its settings, labels, and initial weights."""
    dropout = sorted({m.p for m in model.modules() if isinstance(m, nn.Dropout2d)})
    labels = [round(float(d.poses.double().sum()), 3) for d in (train, validation) if d is not None]
    data = [len(train), train.source, *labels]
    return json.dumps(
        [asdict(schedule), asdict(augmentation), sigma, seed, data, weights_fingerprint(model), dropout, settings]
    )
