"""Fingerprints follow what a run imports, and nothing else of the library."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fewpose_runs import fingerprints as module
from fewpose_runs.fingerprints import PACKAGES, fingerprints, imported_modules
from fewpose_runs.profiles import read_profile

ROOT = Path(__file__).parents[2]
PROFILE = """\
- {run: jump, notebook: sports/supervised}
- {run: lsp, notebook: sports/supervised, parameters: {dataset: lsp}}
- {run: tables, notebook: sports/tables_and_curves, needs: [jump, lsp]}
"""


def code_of(notebook):
    cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    for folder in ("lib", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "mine.yaml").write_text(PROFILE)
    monkeypatch.setenv("FEWPOSE_ROOT", str(tmp_path))
    monkeypatch.setattr(module, "LIBRARY", tmp_path / "lib")
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "outdated"),
    [
        ("fewpose_worlds/body.py", {"jump", "tables"}),
        ("fewpose/losses.py", {"jump", "lsp", "tables"}),
        ("fewpose/models/files/sha256.json", {"jump", "lsp", "tables"}),
        ("fewpose_report/figures.py", {"tables"}),
        ("fewpose_runs/engine.py", set()),
        ("fewpose/data/README.md", set()),
    ],
)
def test_a_change_outdates_the_runs_that_use_it(project, changed, outdated):
    before = fingerprints(read_profile("mine"))
    with open(project / "lib" / changed, "a") as file:
        file.write("\n")
    after = fingerprints(read_profile("mine"))
    assert {run for run in before if after[run] != before[run]} == outdated


def test_what_a_notebook_loads_is_among_its_modules():
    notebooks = [code_of(name) for name in ("sports/supervised", "operating_room/student", "01_worlds")]
    script = ["import sys"]
    for cells in notebooks:  # in one process, which loads torch once, and ours for each anew
        lines = [line for cell in cells for line in ast.parse(cell).body]
        script += [ast.unparse(line) for line in lines if isinstance(line, ast.Import | ast.ImportFrom)]
        script += [
            f"ours = [name for name in sys.modules if name.split('.')[0] in {PACKAGES}]",
            "print(*ours)",
            "for name in ours: del sys.modules[name]",
        ]
    done = subprocess.run([sys.executable, "-c", "\n".join(script)], capture_output=True, text=True, check=True)
    for cells, loaded in zip(notebooks, done.stdout.splitlines(), strict=True):
        ours = set(loaded.split())
        assert ours and ours <= imported_modules(cells, report=True, renders=True).keys()


@pytest.mark.parametrize(
    "name", [".DS_Store", "images/Thumbs.db", "videos/._a.mp4", ".~lock.a#", "notes.txt", "a.json~"]
)
def test_what_lies_beside_data_changes_nothing(tmp_path, name):
    for folder in ("images", "videos"):
        (tmp_path / folder).mkdir()
    (tmp_path / "annotations.json").write_text("{}")
    before = module.files_in(tmp_path)
    (tmp_path / name).write_text("left by somebody")
    assert module.files_in(tmp_path) == before


@pytest.mark.parametrize("name", ["annotations.json", "joints.mat", "images/run/1.jpg", "videos/a.mp4"])
def test_data_that_change_at_the_same_size_are_seen(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    states = []
    for second, content in enumerate(("one", "two", "one")):
        (tmp_path / name).write_text(content)
        os.utime(tmp_path / name, (second, second))
        states.append(module.files_in(tmp_path))
    assert states[0] == states[2] != states[1]  # its time alone is no change
