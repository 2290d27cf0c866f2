"""The loop of trainings whose model gives named losses of its own: detectors, lifters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fewpose.training import History, Schedule, hash_of, parameter_groups, run_steps

Losses = Callable[[int, torch.Generator], dict[str, Tensor]]


@dataclass(frozen=True)
class Sgd:
    """SGD with momentum, whose rate falls to a tenth after each of the shares `falls` of all steps.

    How detectors are trained since Fast R-CNN; before it falls the rate rises over the schedule's `warmup` and stays.
    """

    falls: tuple[float, ...]
    momentum: float = 0.9

    def rate(self, step: int, schedule: Schedule) -> float:
        """The learning rate of a step."""
        rise = min(1.0, (step + 1) / max(1, schedule.warmup))
        return schedule.learning_rate * rise * 0.1 ** sum(step >= share * schedule.steps for share in self.falls)


def minimise(
    model: nn.Module,
    losses: Losses,
    schedule: Schedule,
    *,
    identity: str,
    score: Callable[[], float] | None = None,
    after_step: Callable[[], None] = lambda: None,
    weight_decay: float = 1e-4,
    seed: int = 0,
    checkpoint: Path | None = None,
    title: str = "training",
    sgd: Sgd | None = None,
) -> History:
    """Train what of `model` learns by AdamW, or by `sgd`, on the sum of `losses(step, generator)`.

    The generator of step t is drawn from (seed, t), and so is what else is random: a run that was killed and resumes
    from `checkpoint` ends with the very weights of an undisturbed one. A checkpoint of another `identity` is ignored.
    `score()`, higher is better, is asked every `schedule.evaluate_every` steps in evaluation mode; the best-scored
    weights are the result. ValueError if a checkpoint cannot be read, FloatingPointError if a loss is no longer
    finite.
    """
    learning = [p for p in model.parameters() if p.requires_grad]
    groups, rate = parameter_groups(model, schedule), schedule.learning_rate
    if sgd is None:
        optimizer = torch.optim.AdamW(groups, rate, weight_decay=weight_decay)
    else:
        optimizer = torch.optim.SGD(groups, rate, sgd.momentum, weight_decay=weight_decay)
        identity += repr(sgd)

    def step_loss(step: int) -> float:
        for group in optimizer.param_groups if sgd else ():
            group["lr"] = group["factor"] * sgd.rate(step, schedule)
        torch.manual_seed(hash_of(seed, step))  # for dropout and the samplers of torchvision
        parts = losses(step, torch.Generator().manual_seed(hash_of(seed, step)))
        loss = sum(parts.values())
        if not math.isfinite(value := float(loss.detach())):
            named = ", ".join(f"{name} {float(part.detach()):.3g}" for name, part in parts.items())
            raise FloatingPointError(
                f"{title}: the loss is no longer finite at step {step} ({named}); lower the "
                f"learning rate ({schedule.learning_rate}) or look for broken labels"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 10.0)
        optimizer.step()
        after_step()
        return value

    def tested() -> float:
        model.eval()
        value = score()
        model.train()
        return value

    history = run_steps(model, optimizer, schedule, step_loss, tested if score else None, identity, checkpoint, title)
    model.eval()
    return history


def start_of(model: nn.Module) -> float:
    """A number that tells apart the weights from which a training starts, for its identity."""
    return round(sum(p.double().sum().item() for p in model.state_dict().values()), 6)
