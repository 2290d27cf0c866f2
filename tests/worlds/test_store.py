import json
import multiprocessing
import os
import signal

import cv2
import numpy as np
import pytest
import torch

from fewpose.skeleton import COCO
from fewpose_worlds import store

PARAMETERS = {"name": "toy", "version": 1, "frames": 7, "size": 32, "seed": 4}
calls = []


def make(number: int, frames: int) -> store.Rendered:
    """Frames as grey as their number; two people, the second is the main one."""
    calls.append(number)
    pose = np.full((17, 3), (number, 3.0, 2.0))
    behind = store.annotation(pose + 1, [0, 0, 4, 4], 16, pose, False)
    main = store.annotation(pose, [1, 2, 3, 4], 12, pose, True)
    metadata = [{"video_id": f"v{number}", "frame": f, "split": "train"} for f in range(frames)]
    return np.full((frames, 3, 32, 32), number, np.uint8), metadata, [[behind, main]] * frames


def die(number: int) -> store.Rendered:
    os.kill(os.getpid(), signal.SIGKILL)


def toy(cache, tasks=((0, 2), (1, 2), (2, 2), (3, 1)), parameters=PARAMETERS):
    return store.generate(make, tasks, COCO, parameters, cache)


def test_the_folder_holds_frames_coco_and_the_parameters(tmp_path):
    data = toy(tmp_path)
    assert data.frames[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3]  # in order
    assert data.poses[6, 0].tolist() == [3, 3, 2]  # the main person's
    assert data.video.tolist() == ["v0", "v0", "v1", "v1", "v2", "v2", "v3"]
    coco = json.loads((tmp_path / "annotations.json").read_text())
    assert [a["id"] for a in coco["annotations"]] == list(range(14))
    one = coco["annotations"][13]
    assert one["bbox"] == [1, 2, 3, 4] and one["num_keypoints"] == 17 and one["image_id"] == 6
    assert len(one["keypoints"]) == len(one["keypoints3d"]) == 51
    assert coco["categories"][0]["keypoints"] == list(COCO.keypoints)
    assert json.loads((tmp_path / "world.json").read_text()) == PARAMETERS


def test_a_finished_world_is_read_and_another_is_made_anew(tmp_path):
    first = toy(tmp_path, tasks=((0, 7),))
    calls.clear()
    again = toy(tmp_path, tasks=((0, 7),))
    assert not calls and (again.frames == first.frames).all()
    toy(tmp_path, tasks=((5, 7),), parameters={**PARAMETERS, "seed": 5})
    assert calls == [5]
    (tmp_path / "world.json").write_text("{")  # a write that was cut off
    toy(tmp_path, tasks=((6, 7),))
    assert calls == [5, 6]


def test_memory_and_folder_give_the_same_and_reading_never_writes(tmp_path):
    kept, free = toy(tmp_path), toy(None)
    assert (kept.frames == free.frames).all() and (kept.poses == free.poses).all()
    kept.frames[0] = 9
    assert (store.read(tmp_path, COCO).frames[0] == 0).all()


def test_an_unfinished_world_is_refused_and_a_killed_worker_reported(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="2 of 3"):
        store.generate(make, [(0, 2)], COCO, {**PARAMETERS, "frames": 3}, tmp_path)
    monkeypatch.setattr(store, "workers", lambda: 2)
    with pytest.raises(RuntimeError, match="out of memory"):
        n = store.FEW_TASKS
        store.generate(die, [(i,) for i in range(n)], COCO, {**PARAMETERS, "frames": n}, tmp_path)
    assert not (tmp_path / "world.json").exists()


def test_export_writes_what_cv2_reads(tmp_path):
    toy(tmp_path / "cache")
    store.export_images(tmp_path / "cache", tmp_path / "out")
    names = [i["file_name"] for i in json.loads((tmp_path / "out/annotations.json").read_text())["images"]]
    assert sorted(p.name for p in (tmp_path / "out/images").iterdir()) == sorted(names)
    assert abs(int(cv2.imread(str(tmp_path / "out/images" / names[-1]))[0, 0, 0]) - 3) <= 1


def threads(meeting) -> tuple[int, str | None, int, int]:
    meeting.wait(240)  # for the other process: alone, none gets past its first task
    return os.getpid(), os.getenv(store.BLAS), torch.get_num_threads(), cv2.getNumThreads()


def test_every_process_has_one_thread(monkeypatch):
    monkeypatch.setattr(store, "workers", lambda: 2)
    monkeypatch.setenv(store.BLAS, "7")
    with multiprocessing.get_context("spawn").Manager() as manager, store.processes() as executor:
        found = set(executor.map(threads, [manager.Barrier(2)] * 2))
    assert len(found) == 2 and {process[1:] for process in found} == {("1", 1, 1)}
    assert os.environ[store.BLAS] == "7"
