"""AP against pycocotools, the reference implementation, on random and on hard cases."""

import copy
import json
import time

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fewpose.metrics.coco_ap import BOXES, KEYPOINTS, box_ap, keypoint_ap
from fewpose.skeleton import COCO as BODY
from fewpose.skeleton import HALPE

SIGMAS = {1: (0.05,), 17: BODY.sigmas, 26: HALPE.sigmas}


def scene(images=12, people=(0, 5), k=17, seed=0, crowd=0.1, unlabelled=0.1, decimals=2):
    """Random ground truth in frames of 640x480, people cut by the border, and near and far detections."""
    rng = np.random.default_rng(seed)
    ground_truth, detections = [], []
    for image in rng.permutation(images).tolist():
        for _ in range(rng.integers(people[0], people[1], endpoint=True)):
            centre, size = rng.uniform(0, (640, 480)), rng.uniform(10, 300, 2)
            low, high = np.maximum(centre - size / 2, 0), np.minimum(centre + size / 2, (640, 480))
            pose = np.zeros((k, 3))
            pose[:, :2] = centre + rng.uniform(-0.5, 0.5, (k, 2)) * size
            pose[:, 2] = rng.integers(0, 3, k) * (rng.random() > unlabelled)
            pose[((pose[:, :2] < 0) | (pose[:, :2] > (640, 480))).any(1)] = 0
            ground_truth.append(
                {
                    "id": len(ground_truth) + 1,
                    "image_id": image * 7,
                    "category_id": 1,
                    "bbox": [*low.tolist(), *(high - low).tolist()],
                    "area": float(np.prod(high - low) * rng.uniform(0.3, 1)),
                    "iscrowd": int(rng.random() < crowd),
                    "keypoints": pose.ravel().tolist(),
                    "num_keypoints": int((pose[:, 2] > 0).sum()),
                }
            )
            for _ in range(rng.integers(0, 4)):
                guess, error = pose.copy(), size.max() * 10 ** rng.uniform(-3, -0.5)
                guess[:, :2] += rng.normal(0, error, (k, 2))
                detections.append(
                    {
                        "image_id": image * 7,
                        "category_id": 1,
                        "score": round(float(rng.random()), decimals),
                        "keypoints": guess.ravel().tolist(),
                        "bbox": [
                            *(low + rng.normal(0, error / 2, 2)).tolist(),
                            *np.maximum(high - low + rng.normal(0, error / 2, 2), 1).tolist(),
                        ],
                    }
                )
    rng.shuffle(detections)
    images = [{"id": i * 7} for i in range(images)]
    categories = [{"id": 1, "name": "person"}]
    return {"images": images, "annotations": ground_truth, "categories": categories}, detections


def reference(kind, ground_truth, detections, sigmas=None):
    """The stats of pycocotools."""
    true, ground_truth = COCO(), copy.deepcopy(ground_truth)
    true.dataset = ground_truth
    true.createIndex()
    if detections:
        found = true.loadRes(copy.deepcopy(detections))
    else:
        found = COCO()
        found.dataset = {**ground_truth, "annotations": []}
        found.createIndex()
    evaluator = COCOeval(true, found, kind)
    if sigmas:
        evaluator.params.kpt_oks_sigmas = np.array(sigmas)
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    return evaluator.stats


def assert_equal_to_pycocotools(ground_truth, detections, k=17):
    before = copy.deepcopy((ground_truth, detections))
    ours = box_ap(ground_truth, detections)
    np.testing.assert_allclose(
        [ours[name] for name in BOXES], reference("bbox", ground_truth, detections), rtol=0, atol=1e-9
    )
    for results in (detections, [without(d, "bbox") for d in detections]):
        ours = keypoint_ap(ground_truth, results, SIGMAS[k])
        expected = reference("keypoints", ground_truth, results, SIGMAS[k])
        np.testing.assert_allclose([ours[name] for name in KEYPOINTS], expected, rtol=0, atol=1e-9)
    assert (ground_truth, detections) == before, "what is given is not written to"


def without(row, key):
    return {name: value for name, value in row.items() if name != key}


@pytest.mark.parametrize("k", [1, 17, 26])
@pytest.mark.parametrize("seed", range(5))
def test_random_scenes(k, seed):
    assert_equal_to_pycocotools(*scene(seed=seed, k=k), k)


@pytest.mark.parametrize(
    "options",
    [
        {"decimals": 0},
        {"crowd": 1},
        {"crowd": 0, "unlabelled": 0},
        {"unlabelled": 1},
        {"people": (1, 1)},
        {"people": (8, 8)},
        {"people": (0, 0)},
        {"images": 1},
        {"images": 2, "people": (30, 60)},
    ],
    ids=[
        "tied scores",
        "all crowd",
        "all labelled",
        "no keypoints",
        "one person",
        "eight people",
        "no people",
        "one image",
        "more than the evaluator counts",
    ],
)
def test_hard_scenes(options):
    for seed in range(2):
        assert_equal_to_pycocotools(*scene(seed=seed, **options))


def test_without_detections_and_without_ground_truth():
    ground_truth, detections = scene()
    assert_equal_to_pycocotools(ground_truth, [])
    assert box_ap(ground_truth, [])["AP"] == 0 == keypoint_ap(ground_truth, [], BODY.sigmas)["AP"]
    blank = {**ground_truth, "annotations": []}
    assert_equal_to_pycocotools(blank, detections)
    assert_equal_to_pycocotools(blank, [])
    assert set(box_ap(blank, detections).values()) == {-1.0}
    assert_equal_to_pycocotools({**blank, "images": []}, [])


def test_twins_tie_as_in_pycocotools():
    """The same person twice, and every detection twice: who gets whom is a matter of ties."""
    ground_truth, detections = scene(images=6, seed=3)
    twins = [{**row, "id": row["id"] + 1000} for row in ground_truth["annotations"]]
    ground_truth["annotations"] += twins
    assert_equal_to_pycocotools(ground_truth, detections + [dict(row) for row in detections])


def test_several_categories():
    ground_truth, detections = scene(seed=4)
    ground_truth["categories"] = [{"id": 3, "name": "cat"}, {"id": 1, "name": "person"}]
    for row in (*ground_truth["annotations"][::3], *detections[::4]):
        row["category_id"] = 3
    detections[0]["category_id"] = 9  # one that the ground truth does not know
    assert_equal_to_pycocotools(ground_truth, detections)


def test_perfect_and_worthless_by_hand():
    pose = [100, 100, 2, 0, 0, 0]
    person = {"id": 0, "image_id": 1, "bbox": [50, 50, 100, 100], "keypoints": pose}
    ground_truth = {"images": [{"id": 1}], "annotations": [person | {"category_id": 1}]}
    hit = {"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [50, 50, 100, 100]}
    assert box_ap(ground_truth, [hit])["AP"] == 1
    assert box_ap(ground_truth, [hit], first_id=0)["AP"] == 0  # id 0 is "no match" to pycocotools
    # one labelled keypoint, sigma 0.1 and area 10,000: OKS 0.8 is sqrt(-2 ln 0.8) * 20 px = 13.36
    for distance, ap in ((0, 1.0), (13.3, 0.7), (13.4, 0.6), (200, 0.0)):
        found = {**without(hit, "bbox"), "keypoints": [100 + distance, 100, 1, 600, 400, 1]}
        stats = keypoint_ap(ground_truth, [found], (0.1, 0.1))
        assert stats["AP"] == pytest.approx(ap), distance
    # a false alarm of higher score halves the precision
    loud = {**hit, "score": 0.9, "bbox": [300, 300, 50, 50]}
    assert box_ap(ground_truth, [hit, loud])["AP50"] == pytest.approx(0.5)
    assert box_ap(ground_truth, [hit, loud])["AR1_50"] == 0 and box_ap(ground_truth, [hit, loud])["AR10_50"] == 1


def test_files_and_parsed_json_give_the_same(tmp_path):
    ground_truth, detections = scene()
    (tmp_path / "t.json").write_text(json.dumps(ground_truth))
    (tmp_path / "d.json").write_text(json.dumps(detections))
    assert box_ap(tmp_path / "t.json", str(tmp_path / "d.json")) == box_ap(ground_truth, detections)


def test_four_times_as_fast_as_pycocotools():
    ground_truth, detections = scene(images=250, people=(2, 6))
    ours, theirs = [], []
    for _ in range(3):
        start = time.process_time()
        keypoint_ap(ground_truth, detections, BODY.sigmas)
        ours.append(time.process_time() - start)
        start = time.process_time()
        reference("keypoints", ground_truth, detections)
        theirs.append(time.process_time() - start)
    assert min(theirs) > 4 * min(ours), (min(theirs), min(ours))


def spoil(ground_truth, detections, what):
    row, person = detections[3], ground_truth["annotations"][2]
    if what == "nan score":
        row["score"] = float("nan")
    if what == "no score":
        del row["score"]
    if what == "image":
        row["image_id"] = 5
    if what == "count":
        row["keypoints"] = row["keypoints"][:48]
    if what == "true count":
        person["keypoints"] = person["keypoints"] * 2
    if what == "infinite":
        row["keypoints"][4] = float("inf")
    if what == "text":
        row["keypoints"][4] = "left"
    if what == "box":
        person["bbox"] = [1, 2, 3]
    if what == "no box":
        del person["bbox"]
    if what == "category":
        person["category_id"] = 2
    if what == "no category matches":
        for d in detections:
            d["category_id"] = 2
    if what == "after others":
        detections[0]["category_id"] = detections[1]["category_id"] = 9
        row["keypoints"][4] = None
    if what == "true image":
        person["image_id"] = 5
    if what == "no object":
        detections[3] = 4
    if what == "image id":
        ground_truth["images"][1]["id"] = "seven"
    if what == "no images":
        del ground_truth["images"]
    if what == "ground truth as detections":
        return ground_truth, ground_truth
    return ground_truth, detections


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nan score", r"detections\[3\]: `score` must be finite"),
        ("no score", r"detections\[3\] has no `score`"),
        ("image", r"detections\[3\]: the ground truth has no image 5"),
        ("count", r"detections\[3\]: `keypoints` holds 48 numbers, not 51"),
        ("true count", r"ground truth, annotations\[2\]: `keypoints` holds 102 numbers, not 51"),
        ("infinite", r"detections\[3\]: `keypoints` must be finite"),
        ("text", r"detections\[3\]: `keypoints` must be finite"),
        ("box", r"ground truth, annotations\[2\]: `bbox` holds 3 numbers, not 4"),
        ("no box", r"ground truth, annotations\[2\] has no `bbox`"),
        ("category", r"ground truth, annotations\[2\]: no category 2"),
        ("no category matches", "no result has a category of the ground truth, the first has 2"),
        ("after others", r"detections\[3\]: `keypoints` must be finite"),
        ("true image", r"ground truth, annotations\[2\]: the ground truth has no image 5"),
        ("no object", r"detections\[3\] is not an object with image_id but 4"),
        ("image id", r"ground truth, images\[1\]: `id` must be a whole number"),
        ("no images", "no list `images`"),
        ("ground truth as detections", "detections is not a list of COCO results"),
    ],
)
def test_one_sentence_names_what_is_wrong(what, message):
    ground_truth, detections = spoil(*scene(), what)
    with pytest.raises(ValueError, match=message) as error:
        keypoint_ap(ground_truth, detections, BODY.sigmas)
    assert "\n" not in str(error.value)


def test_broken_files(tmp_path):
    ground_truth, detections = scene()
    (tmp_path / "cut.json").write_text("[{")
    for name, message in (("none.json", "is missing"), ("cut.json", "cannot be read as JSON")):
        with pytest.raises(ValueError, match=rf"{name} {message}"):
            box_ap(tmp_path / name, detections)
        with pytest.raises(ValueError, match=rf"{name} {message}"):
            box_ap(ground_truth, tmp_path / name)
