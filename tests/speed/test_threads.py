import threading

import cv2
import pytest
import torch

from fewpose.speed.threads import in_threads


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("n", [0, 1, 5, 100])
def test_every_item_is_done_once_and_opencv_is_left_as_it_was(threads, n):
    done, lock, before = [], threading.Lock(), cv2.getNumThreads()

    def work(part):
        with lock:
            done.append(range(n)[part])

    in_threads(work, n)
    assert sorted(i for part in done for i in part) == list(range(n))
    assert cv2.getNumThreads() == before


def test_an_error_in_a_thread_is_raised(threads):
    before = cv2.getNumThreads()
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda part: 1 / 0, 10)
    assert cv2.getNumThreads() == before
