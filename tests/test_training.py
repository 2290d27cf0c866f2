import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from fewpose.augment import Augmentation
from fewpose.data.pose_data import PoseData
from fewpose.models.pose_model import Network
from fewpose.training import History, Schedule, Sgd, batch_index, evaluate, fit, learning_rate, minimise, schedule_in
from tiny import DOTS, TinyNet, dots

# Dots keep their colour when mirrored, so these views neither mirror nor recolour.
STILL = Augmentation(flip=0, rotation=10, shift=0.05, scale=(0.9, 1.1), colour=0)
SHORT = Schedule(steps=12, batch_size=8, learning_rate=1e-2, evaluate_every=4)


def weights(model):
    return torch.cat([p.flatten() for p in model.state_dict().values()])


def test_it_learns():
    model, schedule = TinyNet(), Schedule(120, 16, 2e-2, evaluate_every=40)
    before = evaluate(model, dots(seed=1))
    history = fit(model, dots(), dots(seed=1, split="val"), schedule, augmentation=STILL, sigma=1)
    after = evaluate(model, dots(seed=1))
    assert (before <= 0.2).float().mean() < 0.2
    assert (after <= 0.2).float().mean() > 0.8
    assert history.best_score == max(s for _, s in history.score)
    assert len(history.loss) == 120 and history.loss[-1] < history.loss[0] / 3


@pytest.mark.parametrize("validation", [None, dots(seed=1, split="val")])
def test_the_history_can_be_watched(validation):
    seen = []
    fit(
        TinyNet(),
        dots(),
        validation,
        SHORT,
        augmentation=STILL,
        watch=lambda h: seen.append((len(h.loss), len(h.score))),
    )
    scores = (0, 0, 0) if validation is None else (2, 3, 4)
    assert seen == list(zip((4, 8, 12), scores, strict=True))


class Killed(Exception):
    pass


def test_killed_and_resumed_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole = TinyNet()
    undisturbed = fit(whole, dots(), dots(seed=1, split="val"), SHORT, augmentation=STILL, seed=3)

    from fewpose import training

    loss, calls = training.supervised_loss, []

    def mortal(*args):
        calls.append(args)
        if len(calls) == 11:
            raise Killed
        return loss(*args)

    monkeypatch.setattr(training, "supervised_loss", mortal)
    path = tmp_path / "c.pt"
    arguments = dict(augmentation=STILL, seed=3, checkpoint=path)
    with pytest.raises(Killed):
        fit(TinyNet(), dots(), dots(seed=1, split="val"), SHORT, **arguments)
    resumed = TinyNet()
    history = fit(resumed, dots(), dots(seed=1, split="val"), SHORT, **arguments)
    assert torch.equal(weights(whole), weights(resumed))
    assert history.loss == undisturbed.loss and history.score == undisturbed.score

    finished = TinyNet()
    monkeypatch.setattr(training, "supervised_loss", None)  # a finished training takes no step
    fit(finished, dots(), dots(seed=1, split="val"), SHORT, **arguments)
    assert torch.equal(weights(whole), weights(finished))


def test_checkpoint_of_another_training_is_ignored(tmp_path):
    path = tmp_path / "c.pt"
    fit(TinyNet(), dots(), None, SHORT, augmentation=STILL, checkpoint=path)
    other = fit(TinyNet(), dots(seed=5), None, SHORT, augmentation=STILL, checkpoint=path)
    assert len(other.loss) == 12


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_corrupt_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "c.pt"
    if content is None:
        fit(TinyNet(), dots(), None, SHORT, augmentation=STILL, checkpoint=path)
        content = path.read_bytes()[:2000]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"c\.pt is not a readable checkpoint"):
        fit(TinyNet(), dots(), None, SHORT, augmentation=STILL, checkpoint=path)


def test_early_stopping_keeps_the_best(monkeypatch):
    from fewpose import training

    scores = iter([10.0, 50.0, 70.0, 60.0, 60.0, 60.0, 90.0])
    monkeypatch.setattr(training, "pck", lambda d: next(scores))
    schedule = Schedule(100, 8, evaluate_every=1, patience=2)
    history = fit(TinyNet(), dots(), dots(seed=1, split="val"), schedule, augmentation=STILL)
    assert history.best_score == 70 and history.best_step == 2
    assert [s for s, _ in history.score] == [0, 1, 2, 3, 4]


def test_weights_that_training_spoils_are_kept(monkeypatch):
    from fewpose import training

    scores = iter([80.0, 70.0])
    monkeypatch.setattr(training, "pck", lambda d: next(scores))
    model = TinyNet()
    before = copy.deepcopy(list(model.parameters()))
    history = fit(model, dots(), dots(seed=1, split="val"), Schedule(2, 8, evaluate_every=2))
    assert history.best_step == 0
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))


def test_two_trainings_in_sequence_are_one_history():
    first = History([3.0, 2.0, 1.0], [(0, 10.0), (2, 40.0), (3, 30.0)], 2, 40.0, 5.0)
    both = first.then(History([0.5], [(0, 40.0), (1, 35.0)], 0, 40.0, 1.0))
    assert both.loss == [3.0, 2.0, 1.0, 0.5] and both.seconds == 6.0
    assert both.score == [(0, 10.0), (2, 40.0), (3, 30.0), (3, 40.0), (4, 35.0)]
    assert (both.best_step, both.best_score) == (3, 40.0)
    assert len(first.loss) == 3


def test_loss_that_is_not_finite_stops_with_a_message():
    model = TinyNet()
    with torch.no_grad():
        model.net[0].weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match=r"step 0: the loss is nan \(labelled nan\)"):
        fit(model, dots(), None, SHORT, augmentation=STILL)


def test_no_label_no_training():
    with pytest.raises(ValueError, match="not one keypoint of dots is labelled"):
        fit(TinyNet(), dots().unlabelled(), None, SHORT)


def test_validation_that_cannot_be_scored_stops_before_training():
    """Else no evaluation is better than the first, and the weights are as before."""
    validation = dots()
    validation.poses[:, DOTS.index("right_hip"), 2] = 0
    validation.poses[:, DOTS.index("right_shoulder"), 2] = 0
    for data in (validation, dots().unlabelled(), dots().subset("val")):
        with pytest.raises(ValueError, match="no validation frame of dots can be scored"):
            fit(TinyNet(), dots(), data, SHORT)


def test_every_epoch_sees_every_frame_once():
    seen = torch.cat([batch_index(10, 4, 0, step) for step in range(5)])
    assert sorted(seen[:10].tolist()) == list(range(10)) == sorted(seen[10:].tolist())
    assert seen[:10].tolist() != seen[10:].tolist()


def test_learning_rate_rises_and_falls():
    s = Schedule(steps=100, learning_rate=1.0, warmup=10)
    assert math.isclose(learning_rate(0, s), 0.1, rel_tol=1e-3)
    assert learning_rate(9, s) > 0.95
    assert 0.01 <= learning_rate(99, s) < 0.02


def test_data_refuse_what_does_not_fit():
    good = dots(4)
    with pytest.raises(ValueError, match="expected \\(4, 4, 3\\)"):
        PoseData(good.frames, good.poses[:, :3], DOTS, good.video, good.split)
    bad = good.poses.clone()
    bad[2, 1, 0] = torch.nan
    with pytest.raises(ValueError, match="frame 2 has a pose that is not finite"):
        PoseData(good.frames, bad, DOTS, good.video, good.split)
    with pytest.raises(ValueError, match="lies in both train and test"):
        PoseData(good.frames, good.poses, DOTS, np.array(["a"] * 4), np.array(["train", "train", "test", "test"]))


def test_the_schedule_among_a_notebooks_parameters():
    parameters = {"steps": 7, "batch_size": 3, "labels": 50, "patience": 2}
    assert schedule_in(parameters) == Schedule(7, batch_size=3, patience=2)


def test_sgds_rate_rises_and_falls_to_a_tenth():
    schedule = Schedule(1000, 4, 0.1, warmup=10)
    sgd = Sgd((0.4, 0.6, 0.8))
    rates = [sgd.rate(step, schedule) for step in (0, 9, 399, 400, 599, 600, 999)]
    assert rates == pytest.approx([0.01, 0.1, 0.1, 0.01, 0.01, 0.001, 0.0001])


class OneWeight(Network, nn.Linear):
    """A network of one weight that begins at 1."""

    def __init__(self):
        super().__init__(1, 1, bias=False)
        nn.init.ones_(self.weight)


def test_minimise_steps_by_sgd():
    model = OneWeight()

    def losses(step, generator):
        return {"weight": model.weight.sum()}  # of slope 1

    schedule = Schedule(2, 1, 0.1, warmup=1)
    minimise(model, losses, schedule, fingerprint="", weight_decay=0, sgd=Sgd((0.5,)))
    # 0.1, then 0.01 times (1 + 0.9) of momentum
    assert model.weight.item() == pytest.approx(1 - 0.1 - 0.019)
