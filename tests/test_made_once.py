import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fewpose.made_once import made_in_shards, made_once


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


def test_shards_are_shared_out_and_none_is_made_twice(tmp_path):
    shards, made, both = [tmp_path / f"{i}.txt" for i in range(6)], [], threading.Barrier(2)

    def work(name):
        def make(number, part):
            if number < 2:
                both.wait(20)  # each begins one, or nobody goes on
            made.append((number, name))
            part.write_text(f"shard {number}")

        made_in_shards(shards, make)
        return [shard.read_text() for shard in shards]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, "ab")) == [[f"shard {i}" for i in range(6)]] * 2
    assert sorted(number for number, _ in made) == list(range(6))
    assert {name for number, name in made if number < 2} == {"a", "b"}


def test_a_shard_that_another_could_not_make_is_made_in_the_end(tmp_path):
    shards, began, ended = [tmp_path / "0", tmp_path / "1"], threading.Event(), threading.Event()

    def fail():
        with pytest.raises(OSError), made_once(shards[0]):
            began.set()
            ended.wait(20)
            raise OSError

    def make(number, part):
        made.append(number)
        part.touch()
        ended.set()

    made = []
    with ThreadPoolExecutor(1) as pool:
        failed = pool.submit(fail)
        began.wait(20)
        made_in_shards(shards, make)
        failed.result()
    assert made == [1, 0]


def test_without_their_folder_shards_are_no_longer_needed(tmp_path):
    made_in_shards([tmp_path / "gone" / "0"], lambda number, part: pytest.fail("made"))
