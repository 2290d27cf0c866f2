"""Threads that read ahead and write behind keep order, errors and limits."""

import threading

import pytest

from fewpose_video.pipeline import ahead, behind


def test_items_come_in_order_and_no_more_than_so_many_in_advance():
    made = []

    def items():
        for i in range(50):
            made.append(i)
            yield i

    reader = ahead(items(), 3)
    for i in range(50):
        assert next(reader) == i
        assert len(made) <= i + 5
    assert list(reader) == []


def test_errors_come_after_the_items_before_them():
    def items():
        yield 1
        raise ValueError("broken")

    reader = ahead(items())
    assert next(reader) == 1
    with pytest.raises(ValueError, match="broken"):
        next(reader)


def test_who_stops_early_closes_what_is_read():
    closed = threading.Event()

    def items():
        try:
            yield from range(1000)
        finally:
            closed.set()

    reader = ahead(items())
    next(reader)
    reader.close()
    assert closed.is_set()


def test_work_is_done_in_order_until_the_block_ends():
    done = []
    with behind(lambda a, b: done.append(a + b), 2) as call:
        for i in range(30):
            call(i, 100)
    assert done == list(range(100, 130))


def test_an_error_of_the_work_stops_it():
    done = []

    def work(i):
        if i == 3:
            raise ValueError("disk full")
        done.append(i)

    with pytest.raises(ValueError, match="disk full"), behind(work, 2) as call:
        for i in range(30):
            call(i)
    assert done[:3] == [0, 1, 2] and len(done) < 29
