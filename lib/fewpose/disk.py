"""Files written whole or not at all; a full disk, or one without locks, is said in one sentence."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import platform
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    import numpy as np

FULL = "the disk is full"
REASONS = {
    errno.ENOSPC: FULL,
    getattr(errno, "EDQUOT", -1): "your quota of the disk is used up",
    errno.EFBIG: "files of this size are not allowed here",
}
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
HOST = f"{zlib.crc32(platform.node().encode()):08x}"  # several may write to one network disk
PROBE = 1 << 16  # bytes that a disk must take not to count as full


class DiskFull(OSError):
    """A file did not fit on its disk: `path`, the reason, how many bytes are missing (None: it is not known)."""

    def __init__(self, path: Path, missing: int | None = None, written: int = 0, reason: str = FULL):
        self.path, self.missing, self.written, self.reason = Path(path), missing, written, reason
        amount = f"after {in_words(written)} of this file" if missing is None else f"{in_words(missing)} are missing"
        super().__init__(f"{path}: {reason}, {amount}; make room and repeat the command")

    def __reduce__(self):
        return DiskFull, (self.path, self.missing, self.written, self.reason)  # worker processes raise it, too


def in_words(size: float) -> str:
    """A number of bytes as KB, MB or GB, rounded up."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{-(-size // (unit / 10)) / 10:.1f} {name}"
    return f"{-(-size // 1000):.0f} KB"


@contextlib.contextmanager
def full_disk_named(path: Path, part: Path | None = None, size: int | None = None) -> Iterator[None]:
    """Errors of a full disk within the block as DiskFull, which names `path`.

    part: the file that is written for it (default: itself). size: the bytes that it needs, if they are known. Not only
    OSError: libraries that write files themselves say it in many ways, or only that something went wrong.
    """
    part = part or path
    try:
        yield
    except DiskFull as error:
        if error.path == path or part not in (error.path, *error.path.parents):
            raise
        raise DiskFull(path, error.missing, error.written, error.reason) from error
    except ValueError:
        raise  # says something about data
    except Exception as error:
        reason = REASONS.get(getattr(error, "errno", None)) or (FULL if "No space left" in str(error) else None)
        if reason is None and not (isinstance(error, OSError | RuntimeError) and not takes_bytes(path.parent)):
            raise
        named = Path(getattr(error, "filename", None) or part)
        if part not in (named, *named.parents):
            raise DiskFull(named, None, size_of(named), reason or FULL) from error
        written, missing = size_of(part), None
        if size is not None:
            free = shutil.disk_usage(path.parent).free if reason in (None, FULL) else 0
            missing = max(size - written - free, 1)
        raise DiskFull(path, missing, written, reason or FULL) from error


def takes_bytes(folder: Path) -> bool:
    """Whether a small file still fits into the folder; True if none can be written for another reason."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(os.urandom(PROBE))
            file.flush()
    except OSError as error:
        return error.errno not in REASONS
    return True


def size_of(path: Path) -> int:
    """The bytes that a file, or all files in a folder, take on the disk; 0 if there is none."""
    if path.is_dir():
        return sum(size_of(below) for below in path.iterdir())
    with contextlib.suppress(OSError):
        about = path.stat()
        return min(about.st_size, getattr(about, "st_blocks", about.st_size) * 512)
    return 0


# ---- whole files --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def replacing(path: str | Path, size: int | None = None) -> Iterator[Path]:
    """A hidden path beside `path` that takes its place when the block ends, or is removed after an error.

    It is this process's own, so that two that write one file leave one of both whole. With a `size`, the bytes that
    will be written at least, DiskFull comes before the work. What killed processes left is removed.
    """
    remove_left_over(Path(path))
    with replacing_one_of_many(Path(path), size) as part:
        yield part


@contextlib.contextmanager
def replacing_one_of_many(path: Path, size: int | None = None) -> Iterator[Path]:
    """As `replacing`, without a look at all files of the folder."""
    part = path.absolute().with_name(part_name(path, os.getpid()))
    try:
        with full_disk_named(path, part, size):
            if size:
                part.touch()
                allocate(part, 0, size)
            yield part
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def part_name(path: Path, process: int | str) -> str:
    """Of the part of a file that a process of this machine writes; it keeps the suffix, which libraries go by."""
    return f".{path.stem}.part_{HOST}_{process}{path.suffix}"


def remove_left_over(path: Path) -> None:
    """Remove the parts of a file that processes of this machine left when they were killed."""
    import psutil

    named = re.compile(r"(\d+)".join(map(re.escape, part_name(path, "\0").split("\0"))))
    with contextlib.suppress(OSError):
        for old in path.absolute().parent.iterdir():
            if (found := named.fullmatch(old.name)) and not psutil.pid_exists(int(found[1])):
                old.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes | memoryview, sync: bool = False) -> None:
    """Write a file whole or not at all; with `sync` also if the machine stops at this moment."""
    with replacing_one_of_many(Path(path), len(content)) as part, open(part, "wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def write_text(path: str | Path, text: str, sync: bool = False) -> None:
    """As `write_bytes`, of text in UTF-8 with its own line endings."""
    write_bytes(path, text.encode(), sync)


def copy_file(source: str | Path, target: str | Path) -> None:
    """Copy a file whole or not at all; a folder as `target` gets one of the same name."""
    target = Path(target)
    target = target / Path(source).name if target.is_dir() else target
    with replacing_one_of_many(target, os.path.getsize(source)) as part:
        shutil.copyfile(source, part)


# ---- reserved space -----------------------------------------------------------------------------------------------


def reserved_array(path: Path, shape: tuple[int, ...], dtype: str = "uint8") -> np.memmap:
    """A new .npy file, memory-mapped to write, all of whose space is reserved.

    Writing to memory that the disk cannot take kills a process (SIGBUS); here DiskFull says it before.
    """
    import numpy as np

    with full_disk_named(path, path, math.prod(shape) * np.dtype(dtype).itemsize):
        array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        allocate(path, array.offset, array.nbytes)
    return array


def allocate(path: Path, start: int, size: int) -> None:
    """Reserve `size` bytes of a file, which are zeros or not there yet; OSError if the disk has less."""
    with open(path, "r+b") as file:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), start, size)
                return
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise
        file.seek(start)
        zeros = memoryview(bytes(1 << 20))
        for at in range(0, size, len(zeros)):
            file.write(zeros[: size - at])


# ---- locks --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def lock(path: Path, blocking: bool = True) -> Iterator[None]:
    """Hold a lock file, which the system releases even if this process is killed.

    `filelock.Timeout` if another process holds it and `blocking` is False. OSError if the file system has no locks.
    """
    held = FileLock(path)
    with full_disk_named(path):
        try:
            held.acquire(blocking=blocking)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise OSError(
                f"{path}: this file system has no locks, without which two programs would write one file at once: "
                "work on a local disk, or mount it with locks"
            ) from error
    try:
        yield
    finally:
        held.release()
