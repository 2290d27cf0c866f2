"""Profiles: the runs of `params/<profile>.yaml` and their parameters, all checked before any work.

This module alone reads YAML and finds the project root. It imports neither torch nor papermill, so that a call with
nothing to do ends at once.
"""

from __future__ import annotations

import ast
import difflib
import glob
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fewpose import LAYOUT
from fewpose_runs.parameter_checks import check_values

RUN_KEYS = ("run", "notebook", "parameters", "needs", "seeds", "resources")
RESOURCES = ("GPU", "memory")
SEVERAL_GPUS = ("sports/", "02_pretraining")  # notebooks whose trainings are `training.fit`
EARLIER = ("supervised_run", "teacher_run", "first_run")  # parameters that name an earlier run of the profile
RENAMED = {  # names in earlier versions → names now
    "percent": "keep_percent",
    "percents": "keep_percent",
    "views": "cached_views",
    "second": "published",
    "second_views": "published_views",
    "opinions": "voters",
    "translated": "mapped",
    "own": "custom",
    "heavy": "paper_teacher",
    "limits": "oracle_analysis",
    "sports/limits": "sports/oracle_analysis",
}


def repo_root() -> Path:
    """Project root (the folder with `notebooks/` and `params/`), found from the installed package.

    The working directory is ignored, as papermill, JupyterLab and nbval each choose another. FEWPOSE_ROOT overrides
    the search. Raises RuntimeError where the package was installed as a copy.
    """
    if os.environ.get("FEWPOSE_ROOT"):
        return Path(os.environ["FEWPOSE_ROOT"]).resolve()
    for folder in Path(__file__).resolve().parents:
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise RuntimeError(f"no notebooks/ above {Path(__file__).parent}: install the clone with `pip install -e .`")


def user_path(text: str) -> Path:
    """A path that a user gave: `~` and environment variables are replaced, the rest is relative to the project root."""
    return repo_root() / os.path.expandvars(os.path.expanduser(text))


def shown(path: Path) -> str:
    """A path as messages show it: relative to the project root if inside it."""
    root = repo_root()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


@dataclass(frozen=True)
class PlannedRun:
    """One run of a profile: the notebook, the parameters that differ from its defaults, the runs it needs."""

    profile: str
    entry: str  # name of its entry in the file: `run` without the seed if there are several
    run: str
    notebook: str  # "sports/supervised", relative to notebooks/, no suffix
    parameters: dict  # differences only, types checked
    needs: tuple[str, ...]
    resources: dict = field(default_factory=dict)  # what its worker must have: GPU (number), memory (GB)

    @cached_property
    def paper(self) -> str:
        return paper_of(self.notebook)

    @cached_property
    def folder(self) -> Path:
        return run_folder(self.profile, self.paper, self.run)

    @property
    def finished(self) -> dict | None:
        return read_manifest(self.folder)


def paper_of(notebook: str) -> str:
    """`sports` for `sports/supervised`; `common` for the notebooks of both papers at the top."""
    return notebook.split("/")[0] if "/" in notebook else "common"


def run_folder(profile: str, paper: str, run: str) -> Path:
    return repo_root() / "outputs" / profile / paper / run


def read_manifest(folder: Path) -> dict | None:
    """run.json of a finished run; None if the folder holds no result."""
    try:
        manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("status") == "finished" else None


def check_layout(folder: Path) -> None:
    """Raise ValueError where an older version of this library made the run."""
    manifest = read_manifest(folder)
    if manifest and manifest.get("layout", 1) != LAYOUT:
        again = f"`make reproduce PROFILE={manifest.get('profile', '')}`"
        raise ValueError(f"{shown(folder)} was made by an older version of fewpose: run {again} again")


# ---- the parameters cell -------------------------------------------------------------------------


def notebook_path(notebook: str) -> Path:
    return repo_root() / "notebooks" / f"{notebook}.ipynb"


def read_notebook(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there is no notebook {shown(path)}") from None
    except ValueError:
        raise ValueError(f"{shown(path)} is not a notebook: its JSON does not parse") from None


def notebook_parameters(path: Path) -> dict:
    """Names and default values of the cell tagged `parameters`, read without running it.

    Raises ValueError unless there is exactly one such cell and it holds only literals.
    """
    cells = [cell for cell in read_notebook(path)["cells"] if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"{shown(path)} has {len(cells)} cells tagged `parameters`, not one")
    defaults = {}
    for statement in ast.parse("".join(cells[0]["source"])).body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target = statement.target
        else:
            target = None
        if not isinstance(target, ast.Name):
            raise ValueError(f"{shown(path)}, parameters cell, line {statement.lineno}: only `name = literal`")
        try:
            defaults[target.id] = ast.literal_eval(statement.value)
        except ValueError:
            raise ValueError(
                f"{shown(path)}, parameters cell: {target.id} is not a literal; "
                "derive values in a later cell, papermill sets only this one"
            ) from None
        if not isinstance(defaults[target.id], bool | int | float | str | list | dict):
            raise ValueError(
                f"{shown(path)}, parameters cell: {target.id} must be a bool, int, float, str, "
                f"list or dict, not {type(defaults[target.id]).__name__}"
            )
    return defaults


def writes_report(notebook: str) -> bool:
    """True if a notebook writes into the report of its profile, from the runs that have finished by then."""
    cells = read_notebook(notebook_path(notebook))["cells"]
    return any("run.report" in "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def check_parameters(given: dict, defaults: dict, where: str) -> None:
    """Raise ValueError for a name that the notebook lacks, or a value that is not of its default's type.

    An int passes for a float. `where`, file and run, begins the message.
    """
    for name, value in given.items():
        if name not in defaults:
            raise ValueError(f"{where}: unknown parameter {name!r}{suggestion(name, defaults)}")
        if name == "dataset" and value == "own":
            raise ValueError(f"{where}: dataset 'own' is now called {RENAMED[value]!r}")
        if not _fits(value, defaults[name]):
            # YAML 1.1 reads 1e-3 as text, only 1.0e-3 as a number
            text = isinstance(value, str) and isinstance(defaults[name], float)
            hint = " (in YAML write 1.0e-3 for 1e-3)" if text else ""
            raise ValueError(
                f"{where}: {name} must be {_kind(defaults[name])} like {defaults[name]!r}, not {value!r}{hint}"
            )
    changed = {name for name, value in given.items() if value != defaults[name]}
    check_values({**defaults, **given}, changed, where)


def _fits(value: object, default: object) -> bool:
    if isinstance(default, list):
        return isinstance(value, list) and all(_fits(v, default[0]) for v in value if default)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    return isinstance(value, int | float if isinstance(default, float) else type(default))


def _kind(value: object) -> str:
    if isinstance(value, list) and value:
        return f"a list of {type(value[0]).__name__}"
    return {int: "an int", list: "a list", dict: "a dict"}.get(type(value), f"a {type(value).__name__}")


def suggestion(name: str, known: Iterable[str]) -> str:
    known = sorted(str(k) for k in known)
    if RENAMED.get(str(name)) in known:
        return f" (it is now called {RENAMED[name]})"
    if close := difflib.get_close_matches(str(name), known, n=3):
        return f" (did you mean {', '.join(close)}?)"
    return f" (known: {', '.join(known) or 'none'})"


# ---- the profile ---------------------------------------------------------------------------------


def profiles() -> list[str]:
    """Names of the profiles under params/: `.yaml` or `.yml`."""
    return sorted({path.stem for path in (repo_root() / "params").glob("*.y*ml")})


def profile_path(profile: str) -> Path:
    """The file of a profile; ValueError if there are two."""
    found = sorted((repo_root() / "params").glob(f"{glob.escape(profile)}.y*ml"))
    if len(found) > 1:
        raise ValueError(f"the profile {profile} has two files, {' and '.join(map(shown, found))}: keep one")
    return found[0] if found else repo_root() / "params" / f"{profile}.yaml"


def read_profile(profile: str) -> list[PlannedRun]:
    """The runs of `params/<profile>.yaml` in order, every key and value checked.

    Raises ValueError naming file, run and key of anything unknown, ill-typed, duplicated or out of order, with
    suggestions of similar names.
    """
    path = profile_path(profile)
    if profile not in profiles():
        raise ValueError(f"no profile {profile!r}{suggestion(profile, profiles())}")
    entries = read_yaml(path)
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{shown(path)} must be a list of runs, each `- run: name` and its keys")
    plan: list[PlannedRun] = []
    for number, entry in enumerate(entries, start=1):
        plan += _planned(profile, path, number, entry, plan)
    return plan


def read_yaml(path: Path) -> object:
    """The content of a YAML file; ValueError naming it if it cannot be read."""
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{shown(path)} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{shown(path)} is not valid YAML: {' '.join(str(error).split())}") from None


def _planned(profile: str, path: Path, number: int, entry: object, before: list[PlannedRun]) -> list[PlannedRun]:
    """The runs of one entry: one, or one for each of its seeds."""
    where = f"{shown(path)}, entry {number}"
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: must be a mapping with the keys {', '.join(RUN_KEYS)}")
    for key in entry:
        if key not in RUN_KEYS:
            raise ValueError(f"{where}: unknown key {key!r}{suggestion(key, RUN_KEYS)}")
    for key in ("run", "notebook"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise ValueError(f"{where}: `{key}` must be given, as text")
    name, notebook = entry["run"], entry["notebook"].removesuffix(".ipynb")
    where = f"{shown(path)}, run {name}"
    if not name.replace("_", "").replace("-", "").isalnum():
        raise ValueError(f"{where}: a run's name is that of its folder: letters, digits, _ and -")
    if not notebook_path(notebook).is_file():
        folder = repo_root() / "notebooks"
        known = [p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.ipynb")]
        raise ValueError(f"{where}: no notebook {notebook!r}{suggestion(notebook, known)}")
    parameters, needs, seeds, resources = (
        entry.get(key) or empty for key, empty in (("parameters", {}), ("needs", []), ("seeds", []), ("resources", {}))
    )
    if not isinstance(parameters, dict):
        raise ValueError(f"{where}: `parameters` must be a mapping of names to values")
    if not isinstance(needs, list):
        raise ValueError(f"{where}: `needs` must be a list of run names")
    if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds) or len(set(seeds)) < len(seeds):
        raise ValueError(f"{where}: `seeds` must be a list of different whole numbers")
    if seeds and "seed" in parameters:
        raise ValueError(f"{where}: give `seeds` or the parameter `seed`, not both")
    if not isinstance(resources, dict) or not all(_is_amount(value) for value in resources.values()):
        raise ValueError(f"{where}: `resources` must be a mapping of {' and '.join(RESOURCES)} to numbers above 0")
    for key in resources:
        if key not in RESOURCES:
            raise ValueError(f"{where}: unknown resource {key!r}{suggestion(key, RESOURCES)}")
    if (gpus := resources.get("GPU", 1)) > 1:
        if gpus != int(gpus):
            raise ValueError(f"{where}: `GPU` must be a whole number, or a share of one, not {gpus}")
        if not notebook.startswith(SEVERAL_GPUS):
            raise ValueError(f"{where}: {notebook} uses one GPU; several share {', '.join(SEVERAL_GPUS)}")
    planned = []
    for seed in seeds or [None]:
        run, values = (name, parameters) if seed is None else (f"{name}_seed{seed}", {**parameters, "seed": seed})
        if {run, name} & {word for p in before for word in (p.run, p.entry)}:
            raise ValueError(f"{where}: the name is taken by an earlier run")
        check_parameters(values, notebook_parameters(notebook_path(notebook)), where)
        needed = [first for need in needs for first in _earlier(need, seed, before, f"{where}: needs {need!r}")]
        for key in EARLIER:
            if values.get(key):
                (first, *more) = _earlier(values[key], seed, before, f"{where}: {key} is {values[key]!r}")
                if more:
                    raise ValueError(f"{where}: {key} must name one run: {', '.join((first, *more))}")
                values, needed = {**values, key: first}, [*needed, first]
        planned.append(PlannedRun(profile, name, run, notebook, values, tuple(dict.fromkeys(needed)), resources))
    return planned


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _earlier(name: object, seed: int | None, before: list[PlannedRun], where: str) -> list[str]:
    """The earlier run `name`, or of an entry with seeds the run of this `seed`, or all of them if that is None."""
    runs = [p.run for p in before if name in (p.run, p.entry)]
    if not runs:
        raise ValueError(f"{where}, no earlier run{suggestion(name, {p.entry for p in before})}")
    if seed is None or name in runs:
        return runs
    if f"{name}_seed{seed}" not in runs:
        raise ValueError(f"{where}, which has no seed {seed}: {', '.join(runs)}")
    return [f"{name}_seed{seed}"]
