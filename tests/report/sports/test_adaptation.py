"""Words, tables and figures of `your_videos/adapt`, from results made by hand."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from fewpose.metrics.conformal import ErrorBands
from fewpose.metrics.learning_curve import predict_gain
from fewpose.training import History
from fewpose_report.sports.adaptation import (
    LiveCurves,
    band_table,
    coverage_text,
    difference,
    learning_curve,
    methods_table,
    pck_by_video,
    verdict,
    worst_frames,
)
from tiny import dots

VIDEO = np.repeat([*"abcd"], 5)
RIGHT, WRONG = torch.full((20, 4), 0.05), torch.full((20, 4), 0.5)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_differences_are_paired_over_videos():
    half = torch.cat([RIGHT[:10], WRONG[:10]])
    assert difference(RIGHT, WRONG, VIDEO) == (100, 100, 100)
    assert difference(half, half, VIDEO) == (0, 0, 0)  # paired: the videos differ, the two do not


def test_the_verdict_follows_the_interval():
    assert verdict("ours", 5, 2, 8, ()).startswith("Training is worth it: ours gains +5.0 points")
    assert verdict("ours", 1, -2, 4, ()).startswith("You may need no training")
    assert verdict("ours", -5, -8, -2, ()).startswith("You need no training: ours is worse")
    nan = float("nan")
    assert verdict("ours", 5, nan, nan, ()).startswith("You may need no training")
    assert "has no left_hand, ski" in verdict("ours", 5, 2, 8, ("left_hand", "ski"))


def test_only_shared_keypoints_are_compared_with_a_method_that_has_no_others():
    published = WRONG.clone()
    published[:, 2:] = torch.nan
    table = methods_table({"published": published, "ours": RIGHT}, VIDEO, [0, 1])
    assert table.iloc[0].tolist() == ["published", "0.0 (0.0 to 0.0)", ""]
    assert table.iloc[1].tolist() == ["ours", "100.0 (100.0 to 100.0)", "100.0 (100.0 to 100.0)"]
    alone = methods_table({"ours": RIGHT}, VIDEO, [0, 1, 2, 3])
    assert alone.iloc[0, 2] == "100.0 (100.0 to 100.0)"


def test_videos_stand_in_the_order_of_the_last_method():
    scores = torch.cat([RIGHT[:5], WRONG[:5], RIGHT[:10]])
    fig = pck_by_video({"before": WRONG, "after": scores}, VIDEO)
    names = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert names[-1] == "b (5)" and len(names) == 4


def test_the_worst_frames_come_first():
    data = dots(6)
    distances = torch.full((6, 4), 0.05)
    distances[3], distances[5, :2] = 1, 1
    fig = worst_frames(data, data.poses, distances, n=2)
    assert [ax.get_title() for ax in fig.axes] == [f"{data.video[3]}: 0 %", f"{data.video[5]}: 50 %"]


def test_the_curve_shows_what_more_labels_would_bring():
    labels, errors = np.array([10, 20, 40]), np.array([30.0, 22, 16])
    samples = np.tile(errors, (10, 1))
    gain = predict_gain(labels, errors, samples, 10)
    (ax,) = learning_curve(labels, errors, samples, [gain]).axes
    assert [text.get_text() for text in ax.get_xticklabels()] == ["10", "20", "40", "50"]
    assert ax.texts[0].get_text() == f"{gain.expected:+.1f}"


def test_bands_are_given_in_pixels_of_the_images():
    bands = ErrorBands(
        0.9,
        (256, 192),
        {"head": 3.0, "heel": None},
        dict.fromkeys(["head", "heel"]),
        {"head": 0.91, "heel": None},
        20,
        3,
    )
    table = band_table(bands, pixels=2)
    assert table.iloc[0].tolist() == ["head", "6.0 px", "too few", "91%"]
    assert table.iloc[1].tolist() == ["heel", "too few", "too few", ""]


def test_coverage_in_words():
    bands = ErrorBands(0.9, (256, 192), {}, {}, {}, 20, 4)
    inside = np.ones((20, 4))
    inside[:5, 0] = 0
    inside[0, 1] = np.nan
    text = coverage_text(inside, VIDEO, 0.9, bands)
    assert text.startswith("93.7 % (81.0 to 100.0)") or text.startswith("93.7 %")
    assert "needs 9 videos" in text and "needs" not in coverage_text(
        inside, VIDEO, 0.9, ErrorBands(0.9, (1, 1), {}, {}, {}, 9, 9)
    )


def test_curves_are_drawn_while_training():
    live = LiveCurves()
    watch = live.watch("first")
    watch(History(loss=[3.0, 2.0], score=[(0, 10.0), (2, 20.0)]))
    watch(History(loss=[3.0, 2.0, 1.0], score=[(0, 10.0), (3, 30.0)]))
    assert live.histories["first"].loss == [3, 2, 1]
    left, right = live.draw().axes
    assert left.lines[0].get_xdata().tolist() == [1, 2, 3] and right.lines[0].get_ydata().tolist() == [10, 30]
