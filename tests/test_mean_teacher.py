import copy

import pytest
import torch
from torch import nn

from fewpose.augment import Augmentation, base_view, random_view
from fewpose.heatmaps import gaussian_targets
from fewpose.mean_teacher import PATIENCE, Consistency, MeanTeacher, Sample, fit_mean_teacher, step_losses
from fewpose.models.pose_model import PoseModel
from fewpose.training import Schedule, batch_index, hash_of
from tiny import DOTS, TinyNet, dots

STILL = Augmentation(flip=0, rotation=10, shift=0.05, scale=(0.9, 1.1), colour=0)


def test_teacher_is_the_closed_form_of_the_average():
    """With a student that stands still: θ' = α^T θ'_0 + (1 - α^T) θ, running statistics too."""
    model = MeanTeacher(TinyNet(), decay=0.9)
    first = copy.deepcopy(model.teacher.state_dict())
    with torch.no_grad():
        for value in model.student.state_dict().values():
            value.add_(3)
    for _ in range(7):
        model.update()
    for name, value in model.teacher.state_dict().items():
        theta = model.student.state_dict()[name]
        if value.is_floating_point():
            expected = 0.9**7 * first[name] + (1 - 0.9**7) * theta
            torch.testing.assert_close(value, expected)
        else:
            assert torch.equal(value, theta), name
    assert "net.1.running_mean" in first  # batch norm was among them


def test_it_is_the_student_and_its_teacher_never_trains():
    model = MeanTeacher(TinyNet()).train()
    assert model.student.training and not model.teacher.training
    assert not any(p.requires_grad for p in model.teacher.parameters())
    model.eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model(images)[0], model.student(images)[0])


class FixedOutputs(PoseModel):
    """Outputs fixed heat maps, so that disagreement can be computed by hand."""

    strides, keypoints = (1,), 4

    def __init__(self, maps):
        super().__init__()
        self.maps = nn.Parameter(maps)

    def forward(self, images):
        return [self.maps[: len(images)]]


def disagreement(student, teacher, view, error, threshold=0.1):
    data = dots(len(student), size=student.shape[-1])
    model = MeanTeacher(FixedOutputs(student))
    loss = Consistency(data, error=error, threshold=threshold)
    labels = model.read([teacher])
    sample = Sample(view, None, [teacher], labels, labels[..., 2] >= threshold)
    return loss.loss(model, sample, model([None] * len(student)))


def sampled(consistency, model, step):
    sample = consistency.sample(model, torch.Generator().manual_seed(0))
    return consistency.ramped(step) * consistency.loss(model, sample, model(sample.inputs))


@pytest.mark.parametrize("error", ["heatmaps", "poses", "coordinates"])
def test_nothing_to_learn_where_the_student_predicts_the_turned_heat_maps_of_the_teacher(error):
    data = dots(6, size=48)
    view = random_view(6, (48, 48), DOTS, Augmentation(rotation=20), torch.Generator())
    teacher = gaussian_targets(data.poses, (48, 48), 1)
    student = gaussian_targets(view.poses(data.poses), (48, 48), 1)
    right = disagreement(student, teacher, view, error)
    wrong = disagreement(student.roll(6, -1), teacher, view, error)
    assert right < 0.1 * wrong


def test_coordinates_do_not_count_where_the_view_does_not_show_them():
    """An expectation lies inside of the view: a student who is right would be called wrong."""
    data = dots(6, size=48)
    view = random_view(
        6,
        (48, 48),
        DOTS,
        Augmentation(flip=0.5, rotation=0, shift=0.35, scale=(1, 1)),
        torch.Generator().manual_seed(3),
    )
    teacher = gaussian_targets(data.poses, (48, 48), 1)
    poses = view.poses(data.poses)
    shown = ((poses[..., :2] >= 0) & (poses[..., :2] <= 47)).all(-1)
    assert 0.5 < shown.float().mean() < 0.95
    student = gaussian_targets(poses, (48, 48), 1)
    assert disagreement(student, teacher, view, "coordinates") < 1e-3


def test_squared_error_by_hand_and_only_where_the_teacher_is_sure():
    teacher, student = torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8)
    teacher[0, 0, 2, 3] = 1.0
    teacher[0, 1, 2, 3] = 0.05  # below the threshold: must not count
    student[0, 0, 2, 3] = 0.5
    loss = disagreement(student, teacher, base_view(1, DOTS), "heatmaps")
    assert loss.item() == pytest.approx(0.25 / 64)


def test_gradient_reaches_the_student_alone():
    model, data = MeanTeacher(TinyNet()).train(), dots(8)
    sampled(Consistency(data, threshold=-1e9, augmentation=STILL, ramp=1), model, 0).backward()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.student.parameters())


def test_labelled_and_unlabelled_frames_in_one_pass_cost_what_they_cost_alone():
    """In evaluation mode, where batch norm does not mix them."""
    train, schedule = dots(8), Schedule(1, 4)
    model = MeanTeacher(TinyNet()).eval()
    consistency = Consistency(dots(8, seed=3), 6, threshold=-1e9, augmentation=STILL, ramp=1)
    index, generator = batch_index(8, 4, 0, 0), torch.Generator().manual_seed(hash_of(0, 0))
    view, images = train.random_view(index, STILL, generator, "cpu")
    alone = model.loss(model(images), view.poses(train.poses[index]), train.size)
    sample = consistency.sample(model, generator)
    expected = {"labelled": alone, "unlabelled": consistency.loss(model, sample, model(sample.inputs))}
    losses = step_losses(model, train, schedule, consistency, STILL, 0)
    found = losses(0, torch.Generator().manual_seed(hash_of(0, 0)))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.item() == pytest.approx(expected[name].item(), rel=1e-5)


def test_the_weight_rises_along_the_ramp():
    data = dots(8)

    def loss(step):
        torch.manual_seed(0)
        consistency = Consistency(data, ramp=10, weight=2.0, threshold=-1e9)
        return sampled(consistency, MeanTeacher(TinyNet()).eval(), step).item()

    assert loss(4) == pytest.approx(0.5 * loss(9))
    assert loss(9) == pytest.approx(loss(50))


def test_a_collapse_stops_the_run():
    model = MeanTeacher(FixedOutputs(torch.zeros(8, 4, 32, 32)))
    loss = Consistency(dots(8), batch_size=8)
    with pytest.raises(RuntimeError, match="collapsed"):
        for step in range(PATIENCE):
            loss.sample(model, torch.Generator().manual_seed(step))
    assert len(loss.confident) == PATIENCE


class Killed(Exception):
    pass


def test_training_moves_the_teacher_and_resumes_exactly(tmp_path, monkeypatch):
    def trained(checkpoint=None):
        model = MeanTeacher(TinyNet(), decay=0.9)
        consistency = Consistency(dots(12, seed=3), 8, threshold=-1e9, augmentation=STILL)
        schedule = Schedule(8, 8, 1e-2, evaluate_every=4)
        fit_mean_teacher(model, dots(), None, schedule, consistency, augmentation=STILL, checkpoint=checkpoint)
        return torch.cat([v.flatten().float() for v in model.state_dict().values()])

    whole, path, ramped = trained(), tmp_path / "c.pt", Consistency.ramped

    def mortal(self, step):
        if step == 6:
            raise Killed
        return ramped(self, step)

    monkeypatch.setattr(Consistency, "ramped", mortal)
    with pytest.raises(Killed):
        trained(path)
    monkeypatch.setattr(Consistency, "ramped", ramped)
    assert torch.equal(trained(path), whole)
    start = torch.cat([v.flatten().float() for v in MeanTeacher(TinyNet()).state_dict().values()])
    assert not torch.equal(start[-100:], whole[-100:])


def test_another_decay_is_another_training(tmp_path):
    """A checkpoint of another decay is not resumed from."""
    path, seen = tmp_path / "c.pt", []
    for decay in (0.9, 0.999, 0.999):
        consistency = Consistency(dots(4), 4, threshold=-1e9)
        fit_mean_teacher(MeanTeacher(TinyNet(), decay), dots(4), None, Schedule(2, 4), consistency, checkpoint=path)
        seen.append(len(consistency.confident))
    assert seen == [2, 2, 0]
