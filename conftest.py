"""What pytest needs to know of its processes, of the notebooks and of machines without a GPU."""

import os

import pytest

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


def pytest_configure(config):
    """Give each process of pytest-xdist its share of the cores, or their threads fight for them.

    All that a test starts, as a notebook's kernel, inherits it.
    """
    if not hasattr(config, "workerinput"):
        return
    number, count = int(config.workerinput["workerid"][2:]), config.workerinput["workercount"]
    pinned = hasattr(os, "sched_setaffinity")
    cores = sorted(os.sched_getaffinity(0)) if pinned else range(os.cpu_count())
    share = cores[number::count] or cores
    if pinned:
        os.sched_setaffinity(0, share)
    for name in THREADS:
        os.environ.setdefault(name, str(len(share)))


def pytest_collectstart(collector):
    # Progress bars and warnings go to stderr with timings in them: never compared by nbval.
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)


def pytest_collection_modifyitems(items):
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))
