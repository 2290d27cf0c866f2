"""The mean teacher: Ludwig et al. section 3.2, after Tarvainen and Valpola (2017)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from fewpose.augment import Augmentation, View, normalise, random_view, seen
from fewpose.beyond.joint_masking import joint_cutmix, joint_cutout
from fewpose.data.pose_data import PoseData
from fewpose.feature_cache import random_look
from fewpose.heatmaps import as_heatmaps, read_poses, soft_argmax
from fewpose.losses import heatmap_mse
from fewpose.pseudo_labels import inside
from fewpose.speed.precision import half_precision
from fewpose.training import pose_loss

ERRORS = ("poses", "heatmaps", "coordinates")
HIDE = {"cutout": joint_cutout, "cutmix": joint_cutmix}
COLLAPSED = 0.02  # share of keypoints that a teacher which still knows something answers surely
PATIENCE = 20  # steps in a row below it


class MeanTeacher(nn.Module):
    """A student and its teacher, the exponential moving average of it; to others, the student.

    The teacher starts as a copy. It predicts without dropout and, in batch norm, with running statistics that are
    averaged as the weights are: the student's own would belong to other weights.
    """

    def __init__(self, student: nn.Module, decay: float = 0.999):
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay lies in [0, 1), not {decay}")
        self.student, self.decay = student, decay
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        self.strides, self.keypoints = student.strides, student.keypoints
        self.head = tuple(f"student.{name}" for name in getattr(student, "head", ()))

    def forward(self, images: Tensor) -> list[Tensor]:
        """The student's heat maps of images [N, 3, H, W]."""
        return self.student(images)

    def head_maps(self, maps: list[Tensor]) -> list[Tensor]:
        """The student's heat maps of what its frozen backbone answered."""
        return self.student.head_maps(maps)

    def train(self, mode: bool = True) -> MeanTeacher:
        """Set the student's mode; the teacher always predicts as if tested."""
        super().train(mode)
        self.teacher.eval()
        return self

    def __getattr__(self, name: str):
        """A student's own `loss`, backbone and way to `read` and draw are the pair's."""
        if name in ("loss", "read", "heat_maps", "backbone_maps", "backbone_rate"):
            return getattr(self.student, name)
        return super().__getattr__(name)

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the teacher: θ' ← α θ' + (1 − α) θ, batch-norm statistics included."""
        own, others = self.student.state_dict(), self.teacher.state_dict()
        pairs = [(value, own[name]) for name, value in others.items()]
        floats = [(a, b) for a, b in pairs if a.is_floating_point()]
        # All tensors at once: on a GPU in a few launches, not one for each.
        get_ema_multi_avg_fn(self.decay)(*map(list, zip(*floats, strict=True)), None)
        for a, b in pairs:
            if not a.is_floating_point():
                a.copy_(b)


@dataclass(frozen=True)
class Question:
    """Unlabelled frames as one step puts them to the student.

    view, inputs  how it looks at them, and what it starts from there
    teacher       the teacher's answers to the frames as they are
    labels        [n, K, 3] its poses in frame pixels; sure [n, K] which of them count
    """

    view: View
    inputs: list[Tensor]
    teacher: list[Tensor]
    labels: Tensor
    sure: Tensor


@dataclass
class Consistency:
    """The loss on unlabelled frames: teacher on the frame, student on an augmented view of it.

    Compared is where the teacher is sure of a keypoint (peak of `threshold` or more). error says what: "poses", the
    student's answer with the teacher's points as if they were labels of its view; or, brought home by the exact
    inverse of that view, its "heatmaps" with the teacher's, or its "coordinates" by a soft argmax, in frame sides.
    weight is reached after `ramp` steps, linearly. hide, not in the paper, covers some joints of what the student
    sees: "cutout" by grey, "cutmix" by those of others (`strong_views`). RuntimeError if the teacher has collapsed:
    it is sure of nothing any more.
    """

    unlabelled: PoseData
    batch_size: int = 16
    weight: float = 1.0
    ramp: int = 100
    threshold: float = 0.1
    error: str = "poses"
    augmentation: Augmentation = Augmentation()
    sigma: float = 2.0
    hide: str = ""
    sure: list[float] = field(default_factory=list)  # share of sure keypoints, step by step

    def __post_init__(self) -> None:
        if self.error not in ERRORS:
            raise ValueError(f"error is one of {ERRORS}, not {self.error!r}")
        if self.hide and self.hide not in HIDE:
            raise ValueError(f'hide is empty, "cutout" or "cutmix", not {self.hide!r}')

    def settings(self) -> str:
        """All that a training depends on, as text."""
        frames = f"{len(self.unlabelled)} of {self.unlabelled.name}"
        return repr(
            (
                frames,
                self.batch_size,
                self.weight,
                self.ramp,
                self.threshold,
                self.error,
                self.augmentation,
                self.sigma,
                self.hide,
            )
        )

    def ask(self, model: MeanTeacher, generator: torch.Generator) -> Question:
        """Random frames, told by the teacher and seen by the student."""
        n = len(self.unlabelled)
        index = torch.randint(n, (min(self.batch_size, n),), generator=generator)
        teacher = self.told(model.teacher, index)
        labels = read_poses(model, teacher)
        view, inputs = self.look(model, index, labels, generator)
        sure = labels[..., 2] >= self.threshold
        self.watch(float(sure.float().mean()))
        return Question(view, inputs, teacher, labels, sure)

    def __call__(self, model: MeanTeacher, step: int, question: Question, answers: list[Tensor]) -> Tensor:
        """The weighted loss of the student's answers to the question of a step."""
        loss = self.disagreement(model, question, answers)
        return min(1.0, (step + 1) / max(1, self.ramp)) * self.weight * loss

    @torch.no_grad()
    def told(self, teacher: nn.Module, index: Tensor) -> list[Tensor]:
        """The teacher's heat maps of some frames as they are: view 0 of those that are kept."""
        data, device = self.unlabelled, next(teacher.parameters()).device
        if data.views is not None:
            return data.views.answer(teacher, index, torch.zeros_like(index))[1]
        with half_precision(device):
            return teacher(normalise(data.frames[index].to(device)))

    def look(
        self, model: MeanTeacher, index: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[View, list[Tensor]]:
        """A random view of some frames and what the student starts from there."""
        data = self.unlabelled
        if not self.hide:
            return random_look(model, data, index, self.augmentation, generator, first=1)
        frames = data.frames[index].to(labels.device)
        view = random_view(len(index), data.size, data.skeleton, self.augmentation, generator, labels.device)
        images = seen(view, frames, self.augmentation.colour, generator)
        images = normalise(HIDE[self.hide](images, view.poses(labels), generator))
        images = images.contiguous(memory_format=torch.channels_last)
        if data.views is None:
            return view, [images]
        with half_precision(labels.device):  # of the kind that is kept of the labelled frames
            return view, model.backbone_maps(images)

    def disagreement(self, model: MeanTeacher, question: Question, student: list[Tensor]) -> Tensor:
        """The student's error, by whatever is compared, from the teacher, where that is sure."""
        view, teacher = question.view, question.teacher
        labels, sure = question.labels, question.sure
        if self.error == "poses":
            believed = torch.cat([labels[..., :2], 2.0 * sure[..., None]], -1)
            poses = view.poses(believed)
            return pose_loss(model, student, poses, self.unlabelled.size, self.sigma)
        student, teacher = (as_heatmaps(model, maps) for maps in (student, teacher))
        if self.error == "coordinates":
            finest = min(range(len(model.strides)), key=lambda i: model.strides[i])
            stride, side = model.strides[finest], max(self.unlabelled.size)
            home = view.undo_poses(soft_argmax(student[finest].float(), stride))
            apart = (home - soft_argmax(teacher[finest].float(), stride)) / side
            # no expectation lies outside of the view: what it does not show would be drawn inside
            shown = inside(view.poses(labels), *self.unlabelled.size)
            sure = sure & view.rename(shown)
            return ((apart**2).sum(-1) * sure).sum() / sure.sum().clamp_min(1)
        home, target = [], []
        for s, t, stride in zip(student, teacher, model.strides, strict=True):
            # what the view does not show, the student cannot tell
            shown = view.shows(s.shape[-2:], stride)
            home.append(view.undo_heatmaps(s.float(), stride) * shown)
            target.append(t.float() * shown)
        return heatmap_mse(home, target, sure)

    def watch(self, share: float) -> None:
        """Note how much the teacher is sure of; RuntimeError when it is of nothing, for long."""
        self.sure.append(share)
        if len(self.sure) >= PATIENCE and max(self.sure[-PATIENCE:]) < COLLAPSED:
            raise RuntimeError(
                f"the mean teacher has collapsed: for {PATIENCE} steps less than {COLLAPSED:.0%} "
                f"of its keypoints reached the score {self.threshold}. Warm up longer, or lower "
                "the weight or the learning rate"
            )
