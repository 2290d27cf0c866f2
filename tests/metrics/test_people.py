"""The metrics of found people against COCO's evaluator, and their bootstrap against repetition."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fewpose.metrics.coco_ap import box_ap, keypoint_ap
from fewpose.metrics.people import METRICS, evaluate
from fewpose.skeleton import COCO


def people(frames=12, limit=6, seed=0, decimals=2, twins=False):
    """Random true people (a day has three frames), some without keypoints, and what is found."""
    rng = np.random.default_rng(seed)
    parts = {name: [] for name in ("boxes", "keypoints", "keypoints3d", "areas")}
    found = []
    for _ in range(frames):
        p = rng.integers(0, limit, endpoint=True)
        low, size = rng.uniform(0, 400, (p, 2)), rng.uniform(20, 200, (p, 2))
        poses = np.zeros((p, 17, 3))
        poses[..., :2] = low[:, None] + rng.uniform(0, 1, (p, 17, 2)) * size[:, None]
        poses[..., 2] = rng.integers(0, 3, (p, 17)) * (rng.random((p, 1)) > 0.1)
        joints = rng.uniform(-800, 800, (p, 17, 3)) + np.array([0, 0, 3000])
        boxes = np.concatenate([low, low + size], 1)
        values = boxes, poses, joints, size.prod(1) * 0.5
        for part, value in zip(parts.values(), values, strict=True):
            part.append(torch.tensor(value, dtype=torch.float32))
        of = np.repeat(np.arange(p), rng.integers(0, 3, p) if p else 0)
        if twins:
            of = np.repeat(of, 2)
        error = 10 ** rng.uniform(-2, -0.5, (len(of), 1)) * size[of].max(1, initial=1)[:, None]
        shift = rng.normal(0, error, (len(of), 4)) if not twins else np.zeros((len(of), 4))
        guess = poses[of].copy()
        guess[..., :2] += rng.normal(0, error[..., None] / 2, (len(of), 17, 2))
        found.append(
            SimpleNamespace(
                boxes=torch.tensor(upright(boxes[of] + shift), dtype=torch.float32),
                scores=torch.tensor(rng.random(len(of)).round(decimals), dtype=torch.float32),
                keypoints=torch.tensor(guess, dtype=torch.float32),
                keypoints3d=torch.tensor(joints[of] + rng.normal(0, 60, (len(of), 17, 3)), dtype=torch.float32),
            )
        )
    day = np.array([f"day{i // 3}" for i in range(frames)])
    return found, SimpleNamespace(name="toy", day=day, skeleton=COCO, **parts)


def upright(boxes):
    """Boxes whose first corner is the upper left."""
    corners = np.sort(boxes.reshape(-1, 2, 2), axis=1)
    return corners.reshape(-1, 4)


def as_coco(found, ground_truth):
    """The same as COCO ground truth and results."""

    def box(values):
        x0, y0, x1, y1 = values.double().tolist()
        return [x0, y0, x1 - x0, y1 - y0]

    rows = [
        {
            "id": 1,
            "image_id": i,
            "category_id": 1,
            "bbox": box(ground_truth.boxes[i][p]),
            "area": float(ground_truth.areas[i][p]),
            "iscrowd": 0,
            "keypoints": ground_truth.keypoints[i][p].double().ravel().tolist(),
        }
        for i in range(len(found))
        for p in range(len(ground_truth.boxes[i]))
    ]
    results = [
        {
            "image_id": i,
            "category_id": 1,
            "bbox": box(one.boxes[d]),
            "score": float(one.scores[d]),
            "keypoints": one.keypoints[d].double().ravel().tolist(),
        }
        for i, one in enumerate(found)
        for d in range(len(one.boxes))
    ]
    return {"images": [{"id": i} for i in range(len(found))], "annotations": rows, "categories": [{"id": 1}]}, results


def nobody():
    return SimpleNamespace(
        boxes=torch.zeros(0, 4),
        scores=torch.zeros(0),
        keypoints=torch.zeros(0, 17, 3),
        keypoints3d=torch.zeros(0, 17, 3),
    )


def assert_equal_to_coco(found, ground_truth):
    evidence, (true, results) = evaluate(found, ground_truth), as_coco(found, ground_truth)
    for metric, expected in (
        ("box_ap", box_ap(true, results)["AP"]),
        ("keypoint_ap", keypoint_ap(true, results, COCO.sigmas)["AP"]),
    ):
        value = evidence.value(metric)
        assert np.isnan(value) if expected == -1 else abs(value - 100 * expected) < 1e-9, metric
    return evidence


@pytest.mark.parametrize("seed", range(6))
def test_ap_equals_the_evaluator(seed):
    assert_equal_to_coco(*people(seed=seed))


@pytest.mark.parametrize(
    "options",
    [
        {"decimals": 0},
        {"twins": True},
        {"twins": True, "decimals": 0},
        {"limit": 0},
        {"limit": 1},
        {"frames": 1},
        {"frames": 2, "limit": 80},
        {"frames": 2, "limit": 80, "twins": True},
    ],
    ids=str,
)
def test_ap_equals_the_evaluator_in_hard_cases(options):
    for seed in range(2):
        assert_equal_to_coco(*people(seed=seed, **options))


def test_nothing_found_and_empty_frames():
    found, ground_truth = people()
    nothing = assert_equal_to_coco([nobody()] * 12, ground_truth)
    assert nothing.value("box_ap") == nothing.value("keypoint_ap") == 0
    assert np.isnan(nothing.value("mpjpe")) and np.isnan(nothing.samples("mpjpe")).all()
    assert (nothing.samples("box_ap", resamples=20) == 0).all()
    assert nothing.joints["one_to_one"].missed > 0
    assert_equal_to_coco([*found[:6], *[nobody()] * 6], ground_truth)
    for part in ("boxes", "keypoints", "keypoints3d", "areas"):
        setattr(ground_truth, part, [value[:0] for value in getattr(ground_truth, part)])
    blank = assert_equal_to_coco(found, ground_truth)
    assert np.isnan(blank.value("box_ap")) and np.isnan(blank.samples("box_ap")).all()


def test_a_resample_is_the_evaluation_of_repeated_days():
    found, ground_truth = people(frames=9, seed=3, decimals=7)  # three days, no ties
    evidence = evaluate(found, ground_truth)
    for metric in METRICS:
        samples = evidence.samples(metric, resamples=20, seed=5)
        drawn = np.random.default_rng(5).integers(0, 3, (20, 3))
        for r in range(0, 20, 4):
            frames = [3 * day + i for day in drawn[r] for i in range(3)]
            again = SimpleNamespace(name="again", day=ground_truth.day[frames], skeleton=COCO)
            for part in ("boxes", "keypoints", "keypoints3d", "areas"):
                setattr(again, part, [getattr(ground_truth, part)[i] for i in frames])
            repeated = evaluate([found[i] for i in frames], again).value(metric)
            assert samples[r] == pytest.approx(repeated, abs=1e-9)


def test_resamples_are_seeded_and_paired():
    found, ground_truth = people(frames=30, seed=2)
    evidence = evaluate(found, ground_truth)
    samples = evidence.samples("keypoint_ap", resamples=200)
    assert np.array_equal(samples, evidence.samples("keypoint_ap", resamples=200))
    low, high = np.percentile(samples, [2.5, 97.5])
    assert low < evidence.value("keypoint_ap") < high
    half = evaluate([*found[:15], *[nobody()] * 15], ground_truth)  # never better, in any resample
    assert (half.samples("keypoint_ap", resamples=200) <= samples + 1e-9).all()


def test_perfect_people_and_3d_by_hand():
    _, ground_truth = people(seed=4)
    for poses in ground_truth.keypoints:
        poses[..., 2] = 2
    exact = [
        SimpleNamespace(boxes=b, scores=torch.ones(len(b)), keypoints=k, keypoints3d=d - 1000)
        for b, k, d in zip(ground_truth.boxes, ground_truth.keypoints, ground_truth.keypoints3d, strict=True)
    ]
    evidence = evaluate(exact, ground_truth)
    assert evidence.value("box_ap") == evidence.value("keypoint_ap") == pytest.approx(100)
    assert evidence.value("mpjpe") < 1e-3 and evidence.joints["one_to_one"].missed == 0
    for one in exact:  # a wrist 80 mm off is 10 mm of the mean over eight joints
        one.keypoints3d = one.keypoints3d.clone()
        one.keypoints3d[:, COCO.index("left_wrist"), 1] += 80
    evidence = evaluate(exact, ground_truth)
    assert evidence.value("mpjpe") == pytest.approx(10, abs=1e-3)
    assert evidence.value("mpjpe", "paper") == pytest.approx(10, abs=1e-3)
    np.testing.assert_allclose(evidence.samples("mpjpe", resamples=20), 10, atol=1e-3)
    everybody = sum(map(len, ground_truth.boxes))
    assert evidence.count("mpjpe") == everybody
    wrist = COCO.index("left_wrist")
    ground_truth.keypoints[0][:, wrist, 2] = 0  # unlabelled: does not count
    exact[0].keypoints3d[:, wrist, 1] += 900
    assert evaluate(exact, ground_truth).value("mpjpe") == pytest.approx(10, abs=1e-3)
    ground_truth.keypoints[0][..., 2] = 0  # nothing to be seen of them
    fewer = evaluate(exact, ground_truth)
    assert fewer.count("mpjpe") == fewer.count("keypoint_ap") == everybody - len(ground_truth.boxes[0])
    assert fewer.count("box_ap") == everybody


def test_a_thousand_resamples_of_a_hundred_frames_are_quick():
    evidence = evaluate(*people(frames=99, limit=12, decimals=6))
    start = time.process_time()
    for metric in METRICS:
        assert evidence.samples(metric).shape == (1000,)
    assert time.process_time() - start < 10


def test_mistakes_are_named():
    found, ground_truth = people(frames=3, limit=4, seed=2)
    with pytest.raises(ValueError, match="toy: 2 predictions for 3 frames"):
        evaluate(found[:2], ground_truth)
    found[1].keypoints = torch.zeros(len(found[1].boxes), 4, 3)
    with pytest.raises(ValueError, match="poses of frame 1 have 4 keypoints, the true ones 17"):
        evaluate(found, ground_truth)
    with pytest.raises(ValueError, match="metric is one of box_ap"):
        evaluate(*people(frames=3)).value("ap")
