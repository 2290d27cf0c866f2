"""Runs and batches, in a tiny project that trains nothing."""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pandas as pd
import pytest

from fewpose_runs import runs
from fewpose_runs.engine import RunFailed, _chosen, reproduce
from fewpose_runs.fingerprints import START, fingerprints
from fewpose_runs.profiles import notebook_parameters, read_profile
from fewpose_runs.runs import COLUMNS, find_run, finished_runs, start_run

PARAMETERS = """\
steps = 3  # how many
learning_rate = 0.1  # of what is not learned
widths = [1, 2]
title = "a"
fast = True
seed = 5
"""
WORK = """\
import time
first = run.checkpoint("count")
for step in range(int(first.read_text()) if first.exists() else 0, steps):
    print("step", step, flush=True)
    first.write_text(str(step + 1))
    time.sleep(0.3 if title == "slow" else 0)
"""
END = """\
run.record({"method": "supervised", "dataset": "jump", "metric": "pck", "at": 0.1, "value": steps})
run.finish()
"""
COMMAND = [sys.executable, "-m", "fewpose", "reproduce"]
LIB = Path(runs.__file__).parents[1]
OPEN = 'from fewpose_runs.runs import start_run\nrun = start_run("sports/tiny", globals())\n'


def write_notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A root with one notebook and a profile of two runs."""
    monkeypatch.setenv("FEWPOSE_ROOT", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_notebook(tmp_path / "notebooks" / "sports" / "tiny.ipynb", PARAMETERS, OPEN, WORK, END)
    write_profile(
        tmp_path,
        "laptop",
        """\
        - {run: one, notebook: sports/tiny}
        - {run: two, notebook: sports/tiny, parameters: {steps: 4, learning_rate: 1}, needs: [one]}
        """,
    )
    return tmp_path


def write_profile(project, name, text):
    (project / "params").mkdir(exist_ok=True)
    (project / "params" / f"{name}.yaml").write_text(text)


def copy_library(project, monkeypatch):
    """Let subprocesses use a copy: work on the real one would make their results out of date."""
    library = project / "lib"
    for package, names in (
        ("fewpose", ("__init__", "__main__", "disk", "speed/__init__", "speed/threads")),
        ("fewpose_runs", ("__init__", "fingerprints", "parameter_checks", "profiles", "runs", *START)),
    ):
        for name in names:
            copy = library / package / f"{name}.py"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(LIB / package / f"{name}.py", copy)
    monkeypatch.setenv("PYTHONPATH", str(library))


def manifest(project, run, profile="laptop"):
    return json.loads((project / "outputs" / profile / "sports" / run / "run.json").read_text())


# ---- profiles ------------------------------------------------------------------------------------


def test_parameters_are_read_without_running(project):
    defaults = notebook_parameters(project / "notebooks" / "sports" / "tiny.ipynb")
    assert defaults == {"steps": 3, "learning_rate": 0.1, "widths": [1, 2], "title": "a", "fast": True, "seed": 5}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("{stesp: 4}", r"laptop\.yaml, run one: unknown parameter 'stesp' .did you mean steps"),
        ("{steps: 4.5}", "run one: steps must be an int like 3, not 4.5"),
        ("{steps: true}", "steps must be an int"),
        ("{fast: 1}", "fast must be a bool"),
        ("{learning_rate: 1e-3}", "learning_rate must be a float .*1.0e-3"),
        ("{widths: [1, x]}", "widths must be a list of int"),
        ("{title: [a]}", "title must be a str"),
        ("7", "`parameters` must be a mapping"),
    ],
)
def test_wrong_parameters_stop_before_any_work(project, parameters, message):
    write_profile(
        project,
        "laptop",
        f"""\
        - {{run: zero, notebook: sports/tiny}}
        - {{run: one, notebook: sports/tiny, parameters: {parameters}}}
        """,
    )
    with pytest.raises(ValueError, match=message):
        reproduce("laptop")
    assert not (project / "outputs").exists()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{run: a, notbook: sports/tiny}", "unknown key 'notbook' .did you mean notebook"),
        ("{run: a}", "`notebook` must be given"),
        ("{run: a, notebook: sports/tinny}", "'sports/tinny' .did you mean sports/tiny"),
        ("{run: a/b, notebook: sports/tiny}", "a run's name"),
        ("{run: zero, notebook: sports/tiny}", "taken by an earlier run"),
        ("{run: a, notebook: sports/tiny, needs: [zeor]}", "no earlier run .did you mean zero"),
        ("{run: a, notebook: sports/tiny, needs: zero}", "must be a list"),
        ("just text", "must be a mapping"),
        ("{run: a, notebook: [}", "not valid YAML"),
    ],
)
def test_wrong_entries_name_file_and_key(project, entry, message):
    text = f"- {{run: zero, notebook: sports/tiny}}\n- {entry}\n"
    write_profile(project, "laptop", text)
    with pytest.raises(ValueError, match=message) as error:
        read_profile("laptop")
    assert "params/laptop.yaml" in str(error.value)


def test_unknown_profile_names_close_ones(project):
    with pytest.raises(ValueError, match=r"no profile 'labtop' .did you mean laptop"):
        read_profile("labtop")
    write_profile(project, "empty", "")
    with pytest.raises(ValueError, match="must be a list of runs"):
        read_profile("empty")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("a = 1\nb = a * 2", "b is not a literal"),
        ("a = None", "a must be a bool"),
        ("import os", "only `name = literal`"),
        ("a, b = 1, 2", "only `name = literal`"),
    ],
)
def test_parameters_cells_hold_only_literals(project, cell, message):
    path = project / "notebooks" / "other.ipynb"
    write_notebook(path, cell, "pass")
    with pytest.raises(ValueError, match=message):
        notebook_parameters(path)


def test_fingerprints_follow_code_parameters_and_needs(project):
    before = fingerprints(read_profile("laptop"))
    assert before == fingerprints(read_profile("laptop"))
    path = project / "notebooks" / "sports" / "tiny.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="seen")]
    nbformat.write(notebook, path)
    assert before == fingerprints(read_profile("laptop"))  # outputs are not code

    text = (project / "params" / "laptop.yaml").read_text()
    write_profile(project, "laptop", text.replace("steps: 4", "steps: 6"))
    after = fingerprints(read_profile("laptop"))
    assert after["one"] == before["one"] and after["two"] != before["two"]

    notebook.cells[2].source += "\n# changed"
    nbformat.write(notebook, path)
    changed = fingerprints(read_profile("laptop"))
    assert changed["one"] != after["one"] and changed["two"] != after["two"]


def test_fingerprints_follow_the_users_files(project):
    write_notebook(project / "notebooks" / "sports" / "custom.ipynb", 'data_path = ""', "pass")
    write_profile(project, "mine", "- {run: one, notebook: sports/custom, parameters: {data_path: my}}")
    found = [fingerprints(read_profile("mine"))["one"]]
    for name, text in (
        ("annotations.json", "[1]"),
        ("annotations.json", "[2]"),
        ("images/a/1.png", "x"),
        ("videos/1.mp4", "x"),
        ("videos/1.mp4", "xy"),
    ):
        path = project / "my" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        found.append(fingerprints(read_profile("mine"))["one"])
    assert len(set(found)) == len(found)
    (project / "my" / "poses").mkdir()
    (project / "my" / "poses" / "1_poses.csv").write_text("what predict wrote")
    assert fingerprints(read_profile("mine"))["one"] == found[-1]


def test_fingerprints_follow_the_users_weights_but_not_those_another_run_makes(project):
    write_notebook(project / "notebooks" / "sports" / "custom.ipynb", 'weights = ""', "pass")
    for place, kinds in (("my/w.pth", 3), ("outputs/mine/w.pth", 1)):
        (project / place).parent.mkdir(parents=True)
        entry = f"{{run: one, notebook: sports/custom, parameters: {{weights: {place}}}}}"
        write_profile(project, "mine", f"- {entry}")
        found = [fingerprints(read_profile("mine"))["one"]]
        for content in (b"ab", b"ba"):
            (project / place).write_bytes(content)
            found.append(fingerprints(read_profile("mine"))["one"])
        assert len(set(found)) == kinds


SEEDS = """\
- {run: first, notebook: sports/tiny, seeds: [0, 2], parameters: {title: x}}
- {run: alone, notebook: sports/tiny}
- {run: second, notebook: sports/next, seeds: [2], needs: [alone], parameters: {supervised_run: first}}
- {run: third, notebook: sports/next, parameters: {supervised_run: first_seed0}}
- {run: tables, notebook: sports/tiny, needs: [first, second]}
"""


@pytest.fixture
def seeded(project):
    write_notebook(project / "notebooks" / "sports" / "next.ipynb", 'supervised_run = ""\nseed = 0', "pass")
    write_profile(project, "mine", SEEDS)
    return project


def test_seeds_make_a_run_each_that_refers_to_runs_of_its_own_seed(seeded):
    plan = {p.run: p for p in read_profile("mine")}
    assert list(plan) == ["first_seed0", "first_seed2", "alone", "second_seed2", "third", "tables"]
    assert plan["first_seed2"].parameters == {"title": "x", "seed": 2}
    assert plan["second_seed2"].parameters == {"supervised_run": "first_seed2", "seed": 2}
    assert plan["second_seed2"].needs == ("alone", "first_seed2")
    assert plan["third"].needs == ("first_seed0",)  # named as a parameter: needed, too
    assert plan["tables"].needs == ("first_seed0", "first_seed2", "second_seed2")
    assert plan["first_seed0"].folder == seeded / "outputs" / "mine" / "sports" / "first_seed0"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("parameters: {supervised_run: first}", "supervised_run must name one run: first_seed0, first_seed2"),
        ("parameters: {supervised_run: fist}", "supervised_run is 'fist', no earlier run .did you mean first"),
        ("seeds: [0, 1], parameters: {supervised_run: first}", "'first', which has no seed 1: first_seed0"),
        ("seeds: [1], needs: [first]", "needs 'first', which has no seed 1"),
        ("seeds: 3", "`seeds` must be a list"),
        ("seeds: [1, 1]", "`seeds` must be a list of different"),
        ("seeds: [1], parameters: {seed: 1}", "not both"),
    ],
)
def test_wrong_seeds_are_named(seeded, entry, message):
    write_profile(seeded, "mine", f"{SEEDS}- {{run: last, notebook: sports/next, {entry}}}")
    with pytest.raises(ValueError, match=message) as error:
        read_profile("mine")
    assert "params/mine.yaml, run last" in str(error.value)


def test_names_with_seeds_are_not_taken_twice(seeded):
    for name in ("first", "first_seed0"):
        write_profile(seeded, "mine", f"{SEEDS}- {{run: {name}, notebook: sports/tiny}}")
        with pytest.raises(ValueError, match="taken by an earlier run"):
            read_profile("mine")


def test_a_profile_of_another_encoding_is_named(project):
    text = (project / "params" / "laptop.yaml").read_text()
    (project / "params" / "my-sport.yaml").write_bytes(b"# Gel\xe4nde\n" + text.encode())
    with pytest.raises(ValueError, match=r"my-sport\.yaml is not valid YAML"):
        read_profile("my-sport")


# ---- the notebook's side -------------------------------------------------------------------------


def values(**changes):
    return {
        "steps": 3,
        "learning_rate": 0.1,
        "widths": [1, 2],
        "title": "a",
        "fast": True,
        "seed": 5,
        "In": [],
        **changes,
    }


def test_skipped_inputs_are_in_the_manifest(project, tmp_path):
    from fewpose.data.video import read_videos
    from fewpose.skeleton import JUMP

    run = start_run("sports/tiny", values())
    good, cut = tmp_path / "good.mp4", tmp_path / "cut.mp4"
    writer = cv2.VideoWriter(str(good), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
    for n in range(20):
        writer.write(np.full((48, 64, 3), 10 * n, np.uint8))
    writer.release()
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    read_videos([good, cut], JUMP, every=10, size=(64, 64))
    warnings.warn("of something else", UserWarning, stacklevel=1)
    run.finish()
    assert manifest(project, "tiny", "smoke")["skipped"] == ["videos: 1 broken or truncated, skipped: cut.mp4"]


def test_a_notebook_alone_is_the_smoke_profile(project):
    run = start_run("sports/tiny", values())
    assert run.folder == project / "outputs" / "smoke" / "sports" / "tiny"
    assert run.parameters["steps"] == 3 and "In" not in run.parameters and run.seed == 5
    with pytest.raises(ValueError, match=r"did not finish: run notebooks/sports/tiny\.ipynb first"):
        find_run("smoke", "sports", "tiny")
    row = {"method": "supervised", "dataset": "jump", "metric": "pck", "value": 50.0}
    run.record(row)
    run.record(pd.DataFrame([row | {"at": 0.2}, row | {"seconds": 1.5}]))
    run.finish()
    table = pd.read_csv(find_run("smoke", "sports", "tiny") / "metrics.csv")
    assert tuple(table.columns) == COLUMNS and len(table) == 3
    assert (table.paper == "sports").all() and (table.seed == 5).all() and table.seconds[2] == 1.5
    found = manifest(project, "tiny", "smoke")
    assert found["status"] == "finished" and found["packages"]["torch"] == "2.11.0"
    assert found["parameters"]["widths"] == [1, 2] and found["peak_memory_mb"] > 0


def test_seeds_are_fixed(project):
    import random

    import numpy as np
    import torch

    def draw():
        start_run("sports/tiny", values())
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    assert draw() == draw()


def test_figures_are_saved_twice(project):
    import matplotlib.pyplot as plt

    run = start_run("sports/tiny", values())
    figure, _ = plt.subplots()
    run.figure(figure, "curve")
    plt.close(figure)
    assert {p.name for p in (run.folder / "figures").iterdir()} == {"curve.png", "curve.pdf"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"methd": "supervised"}, "no column 'methd'"),
        ({"method": "supervised"}, "has no dataset"),
        ({"method": "teacher", "dataset": "jump", "metric": "ap", "value": 1}, "'ap' is no metric"),
    ],
)
def test_rows_are_checked(project, row, message):
    with pytest.raises(ValueError, match=message):
        start_run("sports/tiny", values()).record(row)


def test_parameters_of_a_notebook_are_checked(project):
    with pytest.raises(ValueError, match=r"tiny\.ipynb: steps must be an int"):
        start_run("sports/tiny", values(steps="many"))
    with pytest.raises(ValueError, match="steps is not set, run the parameters cell"):
        start_run("sports/tiny", {})


def test_checkpoints_stay_only_with_the_same_fingerprint(project):
    start_run("sports/tiny", values()).checkpoint("state").write_text("half")
    again = start_run("sports/tiny", values())
    assert again.resumed and again.checkpoint("state").read_text() == "half"
    other = start_run("sports/tiny", values(steps=9))
    assert not other.resumed and not other.checkpoint("state").exists()
    other.checkpoint("state").write_text("done")
    other.finish()
    fresh = start_run("sports/tiny", values(steps=9))  # finished: run again, from the start
    assert not fresh.resumed and not fresh.checkpoint("state").exists()


def test_find_run_says_what_to_run_first(project):
    with pytest.raises(ValueError, match="has not been run: run `make reproduce PROFILE=laptop`"):
        find_run("laptop", "sports", "one")


def test_a_run_of_an_older_layout_is_refused(project):
    start_run("sports/tiny", values()).finish()
    path = project / "outputs" / "smoke" / "sports" / "tiny" / "run.json"
    path.write_text(path.read_text().replace('"layout": 2,', ""))
    with pytest.raises(ValueError, match="older version of fewpose: run `make reproduce PROFILE=smoke` again"):
        find_run("smoke", "sports", "tiny")


def test_old_words_in_profiles_name_the_new_ones(project):
    write_notebook(
        project / "notebooks" / "sports" / "oracle_analysis.ipynb", 'dataset = "jump"\ncached_views = 0', "pass"
    )
    for entry, message in (
        ("sports/limits", "is now called sports/oracle_analysis"),
        ("sports/oracle_analysis, parameters: {views: 2}", "'views' .it is now called cached_views"),
        ("sports/oracle_analysis, parameters: {dataset: own}", "is now called 'custom'"),
    ):
        write_profile(project, "mine", f"- {{run: one, notebook: {entry}}}")
        with pytest.raises(ValueError, match=message):
            read_profile("mine")


# ---- batches -------------------------------------------------------------------------------------


def test_a_batch_runs_once_and_then_only_what_changed(project, monkeypatch):
    copy_library(project, monkeypatch)
    printed = subprocess.run(COMMAND, capture_output=True, text=True, check=True).stdout
    assert "run 2 of 2" in printed and "step 3" in printed
    assert manifest(project, "two")["parameters"]["steps"] == 4
    assert manifest(project, "one")["parameters"]["steps"] == 3
    folder = project / "outputs" / "laptop" / "sports" / "two"
    assert {p.name for p in folder.iterdir()} >= {"notebook.ipynb", "metrics.csv", "run.json"}
    assert [f.name for f in finished_runs("laptop")] == ["one", "two"]
    assert find_run("laptop", "sports", "two") == folder

    # A call with nothing to do is quick, for it imports nothing heavy; and cwd does not matter.
    code = "import sys; from fewpose_runs.engine import reproduce; reproduce('laptop'); "
    code += "assert not {'torch', 'papermill', 'pandas'} & set(sys.modules)"
    second = [sys.executable, "-c", code]
    printed = subprocess.run(second, cwd="/", capture_output=True, text=True, check=True).stdout
    assert "all 2 runs are up to date" in printed

    (folder / "metrics.csv").unlink()
    printed = subprocess.run(COMMAND, capture_output=True, text=True, check=True).stdout
    assert "sports/one: up to date" in printed and "sports/two done" in printed
    assert (folder / "metrics.csv").exists()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_what_a_step_frees_is_kept_for_the_next(project, monkeypatch):
    steps = """\
import resource, torch
taken = []
for _ in range(20):
    torch.empty(1 << 24).fill_(1)  # 64 MB, more than glibc keeps by itself
    taken.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print("pages", taken[-1] - taken[9])
"""
    copy_library(project, monkeypatch)
    write_notebook(project / "notebooks" / "sports" / "tiny.ipynb", PARAMETERS, OPEN, steps, END)
    done = subprocess.run([*COMMAND, "--only", "one"], capture_output=True, text=True, check=True)
    assert int(re.search(r"pages (\d+)", done.stdout)[1]) < 100
    assert [f.name for f in finished_runs("laptop")] == ["one"]


def test_a_failing_notebook_stops_what_needs_it_and_nothing_else(project):
    failing = 'if title == "bad":\n    raise ValueError("images/im0001.jpg is broken")\n'
    path = project / "notebooks" / "sports" / "tiny.ipynb"
    write_notebook(path, PARAMETERS, OPEN, WORK, failing, END)
    write_profile(
        project,
        "laptop",
        """\
        - {run: good, notebook: sports/tiny}
        - {run: bad, notebook: sports/tiny, parameters: {title: bad}}
        - {run: worse, notebook: sports/tiny, needs: [bad]}
        - {run: later, notebook: sports/tiny}
        """,
    )
    done = subprocess.run(COMMAND, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "notebooks/sports/tiny.ipynb (run bad)" in last
    assert "im0001.jpg is broken" in last and "Traceback" not in done.stderr
    assert last.endswith("not started, as they need what failed: worse")
    assert [f.name for f in finished_runs("laptop")] == ["good", "later"]


def test_unfinished_broken_and_killed_notebooks_leave_no_result(project, capfd):
    dead = 'if title == "dead":\n    import os\n    os.kill(os.getpid(), 9)'
    finish = f'if title != "unfinished":\n    {END.strip().replace(chr(10), chr(10) + "    ")}'
    late = '1 / (title != "late")'  # an error after finish counts too
    write_notebook(project / "notebooks" / "sports" / "tiny.ipynb", PARAMETERS, OPEN, dead, finish, late)
    names = ("unfinished", "late", "dead")
    entries = [f"- {{run: {name}, notebook: sports/tiny, parameters: {{title: {name}}}}}" for name in names]
    write_profile(project, "laptop", "\n".join(entries))
    with pytest.raises(RunFailed, match=r"3 runs failed, .*: unfinished, late, dead"):
        reproduce("laptop")
    printed = "".join(capfd.readouterr())
    for name, message in zip(names, ("without run.finish()", "ZeroDivisionError", "process died"), strict=True):
        (line,) = (line for line in printed.splitlines() if f"sports/{name} failed" in line)
        assert message in line
    assert finished_runs("laptop") == []


def test_killed_and_called_again_it_goes_on(project, monkeypatch):
    write_profile(
        project,
        "laptop",
        """\
        - {run: one, notebook: sports/tiny}
        - {run: slow, notebook: sports/tiny, parameters: {title: slow, steps: 10}, needs: [one]}
        """,
    )
    copy_library(project, monkeypatch)
    count = project / "outputs" / "laptop" / "sports" / "slow" / "checkpoints" / "count"
    batch = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, start_new_session=True, text=True)
    deadline = time.monotonic() + 240
    while not (count.exists() and count.read_text() == "4") and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(batch.pid, signal.SIGKILL)
    batch.wait()
    assert not (project / "outputs" / "laptop" / "sports" / "slow" / "run.json").exists()
    first = manifest(project, "one")

    second = subprocess.run(COMMAND, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    assert "sports/one: up to date" in second.stdout and "resuming" in second.stdout
    assert "step 1\n" not in second.stdout and "step 9" in second.stdout
    assert manifest(project, "one") == first and manifest(project, "slow")["resumed"]


def test_two_batches_of_one_profile_do_not_mix(project):
    import fcntl

    path = project / "outputs" / "laptop" / ".lock"
    path.parent.mkdir(parents=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match="another `reproduce`"):
            reproduce("laptop")


def test_only_of_no_run_names_all(project):
    with pytest.raises(ValueError, match="has no run 'three': one, two"):
        reproduce("laptop", only=["three"])


def test_only_takes_an_entry_with_or_without_its_seeds(seeded):
    plan = read_profile("mine")
    for only, chosen in (
        ("first", ["first_seed0", "first_seed2"]),
        ("first_seed2", ["first_seed2"]),
        ("third", ["first_seed0", "third"]),
    ):
        assert [p.run for p in _chosen(plan, [only])] == chosen


def test_memory_is_measured_where_resource_is_missing_as_on_windows(monkeypatch):
    pytest.importorskip("psutil")  # loaded before: on Linux it imports resource itself
    monkeypatch.setitem(sys.modules, "resource", None)
    assert runs._peak_memory_mb() > 50
