"""The commands where Python has no POSIX modules, cannot fork, and pipes know few characters, as on Windows."""

import ast
import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest
import torch

from fewpose.models.weights import save_weights
from fewpose.speed.prefetch import Prefetch
from fewpose_runs.profiles import repo_root
from fewpose_video.networks import network_metadata
from tiny import dots, random_hrnet

LIB = repo_root() / "lib"
POSIX = ("fcntl", "grp", "pwd", "resource", "termios")
# Python runs it at the start of this process and of those that it starts. What other packages import by `sys.platform`
# is theirs; filelock's lock for Windows is not here.
WITHOUT_POSIX = f"""
import importlib.abc, os, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        frame = sys._getframe(1)
        while frame and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        if frame and name in {POSIX} and frame.f_globals.get("__name__", "").startswith("fewpose"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

for name in {POSIX}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
for name in ("fork", "killpg", "nice", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)
"""
RUN = """\
from fewpose_runs.runs import start_run
run = start_run("sports/tiny", globals())
"""


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A project of one notebook, and an environment in which fewpose finds no POSIX module."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT_POSIX)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(LIB), str(Path(__file__).parents[1])])
    )
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    monkeypatch.setenv("FEWPOSE_ROOT", str(tmp_path))
    parameters, work = (
        "steps = 3  # how many",
        'run.record({"method": "a", "dataset": "b", "metric": "pck", "value": 1})',
    )
    cells = [
        nbformat.v4.new_code_cell(source) for source in (parameters, RUN, 'print("→ done")', f"{work}\nrun.finish()")
    ]
    cells[0].metadata["tags"] = ["parameters"]
    (tmp_path / "notebooks" / "sports").mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "sports" / "tiny.ipynb")
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "laptop.yaml").write_text("- {run: größe, notebook: sports/tiny}\n", encoding="utf-8")
    return tmp_path


def python(*arguments):
    found = subprocess.run([sys.executable, *arguments], capture_output=True, timeout=240)
    assert found.returncode == 0, found.stderr.decode("utf-8", "replace")
    return found.stdout.decode("cp1252")


def test_a_posix_module_is_absent_for_fewpose_alone(bare):
    python("-c", "import fcntl")
    code = 'exec("import fcntl", {"__name__": "fewpose.x"})'
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "No module named 'fcntl'" in found.stderr


def test_notebooks_run_and_are_up_to_date(bare):
    command = ("-m", "fewpose", "reproduce")
    assert "run 1 of 1" in python(*command)
    run = json.loads((bare / "outputs/laptop/sports/größe/run.json").read_text(encoding="utf-8"))
    assert run["peak_memory_mb"] > 10
    assert "all 1 runs are up to date" in python(*command)
    python("-m", "fewpose", "strip")


def test_every_module_is_imported_and_a_network_predicts_and_is_exported(bare):
    """The network is a small one that `build` does not know."""
    folder = bare / "Läufe 1"
    meta = {"dataset": "dots", **network_metadata("movenet", dots(size=64))}
    save_weights(random_hrnet(4), folder / "checkpoints" / "network.safetensors", meta)
    cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tofile(folder / "Bild ä.png")
    code = f"""
import importlib, pkgutil
for package in {sorted(p.name for p in LIB.iterdir() if (p / "__init__.py").is_file())}:
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
from fewpose_runs.cli import main
from fewpose_video import networks
from tiny import random_hrnet
networks.build = lambda name, keypoints: random_hrnet(keypoints)
folder = {str(folder)!r}
assert main(["export", folder, folder + "/x/dots.onnx"]) == 0
assert main(["predict", folder, folder + "/Bild ä.png", "--whole"]) == 0
for command in "reproduce world weights predict export evaluate keep benchmark lab test strip".split():
    try:
        main([command, "--help"])
    except SystemExit as end:
        assert end.code == 0
"""
    assert "dots.onnx" in python("-c", code)
    assert (folder / "poses" / "Bild ä_poses.csv").read_text(encoding="utf-8").startswith("video,")


def test_a_gpu_is_fed_where_processes_cannot_be_forked(monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    made = Prefetch(lambda step: step, 3, torch.device("cuda"))
    assert [made(step) for step in range(3)] == [0, 1, 2]


def calls_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node, getattr(node.func, "attr", getattr(node.func, "id", ""))


def test_text_is_read_and_written_as_utf_8():
    """Not in the system's encoding."""
    wrong = []
    for path in LIB.rglob("*.py"):
        for call, name in calls_of(path):
            binary = call.args[1:] and "b'" in ast.unparse(call.args[1])  # 'rb', 'r+b' if … else 'wb'
            opened = isinstance(call.func, ast.Name) and name == "open" and not binary
            method = isinstance(call.func, ast.Attribute)  # fewpose.disk's write_text writes UTF-8
            text = (method and name in ("read_text", "write_text")) or opened
            if text and not any(keyword.arg == "encoding" for keyword in call.keywords):
                wrong.append(f"{path.relative_to(LIB)}, line {call.lineno}")
    assert not wrong


def test_posix_modules_are_imported_only_where_their_absence_is_caught():
    wrong = []
    for path in LIB.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        caught = {id(n) for t in ast.walk(tree) if isinstance(t, ast.Try) for part in t.body for n in ast.walk(part)}
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "")]
            if isinstance(node, ast.Import | ast.ImportFrom) and set(names) & set(POSIX) and id(node) not in caught:
                wrong.append(f"{path.relative_to(LIB)}, line {node.lineno}")
    assert not wrong
