"""The rules of the repository: lint, notebooks, file sizes, the direction of imports, pins."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fewpose_runs.profiles import notebook_parameters, profiles, read_profile, repo_root

ROOT = repo_root()
LIB = ROOT / "lib"
MODULES = sorted(LIB.rglob("*.py"))
NOTEBOOKS = sorted(p for p in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
PAPER_NOTEBOOKS = {"00_start_here", "supervised", "pseudo_labels", "mean_teacher", "tables_and_curves"}
PAPER_NOTEBOOKS |= {"teacher", "student", "tables_and_poses"}
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def tool(*arguments):
    return subprocess.run([sys.executable, "-m", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git clone")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def title_cell(path):
    return "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])


def code_cells(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


# ---- lint and size -------------------------------------------------------------------------------


def test_ruff_is_content_with_library_tests_and_notebooks():
    found = tool("ruff", "check", "--output-format=concise", ".")
    assert found.returncode == 0, found.stdout


def test_code_is_formatted():
    found = tool("ruff", "format", "--check", ".")
    assert found.returncode == 0, found.stdout


def test_files_stay_small():
    shipped = (".safetensors",)
    big = [
        str(p.relative_to(ROOT))
        for p in tracked_files()
        if p.stat().st_size > (10 * 2**20 if p.suffix in shipped else 2**20)
    ]
    assert not big
    reference = [p for p in tracked_files() if "outputs/reference" in p.as_posix()]
    assert sum(p.stat().st_size for p in reference) < 25 * 2**20
    inside = [p for p in tracked_files() if p.relative_to(ROOT).parts[0] == "outputs"]
    assert inside == reference, "only outputs/reference is committed"


# ---- READMEs -------------------------------------------------------------------------------------


def readmes():
    return [path for path in tracked_files() if path.name == "README.md"]


def outside_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)


def anchors(path):
    """The anchors that GitHub makes of a Markdown file's headings."""
    headings = re.findall(r"^#+ (.+)$", outside_code(path.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    words = [word for word in outside_code(text).split() if any(c.isalnum() for c in word)]
    assert len(words) <= 900 and len(text.encode()) <= 9 * 2**10


def test_links_in_readmes_lead_somewhere():
    tracked = set(tracked_files())
    folders = {folder for path in tracked for folder in path.parents}
    dead = []
    for readme in readmes():
        for link in re.findall(r"\]\(([^)\s]+)\)", outside_code(readme.read_text(encoding="utf-8"))):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            path = Path(os.path.normpath(readme.parent / name)) if name else readme
            if path not in tracked | folders or (anchor and anchor not in anchors(path)):
                dead.append(f"{readme.relative_to(ROOT)}: {link}")
    assert not dead


def test_commands_in_readmes_exist():
    """Every profile, make target and subcommand that a README names."""
    rules = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    commands = tool("fewpose", "--help").stdout
    for readme in readmes():
        text = readme.read_text(encoding="utf-8")
        for profile in re.findall(r"PROFILE=([\w.]+\w)", text):
            assert read_profile(profile), f"{readme}: {profile}"
        for target in re.findall(r"(?:^|`)make (\w+)", text, re.M):
            assert target in rules, f"{readme}: make {target}"
        for command in re.findall(r"python -m fewpose (\w+)", text):
            assert re.search(rf"^ +{command}\b", commands, re.M), f"{readme}: {command}"


# ---- notebooks -----------------------------------------------------------------------------------


@pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks yet")
def test_notebooks_are_stripped():
    found = tool("nbstripout", "--keep-id", "--verify", *NOTEBOOKS)
    assert found.returncode == 0, f"run `make strip`: {found.stdout}{found.stderr}"


def test_notebooks_link_their_executed_copies():
    """Each executed copy of the laptop profile is linked from the notebook it is a copy of, and by README."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = {}
    for path in NOTEBOOKS:
        for link in re.findall(r"\[An executed copy with its figures\]\((\S+)\)", title_cell(path)):
            copy = (path.parent / link).resolve()
            assert copy in tracked_files() and title_cell(copy).splitlines()[0] == title_cell(path).splitlines()[0]
            assert f"[executed]({copy.relative_to(ROOT).as_posix()})" in readme
            linked[path] = copy
    papers = [p for p in NOTEBOOKS if p.stem in PAPER_NOTEBOOKS]
    assert len(papers) == len(PAPER_NOTEBOOKS) and set(papers) <= set(linked)


@each_notebook
def test_parameters_are_literals_each_with_its_comment(path):
    defaults = notebook_parameters(path)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    cell = next(c for c in cells if "parameters" in c["metadata"].get("tags", []))
    lines = [line for line in "".join(cell["source"]).splitlines() if line.strip()]
    uncommented = [line for line in lines if "#" not in line]
    assert not uncommented, "a trailing comment says what each parameter is"
    assert len(lines) >= len(defaults)


@each_notebook
def test_a_notebook_opens_and_finishes_its_run(path):
    name = path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()
    cells = code_cells(path)
    assert any(f'start_run("{name}", globals())' in cell for cell in cells)
    assert any("run.finish()" in cell for cell in cells)


@each_notebook
def test_only_the_title_is_a_first_heading(path):
    """A stray "# " turns a sentence into a headline, and "# ## " a heading into its own source."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    first = [line for text in texts for line in text.splitlines() if line.startswith("# ")]
    assert first == [texts[0].splitlines()[0]] and not first[0].startswith("# #")


@each_notebook
def test_cells_hold_calls_not_logic(path):
    for number, cell in enumerate(code_cells(path)):
        where = f"{path.name}, code cell {number}"
        lines = [line for line in cell.splitlines() if line.strip()]
        literals = all(isinstance(node, ast.Assign) for node in ast.parse(cell).body)
        limit = 31 if literals else 20  # the parameters cell is a list, not logic
        assert len(lines) <= limit, f"{where}: {len(lines)} lines"
        assert not re.search(r"^\s*[!%]|sys\.path|\bpip\b", cell, re.M), where
        for node in ast.walk(ast.parse(cell)):
            assert not isinstance(node, ast.ClassDef), f"{where}: a class belongs into lib"
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1
                assert length <= 6, f"{where}: {node.name} has {length} lines, lib wants it"


@pytest.mark.parametrize("profile", profiles())
def test_profiles_are_valid(profile):
    assert read_profile(profile)


def test_profiles_repeat_little():
    assert sum(len((ROOT / "params" / f"{name}.yaml").read_text().splitlines()) for name in profiles()) <= 400


def test_paper_tiny_is_the_paper_with_small_values():
    tiny, paper = read_profile("paper_tiny"), read_profile("paper")
    assert [(p.run, p.notebook, p.needs) for p in tiny] == [(p.run, p.notebook, p.needs) for p in paper]
    for small, large in zip(tiny, paper, strict=True):
        assert small.parameters.keys() == large.parameters.keys(), small.run
        for name, value in small.parameters.items():
            whole, where = large.parameters[name], f"{small.run}: {name} is {value}"
            if isinstance(value, str):
                assert value.replace("outputs/paper_tiny/", "outputs/paper/") == whole, where
            else:
                assert np.all(np.less_equal(value, whole)), where
            if name.endswith("steps"):
                assert value <= 100, where


def test_the_smoke_profile_is_every_notebook_as_it_stands():
    if "smoke" not in profiles():
        pytest.skip("no smoke profile yet")
    plan = read_profile("smoke")
    assert all(not p.parameters and p.run == p.notebook.split("/")[-1] for p in plan)
    names = {p.relative_to(ROOT / "notebooks").with_suffix("").as_posix() for p in NOTEBOOKS}
    assert {p.notebook for p in plan} == names


# ---- imports -------------------------------------------------------------------------------------

# What each package may import of the others; `fewpose.__main__`, the command, is the one exception.
MAY_IMPORT = {
    "fewpose": set(),
    "fewpose_worlds": {"fewpose"},
    "fewpose_report": {"fewpose"},
    "fewpose_video": {"fewpose"},
    "fewpose_runs": {"fewpose", "fewpose_worlds", "fewpose_report", "fewpose_video"},
}


def packages_imported(path):
    """Top-level packages that a file imports by their names, under TYPE_CHECKING and in functions
    too; a relative import stays inside the package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (a.name.split(".")[0] for a in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def test_packages_import_one_way():
    found = {p.name for p in LIB.iterdir() if (p / "__init__.py").is_file()}
    assert found == set(MAY_IMPORT)
    wrong = []
    for path in MODULES:
        package = path.relative_to(LIB).parts[0]
        if path == LIB / "fewpose" / "__main__.py":
            continue
        siblings = set(packages_imported(path)) & set(MAY_IMPORT) - {package}
        wrong += [f"{path.relative_to(LIB)} imports {s}" for s in siblings - MAY_IMPORT[package]]
    assert not wrong


def test_no_modules_import_in_a_circle():
    """Under TYPE_CHECKING and in functions too."""
    names = {".".join(path.relative_to(LIB).with_suffix("").parts): path for path in MODULES}
    graph = {}
    for name, path in names.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                found.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
        graph[name] = found & set(names) - {name, "fewpose.__main__"}
    TopologicalSorter(graph).prepare()  # CycleError names the modules


def test_the_papers_methods_load_no_sibling():
    code = "import sys, fewpose.pseudo_labels, fewpose.mean_teacher; "
    code += "print(*sorted(n for n in sys.modules if n.startswith('fewpose_')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0 and not found.stdout.strip(), found.stdout + found.stderr


def test_only_runs_and_profiles_know_the_place():
    allowed = {"profiles.py", "runs.py", "engine.py", "cli.py"}
    for path in MODULES:
        if path.name not in allowed:
            text = path.read_text()
            assert "import yaml" not in text and "getcwd" not in text, path.name
            assert "Path.cwd" not in text, path.name


# ---- environment and command line ----------------------------------------------------------------


def test_everything_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[=<>\[ ]", d)[0].lower() for d in project["dependencies"]}
    named = {
        "cv2": "opencv-python",
        "yaml": "pyyaml",
        "PIL": "pillow",
        "IPython": "ipykernel",
        "faster_coco_eval": "faster-coco-eval",
        "warp": "anny",
    }  # what anny computes with
    used = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                used.update(a.name.split(".")[0] for a in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                used.add(node.module.split(".")[0])
    foreign = used - set(sys.stdlib_module_names) - set(MAY_IMPORT) - {"benchmarks"}
    assert {named.get(name, name) for name in foreign} <= declared


def test_nothing_is_pinned_twice():
    text = (ROOT / "environment.yml").read_text() + (ROOT / "Makefile").read_text()
    assert "-e ." in text and "torch=" not in text


def locked():
    """The versions of each package in requirements.lock, one for each marker, and their lines."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", "")
    found = {}
    for line in text.splitlines():
        requirement, *hashes = line.split(" --hash=")
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", text) for text in hashes), line
        requirement = Requirement(requirement)
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def test_the_lock_fits_pyproject():
    """Else: `make lock`."""
    project, versions = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"], locked()
    for text in (*project["dependencies"], *project["optional-dependencies"]["test"]):
        wanted = Requirement(text)
        pins = versions.get(canonicalize_name(wanted.name))
        assert pins, f"{text} is not in requirements.lock: make lock"
        for pin in pins:
            (exact,) = pin.specifier
            assert exact.operator == "==" and exact.version in wanted.specifier, f"{text}, locked {pin}: make lock"
    assert "://" not in (ROOT / "requirements.lock").read_text(), "an index of one machine"


def test_help_is_quick_and_lists_the_commands():
    # Quick on a busy machine too, that is: nothing heavy is imported.
    code = "import sys; from fewpose_runs.cli import parser; parser().print_help(); "
    code += "assert not {'torch', 'papermill', 'pandas', 'cv2'} & set(sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    names = ("reproduce", "world", "weights", "predict", "evaluate", "benchmark", "lab", "test", "strip")
    for command in names:
        assert command in found.stdout


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["reproduce", "--profile", "lapdog"], "no profile 'lapdog'", 1),
        (["world", "moon", "--out", "x"], "invalid choice: 'moon'", 2),
        (["world", "jump", "--frames", "0", "--out", "x"], "whole number above 0", 2),
        (["reproduce", "--only"], "expected at least one", 2),
        (["predict", "absent", "here"], "there is no video, image or folder here", 1),
        (["evaluate", "mvor"], "invalid choice: 'mvor'", 2),
        (["evaluate", "mvor-pck", "--ground-truth", "x"], "required: --detections", 2),
        (["evaluate", "mvor-pck", "--ground-truth", "t.json", "--detections", "d"], "t.json is", 1),
    ],
)
def test_mistakes_end_with_one_sentence(arguments, message, code):
    found = tool("fewpose", *arguments)
    assert found.returncode == code and message in found.stderr
    assert "Traceback" not in found.stderr
