"""The loop of trainings whose model gives named losses of its own: detectors, lifters."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .training import History, Schedule, hash_of, learning_rate, load_checkpoint, save_checkpoint

Losses = Callable[[int, torch.Generator], dict[str, Tensor]]


def minimise(
    model: nn.Module, losses: Losses, schedule: Schedule, *, identity: str,
    score: Callable[[], float] | None = None, after_step: Callable[[], None] = lambda: None,
    weight_decay: float = 1e-4, seed: int = 0, checkpoint: Path | None = None,
    title: str = "training",
) -> History:
    """Train what of `model` learns by AdamW on the sum of `losses(step, generator)`.

    The generator of step t is drawn from (seed, t), and so is what else is random: a run that was
    killed and resumes from `checkpoint` ends with the very weights of an undisturbed one. A
    checkpoint of another `identity` is ignored. `score()`, higher is better, is asked every
    `schedule.evaluate_every` steps in evaluation mode; the best-scored weights are the result.
    ValueError if a checkpoint cannot be read, FloatingPointError if a loss is no longer finite.
    """
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, schedule.learning_rate, weight_decay=weight_decay)
    history, best, start = History(), None, 0
    if state := load_checkpoint(checkpoint, identity):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        history, best, start = History(**state["history"]), state["best"], state["step"]
    began = time.monotonic() - history.seconds
    bar = tqdm(range(start, schedule.steps), initial=start, total=schedule.steps, desc=title,
               mininterval=2, leave=False)
    model.train()
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, schedule)
        torch.manual_seed(hash_of(seed, step))  # for dropout and the samplers of torchvision
        parts = losses(step, torch.Generator().manual_seed(hash_of(seed, step)))
        loss = sum(parts.values())
        history.loss.append(float(loss.detach()))
        if not math.isfinite(history.loss[-1]):
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
        bar.set_postfix(loss=f"{history.loss[-1]:.3g}", best=f"{history.best_score:.3g}",
                        refresh=False)
        over = step + 1 == schedule.steps
        if (step + 1) % schedule.evaluate_every and not over:
            continue
        if score is not None:
            model.eval()
            value = score()
            model.train()
            history.score.append((step + 1, value))
            if best is None or value > history.best_score:
                history.best_score, history.best_step = value, step + 1
                best = copy.deepcopy(model.state_dict())
        history.seconds = time.monotonic() - began
        waited = sum(s > history.best_step for s, _ in history.score)
        over = over or waited >= schedule.patience
        save_checkpoint(checkpoint, identity, model, optimizer, history, best,
                        schedule.steps if over else step + 1)
        if over:
            break
    bar.close()
    if best is not None:
        model.load_state_dict(best)
    model.eval()
    return history


def start_of(model: nn.Module) -> float:
    """A number that tells apart the weights from which a training starts, for its identity."""
    return round(sum(p.double().sum().item() for p in model.state_dict().values()), 6)
