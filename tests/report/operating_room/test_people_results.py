import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fewpose import LAYOUT
from fewpose.metrics.people import METRICS, evaluate
from fewpose.skeleton import COCO
from fewpose_report.operating_room.people_results import load_people_tests, people_rows, save_people_test, summarise
from fewpose_report.operating_room.people_tables import (
    METRIC_NAMES,
    difference_table,
    operating_room_table1,
    operating_room_table2,
    operating_room_table3,
)
from fewpose_runs.runs import COLUMNS
from two_people import guesses, world


def save(root, method, scale, seed, right, data=None):
    data = data or world()
    folder = root / f"{method}_{seed}"
    folder.mkdir(exist_ok=True)
    found = guesses(data, right)
    evidence = evaluate(found, data)
    save_people_test(folder, found, evidence, data, method=method, dataset="room", scale=scale, seed=seed)
    (folder / "run.json").write_text(json.dumps({"layout": LAYOUT}))
    return found, evidence


def test_rows_of_the_report():
    data = world()
    evidence = evaluate(guesses(data, 6), data)
    rows = people_rows(evidence, method="student_all", dataset="room", scale=8, seed=0)
    assert [row["metric"] for row in rows] == list(METRICS) and set(rows[0]) <= set(COLUMNS)
    box, pose, joint = rows
    assert box["value"] == pytest.approx(100 * 51 / 101) == pose["value"]  # half of all are found
    assert box["ci_low"] < box["value"] < box["ci_high"] and box["n"] == pose["n"] == 24
    assert joint["value"] == 0 and joint["n"] == 12 and {row["scale"] for row in rows} == {8}


def test_saved_tests_come_back(tmp_path):
    with pytest.raises(ValueError, match="no finished run"):
        load_people_tests(tmp_path)
    found, evidence = save(tmp_path, "teacher", 1, 0, 5)
    (back,) = load_people_tests(tmp_path)
    assert (back.method, back.scale, back.seed, back.dataset) == ("teacher", 1, 0, "room")
    for metric in METRICS:
        assert back.evidence.value(metric) == evidence.value(metric)
        np.testing.assert_array_equal(back.evidence.samples(metric), evidence.samples(metric))
    data, examples = world(), back.examples
    chosen = torch.linspace(0, 11, 6).long()[1:-1]
    assert (examples.frames.float() - data.frames[chosen]).abs().mean() < 5  # the strip is JPEG
    for i, j in enumerate(chosen.tolist()):
        assert torch.equal(examples.keypoints3d[i], data.keypoints3d[j])
        assert torch.equal(back.found[i].keypoints, found[j].keypoints)
    assert examples.skeleton == COCO and list(examples.day) == list(data.day[chosen])


def test_tests_on_other_days_are_refused(tmp_path):
    save(tmp_path, "teacher", 1, 0, 5)
    save(tmp_path, "student_all", 1, 0, 5, world(10))
    with pytest.raises(ValueError, match="other frames than"):
        load_people_tests(tmp_path)


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for method, scale, seed, right in (
        ("teacher", 1, 0, 12),
        ("teacher", 12, 0, 2),
        ("student_untrained", 1, 0, 6),
        ("student_all", 1, 0, 8),
        ("student_all", 1, 1, 10),
        ("student_all", 12, 0, 8),
        ("student_fixed", 1, 0, 8),
        ("single_hard", 1, 0, 6),
    ):
        save(root, method, scale, seed, right)
    return summarise(load_people_tests(root))


def test_mean_over_seeds_with_intervals_over_seeds_and_days(summary):
    ours = summary["student_all", 1, "box_ap"]
    one, two = (summary["student_fixed", 1, "box_ap"], summary["student_all", 12, "box_ap"])
    assert ours.seeds == 2 and one.seeds == 1
    assert np.array_equal(one.samples, two.samples)  # equal networks, equal days: paired
    assert one.value < ours.value < summary["teacher", 1, "box_ap"].value == pytest.approx(100)
    low, high = ours.interval
    assert low < one.value and ours.value < high


def test_tables_have_paper_ours_difference(summary):
    costs = {
        "teacher": SimpleNamespace(parameters=4_000_000, gflops=10.0),
        "student": SimpleNamespace(parameters=1_000_000, gflops=2.0),
    }
    table = operating_room_table1(summary, costs)
    assert list(table["method"].unique()) == ["teacher", "student untrained", "student"]
    row = table[(table["metric"] == "keypoint AP in %") & (table["scale"] == "1x")].iloc[0]
    assert (row["paper"], row["ours"], row["difference"]) == (57.78, 100.0, 42.2)
    ours_alone = table[table["metric"] == "MPJPE in mm, one to one"].iloc[0]
    assert math.isnan(ours_alone["paper"]) and math.isnan(ours_alone["difference"])  # not published: left empty
    size = table[(table["method"] == "teacher") & (table["metric"] == "parameters in millions")]
    assert size[["paper", "ours", "difference"]].values.tolist() == [[250.1, 4.0, -246.1]]
    second = operating_room_table2(summary)
    scales, methods = ("1x", "8x", "10x", "12x"), ("teacher", "student fixed", "student all")
    places = list(dict.fromkeys(zip(second["method"], second["scale"], strict=True)))
    assert places == [(method, scale) for scale in scales for method in methods]
    missing = second[(second["method"] == "student fixed") & (second["scale"] == "8x")]
    assert missing["paper"].tolist() == [49.50, 53.50, 137.40]  # not run: the paper's alone
    assert missing[["ours", "difference"]].isna().all(axis=None) and (missing["95 % interval"] == "").all()
    third = operating_room_table3(summary)
    assert list(third["method"].unique()) == ["single hard", "single soft", "single both", "double"]
    both = third[(third["method"] == "double") & (third["metric"] == "keypoint AP in %")].iloc[0]
    fixed = second[(second["method"] == "student fixed") & (second["metric"] == "keypoint AP in %")].iloc[0]
    assert (both["paper"], fixed["paper"]) == (55.80, 55.20) and both["ours"] == fixed["ours"]  # Tables 3 and 2
    assert set(third["metric"]) == set(METRIC_NAMES.values())


def test_differences_are_paired(summary):
    pairs = [
        (("student_all", 12), ("student_fixed", 1)),
        (("teacher", 1), ("student_fixed", 1)),
        (("teacher", 8), ("student_fixed", 1)),
    ]
    table = difference_table(summary, pairs)
    same, better = (table[table["metric"] == "box AP in %"].iloc[i] for i in (0, 1))
    assert same["difference"] == same["low"] == same["high"] == 0
    assert better["low"] >= 0 and better["difference"] > 0 and len(table) == 8
