"""The engine with two real workers, and what it says when something is missing."""

import errno
import json
import os
from dataclasses import replace

import nbformat
import papermill
import pytest

from fewpose_runs import clusters, execution
from fewpose_runs.clusters import connect, count_workers, read_cluster
from fewpose_runs.engine import reproduce
from fewpose_runs.profiles import PlannedRun, read_profile
from fewpose_runs.progress import Progress

PARAMETERS = 'role = ""'
OPEN = 'from fewpose_runs.runs import start_run\nrun = start_run("sports/meet", globals())\n'
# The two runs meet in a named pipe, which neither passes alone; then one kills its worker, and waits to die with it.
MEET = """\
import os, signal
state = run.checkpoint("state")
if role and not state.exists():
    state.write_text("met")
    with open(run.path("pipe"), "r" if role == "right" else "w") as file:
        file.read() if role == "right" else file.write("x")
    if role == "left":
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()
"""
END = 'run.record({"method": "supervised", "dataset": "jump", "metric": "pck", "value": len(role)})\nrun.finish()\n'
PROFILE = """\
- {run: left, notebook: sports/meet, parameters: {role: left}}
- {run: right, notebook: sports/meet, parameters: {role: right}}
- {run: last, notebook: sports/meet, needs: [left, right]}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWPOSE_ROOT", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, OPEN, MEET, END)]
    cells[0].metadata["tags"] = ["parameters"]
    path = tmp_path / "notebooks" / "sports" / "meet.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "mine.yaml").write_text(PROFILE)
    return tmp_path


DEVICES = """\
import torch
from fewpose.speed import devices
class Rows(torch.nn.Module):
    def forward(self, rows):
        self.seen = len(rows)
        return rows
if role == "fail" and not run.is_first:
    raise ValueError("no memory on the second GPU")
rows = Rows()
whole = devices.shared_pass(rows, torch.arange(7.0)[:, None])
run.checkpoint("state").write_text("of the first") if run.is_first else None
(run.folder / f"{rows.seen}.txt").touch()
(run.report / f"{rows.seen}.txt").touch()
run.record({"method": "supervised", "dataset": "jump", "metric": "pck", "value": float(whole.sum()), "n": rows.seen})
"""


@pytest.fixture
def two_gpus(project, monkeypatch):
    """A project whose runs are executed by two processes; here without GPUs."""
    path = project / "notebooks" / "sports" / "meet.ipynb"
    cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, OPEN, DEVICES, "run.finish()")]
    cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    return project / "outputs" / "mine"


def test_a_run_with_two_gpus_is_two_processes_of_which_one_writes(two_gpus):
    printed = []
    planned = replace(run_of("one", GPU=2), parameters={"role": "x"})
    execution.execute(planned, "print", lambda kind, text: printed.append(text))
    assert "2 processes, a device each" in "".join(printed)
    rows = (two_gpus / "sports" / "one" / "metrics.csv").read_text().splitlines()
    row = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
    assert len(rows) == 2 and (float(row["value"]), row["n"]) == (21, "3")  # of seven rows, three
    assert [p.name for p in two_gpus.rglob("*.txt")] == ["3.txt", "3.txt"]  # nothing of the other process
    assert planned.finished["status"] == "finished"


def test_of_two_processes_that_which_failed_is_named(two_gpus):
    planned = replace(run_of("one", GPU=2), parameters={"role": "fail"})
    with pytest.raises(execution.RunFailed, match=r"stopped: ValueError: no memory on the second GPU$"):
        execution.execute(planned, "print", lambda kind, text: None)
    with pytest.raises(execution.RunFailed, match="asks for 3 GPUs, but CUDA_VISIBLE_DEVICES of its worker is 0,1"):
        execution.execute(run_of("one", GPU=3), "print", lambda kind, text: None)


def run_of(name, needs=(), **resources):
    return PlannedRun("mine", name, name, "sports/meet", {}, tuple(needs), resources)


@pytest.mark.skipif(os.name == "nt", reason="named pipes and SIGKILL")
def test_two_workers_run_two_notebooks_at_once_and_one_is_killed(project, capfd):
    os.mkfifo(project / "pipe")
    reproduce("mine", workers=2)
    printed = capfd.readouterr().out
    left, right, last = (
        json.loads((project / "outputs" / "mine" / "sports" / name / "run.json").read_text())
        for name in ("left", "right", "last")
    )
    assert left["resumed"] and not right["resumed"] and not last["resumed"]
    assert printed.count("sports/left: notebooks") == 2  # started again
    assert printed.index("sports/last: notebooks") > max(printed.index(f"sports/{n} done") for n in ("left", "right"))
    reproduce("mine", workers=2)
    assert "all 3 runs are up to date" in capfd.readouterr().out


def test_a_scheduler_that_does_not_answer_is_named(project, monkeypatch):
    monkeypatch.setattr(clusters, "WAIT", 0.2)
    with pytest.raises(ValueError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 "):
        reproduce("mine", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(ValueError, match="no Dask scheduler answers at nowhere"):
        reproduce("mine", scheduler="nowhere")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{system: slrum, jobs: 2, cores: 4}", "`system` must be one of slurm, pbs, sge, not 'slrum'"),
        ("{system: slurm, jobs: 2, cores: 4, wall_time: 1h}", "unknown key 'wall_time' .did you mean walltime"),
        ("{system: slurm, cores: 4}", "`jobs` must be a whole number above 0, not None"),
        ("{system: pbs, jobs: 2, cores: many}", "`cores` must be a whole number above 0, not 'many'"),
        ("- slurm", "must be a mapping"),
        ("{", "is not valid YAML"),
    ],
)
def test_a_wrong_cluster_file_is_named_before_any_work(project, text, message):
    pytest.importorskip("dask_jobqueue")
    (project / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        reproduce("mine", cluster=project / "mine.yaml")
    assert "mine.yaml" in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"none\.yaml cannot be read"):
        reproduce("mine", cluster=project / "none.yaml")


def test_the_example_makes_a_job_of_one_notebook(monkeypatch):
    pytest.importorskip("dask_jobqueue")
    root = execution.Path(clusters.__file__).parents[2]
    system, jobs, options = read_cluster(root / "params" / "clusters" / "slurm.yaml")
    assert (system.__name__, jobs) == ("SLURMCluster", 4)
    script = system.job_cls("tcp://127.0.0.1:1", name="a", processes=1, **clusters.job_options(options)).job_script()
    assert "#SBATCH -p gpu" in script and "#SBATCH --gres=gpu:1" in script and "#SBATCH --cpus-per-task=8" in script
    assert "export OMP_NUM_THREADS=8" in script and script.rstrip().endswith("--nthreads 1 --resources GPU=1,memory=64")


class FakeClient:
    def __init__(self, packages, resources):
        self.packages, self.resources = packages, resources

    def scheduler_info(self, n_workers=5):
        return {"workers": {"tcp://a": {"resources": self.resources}}}

    def get_versions(self, packages):
        ours = {"packages": {name: "1" for name in packages}}
        return {"scheduler": ours, "workers": {"tcp://a": {"packages": self.packages}}}


def test_workers_that_lack_the_environment_or_the_resources_are_named():
    ours = {"fewpose": "1", "papermill": "2"}
    with pytest.raises(RuntimeError, match="worker tcp://a cannot import fewpose"):
        clusters._check_workers(FakeClient({"fewpose": None, "papermill": "2"}, {}), [run_of("one")])
    with pytest.raises(RuntimeError, match=r"run one: no worker has its `resources` \(GPU: 1; they have memory: 12\)"):
        clusters._check_workers(FakeClient(ours, {"memory": 12}), [run_of("one", GPU=1)])
    clusters._check_workers(FakeClient(ours, {"memory": 12, "GPU": 1}), [run_of("one", GPU=1, memory=11)])


def test_as_many_workers_as_can_be_used_at_once_and_fit_into_memory():
    plan = [run_of("a"), run_of("b"), run_of("c"), run_of("d", "a"), run_of("e", "d")]
    assert count_workers(plan, cores=8, gpus=0, memory=16) == 3
    assert count_workers(plan, cores=2, gpus=0, memory=16) == 2
    assert count_workers(plan, cores=8, gpus=4, memory=16) == 4
    assert count_workers([*plan, run_of("f", memory=7)], cores=8, gpus=0, memory=16) == 2
    assert count_workers([*plan, run_of("g", GPU=2)], cores=8, gpus=4, memory=16) == 2
    assert count_workers([run_of("f", memory=70)], cores=8, gpus=0, memory=16) == 1


def test_resources_of_a_profile_are_checked(project):
    for text, message in (
        ("{GPUs: 1}", "unknown resource 'GPUs' .did you mean GPU"),
        ("{memory: 5GB}", "to numbers above 0"),
        ("{GPU: 1.5}", "`GPU` must be a whole number, or a share of one"),
        ("[GPU]", "must be a mapping of GPU and memory"),
    ):
        (project / "params" / "mine.yaml").write_text(f"- {{run: a, notebook: sports/meet, resources: {text}}}")
        with pytest.raises(ValueError, match=message):
            read_profile("mine")
    (project / "params" / "mine.yaml").write_text("- {run: a, notebook: sports/meet, resources: {memory: 2.5}}")
    assert read_profile("mine")[0].resources == {"memory": 2.5}


def test_changed_code_is_noticed_where_a_run_would_start(project):
    (planned, *_) = read_profile("mine")
    with pytest.raises(execution.RunFailed, match="the code or data there differ"):
        execution.check_files(planned, "another", "tcp://a")


@pytest.mark.parametrize(("text", "kept"), [('{"cells": []}', ["notebook.ipynb"]), ('{"cells": [', [])])
def test_an_executed_notebook_that_a_full_disk_cut_off_is_not_kept(tmp_path, text, kept):
    (tmp_path / "part.ipynb").write_text(text)
    execution._keep_if_whole(tmp_path / "part.ipynb", tmp_path / "notebook.ipynb")
    assert [path.name for path in tmp_path.iterdir()] == kept


def test_a_disk_that_is_full_while_a_notebook_is_saved_is_one_sentence(project, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(papermill, "execute_notebook", full)
    monkeypatch.setattr(execution, "_full_disk", lambda folder: pytest.fail("said twice"))
    with pytest.raises(
        execution.RunFailed, match=r"notebook\.ipynb: the disk is full, .*; make room and repeat the"
    ) as e:
        execution.execute(run_of("left"), "print", lambda kind, text: None)
    assert "\n" not in str(e.value)
    assert list((project / "outputs" / "mine" / "sports" / "left").iterdir()) == []


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    assert execution._full_disk(tmp_path / "not" / "there") == ""
    monkeypatch.setattr(execution.shutil, "disk_usage", lambda folder: execution.shutil._ntuple_diskusage(9, 9, 0))
    assert "make room" in execution._full_disk(tmp_path)


def test_lines_of_two_notebooks_do_not_mix_and_a_bar_is_one_line(capsys):
    progress = Progress({"a": "run 1 of 2 a", "b": "run 2 of 2 b"})
    for run, kind, text in (
        ("a", "start", ""),
        ("a", "stdout", "first "),
        ("b", "start", ""),
        ("b", "stdout", "other\n"),
        ("a", "stdout", "half\n\nnext\n"),
        ("b", "stderr", "\r 10%"),
        ("b", "stderr", "\r 20%\r    \r"),
        ("b", "stdout", "no end"),
    ):
        progress.event((0.0, {"run": run, "kind": kind, "text": text}))
    progress.end("b", "b done")
    out, err = capsys.readouterr()
    heads, lines = ["run 1 of 2 a", "run 2 of 2 b"], ["b │ other", "a │ first half", "a │ next", "b │ no end"]
    assert out.splitlines() == [*heads, *lines, "b done"]
    assert err.splitlines() == ["b │  10%", "b │  20%"]


def test_configuration_of_dask_is_left_as_it_was(project):
    import dask
    import distributed  # noqa: F401

    before = json.dumps(dask.config.config, default=str)
    with pytest.raises(ValueError), connect([run_of("a")], [run_of("a")], scheduler="nowhere"):
        pass
    assert json.dumps(dask.config.config, default=str) == before
