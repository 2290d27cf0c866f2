"""Work of several stages at once: reading ahead, and writing behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

QUEUE = 8  # items that wait between two stages


def ahead(items: Iterator, count: int = QUEUE) -> Iterator:
    """The same items, of which a thread makes up to `count` in advance; errors are raised where they belong."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        try:
            waiting = deque(thread.submit(next, items, end) for _ in range(count))
            while (item := waiting.popleft().result()) is not end:
                waiting.append(thread.submit(next, items, end))
                yield item
        finally:
            for future in waiting:
                future.cancel()
            thread.submit(items.close).result()  # a generator closes its file only in the thread that runs it


@contextmanager
def behind(work: Callable[..., object], count: int = QUEUE) -> Iterator[Callable[..., None]]:
    """A function that lets a thread call `work` with its arguments, in order; waits while `count` calls are waiting.

    Errors of `work` are raised by a later call, or when the block ends.
    """
    waiting = deque()
    with ThreadPoolExecutor(1) as thread:

        def call(*arguments) -> None:
            waiting.append(thread.submit(work, *arguments))
            while len(waiting) > count:
                waiting.popleft().result()

        try:
            yield call
            while waiting:
                waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
