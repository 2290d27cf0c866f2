"""Writes that do not fit on the disk, by the limit that a process may set on the size of its files."""

import contextlib
import errno
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from fewpose import disk
from fewpose.data.images import write_image
from fewpose.data.video import video_writer
from fewpose.disk import (
    DiskFull,
    copy_file,
    in_words,
    lock,
    part_name,
    replacing,
    reserved_array,
    write_bytes,
    write_text,
)
from fewpose.feature_cache import cache_features
from fewpose.models.weights import save_weights
from fewpose.skeleton import JUMP
from fewpose.training import History, save_checkpoint
from fewpose_report.results import write_table
from fewpose_video.formats import write_c3d, write_coco, write_openpose
from fewpose_video.label import label_file
from fewpose_video.poses import VideoPoses
from fewpose_video.tables import write_poses
from fewpose_worlds import store

resource = pytest.importorskip("resource")  # Windows has no such limit
LIMIT = 3000
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 255, (64, 64, 3), np.uint8)


@contextlib.contextmanager
def small_files():
    """No file grows above LIMIT bytes: writes fail as on a full disk, with another errno."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Backboned(torch.nn.Module):
    """A network whose frozen backbone is one convolution."""

    config, keypoints = {}, len(JUMP)

    def __init__(self):
        super().__init__()
        self.frozen_backbone = torch.nn.Conv2d(3, 8, 3, 2, 1).requires_grad_(False)


def render(start):
    frames = np.full((3, 3, 64, 64), start, np.uint8)
    return frames, [{"video_id": "a", "frame": i, "split": "train"} for i in range(3)], [[], [], []]


def make_world(folder, name="world"):
    parameters = {"name": "w", "frames": 3, "size": 64}
    return store.generate(render, [(7,)], JUMP, parameters, folder / name, assemble=lambda *parts: parts)


def cache(folder, name):
    frames = torch.from_numpy(NOISE).permute(2, 0, 1)[None].repeat(4, 1, 1, 1)
    from fewpose.data.pose_data import PoseData

    data = PoseData(frames, torch.zeros(4, len(JUMP), 3), JUMP, np.array(["a"] * 4), np.array(["train"] * 4), "x")
    torch.manual_seed(0)
    return cache_features(Backboned(), data, 3, folder)


def checkpoint(folder, name):
    model = torch.nn.Linear(40, 40)
    save_checkpoint(folder / name, "f", model, torch.optim.SGD(model.parameters(), 0.1), History(), None, 1)


def video(folder, name):
    with video_writer(folder / name, (64, 64), 25, crf=0) as write:
        for _ in range(20):
            write(RNG.integers(0, 255, (64, 64, 3), np.uint8))


def poses():
    values = RNG.uniform(0, 60, (60, 1, len(JUMP), 3))
    return VideoPoses("a.mp4", (64, 64), np.arange(60) / 25, (1,), values, JUMP)


def table(folder, name):
    import pandas as pd

    write_table(pd.DataFrame(RNG.random((300, 4))), folder, name.removesuffix(".csv"))


def labels(folder, name):
    label_file.write(folder / name, {"images": ["x" * 30] * 300})


def copy(folder, name):
    copy_file(__file__, folder / name)


WRITERS = {  # by the name of the file or folder that is written
    "world": make_world,
    "x_3x4_": cache,
    "last.pt": checkpoint,
    "network.safetensors": lambda folder, name: save_weights(Linear(), folder / name),
    "image.png": lambda folder, name: write_image(folder / name, NOISE),
    "image.jpg": lambda folder, name: write_image(folder / name, NOISE),
    "video.mp4": video,
    "poses.csv": lambda folder, name: write_poses(poses(), folder / name),
    "coco.json": lambda folder, name: write_coco(poses(), folder / name),
    "poses.c3d": lambda folder, name: write_c3d(poses(), folder / name),
    "table.csv": table,
    "annotations.json": labels,
    "copy.bin": copy,
}


class Linear(torch.nn.Linear):
    config, keypoints = {}, 3

    def __init__(self):
        super().__init__(40, 40)


def left(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.parametrize("name", WRITERS)
def test_what_does_not_fit_is_one_sentence_and_leaves_nothing(tmp_path, name):
    if name.endswith("c3d"):
        pytest.importorskip("ezc3d")
    folder = tmp_path / "folder"
    folder.mkdir()
    with small_files(), pytest.raises(DiskFull) as caught:
        WRITERS[name](folder, name)
    text = str(caught.value)
    assert text.startswith(str(folder / name)) and text.count("\n") == 0
    assert "KB are missing; make room" in text or "KB of this file; make room" in text
    assert left(folder) == []
    WRITERS[name](folder, name)  # with room, the same call succeeds
    assert any(found.startswith(name) for found in left(folder))


def test_the_old_file_stays_where_the_new_one_does_not_fit(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with small_files(), pytest.raises(DiskFull, match=r"a\.txt: .* 7 KB are missing"):
        write_text(tmp_path / "a.txt", "n" * 7000)
    assert (tmp_path / "a.txt").read_text() == "old" and left(tmp_path) == ["a.txt"]


def test_openpose_folders_are_whole_or_not_there(tmp_path, monkeypatch):
    write, calls = type(tmp_path).write_text, iter(range(30))

    def full(path, *more, **named):
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, *more, **named)

    with monkeypatch.context() as patch, pytest.raises(DiskFull, match="a_json: the disk is full"):
        patch.setattr(type(tmp_path), "write_text", full)
        write_openpose(poses(), tmp_path / "a_json")
    assert left(tmp_path) == []


def test_how_much_is_missing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    free = disk.shutil._ntuple_diskusage(10**9, 10**9, 3_000_000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: free)
    monkeypatch.setattr(disk, "allocate", full)
    with pytest.raises(DiskFull, match=r"a\.npy: the disk is full, 9\.0 MB are missing; make room and repeat"):
        reserved_array(tmp_path / "a.npy", (4, 3, 1000, 1000))


@pytest.mark.parametrize(
    ("size", "words"), [(1, "1 KB"), (2001, "3 KB"), (1_000_000, "1.0 MB"), (1_010_000, "1.1 MB"), (3.2e9, "3.2 GB")]
)
def test_bytes_in_words(size, words):
    assert in_words(size) == words


def test_space_is_reserved_with_and_without_the_systems_help(tmp_path, monkeypatch):
    for name in ("helped", "alone"):
        array = reserved_array(tmp_path / f"{name}.npy", (3, 100, 7000))
        assert os.stat(tmp_path / f"{name}.npy").st_blocks * 512 >= array.nbytes
        array[1, 4, 5] = 9
        array.flush()
        read = np.load(tmp_path / f"{name}.npy")
        assert read.shape == (3, 100, 7000) and read.sum() == 9 == read[1, 4, 5]
        monkeypatch.delattr(disk.os, "posix_fallocate", raising=False)


def test_an_error_that_is_none_of_the_disk_stays_itself(tmp_path):
    for error in (ValueError("data"), RuntimeError("model"), FileNotFoundError(errno.ENOENT, "no such file", "b")):
        with pytest.raises(type(error)) as caught, replacing(tmp_path / "a.txt"):
            raise error
        assert caught.value is error
    assert left(tmp_path) == []


def test_another_file_that_did_not_fit_is_named(tmp_path):
    with pytest.raises(DiskFull, match=r"^/elsewhere/b\.txt"), replacing(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device", "/elsewhere/b.txt")
    with pytest.raises(DiskFull, match=r"^b\.txt"), replacing(tmp_path / "a.txt"):
        raise DiskFull("b.txt", 5)


def test_processes_hand_it_on():
    again = pickle.loads(pickle.dumps(DiskFull("a", 5000)))
    assert str(again) == str(DiskFull("a", 5000)) and again.missing == 5000


def test_what_killed_processes_left_is_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = [part_name(tmp_path / file, pid) for file, pid in (("a.txt", os.getppid()), ("ab.txt", ended.pid))]
    names.append(f".a.part_elsewhere_{ended.pid}.txt")  # of another machine, where it may live
    for name in (part_name(tmp_path / "a.txt", ended.pid), *names):
        (tmp_path / name).touch()
    with replacing(tmp_path / "a.txt") as part:
        part.write_text("new")
    assert left(tmp_path) == sorted(["a.txt", *names])


def test_two_processes_that_write_one_file_leave_one_whole(tmp_path):
    code = (
        "import sys; sys.path[:0] = sys.argv[3:]; from fewpose.disk import replacing\n"
        "for _ in range(40):\n"
        "    with replacing(sys.argv[1]) as part, open(part, 'w') as file:\n"
        "        for _ in range(100): file.write(sys.argv[2]); file.flush()"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.txt"), letter, *sys.path]) for letter in "xy"
    ]
    found = set()
    while any(writer.poll() is None for writer in writers):
        with contextlib.suppress(FileNotFoundError):
            found.add((tmp_path / "a.txt").read_text())
    assert [writer.wait() for writer in writers] == [0, 0]
    assert found <= {"x" * 100, "y" * 100} and found
    assert left(tmp_path) == ["a.txt"]


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def none(self, *_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(disk.FileLock, "acquire", none)
    with (
        pytest.raises(OSError, match=r"\.lock: this file system has no locks, .* local disk"),
        lock(tmp_path / ".lock"),
    ):
        pass


def test_bytes_are_written_as_they_are(tmp_path):
    write_bytes(tmp_path / "a.bin", b"\r\n\x00")
    write_text(tmp_path / "ä.txt", "ö\n")
    assert (tmp_path / "a.bin").read_bytes() == b"\r\n\x00" and (tmp_path / "ä.txt").read_bytes() == "ö\n".encode()
