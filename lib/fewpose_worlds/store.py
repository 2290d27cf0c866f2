"""The folder a world is kept in: frames.npy, annotations.json (COCO keypoints) and world.json.

world.json is written last and says which parameters the frames were made with, so a folder without it, or with
others, is made anew.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm.auto import tqdm

from fewpose.data.multi_person import PeopleData
from fewpose.data.pose_data import PoseData
from fewpose.skeleton import Skeleton
from fewpose.speed.threads import cores

# A task's result: frames uint8 [n,3,H,W]; for each frame a dict (video_id, frame, split) and the list of its people
# as dicts from `person`.
Made = tuple[np.ndarray, list[dict], list[list[dict]]]


def person(keypoints: np.ndarray, box, area: float, keypoints3d: np.ndarray, main: bool | None) -> dict:
    """One COCO annotation: keypoints [K,3] pixels and visibility, box x, y, width, height in
    pixels, area in square pixels, keypoints3d [K,3] millimetres in the camera frame.

    main says whether the frame is this person's; None where all people of a frame count alike, and digits suffice to
    project keypoints3d onto the keypoints again.
    """
    fine = 0 if main is not None else 3
    said = {} if main is None else {"main": bool(main)}
    return {
        "category_id": 1,
        "iscrowd": 0,
        **said,
        "keypoints": np.round(keypoints, 2 + fine).ravel().tolist(),
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "bbox": np.round(box, 2).tolist(),
        "area": round(float(area), 1),
        "keypoints3d": np.round(keypoints3d, 1 + fine).ravel().tolist(),
    }


def main_people(frames: np.ndarray, coco: dict, skeleton: Skeleton, name: str) -> PoseData:
    """The main person of each frame [N,3,H,W] of a COCO dict."""
    poses = np.zeros((len(frames), len(skeleton), 3), np.float32)
    for annotation in coco["annotations"]:
        if annotation["main"]:
            poses[annotation["image_id"]] = np.reshape(annotation["keypoints"], (-1, 3))
    return PoseData(
        frames=torch.from_numpy(frames),
        poses=torch.from_numpy(poses),
        skeleton=skeleton,
        video=np.array([image["video_id"] for image in coco["images"]]),
        split=np.array([image["split"] for image in coco["images"]]),
        name=name,
    )


def all_people(frames: np.ndarray, coco: dict, skeleton: Skeleton, name: str) -> PeopleData:
    """Everybody in each frame [N,3,H,W] of a COCO dict, with the cameras its images name."""
    people: list[list[dict]] = [[] for _ in frames]
    for annotation in coco["annotations"]:
        people[annotation["image_id"]].append(annotation)

    def stacked(key: str, *shape: int) -> list[torch.Tensor]:
        return [
            torch.tensor([one[key] for one in group], dtype=torch.float64).reshape(len(group), *shape).float()
            for group in people
        ]

    boxes = stacked("bbox", 4)
    for box in boxes:
        box[:, 2:] += box[:, :2]
    images, k = coco["images"], len(skeleton)
    return PeopleData(
        frames=torch.from_numpy(frames),
        boxes=boxes,
        keypoints=stacked("keypoints", k, 3),
        keypoints3d=stacked("keypoints3d", k, 3),
        areas=stacked("area"),
        person=[group.long() for group in stacked("person_id")],
        cameras=torch.tensor([image["camera_matrix"] for image in images]),
        to_room=torch.tensor([image["camera_to_room"] for image in images]),
        day=np.array([image["video_id"] for image in images]),
        moment=np.array([image["moment"] for image in images]),
        view=np.array([image["view"] for image in images]),
        split=np.array([image["split"] for image in images]),
        image_id=np.array([image["id"] for image in images]),
        skeleton=skeleton,
        name=name,
    )


def people_of(coco: dict, frames: int, k: int) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
    """Boxes [P, 4] (corners), keypoints and keypoints3d [P, k, 3] of each frame of a COCO dict."""
    people: list[list[dict]] = [[] for _ in range(frames)]
    for annotation in coco["annotations"]:
        people[annotation["image_id"]].append(annotation)
    parts = tuple(
        [torch.tensor([one[key] for one in group], dtype=torch.float32).reshape(len(group), *shape) for group in people]
        for key, shape in (("bbox", (4,)), ("keypoints", (k, 3)), ("keypoints3d", (k, 3)))
    )
    for box in parts[0]:
        box[:, 2:] += box[:, :2]
    return parts


# How a world's frames and COCO dict become data in memory.
Form = Callable[[np.ndarray, dict, Skeleton, str], PoseData | PeopleData]


def generate(
    work: Callable[..., Made],
    tasks: Iterable[tuple],
    frames: int,
    size: int | tuple[int, int],
    skeleton: Skeleton,
    parameters: dict,
    cache: Path | None,
    prepare: Callable[[], None] = lambda: None,
    form: Form = main_people,
    few: int | None = None,
) -> PoseData | PeopleData:
    """Make a world, or read it where the folder `cache` already holds it, in memory as `form` says.

    size is the height and width of the frames, or one number for both.

    work(*task) makes some frames and depends on its task alone; tasks run in processes of their own, unless they are
    fewer than `few` (FEW_TASKS), and are put together in order. parameters must say all that the frames depend on,
    `name` included. prepare() is called once before, so that one process fills slow caches.
    """
    if cache is not None and _is_made(Path(cache), parameters):
        return read(cache, skeleton, form)
    prepare()
    height, width = (size, size) if isinstance(size, int) else size
    shape = (frames, 3, height, width)
    if cache is None:
        store = np.empty(shape, np.uint8)
    else:
        cache = Path(cache)
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "world.json").unlink(missing_ok=True)
        store = np.lib.format.open_memmap(cache / "frames.npy", "w+", np.uint8, shape)
    images: list[dict] = []
    annotations: list[dict] = []
    with tqdm(total=frames, desc=f"world {parameters['name']}", unit="frame", leave=False) as bar:
        for made, about, people in in_order(work, list(tasks), few or FEW_TASKS):
            for picture, image, persons in zip(made, about, people, strict=True):
                number = len(images)
                store[number] = picture
                images.append(
                    {"id": number, "file_name": f"{number:06d}.jpg", "width": width, "height": height, **image}
                )
                for one in persons:
                    annotations.append({"id": len(annotations), "image_id": number, **one})
            bar.update(len(made))
    if len(images) != frames:
        raise RuntimeError(f"world {parameters['name']}: {len(images)} of {frames} frames made")
    coco = {
        "info": {"description": f"fewpose world {parameters['name']}"},
        "images": images,
        "annotations": annotations,
        "categories": [
            {
                "id": 1,
                "name": "person",
                "keypoints": list(skeleton.keypoints),
                "skeleton": [[a + 1, b + 1] for a, b in skeleton.limb_index],
            }
        ],
    }
    if cache is None:
        return form(store, coco, skeleton, parameters["name"])
    store.flush()
    del store
    (cache / "annotations.json").write_text(json.dumps(coco))
    unfinished = cache / "world.json.part"
    unfinished.write_text(json.dumps(parameters, indent=1))
    os.replace(unfinished, cache / "world.json")
    return read(cache, skeleton, form)


def read(cache: Path, skeleton: Skeleton, form: Form = main_people) -> PoseData | PeopleData:
    """The data of a finished world's folder, frames memory-mapped.

    RuntimeError if the folder holds no finished world.
    """
    cache = Path(cache)
    for name in ("world.json", "annotations.json", "frames.npy"):
        if not (cache / name).is_file():
            raise RuntimeError(f"{cache}: no finished world here ({name} is missing); make it anew")
    coco = json.loads((cache / "annotations.json").read_text())
    parameters = json.loads((cache / "world.json").read_text())
    frames = np.load(cache / "frames.npy", mmap_mode="c")  # private: a write never reaches the file
    return form(frames, coco, skeleton, parameters["name"])


def export_images(cache: Path, out: Path) -> None:
    """Write a world's frames as images/*.jpg beside its annotations.json, for other programs."""
    cache, out = Path(cache), Path(out)
    (out / "images").mkdir(parents=True, exist_ok=True)
    coco = json.loads((cache / "annotations.json").read_text())
    frames = np.load(cache / "frames.npy", mmap_mode="r")
    for image in tqdm(coco["images"], desc="images", unit="frame", leave=False):
        picture = np.ascontiguousarray(frames[image["id"]].transpose(1, 2, 0)[..., ::-1])
        path = out / "images" / image["file_name"]
        if not cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 95]):
            raise RuntimeError(f"{path}: the image could not be written")
    (out / "annotations.json").write_text(json.dumps(coco))


def _is_made(cache: Path, parameters: dict) -> bool:
    path = cache / "world.json"
    try:
        return json.loads(path.read_text()) == parameters
    except (FileNotFoundError, json.JSONDecodeError):
        return False


BLAS = "OPENBLAS_NUM_THREADS"
FEW_TASKS = 12  # fewer are done sooner than processes start and load the body model


def _one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def workers() -> int:
    """How many processes make frames: one a core, 16 at most, one where that is not known."""
    return min(cores() or 1, 16)


def processes() -> ProcessPoolExecutor:
    """`workers` processes of one thread each, started.

    An executor, not a Pool: where a worker is killed this one says so, a Pool waits for ever. Spawned, not forked:
    OpenMP's threads, once used by torch in this process, hang a fork.
    """
    executor = ProcessPoolExecutor(workers(), multiprocessing.get_context("spawn"), _one_thread)
    # NumPy's BLAS counts its threads when it is loaded. With several in each process they are more than there are
    # cores, and the small products of `body` take ten times as long.
    before = os.environ.get(BLAS)
    os.environ[BLAS] = "1"
    for _ in range(workers()):
        executor.submit(int)  # where none is idle yet, a task starts a process
    if before is None:
        del os.environ[BLAS]
    else:
        os.environ[BLAS] = before
    return executor


def in_order(work: Callable, tasks: list[tuple], few: int = FEW_TASKS) -> Iterable:
    """The results of work(*task), in the order of the tasks; `few` or more in processes."""
    if workers() < 2 or len(tasks) < few:
        yield from (work(*task) for task in tasks)
        return
    executor = processes()
    try:
        yield from executor.map(work, *zip(*tasks, strict=True))
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a process that made frames died: out of memory, or a script without "
            '`if __name__ == "__main__":`, which each such process reads anew'
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)
