import matplotlib

matplotlib.use("Agg")

from itertools import pairwise

import matplotlib.pyplot as plt
import pytest
import torch

from fewpose.drawing import LEFT, MIDDLE, RIGHT, side_colour
from fewpose.metrics.pck import normalised_distances
from fewpose.pseudo_labels import Candidates
from fewpose.skeleton import COCO
from fewpose.training import History
from fewpose_report.figures import heatmap_grid, label_ends, pose_grid, training_curves
from fewpose_report.sports.comparison import before_and_after, best_to_worst, frame_scores
from fewpose_report.sports.label_audit import (
    kept_labels,
    risk_coverage,
    risk_rows,
    scatter_of_views,
    spread_against_error,
)
from fewpose_report.sports.pck_figures import keypoint_bars
from tiny import DOTS, TinyNet, dots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_sides_have_their_colours():
    wrist, elbow = COCO.index("left_wrist"), COCO.index("left_elbow")
    assert side_colour(COCO, wrist, elbow) == LEFT
    assert side_colour(COCO, COCO.index("right_hip")) == RIGHT
    assert side_colour(COCO, COCO.index("left_hip"), COCO.index("right_hip")) == MIDDLE
    assert side_colour(COCO, COCO.index("nose")) == MIDDLE


def test_grid_has_an_image_a_frame_and_draws_only_what_is_labelled():
    data = dots(5)
    poses = data.poses.clone()
    poses[0, :3, 2] = 0
    fig = pose_grid(data.frames, poses, DOTS, titles=list("abcde"), columns=3)
    assert [len(ax.images) for ax in fig.axes] == [1, 1, 1, 1, 1, 0]
    assert len(fig.axes[0].lines) == 1 and len(fig.axes[1].lines) == 6


def test_empty_grid_is_no_error():
    pose_grid(dots(2).frames[:0])


def test_frame_scores_by_hand():
    distances = torch.tensor([[0.0, 1.0, torch.nan, torch.nan], [torch.nan] * 4])
    scores = frame_scores(distances)
    assert scores[0] == 50 and scores[1].isnan()


def test_every_figure_of_the_method_can_be_drawn():
    data, model = dots(10), TinyNet()
    distances = normalised_distances(data.poses + 1, data.poses, DOTS)
    candidates = Candidates(data.poses, torch.rand(10, 4), data.poses.repeat(3, 1, 1, 1))
    keep = torch.rand(10, 4) < 0.5
    best_to_worst(model, data, distances, n=4)
    before_and_after(model, model, data, distances, distances.flip(0), n=4)
    scatter_of_views(data, candidates, n=3)
    kept_labels(data, candidates, keep, data.poses, n=3)
    risk_coverage(risk_rows(candidates, data, 1), [60, 90])
    spread_against_error(candidates, data, keep)
    training_curves({"a": History([1.0, 0.5], [(1, 10.0), (2, 20.0)], 2, 20.0)})
    keypoint_bars({"a": [distances]}, DOTS)
    heatmap_grid(data.frames[0], torch.rand(4, 8, 8), list(DOTS.keypoints))


def test_a_training_without_scores_shows_its_loss_alone():
    (axis,) = training_curves({"a": History([1.0, 0.5])}).axes
    assert axis.get_ylabel() == "training loss"
    _, right = training_curves({"a": History([1.0], [(1, 10.0)]), "b": History([2.0])}).axes
    assert "PCK" in right.get_ylabel()


def test_labels_at_line_ends_keep_their_order_and_distance():
    _, ax = plt.subplots()
    ends = {"a": 1.0, "b": 1.01, "c": 5.0, "d": 0.99}
    for name, y in ends.items():
        ax.plot([0, 1], [0, y], label=name)
    ax.plot([0, 1], [0, 3])  # no label
    ax.set_ylim(0, 10)
    label_ends(ax, gap=0.05)
    places = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert sorted(places, key=places.get) == ["d", "a", "b", "c"]
    heights = sorted(places.values())
    assert min(b - a for a, b in pairwise(heights)) > 0.0499
    assert abs(places["c"] - 0.5) < 0.01 and abs(places["a"] - 0.1) < 0.01
