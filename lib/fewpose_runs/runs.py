"""A notebook's run: its folder, seeds, device, figures, checkpoints, tidy rows and manifest.

The first code cell after the parameters calls `run = start_run("sports/supervised", globals())`, the last
`run.finish()`. Run alone (JupyterLab, nbval), a notebook writes into `outputs/smoke/<paper>/<notebook>/`; in a batch
(`engine.py`) into `outputs/<profile>/<paper>/<run>/`.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from fewpose import LAYOUT, SkippedInput
from fewpose.disk import copy_file, write_bytes, write_text
from fewpose_runs.fingerprints import fingerprint
from fewpose_runs.profiles import (
    check_layout,
    check_parameters,
    notebook_parameters,
    notebook_path,
    paper_of,
    read_manifest,
    read_profile,
    repo_root,
    run_folder,
    shown,
    user_path,
    writes_report,
)

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from matplotlib.figure import Figure

COLUMNS = tuple(
    ("paper run method dataset labels iteration scale seed metric at value ci_low ci_high n device seconds").split()
)
_FOLDERS: dict[Path, FileLock] = {}  # those that this process holds
METRICS = ("pck", "box_ap", "keypoint_ap", "mpjpe", "gap_closed")
PACKAGES = tuple("fewpose torch torchvision timm numpy scipy pandas opencv-python av anny matplotlib papermill".split())
STYLE = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "image.interpolation": "nearest",
    "text.parse_math": False,  # names of videos and keypoints may have a $
}


@dataclass(frozen=True)
class Run:
    """The run of a notebook, created by `start_run`, closed by `finish`."""

    profile: str
    paper: str
    name: str
    notebook: str
    parameters: dict
    seed: int
    fingerprint: str
    folder: Path  # outputs/<profile>/<paper>/<run>
    device: torch.device
    resumed: bool  # checkpoints of a killed run with the same fingerprint were found
    batch: bool
    is_first: bool = True  # False in the processes of a run's other devices, whose `folder` is thrown away
    started: float = field(default_factory=time.time)
    rows: list[dict] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # warnings of the data readers

    @property
    def report(self) -> Path:
        """Folder of the profile's report, `outputs/<profile>/report`, created on first use."""
        folder = (repo_root() / "outputs" / self.profile if self.is_first else self.folder) / "report"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def cache(self) -> Path:
        """Folder of the rendered worlds, `outputs/worlds`, shared by all runs."""
        return repo_root() / "outputs" / "worlds"

    def path(self, text: str) -> str:
        """A path given as a parameter (`profiles.user_path`); "" (not given) stays ""."""
        return str(user_path(text)) if text else ""

    def checkpoint(self, name: str) -> Path:
        """Path `checkpoints/<name>`; a file that a killed run left there has the same fingerprint."""
        folder = run_folder(self.profile, self.paper, self.name) / "checkpoints"
        folder.mkdir(exist_ok=True)
        return folder / name

    def figure(self, fig: Figure, name: str) -> None:
        """Save a figure as `figures/<name>.png` and `.pdf`; the cell shows it as usual."""
        folder = self.folder / "figures"
        folder.mkdir(exist_ok=True)
        for kind, metadata in (("png", {}), ("pdf", {"CreationDate": None})):
            drawn = io.BytesIO()
            fig.savefig(drawn, format=kind, metadata=metadata)
            write_bytes(folder / f"{name}.{kind}", drawn.getbuffer())

    def report_figure(self, fig: Figure, name: str) -> None:
        """Save a figure as `<name>.png` and `.pdf` into the report as well as among the figures."""
        self.figure(fig, name)
        for suffix in (".png", ".pdf"):
            copy_file(self.folder / "figures" / f"{name}{suffix}", self.report)

    def record(self, rows: pd.DataFrame | dict | Iterable[dict]) -> None:
        """Add tidy rows (columns of COLUMNS) to metrics.csv.

        `method`, `dataset`, `metric` and `value` must be given; paper, run, seed, device and seconds (of the whole
        run) are filled in where absent, the rest stays empty. Raises ValueError for an unknown column or metric.
        """
        if isinstance(rows, dict):
            rows = [rows]
        elif hasattr(rows, "to_dict"):
            rows = rows.to_dict("records")
        for row in rows:
            _check_row(row)
            filled = {"paper": self.paper, "run": self.name, "seed": self.seed, "device": self.device.type}
            self.rows.append({**filled, **row})

    def finish(self) -> None:
        """Write metrics.csv, then run.json: last and atomically, as only a run with it is finished."""
        import pandas as pd

        if os.environ.get("FEWPOSE_DEVICES"):
            from fewpose.speed import devices

            devices.leave()
        if not self.is_first:
            return
        seconds = round(time.time() - self.started, 1)
        rows = [{"seconds": seconds, **row} for row in self.rows]
        write_text(self.folder / "metrics.csv", pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False))
        manifest = {
            "status": "finished",
            "layout": LAYOUT,
            "profile": self.profile,
            "paper": self.paper,
            "run": self.name,
            "notebook": f"notebooks/{self.notebook}.ipynb",
            "parameters": self.parameters,
            "seed": self.seed,
            "fingerprint": self.fingerprint,
            "git_commit": _git_commit(),
            "python": sys.version.split()[0],
            "packages": _versions(),
            "device": _device_name(self.device),
            "resumed": self.resumed,
            "seconds": seconds,
            "peak_memory_mb": _peak_memory_mb(),
            "skipped": self.skipped,
            "files": self._files(),
        }
        # in a batch the executed notebook is not saved yet; the engine renames the file afterwards
        write_json(self.folder / ("run.pending.json" if self.batch else "run.json"), manifest)
        print(f"{len(rows)} rows in {shown(self.folder)}/metrics.csv after {seconds:.0f} s")

    def _files(self) -> list[str]:
        """Files that this run wrote, relative to the root; if one is missing the run is repeated."""
        own = [p for p in self.folder.rglob("[!.]*") if p.name not in ("notebook.ipynb", "run.json")]
        report = self.report.rglob("*") if writes_report(self.notebook) else ()
        drawn = [p for p in report if p.stat().st_mtime >= self.started]
        return sorted(shown(path) for path in own + drawn if path.is_file())


def start_run(notebook: str, variables: dict) -> Run:
    """Open the run of a notebook: folder, seeds, threads, device, figure style.

    `notebook` is its path under notebooks/ without suffix, `variables` its `globals()`, from which the parameters are
    taken and checked. Results of an earlier run in the same folder are removed; its checkpoints stay only if it was
    killed with the same fingerprint, so that training resumes. The seed is the parameter `seed`, else 0. Raises
    ValueError for a parameter that is missing or not of its default's type.
    """
    defaults = notebook_parameters(notebook_path(notebook))
    parameters = {name: variables[name] for name in defaults if name in variables}
    if missing := [name for name in defaults if name not in parameters]:
        raise ValueError(f"{notebook}.ipynb: {missing[0]} is not set, run the parameters cell")
    check_parameters(parameters, defaults, f"{notebook}.ipynb")

    paper, batch = paper_of(notebook), os.environ.get("FEWPOSE_RUN")
    if batch:
        profile, name, digest = batch.split("/")
    else:
        profile, name = "smoke", notebook.split("/")[-1]
        digest = fingerprint(notebook, parameters, needs=[])
    rank, count, meeting = _place_among_devices()
    if rank:
        folder, resumed = meeting.with_name(f"process_{rank}"), False
        (folder / "checkpoints").mkdir(parents=True)
    else:
        folder = run_folder(profile, paper, name)
        if batch:
            _wait_for_folder(folder)
        resumed = _open_folder(folder, digest)
    seed = parameters.get("seed", 0)
    device = _prepare_torch(seed)
    if count > 1:
        _join_devices(rank, count, meeting, device)
    _prepare_figures()
    print(f"{profile}/{paper}/{name} · seed {seed} · {_device_name(device)}" + (" · resuming" if resumed else ""))
    state = folder, device, resumed, bool(batch), not rank
    run = Run(profile, paper, name, notebook, parameters, seed, digest, *state)
    _listen(run.skipped)
    return run


def outputs() -> Path:
    """The folder that all runs write to, `outputs` in the project root."""
    return repo_root() / "outputs"


def find_run(profile: str, paper: str, run: str) -> Path:
    """Folder of a finished run; ValueError says what to run first."""
    folder = run_folder(profile, paper, run)
    if read_manifest(folder) is None:
        state = "was started and did not finish" if folder.is_dir() else "has not been run"
        first = f"`make reproduce PROFILE={profile}`"
        if profile == "smoke":
            first = f"notebooks/{'' if paper == 'common' else paper + '/'}{run}.ipynb"
        raise ValueError(f"{shown(folder)} {state}: run {first} first")
    check_layout(folder)
    return folder


def finished_runs(profile: str) -> list[Path]:
    """Folders of the finished runs of a profile, in the order of its YAML."""
    folders = [planned.folder for planned in read_profile(profile) if planned.finished]
    for folder in folders:
        check_layout(folder)
    return folders


def write_json(path: Path, content: dict) -> None:
    """Write JSON atomically: a reader sees the old file or the whole new one."""
    write_text(path, json.dumps(content, indent=1), sync=True)


def _place_among_devices() -> tuple[int, int, Path]:
    """Which of how many processes of a run this is, each with a device, and where they meet (`execution`)."""
    rank, count, meeting = os.environ.get("FEWPOSE_DEVICES", "0/1/").split("/", 2)
    return int(rank), int(count), Path(meeting)


def _join_devices(rank: int, count: int, meeting: Path, device: torch.device) -> None:
    from fewpose.speed import devices

    devices.join(rank, count, meeting, device)
    print(f"{count} processes, a device each")


def _wait_for_folder(folder: Path) -> None:
    """Hold a run's folder until this process ends: the kernel of a killed worker lives on for a second."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder not in _FOLDERS:
        _FOLDERS[folder] = FileLock(folder.with_name(f".{folder.name}.kernel.lock"))
        _FOLDERS[folder].acquire()


def _listen(skipped: list[str]) -> None:
    """Collect the SkippedInput warnings of the data readers from now on."""
    show = warnings.showwarning

    def collect(message, category, *more, **named) -> None:
        if issubclass(category, SkippedInput):
            skipped.append(str(message))
        show(message, category, *more, **named)

    warnings.showwarning = collect


def _open_folder(folder: Path, digest: str) -> bool:
    """Prepare the folder; True if a killed run with the same fingerprint left checkpoints."""
    checkpoints = folder / "checkpoints"
    stored = checkpoints / "fingerprint"
    unfinished = read_manifest(folder) is None
    same = unfinished and stored.is_file() and stored.read_text(encoding="utf-8") == digest
    for path in [*folder.glob("*.json"), *folder.glob("*.csv")]:
        path.unlink()
    shutil.rmtree(folder / "figures", ignore_errors=True)
    if not same:
        if checkpoints.exists():
            shutil.rmtree(checkpoints)
        checkpoints.mkdir(parents=True)
        write_text(stored, digest)
    return same and any(path.name != "fingerprint" for path in checkpoints.iterdir())


def _prepare_torch(seed: int) -> torch.device:
    import numpy as np
    import torch

    from fewpose.speed.threads import cores

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  for libraries that still draw from the global generator
    torch.manual_seed(seed)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or cores() or os.cpu_count()))
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _prepare_figures() -> None:
    import matplotlib as mpl

    mpl.rcParams.update(STYLE)
    # seaborn 0.13 still calls deprecated functions of matplotlib and pandas, which are pinned
    warnings.filterwarnings("ignore", module="seaborn")


def _check_row(row: dict) -> None:
    for column in row:
        if column not in COLUMNS:
            raise ValueError(f"record: no column {column!r}, the columns are {', '.join(COLUMNS)}")
    for column in ("method", "dataset", "metric", "value"):
        if column not in row:
            raise ValueError(f"record: the row {row} has no {column}")
    if row["metric"] not in METRICS:
        raise ValueError(f"record: {row['metric']!r} is no metric: {', '.join(METRICS)}")


def _git_commit() -> str:
    try:
        git = ["git", "-C", str(repo_root())]
        commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True, stderr=subprocess.DEVNULL).strip()
        changes = subprocess.check_output([*git, "status", "--porcelain", "-uno"], text=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("-dirty" if changes.strip() else "")


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _device_name(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({torch.get_num_threads()} threads)"


def _peak_memory_mb() -> int:
    """Largest resident memory of this process or one of its children, in MB; of this process alone on Windows."""
    try:
        import resource  # counts children, too; Windows has none
    except ImportError:
        import psutil

        memory = psutil.Process().memory_info()
        return round(getattr(memory, "peak_wset", memory.rss) / 2**20)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return round(max(resource.getrusage(user).ru_maxrss for user in users) / unit)
