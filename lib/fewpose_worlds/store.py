"""A world's cache folder, frames.npy, annotations.json (COCO keypoints) and world.json, and how it is filled.

The folder appears when it is whole; world.json holds the frames' parameters: with others it is rendered again.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm.auto import tqdm

from fewpose.data.images import write_image
from fewpose.data.multi_person import PeopleData
from fewpose.data.pose_data import PoseData
from fewpose.disk import reserved_array, write_text
from fewpose.made_once import made_once
from fewpose.skeleton import Skeleton
from fewpose.speed.threads import cores

# What a task renders: frames uint8 [n,3,H,W]; for each frame a dict (video_id, frame, split) and the list of its
# people, dicts from `annotation`.
Rendered = tuple[np.ndarray, list[dict], list[list[dict]]]


def annotation(keypoints: np.ndarray, box, area: float, keypoints3d: np.ndarray, main: bool | None) -> dict:
    """A COCO annotation of one person.

    keypoints [K,3] pixels and visibility, box x, y, width, height in pixels, area in square pixels, keypoints3d [K,3]
    millimetres in the camera frame. main: whether this is the frame's main person; None where all people count alike,
    then keypoints have enough digits for keypoints3d to project onto them.
    """
    digits, role = (3, {}) if main is None else (0, {"main": bool(main)})
    return {
        "category_id": 1,
        "iscrowd": 0,
        **role,
        "keypoints": np.round(keypoints, 2 + digits).ravel().tolist(),
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "bbox": np.round(box, 2).tolist(),
        "area": round(float(area), 1),
        "keypoints3d": np.round(keypoints3d, 1 + digits).ravel().tolist(),
    }


def random_splits(rng: np.random.Generator, count: int, ratio: np.ndarray) -> list[str]:
    """The split of each of `count` items: train, val and test at random in a ratio [3] of sum 1, none empty."""
    counts = np.maximum(np.round(count * ratio).astype(int), 1)
    counts[0] = count - counts[1:].sum()
    return rng.permutation(np.repeat(["train", "val", "test"], counts)).tolist()


def even_shares(total: int, parts: int) -> list[int]:
    """`total` divided into `parts` whole numbers that differ by 1 at most, larger ones first."""
    return [total // parts + (i < total % parts) for i in range(parts)]


def main_people(frames: np.ndarray, coco: dict, skeleton: Skeleton, name: str) -> PoseData:
    """The main person of each frame [N,3,H,W] of a COCO dict."""
    poses = np.zeros((len(frames), len(skeleton), 3), np.float32)
    for one in coco["annotations"]:
        if one["main"]:
            poses[one["image_id"]] = np.reshape(one["keypoints"], (-1, 3))
    video, split = (np.array([image[key] for image in coco["images"]]) for key in ("video_id", "split"))
    return PoseData(torch.from_numpy(frames), torch.from_numpy(poses), skeleton, video, split, name=name)


def all_people(frames: np.ndarray, coco: dict, skeleton: Skeleton, name: str) -> PeopleData:
    """Everybody in each frame [N,3,H,W] of a COCO dict, with the cameras given by its images."""

    def of_images(key: str) -> np.ndarray:
        return np.array([image[key] for image in coco["images"]])

    n, k = len(frames), len(skeleton)
    return PeopleData(
        frames=torch.from_numpy(frames),
        boxes=boxes_of_frames(coco, n),
        keypoints=values_of_frames(coco, n, "keypoints", k, 3),
        keypoints3d=values_of_frames(coco, n, "keypoints3d", k, 3),
        areas=values_of_frames(coco, n, "area"),
        person=[numbers.long() for numbers in values_of_frames(coco, n, "person_id")],
        cameras=torch.from_numpy(of_images("camera_matrix")).float(),
        to_room=torch.from_numpy(of_images("camera_to_room")).float(),
        day=of_images("video_id"),
        moment=of_images("moment"),
        view=of_images("view"),
        split=of_images("split"),
        image_id=of_images("id"),
        skeleton=skeleton,
        name=name,
    )


def values_of_frames(coco: dict, frames: int, key: str, *shape: int) -> list[torch.Tensor]:
    """One value of the annotations of each frame of a COCO dict: tensors [P, *shape] float32."""
    values: list[list] = [[] for _ in range(frames)]
    for one in coco["annotations"]:
        values[one["image_id"]].append(one[key])
    return [torch.tensor(group, dtype=torch.float32).reshape(len(group), *shape) for group in values]


def boxes_of_frames(coco: dict, frames: int) -> list[torch.Tensor]:
    """The boxes [P, 4] (corners, pixels) of each frame of a COCO dict."""
    boxes = values_of_frames(coco, frames, "bbox", 4)
    for box in boxes:
        box[:, 2:] += box[:, :2]
    return boxes


# Makes data of frames, COCO dict, skeleton and name.
Assemble = Callable[[np.ndarray, dict, Skeleton, str], PoseData | PeopleData]


def generate(
    render: Callable[..., Rendered],
    tasks: Iterable[tuple],
    skeleton: Skeleton,
    parameters: dict,
    cache: Path | None,
    prepare: Callable[[], None] = lambda: None,
    assemble: Assemble = main_people,
    few: int | None = None,
) -> PoseData | PeopleData:
    """Render a world, or read it if the folder `cache` already holds it; the data are what `assemble` makes.

    render(*task) makes some of the frames and depends on its task alone; tasks run in worker processes, unless they
    are fewer than `few` (FEW_TASKS), and are joined in order. parameters hold all that the frames depend on, among it
    `name`, `frames` and `size` (one number or height and width). prepare() is called once before.
    """
    if cache is None:
        prepare()
        frames = np.empty(_shape(parameters), np.uint8)
        return assemble(frames, _render(render, tasks, skeleton, parameters, frames, few), skeleton, parameters["name"])
    with made_once(cache, lambda: _is_complete(cache, parameters), math.prod(_shape(parameters))) as folder:
        if folder is not None:
            prepare()
            folder.mkdir()
            frames = reserved_array(folder / "frames.npy", _shape(parameters))
            coco = _render(render, tasks, skeleton, parameters, frames, few)
            frames.flush()
            del frames  # Windows moves no folder with an open file
            (folder / "annotations.json").write_text(json.dumps(coco), encoding="utf-8")
            (folder / "world.json").write_text(json.dumps(parameters, indent=1), encoding="utf-8")
    return read(cache, skeleton, assemble)


def _shape(parameters: dict) -> tuple[int, int, int, int]:
    size = parameters["size"]
    return parameters["frames"], 3, *((size, size) if isinstance(size, int) else size)


def _render(
    render: Callable[..., Rendered],
    tasks: Iterable[tuple],
    skeleton: Skeleton,
    parameters: dict,
    store: np.ndarray,
    few: int | None,
) -> dict:
    """Render a world's frames into `store`; its COCO dict."""
    frames, _, height, width = store.shape
    name, images, annotations = parameters["name"], [], []
    with tqdm(total=frames, desc=f"world {name}", unit="frame", leave=False) as bar:
        for rendered, metadata, people in in_order(render, list(tasks), few or FEW_TASKS):
            for pixels, about, annotated in zip(rendered, metadata, people, strict=True):
                number = len(images)
                store[number] = pixels
                images.append(dict(id=number, file_name=f"{number:06d}.jpg", width=width, height=height, **about))
                for one in annotated:
                    annotations.append({"id": len(annotations), "image_id": number, **one})
            bar.update(len(rendered))
    if len(images) != frames:
        raise RuntimeError(f"world {name}: {len(images)} of {frames} frames rendered")
    limbs = [[a + 1, b + 1] for a, b in skeleton.limb_index]
    return {
        "info": {"description": f"fewpose world {name}"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(skeleton.keypoints), "skeleton": limbs}],
    }


def read(cache: Path, skeleton: Skeleton, assemble: Assemble = main_people) -> PoseData | PeopleData:
    """The data of a complete world's folder, frames memory-mapped."""
    coco, parameters = (
        json.loads((cache / name).read_text(encoding="utf-8")) for name in ("annotations.json", "world.json")
    )
    frames = np.load(cache / "frames.npy", mmap_mode="c")  # private: a write never reaches the file
    return assemble(frames, coco, skeleton, parameters["name"])


def export_images(cache: Path, out: Path) -> None:
    """Write a world's frames as images/*.jpg and its annotations.json to the folder `out`."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    coco = json.loads((cache / "annotations.json").read_text(encoding="utf-8"))
    frames = np.load(cache / "frames.npy", mmap_mode="r")
    for image in tqdm(coco["images"], desc="images", unit="frame", leave=False):
        write_image(out / "images" / image["file_name"], frames[image["id"]].transpose(1, 2, 0))
    write_text(out / "annotations.json", json.dumps(coco))


def _is_complete(cache: Path, parameters: dict) -> bool:
    try:
        return json.loads((cache / "world.json").read_text(encoding="utf-8")) == parameters
    except (FileNotFoundError, json.JSONDecodeError):
        return False


BLAS = "OPENBLAS_NUM_THREADS"
FEW_TASKS = 12  # fewer take less time than starting processes and loading the body model


def _start() -> None:
    """Prepare a process: it computes with one thread, and ends with its parent."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()  # without this a killed parent's processes wait for work for ever
    os._exit(1)


def workers() -> int:
    """The number of processes that render: one for each core, 16 at most; 1 if the cores are unknown."""
    return min(cores() or 1, 16)


def processes() -> ProcessPoolExecutor:
    """`workers` processes of one thread each, started.

    An executor, not a Pool: if a worker is killed, the executor raises, a Pool waits for ever. Spawned, not forked: a
    fork hangs once torch has used OpenMP's threads in this process.
    """
    executor = ProcessPoolExecutor(workers(), multiprocessing.get_context("spawn"), _start)
    # NumPy's BLAS reads its number of threads when it is loaded. With several in each process there are more threads
    # than cores, and the small products of `body` take ten times as long.
    before = os.environ.get(BLAS)
    os.environ[BLAS] = "1"
    for _ in range(workers()):
        executor.submit(int)  # starts a process if none is idle
    if before is None:
        del os.environ[BLAS]
    else:
        os.environ[BLAS] = before
    return executor


def in_order(call: Callable, tasks: list[tuple], few: int = FEW_TASKS) -> Iterable:
    """The results of call(*task) in the order of the tasks; `few` or more run in processes."""
    if workers() < 2 or len(tasks) < few:
        yield from (call(*task) for task in tasks)
        return
    executor = processes()
    try:
        yield from executor.map(call, *zip(*tasks, strict=True))
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a rendering process died: out of memory, or a script without "
            '`if __name__ == "__main__":`, which each process imports again'
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)
