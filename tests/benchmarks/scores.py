"""PCK, OKS and keypoint AP against loops over poses and against COCO's own evaluators."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable

import numpy as np
import torch

from fewpose.metrics.coco_ap import KEYPOINTS, keypoint_ap
from fewpose.metrics.oks import oks
from fewpose.metrics.pck import REFERENCE, normalised_distances, pck
from fewpose.skeleton import COCO, JUMP, Skeleton

from .harness import Line, needed, threads

LOOPED = 2000  # poses that the loops get, which take equally long for each


def pck_line(poses: int = 100_000, looped: int = LOOPED) -> Line:
    """PCK@0.1 of many poses against a loop over poses and keypoints."""
    torch.manual_seed(0)
    ground_truth = 200 * torch.rand(poses, len(JUMP), 3)
    ground_truth[..., 2] = (torch.rand(poses, len(JUMP)) > 0.1) * 2.0
    found = ground_truth + 10 * torch.randn_like(ground_truth)
    few = found[:looped].numpy(), ground_truth[:looped].numpy()
    return Line(
        lambda: pck(normalised_distances(found, ground_truth, JUMP)),
        lambda: pck_loop(*few, JUMP),
        poses,
        "poses/s",
        f"a loop over poses and keypoints, {poses:,} poses of {len(JUMP)} "
        f"keypoints (the loop: {looped:,}), {threads()}",
        looped,
    )


def pck_loop(found: np.ndarray, ground_truth: np.ndarray, skeleton: Skeleton, at: float = 0.1) -> float:
    """PCK in percent of poses [N, K, 3], pose by pose and keypoint by keypoint."""
    right = counted = 0
    for guess, pose in zip(found, ground_truth, strict=True):
        for a, b in REFERENCE:
            one, two = pose[skeleton.index(a)], pose[skeleton.index(b)]
            length = np.linalg.norm(one[:2] - two[:2])
            if one[2] > 0 and two[2] > 0 and length > 0:
                break
        else:
            continue
        for point, (x, y, visible) in zip(guess, pose, strict=True):
            if visible > 0:
                counted += 1
                right += np.sqrt((point[0] - x) ** 2 + (point[1] - y) ** 2) / length <= at
    return 100 * right / counted


def oks_line(poses: int = 100_000, looped: int = LOOPED) -> Line:
    """Similarity of many pairs of poses against COCO's computation, pair by pair."""
    rng = np.random.default_rng(0)
    ground_truth = rng.uniform(0, 200, (poses, len(COCO), 3))
    ground_truth[..., 2] = (rng.random((poses, len(COCO))) > 0.1) * 2
    found = ground_truth + rng.normal(0, 10, ground_truth.shape)
    boxes = np.tile([0.0, 0, 200, 200], (poses, 1))
    areas = rng.uniform(1e4, 4e4, poses)
    every = found, ground_truth, boxes, areas
    few = [part[:looped] for part in every]
    return Line(
        lambda: oks(*every, COCO.sigmas),
        lambda: oks_loop(*few, COCO.sigmas),
        poses,
        "poses/s",
        f"COCO's loop over pairs, {poses:,} pairs of {len(COCO)} keypoints (the loop: {looped:,}), 1 thread",
        looped,
    )


def oks_loop(found, ground_truth, boxes, areas, sigmas) -> np.ndarray:
    """Similarity [N] as pycocotools computes it; arguments as of `evaluation.oks.oks`."""
    similarity = np.zeros(len(ground_truth))
    variances = (np.array(sigmas) * 2) ** 2
    for i in range(len(ground_truth)):
        g = ground_truth[i].ravel()
        xg, yg, vg = g[0::3], g[1::3], g[2::3]
        d = found[i].ravel()
        xd, yd = d[0::3], d[1::3]
        if np.count_nonzero(vg > 0) > 0:
            dx, dy = xd - xg, yd - yg
        else:
            x, y, w, h = boxes[i]
            zero = np.zeros(len(sigmas))
            dx = np.max((zero, x - w - xd), axis=0) + np.max((zero, xd - (x + 2 * w)), axis=0)
            dy = np.max((zero, y - h - yd), axis=0) + np.max((zero, yd - (y + 2 * h)), axis=0)
        e = (dx**2 + dy**2) / variances / (areas[i] + np.spacing(1)) / 2
        if np.count_nonzero(vg > 0) > 0:
            e = e[vg > 0]
        similarity[i] = np.sum(np.exp(-e)) / e.shape[0]
    return similarity


def keypoint_ap_line(library: str, images: int = 1000) -> Line:
    """COCO's ten numbers for keypoints against an evaluator; RuntimeError if they differ."""
    ground_truth, detections = people_to_find(images)
    reference = {"pycocotools": pycocotools, "faster_coco_eval": faster_coco_eval}[library]
    theirs = reference(ground_truth, detections)
    mine, other = keypoint_ap(ground_truth, detections, COCO.sigmas), theirs()
    apart = max(abs(mine[name] - value) for name, value in zip(KEYPOINTS, other, strict=True))
    if apart > 1e-9:
        raise RuntimeError(f"keypoint AP differs from that of {library} by {apart:.2g}")
    return Line(
        lambda: keypoint_ap(ground_truth, detections, COCO.sigmas),
        theirs,
        images,
        "images/s",
        f"{library}, {images} images, {len(ground_truth['annotations'])} people, "
        f"{len(detections)} detections, the same ten numbers",
    )


def people_to_find(images: int) -> tuple[dict, list[dict]]:
    """COCO ground truth with 0 to 4 people an image, and better and worse detections of each."""
    rng = np.random.default_rng(0)
    annotations, detections = [], []
    for image in range(images):
        for _ in range(rng.integers(0, 5)):
            corner, size = rng.uniform(0, (500, 340)), rng.uniform(40, 140, 2)
            pose = np.concatenate([corner + rng.random((17, 2)) * size, np.full((17, 1), 2.0)], 1)
            pose[rng.random(17) < 0.2] = 0
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": [*corner.tolist(), *size.tolist()],
                    "area": float(size.prod() * 0.6),
                    "keypoints": pose.ravel().tolist(),
                    "num_keypoints": int((pose[:, 2] > 0).sum()),
                }
            )
            for _ in range(rng.integers(1, 4)):
                guess = pose.copy()
                guess[:, :2] += rng.normal(0, 10 ** rng.uniform(-0.5, 1.5), (17, 2))
                detections.append(
                    {
                        "image_id": image,
                        "category_id": 1,
                        "score": float(rng.random()),
                        "keypoints": guess.ravel().tolist(),
                    }
                )
    ground_truth = {
        "images": [{"id": i} for i in range(images)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    return ground_truth, detections


def pycocotools(ground_truth: dict, detections: list[dict]) -> Callable[[], list[float]]:
    """The stats by pycocotools, from parsed JSON on."""
    needed("pycocotools")
    from pycocotools.coco import COCO as File
    from pycocotools.cocoeval import COCOeval

    return _evaluator(File, COCOeval, ground_truth, detections)


def faster_coco_eval(ground_truth: dict, detections: list[dict]) -> Callable[[], list[float]]:
    """The stats by faster-coco-eval, from parsed JSON on."""
    from faster_coco_eval import COCO as File
    from faster_coco_eval import COCOeval_faster

    return _evaluator(File, COCOeval_faster, ground_truth, detections)


def _evaluator(file, evaluator, ground_truth: dict, detections: list[dict]) -> Callable[[], list[float]]:
    kept = copy.deepcopy((ground_truth, detections))  # they write into what they are given

    def work() -> list[float]:
        with contextlib.redirect_stdout(io.StringIO()):
            true = file()
            true.dataset = kept[0]
            true.createIndex()
            judge = evaluator(true, true.loadRes(kept[1]), "keypoints")
            judge.evaluate()
            judge.accumulate()
            judge.summarize()
        return list(judge.stats[: len(KEYPOINTS)])

    return work
