"""Mean teacher training: Ludwig et al., section 3.2 and figure 4, after Tarvainen and Valpola (2017).

A student learns from labels and, on unlabelled images, from a teacher whose weights are the exponential moving average
of its own. The teacher sees the image I as it is, the student T I, randomly transformed. The warm-up on labels alone is
done before, by `training.fit` (the paper updates the teacher then, too). Inference uses the student.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from fewpose import geometry
from fewpose.augment import Augmentation, View
from fewpose.data.pose_data import PoseData
from fewpose.heatmaps import SIGMA, soft_argmax
from fewpose.losses import coordinate_mse, heatmap_mse
from fewpose.models.pose_model import PoseModel
from fewpose.training import History, Schedule, batch_index, fit, outputs_of

ERRORS = ("poses", "heatmaps", "coordinates")
COLLAPSED = 0.02  # below this share of confident keypoints the teacher has collapsed
PATIENCE = 20  # consecutive steps below it


class MeanTeacher(PoseModel):
    """A student and its teacher; as a model it behaves like the student.

    The teacher starts as a copy of the student and predicts in evaluation mode: without dropout, and with batch-norm
    statistics that are averaged like the weights. ValueError unless 0 ≤ decay < 1.
    """

    def __init__(self, student: nn.Module, decay: float = 0.999):
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay lies in [0, 1), not {decay}")
        self.student, self.decay = student, decay
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        self.strides, self.keypoints, self.backbone_rate = student.strides, student.keypoints, student.backbone_rate
        self.head = tuple(f"student.{name}" for name in student.head)
        self.at_backbone_rate = tuple(f"student.{name}" for name in student.at_backbone_rate)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """The student's outputs."""
        return self.student(inputs)

    def loss(self, outputs: list[Tensor], poses: Tensor, size: tuple[int, int], sigma: float = SIGMA) -> Tensor:
        """The student's loss."""
        return self.student.loss(outputs, poses, size, sigma)

    def read(self, outputs: list[Tensor]) -> Tensor:
        """Poses [n, K, 3] of the student's or the teacher's outputs."""
        return self.student.read(outputs)

    def heat_maps(self, outputs: list[Tensor]) -> list[Tensor]:
        """Heat maps of the student's or the teacher's outputs, one per stride."""
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
        averaged = [name for name, value in teacher.items() if value.is_floating_point()]
        average = get_ema_multi_avg_fn(self.decay)  # α; all tensors at once: few kernel launches on a GPU
        average([teacher[name] for name in averaged], [student[name] for name in averaged], None)
        for name in set(teacher) - set(averaged):
            teacher[name].copy_(student[name])


@dataclass(frozen=True)
class Sample:
    """Unlabelled images of one step.

    view, inputs  the student's view T of them, and its network input for T I
    teacher       the teacher's outputs for I
    labels        [n, K, 3] the teacher's poses in pixels of I
    confident     [n, K] bool: the keypoints that count in the loss
    """

    view: View
    inputs: Tensor
    teacher: list[Tensor]
    labels: Tensor
    confident: Tensor


@dataclass
class Consistency:
    """The consistency loss on unlabelled images: the student's prediction for T I against the teacher's for I.

    Keypoints with a teacher score below t_score = `threshold` are masked. `error` says what the paper's "MSE of the
    predicted poses" is: that of "heatmaps", or of "coordinates" (soft argmax, in units of the longer image side), the
    student's mapped back by T⁻¹; or, with "poses", the student's loss with the teacher's keypoints, mapped by T, as
    labels. The weight rises linearly to `weight` over `ramp` steps. ValueError for any other `error`.
    """

    unlabelled: PoseData
    batch_size: int = 16
    weight: float = 1.0
    ramp: int = 100
    threshold: float = 0.1
    error: str = "poses"
    augmentation: Augmentation = Augmentation()
    confident: list[float] = field(default_factory=list)  # share of confident keypoints, step by step

    def __post_init__(self) -> None:
        if self.error not in ERRORS:
            raise ValueError(f"error is one of {ERRORS}, not {self.error!r}")

    def settings(self) -> str:
        """All settings that training depends on, as text for its fingerprint."""
        frames = f"{len(self.unlabelled)} of {self.unlabelled.name}"
        numbers = (self.batch_size, self.weight, self.ramp, self.threshold, self.error)
        return repr((frames, *numbers, self.augmentation))

    def sample(self, model: MeanTeacher, generator: torch.Generator) -> Sample:
        """Random images with the teacher's predictions (1 in figure 4) and the student's view of them (2).

        RuntimeError if the teacher has collapsed.
        """
        n, device = len(self.unlabelled), next(model.teacher.parameters()).device
        index = torch.randint(n, (min(self.batch_size, n),), generator=generator)
        with torch.no_grad():
            teacher = outputs_of(model.teacher, self.unlabelled.base_input(index, device))  # (1) f_teacher(I)
        labels = model.read(teacher)
        view, inputs = self.student_view(index, labels, generator)  # (2) T I
        confident = labels[..., 2] >= self.threshold  # t_score
        self.watch(float(confident.float().mean()))
        return Sample(view, inputs, teacher, labels, confident)

    def student_view(self, index: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[View, Tensor]:
        """A random view T of the images `index` and its network input; `labels` [n, K, 3] are the teacher's poses."""
        return self.unlabelled.random_view(index, self.augmentation, generator, labels.device, moved=True)

    def loss(self, model: MeanTeacher, sample: Sample, student: list[Tensor]) -> Tensor:
        """The loss named by `error` between f_student(T I) and f_teacher(I), over confident keypoints."""
        T, labels, confident = sample.view, sample.labels, sample.confident
        if self.error == "poses":
            poses = T.poses(torch.cat([labels[..., :2], 2.0 * confident[..., None]], -1))
            return model.loss(student, poses, self.unlabelled.size)
        student, teacher = model.heat_maps(student), model.heat_maps(sample.teacher)
        if self.error == "coordinates":
            finest = min(range(len(model.strides)), key=lambda i: model.strides[i])
            stride, side = model.strides[finest], max(self.unlabelled.size)
            home = T.undo_poses(soft_argmax(student[finest].float(), stride))  # T⁻¹ f_student(T I)
            distance = (home - soft_argmax(teacher[finest].float(), stride)) / side
            # a soft argmax never leaves the view, so keypoints that the view does not show are left out
            confident = confident & T.rename(geometry.inside(T.poses(labels), self.unlabelled.size))
            return coordinate_mse(distance, confident)
        home, target = [], []
        for s, t, stride in zip(student, teacher, model.strides, strict=True):
            shown = T.shows(s.shape[-2:], stride)  # the student cannot predict what its view does not show
            home.append(T.undo_heatmaps(s.float(), stride) * shown)  # T⁻¹ f_student(T I)
            target.append(t.float() * shown)
        return heatmap_mse(home, target, confident)

    def ramped(self, step: int) -> float:
        """The weight of the loss in step `step`."""
        return min(1.0, (step + 1) / max(1, self.ramp)) * self.weight

    def watch(self, share: float) -> None:
        """Record the share of confident keypoints; RuntimeError after PATIENCE steps below COLLAPSED."""
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
    seed: int = 0,
    checkpoint: Path | None = None,
    title: str = "mean teacher",
) -> History:
    """Train the student on labels and on the teacher's predictions: L = L_labelled + w L_unlabelled.

    The teacher is updated after each step. Scoring, resuming and errors are those of `training.fit`.
    """
    losses = step_losses(model, labelled, schedule, consistency, augmentation, seed)
    return fit(
        model,
        labelled,
        validation,
        schedule,
        augmentation=augmentation,
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
            "labelled": model.loss([o[:n] for o in outputs], poses, labelled.size),
            "unlabelled": consistency.ramped(step) * consistency.loss(model, sample, [o[n:] for o in outputs]),
        }

    return losses
