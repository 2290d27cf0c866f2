"""`make reproduce`: every run of a profile in order, each notebook executed by papermill.

A run is skipped while its result is up to date, so a batch killed at any moment continues where it was: finished runs
stay, the interrupted one resumes from its own checkpoints.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator

from fewpose import LAYOUT
from fewpose_runs.fingerprints import fingerprints
from fewpose_runs.profiles import PlannedRun, notebook_path, read_manifest, read_profile, repo_root, shown

# glibc keeps freed memory for the next step; returning gigabytes per second to the system takes an eighth of the time.
MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TOP_PAD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 30)}
# Errors with a message for the user; any other is shown with its traceback.
WORDED = ("ValueError", "RuntimeError", "FileNotFoundError", "KeyboardInterrupt")


class RunFailed(RuntimeError):
    """A notebook stopped with an error; the message says which and why."""


def reproduce(profile: str, only: list[str] | None = None) -> None:
    """Bring the runs of `params/<profile>.yaml` up to date, or those in `only` and what they need.

    Raises ValueError before any work if the profile is wrong, RuntimeError if another call works on the same profile,
    RunFailed when a notebook fails: finished runs stay, later ones do not start.
    """
    plan = read_profile(profile)
    prints = fingerprints(plan)
    plan = _chosen(plan, only)
    outdated = [planned for planned in plan if not up_to_date(planned, prints[planned.run])]
    if not outdated:
        print(f"{profile}: all {len(plan)} runs are up to date in outputs/{profile}/")
        return
    with _locked(profile):
        for number, planned in enumerate(plan, start=1):
            name = f"{planned.paper}/{planned.run}"
            head = f"run {number} of {len(plan)} {_bar(number, len(plan))} {name}"
            if planned not in outdated:
                print(f"{head}: up to date")
                continue
            print(f"{head}: {shown(notebook_path(planned.notebook))}", flush=True)
            started = time.monotonic()
            execute(planned, prints[planned.run])
            print(f"{name} done in {_clock(time.monotonic() - started)}")
    print(f"{profile}: {len(plan)} runs finished, results in outputs/{profile}/")


def up_to_date(planned: PlannedRun, fingerprint: str) -> bool:
    """True if the run finished with this fingerprint, and all files that it wrote are still there."""
    manifest = planned.finished
    return (
        manifest is not None
        and manifest.get("layout") == LAYOUT
        and manifest.get("fingerprint") == fingerprint
        and all((repo_root() / name).exists() for name in manifest.get("files", []))
    )


def execute(planned: PlannedRun, fingerprint: str) -> None:
    """Execute one notebook into its run folder, where run.json appears only if it succeeds."""
    import logging

    import papermill
    from nbclient.exceptions import DeadKernelError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    source, folder = notebook_path(planned.notebook), planned.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").unlink(missing_ok=True)
    where = f"{shown(source)} (run {planned.run})"
    environment = {
        "FEWPOSE_RUN": f"{planned.profile}/{planned.run}/{fingerprint}",
        "FEWPOSE_ROOT": str(repo_root()),
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, not one of the user's
        **MEMORY,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "TQDM_MININTERVAL": "0.5" if sys.stderr.isatty() else "10",
    }
    try:
        with _environment(environment):
            papermill.execute_notebook(
                source,
                folder / "notebook.ipynb",
                planned.parameters,
                kernel_name="python3",
                language="python",
                extra_arguments=["--log-level=ERROR"],
                progress_bar=False,
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
                cwd=repo_root(),
                coalesce_streams=True,
            )
    except papermill.PapermillExecutionError as error:
        if error.ename not in WORDED:
            print("\n".join(error.traceback), file=sys.stderr)
        raise RunFailed(
            f"{where} stopped: {error.ename}: {_plain(error.evalue)} "
            f"(the full traceback is in {shown(folder)}/notebook.ipynb)"
        ) from None
    except DeadKernelError:
        raise RunFailed(f"{where} stopped: its Python process died, most often because memory ran out") from None
    pending = folder / "run.pending.json"
    if not pending.exists():
        raise RunFailed(f"{where} ended without run.finish(): it left no result")
    pending.replace(folder / "run.json")
    if read_manifest(folder) is None:
        raise RunFailed(f"{where}: {shown(folder)}/run.json cannot be read back")


def _chosen(plan: list[PlannedRun], only: list[str] | None) -> list[PlannedRun]:
    """The runs named by `only`, with or without their seed, and what they need, in order."""
    if not only:
        return plan
    for name in only:
        if not any(name in (planned.run, planned.entry) for planned in plan):
            known = ", ".join(planned.run for planned in plan)
            raise ValueError(f"profile {plan[0].profile} has no run {name!r}: {known}")
    wanted = {planned.run for planned in plan if {planned.run, planned.entry} & set(only)}
    for planned in reversed(plan):
        if planned.run in wanted:
            wanted.update(planned.needs)
    return [planned for planned in plan if planned.run in wanted]


@contextlib.contextmanager
def _locked(profile: str) -> Iterator[None]:
    """Hold the profile's lock file, which the system releases even if this process is killed."""
    from filelock import FileLock, Timeout

    path = repo_root() / "outputs" / profile / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(path).acquire(blocking=False)
    except Timeout:
        raise RuntimeError(f"another `reproduce` is working on outputs/{profile}/: wait for it to end") from None
    with lock:
        yield


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


def _bar(number: int, count: int) -> str:
    full = round(16 * (number - 1) / count)
    return "█" * full + "░" * (16 - full)


def _clock(seconds: float) -> str:
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s" if seconds >= 60 else f"{seconds:.0f} s"


def _plain(text: str) -> str:
    """The text without the colours of IPython's messages."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
