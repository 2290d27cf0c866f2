"""`make reproduce`: the runs of a profile as a graph that Dask executes, one notebook a worker.

A run is skipped while its result is up to date, so a batch killed at any moment continues where it was: finished runs
stay, interrupted ones resume from their own checkpoints.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fewpose.disk import lock
from fewpose_runs.clusters import connect
from fewpose_runs.execution import Outcome, RunFailed, attempt, up_to_date
from fewpose_runs.fingerprints import fingerprints
from fewpose_runs.profiles import PlannedRun, notebook_path, read_profile, repo_root, shown, writes_report
from fewpose_runs.progress import Progress

if TYPE_CHECKING:
    from distributed import Client, Future


def reproduce(
    profile: str,
    only: list[str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster: str | Path | None = None,
) -> None:
    """Bring the runs of `params/<profile>.yaml` up to date, or those in `only` and what they need.

    They are executed on this machine by `workers` processes (default: as many as pay), by the running Dask `scheduler`,
    or by jobs of a batch system as the file `cluster` describes. Raises ValueError before any work if the profile or
    the file is wrong, RuntimeError if another call works on the same profile, RunFailed at the end if notebooks failed:
    the runs that need them did not start, all others finished.
    """
    plan = read_profile(profile)
    prints, whole = fingerprints(plan), plan
    plan = _chosen(plan, only)
    outdated = [planned for planned in plan if not up_to_date(planned, prints[planned.run])]
    if not outdated:
        print(f"{profile}: all {len(plan)} runs are up to date in outputs/{profile}/")
        return
    with _locked(profile):
        for number, planned in enumerate(plan, start=1):
            if planned not in outdated:
                print(f"{_head(number, len(plan), planned)}: up to date")
        with connect(whole, outdated, workers, scheduler, cluster) as client:
            outcomes = _run(client, plan, outdated, prints)
    _raise_failures(outcomes)
    print(f"{profile}: {len(plan)} runs finished, results in outputs/{profile}/")


def _run(
    client: Client, plan: list[PlannedRun], outdated: list[PlannedRun], prints: dict[str, str]
) -> dict[str, Outcome]:
    """Execute runs, each when those that it needs have finished; how each ended, in the order of the plan."""
    from distributed import as_completed

    heads = {
        planned.run: f"{_head(number, len(plan), planned)}: {shown(notebook_path(planned.notebook))}"
        for number, planned in enumerate(plan, start=1)
    }
    topic = f"fewpose {repo_root()} {plan[0].profile}"
    progress, outcomes = Progress(heads), {}
    client.subscribe_topic(topic, progress.event)
    futures = _submit(client, outdated, prints, topic)
    by_key = {futures[planned.run].key: planned for planned in outdated}
    try:
        for future in as_completed(futures.values(), loop=client.loop):
            planned = by_key[future.key]
            outcomes[planned.run] = outcome = _outcome(planned, future)
            progress.end(planned.run, _ending(planned, outcome, progress.seconds(planned.run)))
    finally:
        progress.close()
        client.cancel(list(futures.values()))
    return {planned.run: outcomes[planned.run] for planned in outdated}


def _submit(client: Client, outdated: list[PlannedRun], prints: dict[str, str], topic: str) -> dict[str, Future]:
    """A Dask task for each run, earlier runs of the profile first.

    A run that writes into the report waits also for all earlier ones, which it reads, whether or not they succeed.
    """
    place = hashlib.sha256(topic.encode()).hexdigest()[:8]
    futures: dict[str, Future] = {}
    for number, planned in enumerate(outdated):
        needed = [futures[name] for name in planned.needs if name in futures]
        before = list(futures.values()) if writes_report(planned.notebook) else []
        futures[planned.run] = client.submit(
            attempt,
            planned,
            prints[planned.run],
            str(repo_root()),
            topic,
            "0.5" if sys.stderr.isatty() else "10",
            needed,
            before,
            key=("run", place, planned.run, prints[planned.run][:12]),
            priority=-number,
            resources=planned.resources or None,
            pure=False,
        )
    return futures


def _outcome(planned: PlannedRun, future: Future) -> Outcome:
    """How the task of a run ended; RuntimeError if the scheduler has gone."""
    from distributed import KilledWorker

    if future.status in ("cancelled", "lost"):
        raise RuntimeError("the Dask scheduler has gone: finished runs are kept, the same command continues")
    error = future.exception()
    if error is None:
        return Outcome(*future.result())
    where = f"{shown(notebook_path(planned.notebook))} (run {planned.run}) stopped"
    if isinstance(error, KilledWorker):
        if error.task != future.key:
            return Outcome("not started")
        return Outcome("failed", f"{where}: its worker died {error.allowed_failures + 1} times, most often of memory")
    return Outcome("failed", f"{where}: {type(error).__name__} in its worker: {' '.join(str(error).split())}")


def _ending(planned: PlannedRun, outcome: Outcome, seconds: float | None) -> str:
    name = f"{planned.paper}/{planned.run}"
    if outcome.state == "finished":
        return f"{name} done" if seconds is None else f"{name} done in {_clock(seconds)}"
    return f"{name} {outcome.state}" + (f": {outcome.message}" if outcome.message else "")


def _raise_failures(outcomes: dict[str, Outcome]) -> None:
    """RunFailed, saying which runs failed and which therefore did not start, unless all finished."""
    failed = [run for run, outcome in outcomes.items() if outcome.state == "failed"]
    if not failed:
        return
    waiting = [run for run, outcome in outcomes.items() if outcome.state == "not started"]
    left = f"; not started, as they need what failed: {', '.join(waiting)}" if waiting else ""
    if len(failed) == 1:
        raise RunFailed(outcomes[failed[0]].message + left)
    raise RunFailed(f"{len(failed)} runs failed, for the reasons above: {', '.join(failed)}{left}")


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
    from filelock import Timeout

    path = repo_root() / "outputs" / profile / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock(path, blocking=False))
        except Timeout:
            raise RuntimeError(f"another `reproduce` is working on outputs/{profile}/: wait for it to end") from None
        yield


def _head(number: int, count: int, planned: PlannedRun) -> str:
    full = round(16 * (number - 1) / count)
    return f"run {number} of {count} {'█' * full}{'░' * (16 - full)} {planned.paper}/{planned.run}"


def _clock(seconds: float) -> str:
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s" if seconds >= 60 else f"{seconds:.0f} s"
