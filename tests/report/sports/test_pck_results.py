import matplotlib

matplotlib.use("Agg")

import json
import math

import numpy as np
import pytest
import torch

from fewpose import LAYOUT
from fewpose.metrics.bootstrap import interval
from fewpose.metrics.pck import pck
from fewpose.training import History
from fewpose_report.results import read_metrics, skipped_inputs
from fewpose_report.sports.pck_figures import budget_curve, convergence, pck_curve_table, pck_curves
from fewpose_report.sports.pck_results import (
    compared,
    difference_rows,
    draws,
    gap_rows,
    label_counts,
    load_tests,
    mean_pck,
    pck_rows,
    save_test,
)
from fewpose_report.sports.pck_tables import SPORTS_TABLE1, budget_table, convergence_table, gap_table, sports_table
from fewpose_runs.runs import COLUMNS
from tiny import TinyNet, dots


def entry(method, labels, iteration, seed, hits, n=40):
    """A network whose first `hits` of n test frames (two a video) are all right, the rest wrong."""
    distances = torch.ones(n, 4)
    distances[:hits] = 0
    video = np.array([f"v{i // 2}" for i in range(n)])
    return dict(
        method=method, labels=labels, iteration=iteration, seed=seed, dataset="dots", distances=distances, video=video
    )


FOUND = [
    entry("supervised", 50, 0, 0, 20),
    entry("supervised", 50, 0, 1, 24),
    entry("pseudo_labels", 50, 1, 0, 28),
    entry("pseudo_labels", 50, 1, 1, 32),
    entry("supervised", 1000, 0, 0, 38),
]


def test_mean_over_draws_by_hand():
    value, samples = mean_pck(draws(FOUND, "supervised", 50), FOUND[0]["video"])
    assert math.isclose(value, 55, abs_tol=1e-3)  # of 50 % and 60 %
    low, high = interval(samples)
    assert 30 < low < 50 < 60 < high < 80


def test_gap_closed_is_paired():
    (row,) = gap_rows(FOUND, 50)
    # few 55, ours 75, full 95
    assert math.isclose(row["value"], 50, abs_tol=1e-4) and row["n"] == 2
    assert row["ci_low"] < 50 < row["ci_high"]


def test_a_method_equal_to_its_baseline_closes_nothing_in_every_resample():
    same = [*FOUND[:2], entry("pseudo_labels", 50, 1, 0, 20), entry("pseudo_labels", 50, 1, 1, 24), FOUND[-1]]
    (row,) = gap_rows(same, 50)
    assert row["value"] == row["ci_low"] == row["ci_high"] == 0


def test_differences_are_paired():
    (row,) = difference_rows(FOUND, 50)
    assert (row["method"], row["over"]) == ("pseudo labels, iteration 1", "supervised")
    # every draw of pseudo labels is right where its supervised twin is, and on 8 frames more
    assert math.isclose(row["points"], 20, abs_tol=1e-3) and row["draws"] == 2
    assert 0 < row["low"] < 20 < row["high"]
    assert difference_rows(FOUND, 1000) == []
    assert difference_rows(FOUND[1:], 50) == []  # one draw against two


def test_table_has_paper_ours_difference():
    table = sports_table(FOUND, SPORTS_TABLE1)
    assert len(table) == len(SPORTS_TABLE1)  # rows that were not run stay
    run = table[table["draws"] > 0]
    assert list(run["method"]) == ["supervised", "pseudo labels", "supervised"]
    first = run.iloc[0]
    assert (first["paper"], first["ours"], first["difference"]) == (83.8, 55.0, -28.8)
    assert run.iloc[2]["labels"] == "all (1000)"
    absent = table[table["draws"] == 0]
    assert absent["ours"].isna().all() and (absent["method"] == "mean teacher").any()
    assert absent.set_index("method")["paper"]["mean teacher"] == 87.1


def test_rows_of_the_report():
    rows = pck_rows(FOUND[0]["distances"], FOUND[0]["video"], method="supervised", dataset="dots", labels=50)
    assert [r["at"] for r in rows] == [0.05, 0.1, 0.2]
    assert all(math.isclose(r["value"], 50) and r["n"] == 160 for r in rows)
    assert set(rows[0]) <= set(COLUMNS)


MORE = [
    *FOUND,
    entry("supervised", 100, 0, 0, 30),
    entry("pseudo_labels", 100, 2, 0, 34),
    entry("mean_teacher", 50, 0, 0, 26),
    entry("supervised_other", 50, 0, 0, 10),
]


def test_every_method_is_compared_in_its_last_iteration():
    assert label_counts(MORE) == [50, 100, 1000]
    assert list(compared(MORE, 50).items()) == [
        *{
            "supervised, 50 labels": ("supervised", 50, 0),
            "pseudo labels, iteration 1": ("pseudo_labels", 50, 1),
            "mean teacher": ("mean_teacher", 50, 0),
            "supervised, all labels": ("supervised", 1000, 0),
        }.items()
    ]
    assert list(compared(MORE, 1000)) == ["supervised, 1000 labels"]


def test_a_figure_of_few_methods_shows_the_main_ones_between_the_baselines():
    more = [*MORE, entry("ablation", 50, 0, 0, 22)]
    names = list(compared(more, 50, limit=4))
    assert names == ["supervised, 50 labels", "pseudo labels, iteration 1", "mean teacher", "supervised, all labels"]
    assert len(compared(more, 50)) == 5 and len(compared(more, 50, limit=6)) == 5


def test_label_budget_by_hand():
    table = budget_table(MORE).set_index(["method", "labels"])
    assert table.loc[("supervised", 50), "PCK"] == pytest.approx(55)
    assert table.loc[("supervised", 50), "paper"] == 83.8
    assert table.loc[("supervised", 1000), "paper"] == 91.9
    assert table.loc[("pseudo_labels", 100), "PCK"] == pytest.approx(85)
    assert len(table) == 6 and "supervised_other" not in table.index
    fig = budget_curve(table.reset_index())
    assert fig.axes[0].get_xscale() == "log" and len(fig.axes) == 2
    drawn = {text.get_text() for text in fig.axes[0].get_legend().get_texts()}
    assert drawn == {"supervised", "pseudo labels", "supervised, all labels"}  # no single points


def test_gap_beside_the_papers():
    table = gap_table(gap_rows(FOUND, 50))
    assert table["ours"][0] == pytest.approx(50, abs=1e-3)
    assert table["paper"][0] == pytest.approx(100 * (87.7 - 83.8) / (91.9 - 83.8))
    assert gap_table([]).empty


def test_convergence_says_what_the_last_fifth_brought():
    scores = [(100, 40.0), (200, 60.0), (300, 61.0), (400, 61.5), (500, 61.8)]
    one = entry("supervised", 50, 0, 0, 20) | {"validation": np.array(scores)}
    other = entry("supervised", 50, 0, 1, 20) | {"validation": np.array(scores[:1])}
    table = convergence_table([other, one, FOUND[2]])
    assert table["draw"].tolist() == [0, 1] and table["at step"].tolist() == [500, 100]
    assert table["gained in the last fifth"].iloc[0] == pytest.approx(0.3)
    assert table["gained in the last fifth"].isna().iloc[1]
    assert len(convergence([one, other]).axes[0].lines) == 5  # two curves, two rings, legend
    assert convergence(FOUND) is None and convergence_table(FOUND).empty


def test_skipped_inputs_are_listed(tmp_path):
    for name, texts in (("a", ["videos: 1 broken skipped: cut.mp4"]), ("b", [])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({"layout": LAYOUT, "skipped": texts}))
    table = skipped_inputs(tmp_path)
    assert table.values.tolist() == [["a", "videos: 1 broken skipped: cut.mp4"]]
    assert skipped_inputs(tmp_path / "b").empty


def test_saved_tests_come_back(tmp_path):
    data = dots(12, split="test")
    model = TinyNet()
    distances = torch.rand(12, 4)
    distances[0, 0] = torch.nan
    folder = tmp_path / "sports" / "run"
    folder.mkdir(parents=True)
    save_test(
        folder,
        model,
        data,
        distances,
        method="supervised",
        dataset="dots",
        labels=5,
        seed=1,
        history=History(score=[(5, 10.0), (10, 20.0)]),
    )
    with pytest.raises(ValueError, match="no finished run"):
        load_tests(tmp_path)
    (folder / "run.json").write_text(json.dumps({"layout": LAYOUT}))
    (back,) = load_tests(tmp_path)
    assert torch.equal(back["distances"].isnan(), distances.isnan())
    assert back["validation"].tolist() == [[5, 10], [10, 20]] and back["folder"] == folder
    assert torch.allclose(back["distances"].nan_to_num(), distances.nan_to_num())
    assert back["frames"].shape == (8, 3, 32, 32) and back["poses"].shape == (8, 4, 3)
    assert (
        back["frames"].float() - data.frames[torch.linspace(0, 11, 10).long()[1:-1]]
    ).abs().mean() < 12  # the images are JPEG


def test_tests_on_other_frames_are_refused(tmp_path):
    for i, n in enumerate((12, 10)):
        folder = tmp_path / f"run{i}"
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps({"layout": LAYOUT}))
        save_test(
            folder,
            TinyNet(),
            dots(n, split="test"),
            torch.rand(n, 4),
            method="supervised",
            dataset="dots",
            labels=5,
            seed=i,
        )
    with pytest.raises(ValueError, match="other frames"):
        load_tests(tmp_path)


def test_a_row_that_two_runs_hold_is_refused(tmp_path):
    """As after a run was renamed: its old folder is still there."""
    for name in ("old", "new"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps({"layout": LAYOUT}))
        save_test(
            folder,
            TinyNet(),
            dots(12, split="test"),
            torch.rand(12, 4),
            method="supervised",
            dataset="dots",
            labels=5,
            seed=0,
        )
    with pytest.raises(ValueError, match=r"new and .*old hold the same row"):
        load_tests(tmp_path)


def test_results_without_images_can_be_read(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"layout": LAYOUT}))
    save_test(
        tmp_path,
        TinyNet(),
        dots(12, split="test"),
        torch.rand(12, 4),
        method="supervised",
        dataset="dots",
        labels=5,
        seed=0,
    )
    next(tmp_path.rglob("examples.jpg")).unlink()
    (back,) = load_tests(tmp_path)
    assert back["frames"] is None and back["poses"].shape == (8, 4, 3)


def test_tables_without_supervised_training_say_what_to_add():
    with pytest.raises(ValueError, match="add a run of the notebook sports/supervised"):
        budget_table(FOUND[2:4])


def test_metrics_of_finished_runs_only(tmp_path):
    with pytest.raises(ValueError, match="no metrics of a finished run"):
        read_metrics(tmp_path, COLUMNS)
    for name, finished in (("a", True), ("b", False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(",".join(COLUMNS) + "\n" + ",".join([name] * len(COLUMNS)) + "\n")
        if finished:
            (tmp_path / name / "run.json").write_text(json.dumps({"layout": LAYOUT}))
    assert list(read_metrics(tmp_path, COLUMNS)["run"]) == ["a"]


def test_curve_never_falls_and_ends_agree_with_pck():
    distances = torch.rand(40, 4)
    video = FOUND[0]["video"]
    curve = pck_curve_table({"x": [distances]}, video)
    assert (curve["pck"].diff().dropna() >= 0).all()
    at = curve[curve["at"] == 0.5]["pck"].item()
    assert math.isclose(at, pck(distances, 0.5))


def test_curves_show_points_over_the_first_method_paired():
    named = {name: draws(FOUND, *row) for name, row in compared(FOUND, 50).items()}
    table = pck_curve_table(named, FOUND[0]["video"])
    first = table[table["method"] == "supervised, 50 labels"]
    assert (first[["points", "points_low", "points_high"]] == 0).all(axis=None)
    row = table[(table["method"] == "pseudo labels, iteration 1") & (table["at"] == 0.1)].iloc[0]
    assert row["points"] == pytest.approx(20, abs=1e-3) and 0 < row["points_low"] < 20 < row["points_high"]
    absolute, points = pck_curves(table, list(named)[:2]).axes
    assert [line.get_label() for line in points.lines[:2]] == list(named)[:2]
    assert absolute.get_ylim()[0] == 50 and [text.get_text() for text in points.texts] == list(named)[:2]


def test_runs_of_an_older_version_are_refused(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"status": "finished"}))
    with pytest.raises(ValueError, match="was made by an older version of fewpose: run its profile again, or delete"):
        load_tests(tmp_path)
