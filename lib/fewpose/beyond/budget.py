"""Settings for one's own data that fit the time there is, from the speed of this machine; not in the papers."""

from __future__ import annotations

import copy
import difflib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from fewpose.beyond.published_head import PublishedHead, predict_views
from fewpose.data.pose_data import PoseData
from fewpose.data.video import open_video, rate_of
from fewpose.disk import write_text
from fewpose.feature_cache import cache_features
from fewpose.heatmaps import predict_all
from fewpose.skeleton import HALPE
from fewpose.training import Schedule, fit

POOL = 300  # unlabelled frames that are enough
LEAST_STEPS = 10
LEAST_LABELS = 16  # for a learning curve
SHARED = 5  # keypoints of the published head, without which it is no help
FIRST_LOOK = 3  # minutes below which a small network on small frames is all there is time for


@dataclass(frozen=True)
class Plan:
    """The settings of an adaptation.

    network, size, width   as in the sports notebooks: frames of `size` x `width` cropped to the person, 0: whole ones
    published              the published head: "rtmpose_s" or "movenet"; "": none
    raw_every              every n-th frame of the videos is an unlabelled one; 0: none
    cached_views, published_views, augmentations  views per frame: with cached features, of the published head, and of
                           the network when it labels, besides the base and the flipped one
    steps, retraining_steps  of the training on labels, and of that on labels and pseudo labels
    keep_percent, label_repeats  share of the pseudo labels that are selected, copies of each label beside them
    curve_sizes, curve_draws  fractions of the labels, and label draws of each, for the learning curve
    """

    network: str = "rtmpose_s"
    size: int = 256
    width: int = 192
    published: str = "rtmpose_s"
    raw_every: int = 10
    cached_views: int = 12
    published_views: int = 4
    augmentations: int = 10
    steps: int = 600
    retraining_steps: int = 600
    keep_percent: int = 90
    label_repeats: int = 4
    batch_size: int = 16
    learning_rate: float = 4e-4
    evaluate_every: int = 100
    curve_sizes: tuple[float, ...] = (0.25, 0.4, 0.6)
    curve_draws: int = 2

    @property
    def schedule(self) -> Schedule:
        """That of the training on labels."""
        return Schedule(self.steps, self.batch_size, self.learning_rate, evaluate_every=self.evaluate_every)

    def save(self, path: Path) -> None:
        """Write the plan as JSON."""
        write_text(path, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read what `save` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**content, "curve_sizes": tuple(content["curve_sizes"])})


@dataclass(frozen=True)
class Amount:
    """How much data there is; `folds` are the trainings that are tested, `kept` one more if another network is kept."""

    labels: int
    videos: int
    folds: int
    kept: bool
    video_frames: int

    def unlabelled(self, plan: Plan) -> int:
        """The number of unlabelled frames."""
        return -(-self.video_frames // plan.raw_every) if plan.raw_every else 0


@dataclass(frozen=True)
class Speed:
    """Seconds for one thing on this machine.

    feature, head    the frozen backbone's features of a view, and the prediction from them
    step             a training step of a batch
    predict          the prediction of a frame
    published        a view of the published head
    video            a frame of a video, in which the person is found if frames are cropped
    """

    feature: float
    head: float
    step: float
    predict: float
    published: float
    video: float


def first_choice(minutes: float, names: tuple[str, ...]) -> Plan:
    """The plan before anything is measured: RTMPose-s, or the small network where there is no time for it.

    The published head votes if it knows SHARED of the keypoints' `names`: it has learned no animals.
    """
    if minutes >= FIRST_LOOK:
        plan = Plan()
    else:
        small = dict(network="movenet", size=96, width=0, published="movenet", cached_views=0, published_views=2)
        small |= dict(augmentations=2, learning_rate=0.001, label_repeats=1, curve_sizes=(0.3, 0.6), curve_draws=1)
        plan = Plan(**small)
    return plan if len(set(names) & set(HALPE.keypoints)) >= SHARED else replace(plan, published="")


def estimate(plan: Plan, amount: Amount, speed: Speed) -> dict[str, float]:
    """The seconds of each part of the notebook."""
    raw, frames = amount.unlabelled(plan), amount.labels + amount.unlabelled(plan)
    trainings = amount.folds + amount.kept
    tested = amount.folds * (plan.steps + plan.retraining_steps) / plan.evaluate_every * amount.labels / 3
    views = raw * (plan.augmentations + 2) * trainings
    curve = len(plan.curve_sizes) * plan.curve_draws * amount.folds
    return {
        "reading the videos": amount.video_frames * speed.video,
        "the published network": frames * plan.published_views * speed.published if plan.published else 0.0,
        "features": frames * plan.cached_views * speed.feature,
        "training on labels": trainings * plan.steps * speed.step,
        "pseudo labels": views * (speed.head if plan.cached_views else speed.predict),
        "retraining": trainings * plan.retraining_steps * speed.step if raw else 0.0,
        "validation and test": (tested + 2 * amount.labels) * speed.predict,
        "learning curve": curve * (plan.steps * speed.step + amount.labels * speed.predict / amount.folds),
    }


def recommend(first: Plan, amount: Amount, speed: Speed, minutes: float) -> Plan:
    """The plan that fits into `minutes`: `first` with all steps, or with as many as there is time for.

    About POOL unlabelled frames, spread over the videos, are enough. The learning curve needs LEAST_LABELS labels, and
    one draw of them where several folds vary them anyway. Too little time shortens all trainings alike, to LEAST_STEPS.
    """
    every = max(2, -(-amount.video_frames // POOL)) if amount.video_frames else 0
    sizes = first.curve_sizes if amount.labels >= LEAST_LABELS else ()
    plan = replace(first, raw_every=every, curve_sizes=sizes, curve_draws=1 if amount.folds > 1 else first.curve_draws)
    for share in (1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0):
        steps = max(LEAST_STEPS, round(first.steps * share / 10) * 10)
        plan = replace(plan, steps=steps, retraining_steps=steps, evaluate_every=max(10, steps // 6))
        if sum(estimate(plan, amount, speed).values()) <= 60 * minutes:
            break
    return plan


def changed(plan: Plan, settings: dict) -> Plan:
    """The plan with some settings of the user's own; ValueError for one that is unknown or of another type."""
    known = {part.name: getattr(plan, part.name) for part in fields(plan)}
    for name, value in settings.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise ValueError(f"settings: no setting {name!r}; {hint}")
        wanted = (list, tuple) if isinstance(known[name], tuple) else type(known[name])
        if not isinstance(value, (int, float) if wanted is float else wanted) or isinstance(value, bool):
            raise ValueError(f"settings: {name} must be like {known[name]!r}, not {value!r}")
    settings = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
    return replace(plan, **settings)


def in_words(amount: Amount, seconds: float, device: str, minutes: float) -> str:
    """One line: how much data, on what, how long."""
    machine = {"cpu": "no GPU", "cuda": "a GPU", "mps": "Apple's GPU"}.get(device, device)
    needed = max(1, round(seconds / 60))
    text = f"{amount.labels} labels, {amount.videos} videos, {machine}: {needed} minute{'s' * (needed > 1)}"
    if seconds > 60 * minutes * 1.1:
        text += f", more than the {minutes:g} you gave: give it more, or shorten it in `settings`"
    return text


# ---- measuring ---------------------------------------------------------------------------------------------------


def seconds_for(call: Callable[[], object]) -> float:
    """How long the second of two calls takes; the first warms up."""
    call()
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(
    model: nn.Module, labelled: PoseData, plan: Plan, head: PublishedHead | None, read: Callable[[], int] | None
) -> Speed:
    """The speed of each part on this machine, measured on a few frames with a copy of `model`.

    `read` reads the beginning of a video as the plan will, and returns the number of its frames; None without videos.
    """
    few = labelled.subset(np.arange(min(8, len(labelled))))
    n, model = len(few), copy.deepcopy(model)
    device = next(model.parameters()).device
    predict = seconds_for(lambda: predict_all(model, few.frames)) / n
    feature = alone = 0.0
    with TemporaryDirectory() as folder, torch.no_grad():
        if plan.cached_views:
            seeds = iter(range(2))  # another seed, another file
            feature = seconds_for(lambda: cache_features(model, few, 4, Path(folder), next(seeds))) / (4 * n)
            few = cache_features(model, few, 4, Path(folder), 1)
            features = few.base_input(torch.arange(n), device)
            alone = seconds_for(lambda: model(features)) / n
        schedule = Schedule(2, plan.batch_size, 0.0)
        with torch.enable_grad():
            step = seconds_for(lambda: fit(model, few, None, schedule, title="measuring the speed")) / 2
    published = seconds_for(lambda: predict_views(head, few.frames, few.poses, 2)) / (2 * n) if head else 0.0
    began = time.perf_counter()
    frames = read() if read else 0
    video = (time.perf_counter() - began) / frames if frames else 0.0
    return Speed(feature, alone, step, predict, published, video)


def count_frames(paths: list[Path]) -> int:
    """About how many frames some videos have, as their headers say; broken ones count none."""
    total = 0
    for path in paths:
        try:
            with open_video(path) as video:
                stream = video.streams.best("video")
                total += stream.frames or round((video.duration or 0) / 1e6 * rate_of(stream))
        except ValueError:
            continue
    return total
