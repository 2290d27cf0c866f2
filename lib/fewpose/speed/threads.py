"""Work shared among threads: for OpenCV and NumPy, which release Python's interpreter lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import cv2
import torch

SHARES = 4  # per thread: if a core is busy otherwise, the other threads take over


def in_threads(work: Callable[[slice], object], n: int) -> None:
    """work(part) for parts that make up range(n), in as many threads as torch has.

    OpenCV's own threads are off meanwhile: threads over items are faster than within one.
    """
    threads = torch.get_num_threads()
    step = max(1, -(-n // (SHARES * threads)))
    parts = [slice(first, min(first + step, n)) for first in range(0, n, step)]
    if threads == 1 or len(parts) < 2:
        for part in parts:
            work(part)
        return
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        list(pool(threads).map(work, parts))
    finally:
        cv2.setNumThreads(before)


def cores() -> int | None:
    """The number of cores that this process may use; None if unknown."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


@lru_cache
def pool(threads: int) -> ThreadPoolExecutor:
    """A pool of threads that is reused."""
    return ThreadPoolExecutor(threads, "fewpose")
