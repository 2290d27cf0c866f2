"""Fingerprints: what a result was made from, so that a run is repeated only when that changed."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from pathlib import Path

from fewpose_runs.profiles import PlannedRun, notebook_parameters, notebook_path, read_notebook, repo_root, user_path

LIBRARY = Path(__file__).resolve().parents[1]
PACKAGES = ("fewpose", "fewpose_worlds", "fewpose_report", "fewpose_runs", "fewpose_video")
START = ("cli", "engine", "execution", "clusters", "progress")  # these start runs and change no number
NEVER = ("fewpose.__main__", *(f"fewpose_runs.{name}" for name in START))
DATA = ("data_path", "raw_path", "videos", "real_frames")  # parameters that name a user's folders
# Parameters that name a user's file.
WEIGHTS = ("weights", "pose_weights", "detector_backbone", "lifter", "yolox", "rtmpose")
BESIDE = (".db", ".ini", ".lock", ".part", ".tmp", ".bak", ".txt", ".md", ".rtf", ".doc", ".docx", ".odt", ".pdf")
# Of the report what writes rows of results; the rest draws or makes tables of them.
ROWS = ("fewpose_report", "sports", "operating_room", "results", "pck_results", "people_results", "label_audit")


def fingerprint(notebook: str, parameters: dict, needs: list[str], report: bool = False) -> str:
    """Hash of everything that a run's numbers depend on.

    This is the notebook's cells, all its parameters and the files that they name (DATA, WEIGHTS), the modules that it
    imports and the fingerprints of the runs it needs. `report` adds the modules that only draw or make tables, left out
    otherwise: a change to a figure should not repeat a training.
    """
    path = notebook_path(notebook)
    cells = ["".join(cell["source"]) for cell in read_notebook(path)["cells"] if cell["cell_type"] == "code"]
    values = {**notebook_parameters(path), **parameters}
    files = [files_in(user_path(values[name])) for name in DATA if isinstance(values.get(name), str) and values[name]]
    files += [weights for name in WEIGHTS if (weights := weights_in(values.get(name)))]
    modules = imported_modules(cells, report, renders=values.get("dataset", "jump") == "jump")
    text = json.dumps([notebook, cells, values, files, needs, _library(modules)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprints(plan: list[PlannedRun]) -> dict[str, str]:
    """Fingerprint of every run of a profile, by its name."""
    needed = {name for planned in plan for name in planned.needs}
    prints: dict[str, str] = {}
    for planned in plan:
        # a run that needs others and is needed by none is a report, cheap to repeat
        last = bool(planned.needs) and planned.run not in needed
        prints[planned.run] = fingerprint(
            planned.notebook, planned.parameters, [prints[name] for name in planned.needs], last
        )
    return prints


def weights_in(name: object) -> str:
    """Hash of a user's weights file; empty without one, and for files that runs write."""
    path = user_path(name) if isinstance(name, str) and name else None
    if path is None or not path.is_file() or path.is_relative_to(repo_root() / "outputs"):
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_in(folder: Path) -> list:
    """Name and content of the files in a data folder, without those that systems and people leave beside data."""
    found = [*folder.glob("*"), *(folder / "images").rglob("*"), *(folder / "videos").glob("*")]
    state = []
    for path in sorted(path for path in found if path.is_file() and not is_beside_data(path)):
        stat = path.stat()
        state.append([path.relative_to(folder).as_posix(), content_of(path, stat.st_size, stat.st_mtime_ns)])
    return state


def is_beside_data(path: Path) -> bool:
    """Whether a file is hidden, a lock or a note, which no reader opens."""
    return path.name[0] in ".~" or path.name[-1] == "~" or path.suffix.lower() in BESIDE


@functools.cache
def content_of(path: Path, size: int, changed: int) -> str:
    """Hash of a file's content, computed once in a process while size and time stay."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def imported_modules(cells: list[str], report: bool, renders: bool) -> dict[str, Path]:
    """Files of the library's modules that code imports, directly or indirectly, by module name.

    `report` follows imports of all of `fewpose_report`, without it only of ROWS; `renders` those of `fewpose_worlds` by
    `fewpose_runs.sports_data`, which renders for `dataset: jump` alone.
    """
    modules: dict[str, Path] = {}
    waiting = [name for cell in cells for name in _imports_of(cell)]
    while waiting:
        name = waiting.pop()
        path = _file(name)
        draws = name.startswith("fewpose_report") and name.split(".")[-1] not in ROWS
        if path is None or name in modules or name in NEVER or (draws and not report):
            continue
        modules[name] = path
        imports = _imports_in(path, path.stat().st_mtime_ns)
        if name == "fewpose_runs.sports_data" and not renders:
            imports = [other for other in imports if not other.startswith("fewpose_worlds")]
        waiting += imports
    return modules


def _file(name: str) -> Path | None:
    path = LIBRARY.joinpath(*name.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


@functools.cache
def _imports_in(path: Path, changed: int) -> list[str]:
    return _imports_of(path.read_text(encoding="utf-8"))


def _imports_of(code: str) -> list[str]:
    """Names of the library's modules that code may import anywhere, and of the packages above them."""
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in code.splitlines()]
    names = set()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    parts = [name.split(".") for name in names if name.split(".")[0] in PACKAGES]
    return sorted({".".join(part[:end]) for part in parts for end in range(1, len(part) + 1)})


def _library(modules: dict[str, Path]) -> str:
    """Hash of these modules and of the data files (weights, tables) beside them."""
    folders = {path.parent for path in modules.values()}
    beside = {file for folder in folders for file in (*folder.glob("*.*"), *folder.glob("files/*.*"))}
    data = {file for file in beside if file.suffix not in (".py", ".md") and file.is_file()}
    digest = hashlib.sha256()
    for path in sorted({*modules.values(), *data}):
        name = path.relative_to(LIBRARY).as_posix()
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
