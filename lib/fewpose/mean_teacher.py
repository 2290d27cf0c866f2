"""The mean teacher: Ludwig et al., section 3.2, after Tarvainen and Valpola (2017).

A student learns from labels and, on unlabelled frames, from a teacher that is the moving average of the student. The
teacher predicts the frame as it is, the student an augmented view of it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from fewpose.augment import Augmentation, View, normalise, random_view, seen
from fewpose.data.pose_data import PoseData
from fewpose.heatmaps import soft_argmax
from fewpose.losses import heatmap_mse
from fewpose.models.pose_model import PoseModel
from fewpose.pseudo_labels import inside
from fewpose.training import History, Schedule, batch_index, fit, outputs_of

ERRORS = ("poses", "heatmaps", "coordinates")
COLLAPSED = 0.02  # below this share of confident keypoints a teacher has forgotten what it knew
PATIENCE = 20  # steps in a row below it


class MeanTeacher(PoseModel):
    """A student and its teacher, the exponential moving average of it; trained and used as the student.

    The teacher starts as a copy. It predicts without dropout and, in batch norm, with running statistics that are
    averaged as the weights are: the student's own would belong to other weights.
    """

    def __init__(self, student: nn.Module, decay: float = 0.999):
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay lies in [0, 1), not {decay}")
        self.student, self.decay = student, decay
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        self.strides, self.keypoints, self.backbone_rate = student.strides, student.keypoints, student.backbone_rate
        self.head = tuple(f"student.{name}" for name in student.head)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """The student's outputs."""
        return self.student(inputs)

    def loss(self, outputs: list[Tensor], poses: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
        """The student's own loss."""
        return self.student.loss(outputs, poses, size, sigma)

    def read(self, outputs: list[Tensor]) -> Tensor:
        """Poses [n, K, 3] of the student's or the teacher's outputs."""
        return self.student.read(outputs)

    def heat_maps(self, outputs: list[Tensor]) -> list[Tensor]:
        """Heat maps of the student's or the teacher's outputs, one a stride."""
        return self.student.heat_maps(outputs)

    def train(self, mode: bool = True) -> MeanTeacher:
        """Set the student's mode; the teacher always predicts in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    @torch.no_grad()
    def update(self) -> None:
        """Move the teacher: θ' ← α θ' + (1 − α) θ, batch-norm statistics included."""
        student, teacher = self.student.state_dict(), self.teacher.state_dict()
        pairs = [(value, student[name]) for name, value in teacher.items()]
        floats = [(a, b) for a, b in pairs if a.is_floating_point()]
        # All tensors at once: on a GPU in a few launches, not one for each.
        get_ema_multi_avg_fn(self.decay)(*map(list, zip(*floats, strict=True)), None)
        for a, b in pairs:
            if not a.is_floating_point():
                a.copy_(b)


@dataclass(frozen=True)
class Sample:
    """Unlabelled frames of one step.

    view, inputs  the student's view of them, and what it reads of it
    teacher       the teacher's outputs on the frames as they are
    labels        [n, K, 3] its poses in frame pixels
    confident     [n, K] where the loss counts
    """

    view: View
    inputs: Tensor
    teacher: list[Tensor]
    labels: Tensor
    confident: Tensor


@dataclass
class Consistency:
    """The loss on unlabelled frames: the student on an augmented view against the teacher on the frame.

    Keypoints count where the teacher's score is `threshold` or more. error says what is compared: "poses", the
    student's outputs with the teacher's points as labels of its view; or, mapped back by the inverse T⁻¹ of that view,
    its "heatmaps" with the teacher's, or its "coordinates" by a soft argmax, in frame sides. weight is reached after
    `ramp` steps, linearly. hide(images, poses, generator), not in the paper, covers joints in the student's images
    (`beyond.joint_masking`). RuntimeError if the teacher has collapsed: it is confident of nothing any more.
    """

    unlabelled: PoseData
    batch_size: int = 16
    weight: float = 1.0
    ramp: int = 100
    threshold: float = 0.1
    error: str = "poses"
    augmentation: Augmentation = Augmentation()
    sigma: float = 2.0
    hide: Callable[[Tensor, Tensor, torch.Generator], Tensor] | None = None
    confident: list[float] = field(default_factory=list)  # share of confident keypoints, step by step

    def __post_init__(self) -> None:
        if self.error not in ERRORS:
            raise ValueError(f"error is one of {ERRORS}, not {self.error!r}")

    def settings(self) -> str:
        """All that a training depends on, as text."""
        frames = f"{len(self.unlabelled)} of {self.unlabelled.name}"
        numbers = (self.batch_size, self.weight, self.ramp, self.threshold, self.error, self.sigma)
        return repr((frames, *numbers, self.augmentation, self.hide and self.hide.__name__))

    def sample(self, model: MeanTeacher, generator: torch.Generator) -> Sample:
        """Random frames with the teacher's predictions and the student's view."""
        n, device = len(self.unlabelled), next(model.teacher.parameters()).device
        index = torch.randint(n, (min(self.batch_size, n),), generator=generator)
        with torch.no_grad():
            teacher = outputs_of(model.teacher, self.unlabelled.base_input(index, device))
        labels = model.read(teacher)
        if self.hide:
            view, inputs = self.hidden_view(index, labels, generator)
        else:
            view, inputs = self.unlabelled.random_view(index, self.augmentation, generator, device, moved=True)
        confident = labels[..., 2] >= self.threshold
        self.watch(float(confident.float().mean()))
        return Sample(view, inputs, teacher, labels, confident)

    def hidden_view(self, index: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[View, Tensor]:
        """A random view of some frames in which joints are covered, and what the student reads of it."""
        data, device = self.unlabelled, labels.device
        view = random_view(len(index), data.size, data.skeleton, self.augmentation, generator, device)
        images = seen(view, data.frames[index].to(device), self.augmentation.colour, generator)
        images = normalise(self.hide(images, view.poses(labels), generator))
        return view, data.network_input(images.contiguous(memory_format=torch.channels_last))

    def loss(self, model: MeanTeacher, sample: Sample, student: list[Tensor]) -> Tensor:
        """The student's error against the teacher, where that is confident."""
        T, labels, confident = sample.view, sample.labels, sample.confident
        if self.error == "poses":
            poses = T.poses(torch.cat([labels[..., :2], 2.0 * confident[..., None]], -1))
            return model.loss(student, poses, self.unlabelled.size, self.sigma)
        student, teacher = model.heat_maps(student), model.heat_maps(sample.teacher)
        if self.error == "coordinates":
            finest = min(range(len(model.strides)), key=lambda i: model.strides[i])
            stride, side = model.strides[finest], max(self.unlabelled.size)
            home = T.undo_poses(soft_argmax(student[finest].float(), stride))  # T⁻¹ f_student(T I)
            distance = (home - soft_argmax(teacher[finest].float(), stride)) / side
            # a soft argmax never lies outside of the view: what the view does not show does not count
            confident = confident & T.rename(inside(T.poses(labels), *self.unlabelled.size))
            return ((distance**2).sum(-1) * confident).sum() / confident.sum().clamp_min(1)
        home, target = [], []
        for s, t, stride in zip(student, teacher, model.strides, strict=True):
            shown = T.shows(s.shape[-2:], stride)  # the student cannot know what its view does not show
            home.append(T.undo_heatmaps(s.float(), stride) * shown)  # T⁻¹ f_student(T I)
            target.append(t.float() * shown)
        return heatmap_mse(home, target, confident)

    def ramped(self, step: int) -> float:
        """The weight of the loss in a step."""
        return min(1.0, (step + 1) / max(1, self.ramp)) * self.weight

    def watch(self, share: float) -> None:
        """Note the share of confident keypoints; RuntimeError when there are none for long."""
        self.confident.append(share)
        if len(self.confident) >= PATIENCE and max(self.confident[-PATIENCE:]) < COLLAPSED:
            raise RuntimeError(
                f"the mean teacher has collapsed: for {PATIENCE} steps less than {COLLAPSED:.0%} "
                f"of its keypoints reached the score {self.threshold}. Warm up longer, or lower "
                "the weight or the learning rate"
            )


def fit_mean_teacher(
    model: MeanTeacher,
    labelled: PoseData,
    validation: PoseData | None,
    schedule: Schedule,
    consistency: Consistency,
    *,
    augmentation: Augmentation = Augmentation(),
    sigma: float = 2.0,
    seed: int = 0,
    checkpoint: Path | None = None,
    title: str = "mean teacher",
) -> History:
    """Train the student on labels and on the teacher's predictions: L = L_labelled + w L_unlabelled.

    The teacher follows after each step. Scored, resumed and refused as `training.fit`.
    """
    losses = step_losses(model, labelled, schedule, consistency, augmentation, sigma, seed)
    return fit(
        model,
        labelled,
        validation,
        schedule,
        augmentation=augmentation,
        sigma=sigma,
        seed=seed,
        checkpoint=checkpoint,
        title=title,
        losses=losses,
        after_step=model.update,
        settings=f"{model.decay} {consistency.settings()}",
    )


def step_losses(
    model: MeanTeacher,
    labelled: PoseData,
    schedule: Schedule,
    consistency: Consistency,
    augmentation: Augmentation,
    sigma: float,
    seed: int,
) -> Callable[[int, torch.Generator], dict[str, Tensor]]:
    """The losses of a step, with labelled and unlabelled frames in one pass, as in Tarvainen and Valpola's code."""
    device = next(model.parameters()).device

    def losses(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        index = batch_index(len(labelled), schedule.batch_size, seed, step)
        n = len(index)
        view, inputs = labelled.random_view(index, augmentation, generator, device)
        sample = consistency.sample(model, generator)
        outputs = outputs_of(model, torch.cat([inputs, sample.inputs]))
        poses = view.poses(labelled.poses[index].to(device))
        return {
            "labelled": model.loss([o[:n] for o in outputs], poses, labelled.size, sigma),
            "unlabelled": consistency.ramped(step) * consistency.loss(model, sample, [o[n:] for o in outputs]),
        }

    return losses
