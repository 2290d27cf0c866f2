"""Realism of the operating room, measured: networks that never saw it find the clinicians."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fewpose.metrics.pck import pck
from fewpose_report.realism import realism_of_people
from fewpose_worlds import worlds
from worlds.test_realism import WEIGHTS

YOLOX = WEIGHTS.with_name("yolox_tiny_humanart_416.onnx")
absent = [str(path) for path in (WEIGHTS, YOLOX) if not Path(path).is_file()]


def detect(frames: np.ndarray) -> list[np.ndarray]:
    """YOLOX-tiny on frames [N,3,H,W]: of each frame boxes [D,5], x0 y0 x1 y1 and score."""
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(YOLOX), options, ["CPUExecutionProvider"])
    height, width = frames.shape[2:]
    scale = 416 / max(height, width)
    found = []
    for frame in frames:
        image = np.full((416, 416, 3), 114, np.uint8)
        size = round(width * scale), round(height * scale)
        small = cv2.resize(np.ascontiguousarray(frame.transpose(1, 2, 0)[..., ::-1]), size)
        image[: size[1], : size[0]] = small
        given = image.transpose(2, 0, 1)[None].astype(np.float32)
        boxes = session.run(None, {session.get_inputs()[0].name: given})[0][0]
        found.append(boxes / (scale, scale, scale, scale, 1))
    return found


def box_scores(people, found: list[np.ndarray]) -> np.ndarray:
    """pycocotools' twelve numbers for boxes found in each frame."""
    coco, cocoeval = (pytest.importorskip(f"pycocotools.{m}") for m in ("coco", "cocoeval"))

    def listed(frame: int, box, **more) -> dict:
        x0, y0, x1, y1 = map(float, box[:4])
        return {
            "image_id": frame + 1,
            "category_id": 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": 0,
            **more,
        }

    ground_truth, given = coco.COCO(), []
    wanted = [listed(i, box) for i, boxes in enumerate(people.boxes) for box in boxes]
    ground_truth.dataset = {
        "images": [{"id": i + 1} for i in range(len(people))],
        "categories": [{"id": 1}],
        "annotations": [{**one, "id": k + 1} for k, one in enumerate(wanted)],
    }
    ground_truth.createIndex()
    for i, boxes in enumerate(found):
        given += [listed(i, box, score=float(box[4])) for box in boxes]
    evaluation = cocoeval.COCOeval(ground_truth, ground_truth.loadRes(given), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


@pytest.mark.skipif(bool(absent), reason=f"not here: {', '.join(absent)}")
def test_real_networks_find_clinicians_and_their_poses():
    people = worlds.operating_room(18, seed=5, days=6)
    assert box_scores(people, detect(people.frames.numpy()))[1] >= 0.6  # AP50
    assert pck(realism_of_people(people, str(WEIGHTS)), at=0.2) >= 75
