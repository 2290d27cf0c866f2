import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fewpose.made_once import made_once


def test_of_many_who_need_a_file_at_once_one_makes_it_and_all_see_it_whole(tmp_path):
    target, made, together = tmp_path / "cache" / "world.npy", [], threading.Barrier(8)

    def need(number):
        together.wait()
        with made_once(target) as part:
            if part is not None:
                made.append(number)
                for piece in "whole":  # a reader between two pieces would see less
                    with open(part, "a") as file:
                        file.write(piece)
        return target.read_text()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(need, range(8))) == ["whole"] * 8
    assert len(made) == 1


def test_what_fails_or_was_killed_leaves_nothing(tmp_path):
    target = tmp_path / "world"
    with pytest.raises(OSError, match="disk"), made_once(target) as part:
        part.mkdir()
        (part / "frames.npy").touch()
        raise OSError("disk full")
    assert not target.exists() and not part.exists()
    part.mkdir()
    (part / "of a killed process").touch()
    with made_once(target) as part:
        part.mkdir()
        (part / "frames.npy").touch()
    assert [path.name for path in target.iterdir()] == ["frames.npy"]


def test_a_folder_that_will_not_do_is_replaced(tmp_path):
    target = tmp_path / "world"
    for seed in ("4", "5", "5"):
        with made_once(target, lambda: (target / seed).exists()) as part:  # noqa: B023
            if part is not None:
                part.mkdir()
                (part / seed).touch()
    assert [path.name for path in target.iterdir()] == ["5"]
