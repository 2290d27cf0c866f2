"""One run: its notebook, executed by papermill in a kernel process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from fewpose import LAYOUT
from fewpose.disk import DiskFull, full_disk_named, lock
from fewpose_runs.fingerprints import fingerprints
from fewpose_runs.profiles import PlannedRun, notebook_path, read_manifest, read_profile, repo_root, shown

# glibc keeps freed memory for the next step; returning gigabytes per second to the system takes an eighth of the time.
MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TOP_PAD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 30)}
# Errors with a message for the user; any other is shown with its traceback.
WORDED = ("ValueError", "RuntimeError", "FileNotFoundError", "OSError", "DiskFull", "KeyboardInterrupt")
FULL = 1 << 20  # a disk with fewer bytes free is full
LOST = ("gloo", "NCCL")  # in the error of a process that waits for another, which has ended

Emit = Callable[[str, str], None]  # takes a kind (start, stdout, stderr) and text


class RunFailed(RuntimeError):
    """A notebook stopped with an error; the message says which and why."""


class Outcome(NamedTuple):
    """How an attempt at a run ended: `state` is finished, failed or not started (what it needs has failed)."""

    state: str
    message: str = ""


def attempt(
    planned: PlannedRun,
    fingerprint: str,
    root: str,
    topic: str,
    bar_interval: str,
    needed: list[Outcome],
    before: list[Outcome],
) -> Outcome:
    """Bring a run up to date in a Dask worker that sees the project at the path `root`.

    What the notebook prints goes to the events of `topic`. `needed` are the outcomes of the runs that it needs;
    `before` those that it only had to wait for.
    """
    from distributed import get_worker

    worker = get_worker()

    def emit(kind: str, text: str) -> None:
        worker.log_event(topic, {"run": planned.run, "kind": kind, "text": text})

    if any(outcome.state != "finished" for outcome in needed):
        return Outcome("not started")
    os.environ.update(FEWPOSE_ROOT=root, TQDM_MININTERVAL=bar_interval)
    try:
        with run_lock(planned):
            if not up_to_date(planned, fingerprint):  # a worker that was thought lost may have finished it
                check_files(planned, fingerprint, worker.address)
                emit("start", "")
                execute(planned, fingerprint, emit)
    except RunFailed as error:
        return Outcome("failed", str(error))
    return Outcome("finished")


def up_to_date(planned: PlannedRun, fingerprint: str) -> bool:
    """True if the run finished with this fingerprint, and all files that it wrote are still there."""
    manifest = planned.finished
    return (
        manifest is not None
        and manifest.get("layout") == LAYOUT
        and manifest.get("fingerprint") == fingerprint
        and all((repo_root() / name).exists() for name in manifest.get("files", []))
    )


def check_files(planned: PlannedRun, fingerprint: str, worker: str) -> None:
    """RunFailed unless this worker would execute what the fingerprint stands for."""
    where = f"run {planned.run} was not started by the worker {worker}: "
    if not (repo_root() / "notebooks").is_dir():
        raise RunFailed(f"{where}it does not see {repo_root()}, which must be on a file system that all workers share")
    try:
        here = fingerprints(read_profile(planned.profile))[planned.run]
    except (ValueError, KeyError) as error:
        raise RunFailed(f"{where}{error}") from None
    if here != fingerprint:
        raise RunFailed(
            f"{where}the code or data there differ from those that this command started with; "
            "let all workers use this clone, leave it as it is meanwhile, and repeat the command"
        )


@contextlib.contextmanager
def run_lock(planned: PlannedRun) -> Iterator[None]:
    """Hold the lock of a run's folder, after waiting for whoever has it; the system releases it if a holder dies."""
    path = planned.folder.with_name(f".{planned.run}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock(path):
        yield


def execute(planned: PlannedRun, fingerprint: str, emit: Emit) -> None:
    """Execute a notebook into its run folder, where run.json appears only if it succeeds; RunFailed otherwise."""
    source, folder = notebook_path(planned.notebook), planned.folder
    where = f"{shown(source)} (run {planned.run})"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in ("run.json", "notebook.ipynb"):
            (folder / old).unlink(missing_ok=True)
        _papermill(planned, fingerprint, emit, where)
        pending = folder / "run.pending.json"
        if not pending.exists():
            raise RunFailed(f"{where} ended without run.finish(): it left no result")
        pending.replace(folder / "run.json")
        if read_manifest(folder) is None:
            raise RunFailed(f"{where}: {shown(folder)}/run.json cannot be read back")
    except OSError as error:
        full = "" if isinstance(error, DiskFull) else _full_disk(folder)  # which says it itself
        raise RunFailed(f"{where} stopped: {error}{full}") from None


def _papermill(planned: PlannedRun, fingerprint: str, emit: Emit, where: str) -> None:
    import logging

    import papermill
    from nbclient.exceptions import DeadKernelError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    folder, others = planned.folder, []
    part, executed = folder / ".notebook.part.ipynb", folder / "notebook.ipynb"
    environment = {
        "FEWPOSE_RUN": f"{planned.profile}/{planned.run}/{fingerprint}",
        "FEWPOSE_ROOT": str(repo_root()),
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, not one of the user's
        **MEMORY,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    try:
        with _environment(environment), full_disk_named(executed, part), _other_devices(planned, others):
            papermill.execute_notebook(
                notebook_path(planned.notebook),
                part,
                planned.parameters,
                kernel_name="python3",
                language="python",
                extra_arguments=["--log-level=ERROR"],
                progress_bar=False,
                stdout_file=_Stream(emit, "stdout"),
                stderr_file=_Stream(emit, "stderr"),
                cwd=repo_root(),
                coalesce_streams=True,
            )
    except papermill.PapermillExecutionError as error:
        if any(word in error.evalue for word in LOST) and any(others):
            raise RunFailed(f"{where} stopped: {' '.join(others).strip()}") from None
        if error.ename not in WORDED:
            emit("stderr", "\n".join(error.traceback) + "\n")
        told = _plain(error.evalue)
        if error.ename != "DiskFull":  # which says all
            told = f"{error.ename}: {told}{_full_disk(folder)}"
        raise RunFailed(f"{where} stopped: {told} (the full traceback is in {shown(folder)}/notebook.ipynb)") from None
    except DeadKernelError:
        why = " ".join(others).strip() or "its Python process died, most often because memory ran out"
        raise RunFailed(f"{where} stopped: {why}") from None
    finally:
        _keep_if_whole(part, executed)


def _keep_if_whole(part: Path, target: Path) -> None:
    """Move the executed notebook to its place, or remove what a full disk has cut off."""
    with contextlib.suppress(OSError, ValueError):
        json.loads(part.read_text(encoding="utf-8"))
        part.replace(target)
    part.unlink(missing_ok=True)


@contextlib.contextmanager
def _other_devices(planned: PlannedRun, said: list[str]) -> Iterator[None]:
    """The environment of a notebook's first process, beside the others of a run that asks for several GPUs.

    Each executes the same notebook with a device of its own and writes into a folder that is thrown away. When they are
    to end, what those said that failed is added to `said`.
    """
    count = int(planned.resources.get("GPU", 1))
    if count < 2:
        yield
        return
    names = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    gpus = [name for name in names.split(",") if name.strip()]
    if len(gpus) < count:
        raise RunFailed(f"run {planned.run} asks for {count} GPUs, but CUDA_VISIBLE_DEVICES of its worker is {names}")
    processes: list[subprocess.Popen] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        places = [
            {"FEWPOSE_DEVICES": f"{rank}/{count}/{folder}/meeting", "CUDA_VISIBLE_DEVICES": gpus[rank]}
            for rank in range(count)
        ]
        try:
            for rank, place in enumerate(places[1:], start=1):
                processes.append(_start_process(planned, Path(folder), rank, {**os.environ, **place}))
            with _environment(places[0]):
                yield
        finally:
            printed = [Path(folder) / f"process_{rank}.txt" for rank in range(1, count)]
            said += [_end_process(*both) for both in zip(processes, printed, strict=False)]


def _start_process(planned: PlannedRun, folder: Path, rank: int, environment: dict[str, str]) -> subprocess.Popen:
    """Execute a notebook in a process that prints into a file."""
    command = [sys.executable, "-m", "papermill", "--kernel", "python3", "--language", "python", "--no-progress-bar"]
    command += ["--cwd", str(repo_root()), "--parameters_yaml", json.dumps(planned.parameters)]
    command += [str(notebook_path(planned.notebook)), str(folder / f"process_{rank}.ipynb")]
    with open(folder / f"process_{rank}.txt", "w", encoding="utf-8") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)


def _end_process(process: subprocess.Popen, printed: Path) -> str:
    """End a process; the last line that it printed if it had failed by an error of its own."""
    try:
        process.wait(5)  # the kernel is given a moment to end by itself
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
    text = printed.read_text(encoding="utf-8", errors="replace")
    if process.returncode <= 0 or "PapermillExecutionError" not in text:
        return ""
    return _plain(text.strip().splitlines()[-1])


class _Stream:
    """A file for papermill that hands on what is written to it."""

    def __init__(self, emit: Emit, kind: str):
        self.emit, self.kind = emit, kind

    def write(self, text: str) -> None:
        self.emit(self.kind, text)

    def flush(self) -> None:
        pass


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the kernel to inherit, restored afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _full_disk(folder: Path) -> str:
    """What to do if the disk of a folder is full, else nothing."""
    while not folder.exists():
        folder = folder.parent
    return "" if shutil.disk_usage(folder).free >= FULL else "; its disk is full: make room and repeat the command"


def _plain(text: str) -> str:
    """The text without the colours of IPython's messages."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
