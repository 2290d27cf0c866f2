import math
import types

import pandas as pd
import pytest

from benchmarks import cases, harness
from benchmarks.harness import COLUMNS, Case


@pytest.fixture
def clock(monkeypatch):
    """A clock that only `working` advances."""
    now = types.SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now.seconds)
    return now


def working(clock, seconds, log=None, name=""):
    def work():
        clock.seconds += seconds
        if log is not None:
            log.append(name)

    return work


def test_a_row_by_hand():
    case = Case(None, None, 1, "frames/s", "batch 2", details=lambda rate: f"{rate:.0f} a second")
    made = harness.row("x", case, ([0.125, 0.25, 0.5], [0.5, 0.75, 0.5]))  # 4, 3, 1
    assert tuple(made) == COLUMNS
    assert (made["ours"], made["reference"], made["ratio"]) == (4, 2, 3)
    assert (made["ratio_low"], made["ratio_high"]) == (2, 3.5)
    assert made["notes"] == "batch 2, 4 a second"


def test_both_are_measured_alternately(clock):
    log = []
    case = Case(working(clock, 0.1, log, "a"), working(clock, 0.2, log, "b"), 1, "", "")
    ours, theirs = harness.interleaved(case, 3)
    assert "".join(log) == "ab" + "ab" + "ababab"  # called, estimated, measured
    assert ours == pytest.approx([0.1] * 3) and theirs == pytest.approx([0.2] * 3)


def test_a_case_may_give_further_rows(clock):
    case = Case(
        working(clock, 0.1), working(clock, 0.2), 1, "", "", more=lambda: [harness.skipped("x_cpu", "no clock")]
    )
    assert [row["name"] for row in harness.run({"x": lambda: case}, 1)] == ["x", "x_cpu"]


def test_fast_work_is_repeated_and_slow_references_may_do_less(clock):
    log = []
    case = Case(working(clock, 0.001, log, "a"), working(clock, 0.5), 10, "", "", reference_amount=2)
    ours, theirs = harness.interleaved(case, 1)
    assert len(log) == 2 + 50
    assert ours == pytest.approx([0.0001]) and theirs == pytest.approx([0.25])


@pytest.mark.parametrize(("seconds", "repeats"), [(10.0, 7), (0.2, 7), (0.1, 10)])
def test_never_fewer_than_seven_repeats(clock, seconds, repeats):
    case = Case(working(clock, seconds), working(clock, seconds), 1, "", "")
    assert len(harness.interleaved(case)[0]) == repeats


def test_a_missing_library_is_one_message_and_an_empty_row(clock, capsys):
    def absent():
        harness.require("no_such_library.part")

    def ours():
        harness.require("fewpose.no_such_module")

    fine = Case(working(clock, 1), working(clock, 1), 1, "steps/s", "")
    rows = list(harness.run({"a": absent, "b": ours, "c": lambda: fine}, 1))
    message = "no_such_library is not installed: pip install -e .[benchmark]"
    assert rows[0]["notes"] == f"skipped: {message}" and math.isnan(rows[0]["ratio"])
    assert rows[1]["notes"] == "skipped: this version has no fewpose.no_such_module"
    assert rows[2]["ratio"] == 1
    assert f"a skipped: {message}" in capsys.readouterr().err


def test_a_case_is_closed_even_if_it_fails(clock):
    closed = []
    case = Case(lambda: 1 / 0, working(clock, 1), 1, "", "", close=lambda: closed.append(True))
    with pytest.raises(ZeroDivisionError):
        list(harness.run({"x": lambda: case}, 1))
    assert closed


def rows(**ratios):
    return [
        dict(zip(COLUMNS, (name, 2.0, 1.0, "/s", ratio, ratio, ratio, ""), strict=True))
        for name, ratio in ratios.items()
    ]


def test_the_file_keeps_cases_that_were_not_measured_again(tmp_path):
    path = tmp_path / "benchmarks" / "cpu.csv"
    harness.write(rows(a=1.0, b=2.0, c=3.0), path)
    harness.write(rows(b=5.0, d=4.0), path)
    table = pd.read_csv(path)
    assert tuple(table.columns) == COLUMNS
    assert table.name.tolist() == list("abcd") and table.ratio.tolist() == [1, 5, 3, 4]
    harness.write(rows(a=7.0, b=5.0, c=1.0, d=1.0), path)
    assert pd.read_csv(path).ratio.tolist() == [7, 5, 1, 1]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4204, "0.420"), (12.34, "12.3"), (99.96, "100.0"), (123456.7, "123,000"), (0, "0"), (math.nan, "")],
)
def test_three_digits(value, text):
    assert harness.digits(value) == text


def test_the_table_shows_what_was_skipped():
    table = harness.markdown([*rows(a=4.0), harness.skipped("b", "no kornia")])
    assert "4.00 to 4.00" in table and "skipped: no kornia" in table and "nan" not in table


def test_cases_are_selected_by_prefix():
    every = {"pck": 1, "augment_a": 2, "augment_b": 3}
    assert list(harness.select(every, ["augment"])) == ["augment_a", "augment_b"]
    assert harness.select(every, None) is every
    with pytest.raises(ValueError, match=r"no benchmark case .* 'okay'.* pck, augment_a"):
        harness.select(every, ["okay"])


def test_every_aim_belongs_to_a_case():
    measured = {name.removesuffix("_cpu") for name in cases.AIMS["cpu"]}  # CPU seconds are a second row of a case
    assert measured <= set(cases.CPU) and set(cases.AIMS["cuda"]) <= set(cases.CUDA)


def test_the_command_writes_the_file_and_reports_errors(tmp_path, monkeypatch, capsys):
    from fewpose_runs.cli import main

    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("FEWPOSE_ROOT", str(tmp_path))
    fine = Case(lambda: None, lambda: None, 1, "calls/s", "nothing at all")
    monkeypatch.setitem(cases.CPU, "nothing", lambda: fine)
    monkeypatch.setattr(harness, "REPEATS", 1)
    monkeypatch.setattr(harness, "BLOCK", 1e-4)
    assert main(["benchmark", "--only", "nothing"]) == 0
    assert "nothing at all" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "outputs/benchmarks/cpu.csv").name.tolist() == ["nothing"]
    assert main(["benchmark", "--only", "everything"]) == 1
    assert "no benchmark case begins with 'everything'" in capsys.readouterr().err
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["benchmark", "--device", "cuda"]) == 1
    assert "no CUDA device" in capsys.readouterr().err
