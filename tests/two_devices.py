"""Short trainings that two processes on gloo can share."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import torch

from fewpose.heatmaps import predict_all
from fewpose.mean_teacher import Consistency, MeanTeacher, fit_mean_teacher
from fewpose.speed import devices
from fewpose.training import Schedule, fit
from tiny import TinyNet, dots

STEPS = Schedule(20, batch_size=16, learning_rate=1e-3, warmup=2, evaluate_every=10)


class Doubles(TinyNet):
    """In double precision: Adam makes steps of full length of rounding errors, where a gradient is nothing else."""

    def __init__(self, seed: int = 0):
        super().__init__(seed=seed)
        self.double()

    def forward(self, images):
        return [self.net(images.double())]


def trained(checkpoint: Path | None = None) -> dict[str, tuple]:
    """State dict, losses and scores after 20 steps of each training, and predictions on five frames."""
    train, validation = dots(24), dots(6, seed=1, split="val")
    found = {}
    for name, net, batch in (("doubles", Doubles, 16), ("singles", TinyNet, 16), ("uneven", Doubles, 5)):
        model = net()
        history = fit(model, train, None, replace(STEPS, batch_size=batch))
        found[name] = model.state_dict(), history.loss
    model = MeanTeacher(Doubles(), decay=0.9)
    consistency = Consistency(dots(24, seed=2).unlabelled(), 16, threshold=0.0, error="heatmaps", ramp=1)
    history = fit_mean_teacher(model, train, None, STEPS, consistency)
    found["mean teacher"] = model.state_dict(), history.loss
    model = Doubles(seed=1)
    history = fit(model, train, validation, STEPS, checkpoint=checkpoint)
    found["scored"] = model.state_dict(), history.score
    return {**found, "predictions": predict_all(model, train.frames[:5], 4)}


def one_of_two(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    devices.join(rank, 2, folder / "meeting", torch.device("cpu"))
    found = trained(folder / f"training{rank}.pt")
    devices.leave()
    torch.save(found, folder / f"found{rank}.pt")


def of_two(folder: Path) -> list[dict[str, tuple]]:
    """What `trained` gives in each of two processes; checkpoints lie in `folder`."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=one_of_two, args=(rank, folder)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return [torch.load(folder / f"found{rank}.pt") for rank in (0, 1)]
