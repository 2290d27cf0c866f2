"""Where runs are executed: workers on this machine, a running Dask scheduler, or jobs of a batch system.

Dask is imported when there is work: a call with nothing to do ends at once.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fewpose_runs.profiles import PlannedRun, read_yaml, suggestion

if TYPE_CHECKING:
    from distributed import Client

HOST = "127.0.0.1"
WAIT = 10  # seconds for a scheduler to answer
CONFIG = {
    "distributed.scheduler.worker-saturation": 1.0,  # no run waits for one worker while another is idle
    "distributed.scheduler.default-task-durations": {"run": "10m"},
    "distributed.comm.timeouts.connect": f"{WAIT}s",
}
SYSTEMS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster"}


@contextlib.contextmanager
def connect(
    plan: list[PlannedRun],
    runs: list[PlannedRun],
    workers: int | None = None,
    scheduler: str | None = None,
    cluster: str | Path | None = None,
) -> Iterator[Client]:
    """A client of the running `scheduler`, of the jobs that the file `cluster` describes, or of this machine's workers.

    Without `workers` they are as many as pay for the whole plan, whichever `runs` of it are left to do: another number
    would give each another number of threads, and sums in another order. ValueError for an address that does not answer
    or a wrong file, RuntimeError if workers lack what the runs need.
    """
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")  # also of the workers; we say what went wrong
    import dask
    import distributed  # noqa: F401  before `set`, which at its end would take away what this import adds

    with dask.config.set(CONFIG), contextlib.ExitStack() as stack:
        if scheduler:
            client = _client(scheduler)
        else:
            made = _jobs(Path(cluster)) if cluster else _this_machine(plan, workers)
            client = _client(stack.enter_context(made))
        stack.enter_context(client)
        if client.dashboard_link and importlib.util.find_spec("bokeh"):
            print(f"dashboard: {client.dashboard_link}", flush=True)
        _check_workers(client, runs)
        yield client


def count_workers(runs: list[PlannedRun], cores: int, gpus: int, memory: float) -> int:
    """The number of workers that pay: one for each GPU, or as many GPUs as a run needs, else one for each core in use.

    Two runs of one thread each were measured to take less time than one after the other with two threads. `memory` is
    this machine's in GB; every run's must fit into its share.
    """
    depth: dict[str, int] = {}
    for planned in runs:
        depth[planned.run] = 1 + max((depth[name] for name in planned.needs if name in depth), default=0)
    levels = list(depth.values())
    count = gpus // gpus_each(runs) or min(cores, max(map(levels.count, levels)))
    largest = max((planned.resources.get("memory", 0) for planned in runs), default=0)
    return max(1, min(count, int(memory // largest)) if largest else count)


def gpus_each(runs: list[PlannedRun]) -> int:
    """How many GPUs a worker of this machine gets: as many as the run that needs most."""
    return max([1, *(int(planned.resources.get("GPU", 1)) for planned in runs)])


def _client(address: object) -> Client:
    from distributed import Client

    try:
        return Client(address, timeout=WAIT, set_as_default=False)
    except (OSError, ValueError) as error:
        if not isinstance(address, str):
            raise
        raise ValueError(
            f"no Dask scheduler answers at {address} ({' '.join(str(error).split())}): "
            "start one with `dask scheduler`, or leave out --scheduler to use this machine"
        ) from None


@contextlib.contextmanager
def _this_machine(runs: list[PlannedRun], workers: int | None) -> Iterator[object]:
    """Worker processes of this machine, which share out its cores, GPUs and memory; each is replaced if it dies."""
    import psutil
    from dask.system import CPU_COUNT
    from distributed import Nanny, Scheduler, SpecCluster

    gpus, memory, each = _gpus(), psutil.virtual_memory().total / 1e9, gpus_each(runs)
    count = workers or count_workers(runs, CPU_COUNT, len(gpus), memory)
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, CPU_COUNT // count))
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    specs = {}
    for number in range(count):
        environment, resources = dict.fromkeys(names, threads), {"memory": memory / count}
        if gpus:
            first = number * each % len(gpus)
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[first : first + each])
            resources["GPU"] = len(gpus[first : first + each])
        options = dict(nthreads=1, env=environment, resources=resources, memory_limit=0, host=HOST)
        specs[number] = {"cls": Nanny, "options": {**options, "dashboard": False}}
    dashboard = f"{HOST}:0" if importlib.util.find_spec("bokeh") else None
    options = {"host": HOST, "port": 0, "dashboard": dashboard is not None, "dashboard_address": dashboard}
    plural = "s" if count > 1 else ""
    print(f"{count} worker{plural}, {threads} thread{'s' if threads != '1' else ''} each", flush=True)
    with SpecCluster(workers=specs, scheduler={"cls": Scheduler, "options": options}, silence_logs=False) as cluster:
        yield cluster


def _gpus() -> list[str]:
    """The CUDA devices that this process may use."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name.strip()]
    if not shutil.which("nvidia-smi"):
        return []
    code = "import torch; print(torch.cuda.device_count())"  # in another process: torch would stay in memory
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    return [str(number) for number in range(int(found or 0))]


@contextlib.contextmanager
def _jobs(path: Path) -> Iterator[object]:
    """Jobs of a batch system as described by a YAML file, one worker each; they end with this command."""
    system, jobs, options = read_cluster(path)
    scheduler = {"dashboard_address": f"{HOST}:0"}
    try:
        made = system(processes=1, scheduler_options=scheduler, silence_logs=False, **job_options(options))
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: no jobs could be prepared: {' '.join(str(error).split())}") from None
    with made as cluster:
        cluster.scale(jobs=jobs)
        print(f"{jobs} jobs submitted; waiting for the first to start", flush=True)
        yield cluster


def job_options(options: dict) -> dict:
    """The options of a job, whose cores are threads of the one notebook that its worker executes at a time."""
    return {
        **options,
        "worker_extra_args": ["--nthreads", "1", *options.get("worker_extra_args", [])],
        "job_script_prologue": [f"export OMP_NUM_THREADS={options['cores']}", *options.get("job_script_prologue", [])],
    }


def read_cluster(path: Path) -> tuple[type, int, dict]:
    """Class of dask-jobqueue, number of jobs and options of a cluster file; ValueError naming what is wrong in it."""
    try:
        jobqueue = importlib.import_module("dask_jobqueue")
    except ImportError:
        raise ValueError("--cluster needs dask-jobqueue: pip install -e .[cluster]") from None
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} must be a mapping of keys to values, as in params/clusters/slurm.yaml")
    if content.get("system") not in SYSTEMS:
        raise ValueError(f"{path}: `system` must be one of {', '.join(SYSTEMS)}, not {content.get('system')!r}")
    system = getattr(jobqueue, SYSTEMS[content.pop("system")])
    parents = [inspect.signature(cls.__init__).parameters for cls in system.job_cls.__mro__[:2]]
    ours = {"self", "scheduler", "name", "processes", "nanny", "protocol", "security", "extra", "config_name"}
    known = {key for parameters in parents for key in parameters} - ours - {"kwargs", "base_class_kwargs"} | {"jobs"}
    for key in content:
        if key not in known:
            raise ValueError(f"{path}: unknown key {key!r}{suggestion(key, known)}")
    jobs = content.pop("jobs", None)
    for key, value in (("jobs", jobs), ("cores", content.get("cores"))):
        if type(value) is not int or value < 1:
            raise ValueError(f"{path}: `{key}` must be a whole number above 0, not {value!r}")
    return system, jobs, content


def _check_workers(client: Client, runs: list[PlannedRun]) -> None:
    """Wait for the first worker; RuntimeError if one cannot import this library, or none has the resources of a run."""
    if not client.scheduler_info()["workers"]:
        print("no worker yet: waiting for one", flush=True)
        client.wait_for_workers(1)
    found = client.get_versions(packages=["fewpose", "papermill"])
    for name, about in (("scheduler", found["scheduler"]), *found["workers"].items()):
        if about is None or not (about["packages"].get("fewpose") and about["packages"].get("papermill")):
            raise RuntimeError(
                f"{'the' if name == 'scheduler' else 'worker'} {name} cannot import fewpose: "
                "start it in the environment that `make setup` builds, on a file system that all share"
            )
    offers = [about["resources"] for about in client.scheduler_info(n_workers=-1)["workers"].values()]
    for planned in runs:
        if not any(_has(offer, planned.resources) for offer in offers):
            raise RuntimeError(
                f"params/{planned.profile}.yaml, run {planned.run}: no worker has its `resources` "
                f"({_amounts(planned.resources)}; they have {_amounts(offers[0])}): "
                "use fewer --workers, or workers that were started with --resources"
            )


def _has(offer: dict[str, float], need: dict[str, float]) -> bool:
    return all(offer.get(name, 0) >= amount for name, amount in need.items())


def _amounts(resources: dict[str, float]) -> str:
    return ", ".join(f"{name}: {amount:.3g}" for name, amount in resources.items()) or "nothing"
