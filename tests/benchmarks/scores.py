"""PCK, OKS and keypoint AP against loops over poses and against COCO evaluators."""

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

from .harness import Case, require, threads

LOOPED = 2000  # poses for the loops, whose time per pose is constant


def pck_case(poses: int = 100_000, looped: int = LOOPED) -> Case:
    """PCK@0.1 of many poses against a loop over poses and keypoints."""
    torch.manual_seed(0)
    ground_truth = 200 * torch.rand(poses, len(JUMP), 3)
    ground_truth[..., 2] = (torch.rand(poses, len(JUMP)) > 0.1) * 2.0
    predicted = ground_truth + 10 * torch.randn_like(ground_truth)
    few = predicted[:looped].numpy(), ground_truth[:looped].numpy()
    return Case(
        lambda: pck(normalised_distances(predicted, ground_truth, JUMP)),
        lambda: pck_loop(*few, JUMP),
        poses,
        "poses/s",
        f"a loop over poses and keypoints, {poses:,} poses of {len(JUMP)} "
        f"keypoints (the loop: {looped:,}), {threads()}",
        looped,
    )


def pck_loop(predicted: np.ndarray, ground_truth: np.ndarray, skeleton: Skeleton, at: float = 0.1) -> float:
    """PCK in percent of poses [N, K, 3], keypoint by keypoint."""
    correct = counted = 0
    for guess, pose in zip(predicted, ground_truth, strict=True):
        for a, b in REFERENCE:
            first, second = pose[skeleton.index(a)], pose[skeleton.index(b)]
            length = np.linalg.norm(first[:2] - second[:2])
            if first[2] > 0 and second[2] > 0 and length > 0:
                break
        else:
            continue
        for point, (x, y, visible) in zip(guess, pose, strict=True):
            if visible > 0:
                counted += 1
                correct += np.sqrt((point[0] - x) ** 2 + (point[1] - y) ** 2) / length <= at
    return 100 * correct / counted


def oks_case(poses: int = 100_000, looped: int = LOOPED) -> Case:
    """OKS of many pairs of poses against COCO's computation, pair by pair."""
    rng = np.random.default_rng(0)
    ground_truth = rng.uniform(0, 200, (poses, len(COCO), 3))
    ground_truth[..., 2] = (rng.random((poses, len(COCO))) > 0.1) * 2
    predicted = ground_truth + rng.normal(0, 10, ground_truth.shape)
    boxes = np.tile([0.0, 0, 200, 200], (poses, 1))
    areas = rng.uniform(1e4, 4e4, poses)
    every = predicted, ground_truth, boxes, areas
    few = [part[:looped] for part in every]
    return Case(
        lambda: oks(*every, COCO.sigmas),
        lambda: oks_loop(*few, COCO.sigmas),
        poses,
        "poses/s",
        f"COCO's loop over pairs, {poses:,} pairs of {len(COCO)} keypoints (the loop: {looped:,}), 1 thread",
        looped,
    )


def oks_loop(predicted, ground_truth, boxes, areas, sigmas) -> np.ndarray:
    """OKS [N] as pycocotools computes it; arguments as of `metrics.oks.oks`."""
    similarity = np.zeros(len(ground_truth))
    variances = (np.array(sigmas) * 2) ** 2
    for i in range(len(ground_truth)):
        g = ground_truth[i].ravel()
        xg, yg, vg = g[0::3], g[1::3], g[2::3]
        d = predicted[i].ravel()
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


def keypoint_ap_case(library: str, images: int = 1000) -> Case:
    """COCO's ten keypoint statistics against an evaluator; RuntimeError if they differ."""
    ground_truth, detections = random_people(images)
    reference = {"pycocotools": pycocotools, "faster_coco_eval": faster_coco_eval}[library]
    theirs = reference(ground_truth, detections)
    mine, other = keypoint_ap(ground_truth, detections, COCO.sigmas), theirs()
    difference = max(abs(mine[name] - value) for name, value in zip(KEYPOINTS, other, strict=True))
    if difference > 1e-9:
        raise RuntimeError(f"keypoint AP differs from that of {library} by {difference:.2g}")
    return Case(
        lambda: keypoint_ap(ground_truth, detections, COCO.sigmas),
        theirs,
        images,
        "images/s",
        f"{library}, {images} images, {len(ground_truth['annotations'])} people, "
        f"{len(detections)} detections, the same ten numbers",
    )


def random_people(images: int) -> tuple[dict, list[dict]]:
    """COCO ground truth with 0 to 4 people per image, and good and bad detections of each."""
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
    """COCO's statistics by pycocotools, from parsed JSON."""
    require("pycocotools")
    from pycocotools.coco import COCO as File
    from pycocotools.cocoeval import COCOeval

    return _evaluator(File, COCOeval, ground_truth, detections)


def faster_coco_eval(ground_truth: dict, detections: list[dict]) -> Callable[[], list[float]]:
    """COCO's statistics by faster-coco-eval, from parsed JSON."""
    from faster_coco_eval import COCO as File
    from faster_coco_eval import COCOeval_faster

    return _evaluator(File, COCOeval_faster, ground_truth, detections)


def _evaluator(file, evaluator, ground_truth: dict, detections: list[dict]) -> Callable[[], list[float]]:
    own = copy.deepcopy((ground_truth, detections))  # the evaluators write into their inputs

    def work() -> list[float]:
        with contextlib.redirect_stdout(io.StringIO()):
            dataset = file()
            dataset.dataset = own[0]
            dataset.createIndex()
            evaluation = evaluator(dataset, dataset.loadRes(own[1]), "keypoints")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return list(evaluation.stats[: len(KEYPOINTS)])

    return work
