import matplotlib

matplotlib.use("Agg")

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from fewpose import LAYOUT
from fewpose.metrics.pck import reference_length
from fewpose.pseudo_labels import Candidates
from fewpose_report.sports.label_audit import (
    RULES,
    audit_by_keypoint,
    audit_rows,
    audit_table,
    aurc_table,
    read_audits,
    risk_coverage,
    risk_coverage_curve,
    risk_rows,
    save_audit,
)
from tiny import dots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def half_wrong():
    """Labels of which the second half are wrong; the views disagree there, confidence does not."""
    data = dots(10)
    base = data.poses.clone()
    base[5:, :, 0] += 30
    base[..., 2] = 1.0
    base[::2, :, 2] = 0.9
    spread = torch.zeros(10, 4)
    spread[5:] = 9.0
    return data, Candidates(base, spread, base[None])


def test_kept_and_dropped_by_keypoint():
    data, candidates = half_wrong()
    keep = candidates.spread < 1
    keep[4, 0] = False  # one correct label of the left shoulder is dropped
    rows = audit_rows(candidates, keep, data, 1)
    by = {(r["labels"], r["keypoint"]): r for r in rows}
    assert len(rows) == 2 * (4 + 1)
    assert by["kept", "all"]["PCK"] == 100 and by["kept", "all"]["number"] == 19
    assert by["dropped", "left_shoulder"]["number"] == 6
    assert by["dropped", "left_shoulder"]["PCK"] == pytest.approx(100 / 6)
    assert by["dropped", "right_hip"]["PCK"] == 0 and by["kept", "right_hip"]["error"] == 0
    length = reference_length(data.poses, data.skeleton)[5:]
    expected = 100 * (30 / length).median().item()
    assert by["dropped", "right_hip"]["error"] == pytest.approx(expected, rel=1e-4)
    table = audit_table(rows)
    assert table.loc[(1, "kept"), "all"] == 100 and table.loc[(1, "dropped"), "hip"] == 0
    assert table.loc[(1, "dropped"), "shoulder"] == pytest.approx(100 / 6 / 2, abs=0.06)
    assert table.loc[(1, "kept"), "number"] == 19
    assert len(audit_by_keypoint(rows).axes) == 2


def test_risk_of_each_rule_by_hand():
    data, candidates = half_wrong()
    rows = risk_rows(candidates, data, 2)
    assert len(rows) == 3 * 100 and {r["iteration"] for r in rows} == {2}
    risk = {(r["rule"], r["coverage"]): r["risk"] for r in rows}
    agreement, confidence, limit = RULES
    assert risk[agreement, 50] == 0 and risk[agreement, 100] == 50
    # the most confident half: frames 1, 3, 5, 7, 9, of which three are wrong
    assert risk[confidence, 50] == 60 and risk[limit, 50] == 60
    areas = aurc_table(rows)
    assert list(areas.index) == list(RULES) and list(areas.columns) == ["iteration 2"]
    assert float(areas.loc[agreement, "iteration 2"]) < float(areas.loc[confidence, "iteration 2"])


def test_one_limit_ranks_all_keypoints_together():
    data = dots(10)
    base = data.poses.clone()
    base[..., 2] = 0.2
    base[:, 0, 2], base[:, 0, 0] = 0.9, base[:, 0, 0] + 30  # confident of the shoulder, and wrong
    rows = risk_rows(Candidates(base, torch.rand(10, 4), base[None]), data, 1)
    risk = {(r["rule"], r["coverage"]): r["risk"] for r in rows}
    _, by_keypoint, limit = RULES
    assert risk[limit, 25] == 100 and risk[limit, 100] == 25
    assert risk[by_keypoint, 20] == 25  # of each keypoint the best: the shoulder has a quarter only


def test_frames_without_ground_truth_do_not_count():
    data, candidates = half_wrong()
    known = risk_rows(candidates, data, 1)
    data.poses[::2] = 0
    subset = risk_rows(candidates, data, 1)
    assert len(subset) == len(known)
    odd = Candidates(candidates.base[1::2], candidates.spread[1::2], candidates.views[:, 1::2])
    alone = risk_rows(odd, data.subset(range(1, 10, 2)), 1)
    assert [r["risk"] for r in subset] == [r["risk"] for r in alone]
    keep = candidates.spread < 1
    nobody = data.unlabelled()
    assert risk_rows(candidates, nobody, 1) == []
    assert aurc_table([]).empty
    rows = audit_rows(candidates, keep, nobody, 1)
    assert audit_table(rows)["all"].isna().all()
    assert audit_table(rows).loc[(1, "kept"), "number"] == keep.sum()
    audit_by_keypoint(rows).canvas.draw()


def test_audits_of_all_draws_come_together(tmp_path):
    data, candidates = half_wrong()
    keep = candidates.spread < 1
    for name, method in (
        ("a", "pseudo_labels"),
        ("b", "pseudo_labels"),
        ("c", "mean_teacher"),
        ("d", "pseudo_labels_video"),
    ):
        (tmp_path / name / "test").mkdir(parents=True)
        (tmp_path / name / "run.json").write_text(json.dumps({"layout": LAYOUT}))
        (tmp_path / name / "test" / f"{method}_50_1_0.npz").touch()
        save_audit(tmp_path / name, audit_rows(candidates, keep, data, 1), risk_rows(candidates, data, 1))
    risk = read_audits(tmp_path, "risk_coverage", "pseudo_labels", 50)
    assert set(risk["run"]) == {"a", "b"}
    assert aurc_table(risk).iloc[0, 0].endswith(")")  # with a range over the draws
    assert risk_coverage(risk, [60]).axes[0].get_title() == "iteration 1"
    audit = read_audits(tmp_path, "audit", "pseudo_labels", 50)
    assert audit_table(audit).loc[(1, "kept"), "number"] == keep.sum()
    assert read_audits(tmp_path, "audit", "pseudo_labels", 100).empty
    np.testing.assert_allclose(risk["risk"][:100], risk["risk"][300:400])


def test_no_ground_truth_at_all_is_saved_and_read_as_nothing(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "run.json").write_text(json.dumps({"layout": LAYOUT}))
    (tmp_path / "test" / "pseudo_labels_5_1_0.npz").touch()
    save_audit(tmp_path, [], [])
    assert read_audits(tmp_path, "risk_coverage", "pseudo_labels", 5).empty


def test_risk_over_coverage_by_hand():
    distances = torch.tensor([[0.05, 0.5], [0.5, 0.05], [0.05, torch.nan]])
    uncertainty = torch.tensor([[1.0, 9.0], [3.0, 1.0], [2.0, 0.0]])
    # by uncertainty: keypoint 0 right, right, wrong; keypoint 1 right, wrong, unlabelled
    risk = risk_coverage_curve(distances, uncertainty)
    assert torch.allclose(risk, torch.tensor([0.0, 100 * 1 / 4, 100 * 2 / 5]))
    # uncertainty that knows the error is never worse than uncertainty that knows the opposite
    best, worst = (risk_coverage_curve(distances, sign * distances) for sign in (1, -1))
    assert (best <= worst + 1e-4).all() and best[-1] == worst[-1]
