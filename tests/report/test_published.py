"""The papers' numbers beside ours: against a copy of the tables where there is one, and some checked by hand."""

import csv
from pathlib import Path

import pytest

import fewpose_report
from fewpose_report.operating_room.people_tables import PUBLISHED, PUBLISHED_COSTS
from fewpose_report.sports.pck_tables import SPORTS_TABLE1, SPORTS_TABLE2

COPY = Path(__file__).parents[3] / "shared" / "papers" / "published.csv"


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_every_row_is_the_papers():
    if not COPY.exists():
        pytest.skip("no copy of the papers' tables beside the repository")
    ours, theirs = rows(Path(fewpose_report.__file__).parent / "published.csv"), rows(COPY)
    assert len(ours) == len(theirs)
    for own, row in zip(ours, theirs, strict=True):
        assert own == row


def test_sports_by_hand():
    assert SPORTS_TABLE1["pseudo_labels", 50, 3] == 88.4 and SPORTS_TABLE1["pseudo_labels_video", 50, 4] == 88.6
    assert SPORTS_TABLE1["mean_teacher_video", 50, 0] == 87.1 and SPORTS_TABLE1["supervised", "all", 0] == 91.9
    assert SPORTS_TABLE2["pseudo_labels", 250, 1] == 89.5 and SPORTS_TABLE2["mean_teacher", 100, 0] == 88.0
    assert list(SPORTS_TABLE1)[-1] == list(SPORTS_TABLE2)[-1] == ("supervised", "all", 0)
    assert all(value is not None for value in SPORTS_TABLE2.values())


def test_what_is_not_in_the_paper_has_no_published_number():
    ours = [key for key, value in SPORTS_TABLE1.items() if value is None]
    assert {method for method, _, _ in ours} == {"ensemble", "ensemble_views", "ensemble_voting", "published_head"}


def test_operating_room_by_hand():
    assert PUBLISHED["teacher", 12] == {"box_ap": 24.38, "keypoint_ap": 8.89, "mpjpe_paper": 260.83}
    assert PUBLISHED["student_all", 8]["keypoint_ap"] == 53.31 and PUBLISHED["student_fixed", 10]["box_ap"] == 49.01
    assert PUBLISHED["single_soft", 1]["mpjpe_paper"] == 134.2 and PUBLISHED["double", 1]["keypoint_ap"] == 55.8
    assert PUBLISHED_COSTS == {"teacher": (250.1, 1048.8), "student": (67.9, 215.0)}
