"""Files that several processes need, made by the first of them and whole or not there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filelock import Timeout

from fewpose.disk import full_disk_named, lock


def made_in_shards(shards: Sequence[Path], make: Callable[[int, Path], None]) -> None:
    """Make those of the files `shards` that are not there by `make`(number, path to write at).

    Processes that call this at the same time, also on other machines that share the file system, share the work: each
    passes over what another is making, and waits at the end until all are there. What a killed one was making, another
    or the next call makes. All are taken as made if their folder, which must exist, has gone: whoever needed them is
    done.
    """
    for wait in (False, True):
        for number, shard in enumerate(shards):
            is_made = lambda: shard.exists() or not shard.parent.is_dir()  # noqa: B023, E731
            with made_once(shard, is_made, wait=wait) as part:
                if part is not None:
                    make(number, part)


@contextlib.contextmanager
def made_once(
    target: Path, is_made: Callable[[], bool] | None = None, size: int | None = None, wait: bool = True
) -> Iterator[Path | None]:
    """A path beside `target` to write a file or folder at, moved to `target` when the block ends; None if it is there.

    One process at a time, also of other machines that share the file system, makes a target; others wait for it, or
    without `wait` get None at once. `is_made` says whether what lies at `target` will do (default: whether it exists);
    `size` is the number of bytes it will have, if known. If the block raises, what it wrote is removed; what a killed
    process left is removed by the next. DiskFull, which names `target`, if the disk is full.
    """
    is_made = is_made or target.exists
    if is_made():
        yield None
        return
    part = target.with_name(f".part_{target.name}")  # with the target's suffix, which some writers read
    with full_disk_named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock(target.with_name(f".{target.name}.lock"), wait))
        except Timeout:
            yield None
            return
        except FileNotFoundError:  # the folder has just been removed
            if not is_made():
                raise
            yield None
            return
        if is_made():
            yield None
            return
        _remove(part)
        try:
            with full_disk_named(target, part, size):
                yield part
                if target.is_dir():
                    _remove(target)
                os.replace(part, target)
        finally:
            _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
