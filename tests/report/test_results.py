import json
import math

import numpy as np
import pytest
import torch

from fewpose import metrics, report
from fewpose.report.results import interval, load_tests, mean_pck, read_metrics
from fewpose.runs import COLUMNS, METHODS
from tiny import TinyNet, dots


def entry(method, labels, iteration, seed, hits, n=40):
    """A network whose first `hits` of n test frames (two a video) are all right, the rest wrong."""
    distances = torch.ones(n, 4)
    distances[:hits] = 0
    video = np.array([f"v{i // 2}" for i in range(n)])
    return dict(method=method, labels=labels, iteration=iteration, seed=seed, dataset="dots",
                distances=distances, video=video)


FOUND = [
    entry("supervised", 50, 0, 0, 20), entry("supervised", 50, 0, 1, 24),
    entry("pseudo_labels", 50, 1, 0, 28), entry("pseudo_labels", 50, 1, 1, 32),
    entry("supervised", 1000, 0, 0, 38),
]


def test_mean_over_draws_by_hand():
    value, samples = mean_pck(report.draws(FOUND, "supervised", 50), FOUND[0]["video"])
    assert math.isclose(value, 55, abs_tol=1e-3)  # of 50 % and 60 %
    low, high = interval(samples)
    assert 30 < low < 50 < 60 < high < 80


def test_gap_closed_is_paired():
    (row,) = report.gap_rows(FOUND, 50)
    # few 55, ours 75, full 95
    assert math.isclose(row["value"], 50, abs_tol=1e-4) and row["n"] == 2
    assert row["ci_low"] < 50 < row["ci_high"]


def test_a_method_equal_to_its_baseline_closes_nothing_in_every_resample():
    same = [*FOUND[:2], entry("pseudo_labels", 50, 1, 0, 20), entry("pseudo_labels", 50, 1, 1, 24),
            FOUND[-1]]
    (row,) = report.gap_rows(same, 50)
    assert row["value"] == row["ci_low"] == row["ci_high"] == 0


def test_differences_are_paired():
    (row,) = report.difference_rows(FOUND, 50)
    assert (row["method"], row["over"]) == ("pseudo labels, iteration 1", "supervised")
    # every draw of pseudo labels is right where its supervised twin is, and on 8 frames more
    assert math.isclose(row["points"], 20, abs_tol=1e-3) and row["draws"] == 2
    assert 0 < row["low"] < 20 < row["high"]
    assert report.difference_rows(FOUND, 1000) == []
    assert report.difference_rows(FOUND[1:], 50) == []  # one draw against two


def test_table_has_paper_ours_difference():
    table = report.sports_table(FOUND, report.SPORTS_TABLE1)
    assert list(table["method"]) == ["supervised", "pseudo labels", "supervised"]
    first = table.iloc[0]
    assert (first["paper"], first["ours"], first["difference"]) == (83.8, 55.0, -28.8)
    assert table.iloc[2]["labels"] == "all (1000)"


def test_rows_of_the_report():
    rows = report.pck_rows(FOUND[0]["distances"], FOUND[0]["video"], method="supervised",
                           dataset="dots", labels=50)
    assert [r["at"] for r in rows] == [0.05, 0.1, 0.2]
    assert all(math.isclose(r["value"], 50) and r["n"] == 160 for r in rows)
    assert set(rows[0]) <= set(COLUMNS)


def test_saved_tests_come_back(tmp_path):
    data = dots(12, split="test")
    model = TinyNet()
    distances = torch.rand(12, 4)
    distances[0, 0] = torch.nan
    folder = tmp_path / "sports" / "run"
    folder.mkdir(parents=True)
    report.save_test(folder, model, data, distances, method="supervised", dataset="dots",
                     labels=5, seed=1)
    with pytest.raises(ValueError, match="no finished run"):
        load_tests(tmp_path)
    (folder / "run.json").write_text(json.dumps({"status": "finished"}))
    (back,) = load_tests(tmp_path)
    assert torch.equal(back["distances"].isnan(), distances.isnan())
    assert torch.allclose(back["distances"].nan_to_num(), distances.nan_to_num())
    assert back["frames"].shape == (8, 3, 32, 32) and back["poses"].shape == (8, 4, 3)
    assert (back["frames"].float() - data.frames[torch.linspace(0, 11, 10).long()[1:-1]]).abs(
        ).mean() < 12  # the pictures are JPEG


def test_tests_on_other_frames_are_refused(tmp_path):
    for i, n in enumerate((12, 10)):
        folder = tmp_path / f"run{i}"
        folder.mkdir()
        (folder / "run.json").write_text("{}")
        report.save_test(folder, TinyNet(), dots(n, split="test"), torch.rand(n, 4),
                         method="supervised", dataset="dots", labels=5, seed=i)
    with pytest.raises(ValueError, match="other frames"):
        load_tests(tmp_path)


def test_metrics_of_finished_runs_only(tmp_path):
    with pytest.raises(ValueError, match="no metrics of a finished run"):
        read_metrics(tmp_path, COLUMNS)
    for name, finished in (("a", True), ("b", False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(
            ",".join(COLUMNS) + "\n" + ",".join([name] * len(COLUMNS)) + "\n")
        if finished:
            (tmp_path / name / "run.json").write_text("{}")
    assert list(read_metrics(tmp_path, COLUMNS)["run"]) == ["a"]


def test_curve_never_falls_and_ends_agree_with_pck():
    distances = torch.rand(40, 4)
    video = FOUND[0]["video"]
    curve = report.pck_curve_table({"x": [distances]}, video)
    assert (curve["pck"].diff().dropna() >= 0).all()
    at = curve[curve["at"] == 0.5]["pck"].item()
    assert math.isclose(at, metrics.pck(distances, 0.5))


def test_every_method_of_the_tables_may_be_recorded():
    for method, _, _ in [*report.SPORTS_TABLE1, *report.SPORTS_TABLE2]:
        assert method in METHODS
