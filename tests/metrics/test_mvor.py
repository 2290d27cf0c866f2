import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fewpose.metrics import mvor
from fewpose.skeleton import COCO, MVOR
from fewpose_runs.cli import main

REAL = Path(__file__).parents[3] / "shared" / "data" / "mvor"
GROUND_TRUTH, FOUND = REAL / "camma_mvor_2018.json", REAL / "detections"
needs_ground_truth = pytest.mark.skipif(
    not GROUND_TRUTH.is_file(), reason="MVOR's annotations are not beside the clone (see README)"
)


def needs(file):
    if not (FOUND / file).is_file():
        pytest.skip(f"MVOR's {file} is not beside the clone (see README)")
    return FOUND / file


# ---- the published numbers -----------------------------------------------------------------------

OPENPOSE_HITS = [2064, 2057, 2015, 2074, 1155, 1319, 1605, 1766, 1201, 1448]


@needs_ground_truth
@pytest.mark.parametrize(
    ("file", "published"),
    [
        ("openpose_kps", (70.4, 69.9, 42.3, 57.6, 45.3, 57.1)),
        ("openpose_kps_multiscale", (71.2, 70.6, 41.6, 60.2, 47.9, 58.3)),
        ("alphapose_kps", (87.7, 88.9, 61.8, 77.8, 64.7, 76.2)),
        ("rtpose_kps", (91.0, 88.8, 56.4, 74.5, 58.1, 73.8)),
    ],
)
def test_pck_as_published(file, published):
    table = mvor.pck(GROUND_TRUTH, needs(f"{file}.json"))
    joints, summary = table[table.level == "joint"], table[table.level != "joint"]
    assert tuple(summary.pck.round(1)) == published and (joints.persons == 2926).all()
    assert tuple(summary.name) == ("head", "shoulder", "hip", "elbow", "wrist", "mean")
    if file == "openpose_kps":
        assert tuple(joints.name) == MVOR.keypoints and joints.hits.tolist() == OPENPOSE_HITS


@needs_ground_truth
def test_faster_rcnn_as_published_and_corrected():
    six = ["AP", "AP50", "AP75", "AR1", "AR10", "AR100"]
    for as_published, expected in (
        (True, [0.50421, 0.75596, 0.57379, 0.29960, 0.59808, 0.60072]),
        (False, [0.50484, 0.75662, 0.57459, 0.29979, 0.59828, 0.60092]),
    ):
        table = mvor.box_ap(GROUND_TRUTH, needs("faster_rcnn_bbox.json"), as_published)
        assert table.set_index("metric").value[six].round(5).tolist() == expected


@needs_ground_truth
@pytest.mark.parametrize(
    ("file", "published"),
    [
        ("dfcnet_rfcn_bbox", {"AP": 0.404, "AP50": 0.620, "AP75": 0.466, "AR1": 0.271, "AR10": 0.451, "AR100": 0.451}),
        ("openpose_bbox", {"AP50": 0.278, "AR1_50": 0.299, "AR10_50": 0.406}),
        ("openpose_bbox_multiscale", {"AP50": 0.267, "AR1_50": 0.289, "AR10_50": 0.394}),
        ("alphapose_bbox", {"AP50": 0.512, "AR1_50": 0.331, "AR10_50": 0.636}),
        ("rtpose_bbox", {"AP50": 0.371, "AR1_50": 0.274, "AR10_50": 0.475}),
    ],
)
def test_boxes_as_published(file, published):
    table = mvor.box_ap(GROUND_TRUTH, needs(f"{file}.json"), as_published=True).set_index("metric")
    assert table.value[[*published]].round(3).to_dict() == published


# ---- by hand -------------------------------------------------------------------------------------


def ground_truth(*people, images=(1, 2)):
    """MVOR annotations of people given as (image, {joint: (x, y)})."""
    rows = []
    for image, joints in people:
        flat = [v for name in MVOR.keypoints for v in (*joints[name], 2)] if joints else [0] * 30
        rows.append(
            {
                "id": len(rows),
                "image_id": image,
                "category_id": "1",
                "bbox": [0, 0, 50, 50],
                "keypoints": flat,
                "only_bbox": int(not joints),
            }
        )
    categories = [{"id": "1", "name": "person"}]
    return {"images": [{"id": i} for i in images], "annotations": rows, "categories": categories}


def upright(x=100.0, y=100.0):
    """A person whose joints span 39x99 pixels: longer side 100 with both ends, a hit within 20."""
    places = [(20, 0), (20, 20), (39, 20), (0, 20), (30, 99), (10, 99), (39, 50), (0, 50), (39, 80), (0, 80)]
    return {n: (x + dx, y + dy) for n, (dx, dy) in zip(MVOR.keypoints, places, strict=True)}


def found(joints, image=1, score=0.9, **moved):
    """The same person as COCO keypoints: both eyes at the head, no nose, ears, knees, ankles."""
    p = joints | moved
    flat = []
    for name in COCO.keypoints:
        x, y = p.get(name, p["head"] if name.endswith("eye") else (0, 0))
        flat += [x, y, 0.5]
    return {"image_id": image, "category_id": "1", "score": score, "coco_keypoints": flat}


def hits(*args, **kwargs):
    table = mvor.pck(*args, **kwargs)
    return table.hits[:10].tolist()


def test_within_a_fifth_of_the_longer_side():
    person = upright()
    t = ground_truth((1, person))
    assert hits(t, [found(person)]) == [1] * 10
    for moved, hit in (((159.0, 180), 1), ((159.1, 180), 0)):  # wrist at (139, 180): 20 px is a hit
        assert hits(t, [found(person, left_wrist=moved)])[8] == hit
    assert hits(t, [found(person, left_wrist=(159.1, 180))], at=0.21)[8] == 1
    # NaN-free: a missing wrist is a miss, the rest stays
    assert hits(t, [found(person, left_wrist=(0, 0))]) == [1] * 8 + [0, 1]


def test_head_and_neck_from_what_was_found():
    person = upright()
    t, (x, y) = ground_truth((1, person)), person["head"]
    gone = {"left_eye": (0, 0), "right_eye": (0, 0)}
    for parts, head in (
        ({"left_ear": (x - 30, y), "right_ear": (x + 30, y), "nose": (x + 60, y)}, 1),
        ({"left_ear": (x - 30, y), "nose": (x, y)}, 1),
        ({"right_ear": (x, y), "left_ear": (0, 0)}, 1),
        ({"left_ear": (x, y)}, 1),
        ({}, 0),
    ):
        assert hits(t, [found(person, **gone, **parts)])[0] == head, parts
    eye = {"left_eye": (0, 0), "right_eye": (x, y), "left_ear": (x + 50, y)}
    assert hits(t, [found(person, **eye)])[0] == 1  # one eye goes before one ear
    one = {"left_shoulder": (0, 0)}  # the neck is then the right shoulder, 20 px from it
    assert hits(t, [found(person, **one)])[1:4] == [1, 0, 1]


def test_the_most_confident_that_covers_enough_and_for_several():
    person, near = upright(), upright(x=110)
    t = ground_truth((1, person), (1, near))
    assert hits(t, [found(near)]) == [2] * 10  # one detection serves both
    far = found(upright(x=400), score=0.99)
    assert hits(t, [found(near), far]) == [2] * 10
    shifted = found(upright(y=148), score=0.95)  # covers 52 of 100 rows: it goes before the better
    assert hits(t, [found(near), shifted]) == [0] * 10
    low = found(upright(y=172), score=0.95)  # covers 28 of 100 rows
    assert hits(t, [found(near), low]) == [2] * 10
    assert hits(t, [found(near, image=2)]) == [0] * 10


def test_missing_ground_truth_and_boxes_alone():
    person = upright() | {"left_wrist": (0, 0), "right_wrist": (0, 0)}
    t = ground_truth((1, person), (2, upright()), (2, None))
    table = mvor.pck(t, [found(upright())])
    assert table.hits[:10].tolist() == [1] * 8 + [0, 0]  # without ground truth a miss, found or not
    assert (table.persons[:10] == 2).all()  # a box alone is no person to be posed
    assert table.pck.tolist() == [50.0] * 8 + [0, 0] + [50.0] * 4 + [0, 40.0]


def test_frames_without_people_one_and_eight_people_and_none_found():
    assert hits(ground_truth(), [found(upright())]) == [0] * 10
    assert mvor.pck(ground_truth(), []).pck.isna().all()
    assert hits(ground_truth((1, upright())), []) == [0] * 10
    eight = [upright(x=10 + 70 * i, y=1 + 40 * (i % 2)) for i in range(8)]
    t = ground_truth(*((2, p) for p in eight))
    assert hits(t, [found(p, image=2) for p in eight]) == [8] * 10
    # cut by the border: only the upper half was found, which covers half of the box
    cut = {name: (0, 0) for name, (_, y) in eight[0].items() if y > 60}
    assert hits(t, [found(eight[0], image=2, **cut)]) == [1] * 4 + [0, 0, 1, 1, 0, 0]
    nothing = {**found(upright()), "coco_keypoints": [0] * 51}
    assert hits(ground_truth((1, upright())), [nothing]) == [0] * 10


def test_plain_coco_results_will_do():
    person = upright()
    plain = found(person)
    plain["keypoints"] = plain.pop("coco_keypoints")
    plain["category_id"] = 1  # MVOR writes "1"
    assert hits(ground_truth((1, person)), [plain]) == [1] * 10


def test_the_first_annotation_is_never_found_in_the_published_numbers():
    t = ground_truth((1, upright()), (2, upright()))
    results = [{"image_id": i, "category_id": "1", "bbox": [0, 0, 50, 50], "score": 0.5} for i in (1, 2)]
    value = {
        quirk: mvor.box_ap(t, results, as_published=quirk).set_index("metric").value.AR100 for quirk in (False, True)
    }
    assert value == {False: 1.0, True: 0.5}


# ---- command line --------------------------------------------------------------------------------


def files(folder, true, results):
    for name, content in (("ground_truth.json", true), ("found.json", results)):
        (folder / name).write_text(json.dumps(content))
    return ["--ground-truth", str(folder / "ground_truth.json"), "--detections", str(folder / "found.json")]


def test_the_command_prints_csv(tmp_path, capsys):
    detection = found(upright()) | {"bbox": [0, 0, 50, 50]}
    places = files(tmp_path, ground_truth((1, upright())), [detection])
    assert main(["evaluate", "mvor-pck", *places]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert table.columns.tolist() == ["level", "name", "hits", "persons", "pck"]
    assert table.hits.tolist() == [1] * 10 + [2] * 5 + [10] and (table.pck == 100).all()
    for flags, ap in (([], 1), (["--as-published"], 0)):
        assert main(["evaluate", "mvor-boxes", *places, *flags]) == 0
        table = pd.read_csv(io.StringIO(capsys.readouterr().out), index_col="metric")
        assert table.value.AP == ap and "AR100" in table.index


def spoil(folder, what):
    true, detection = ground_truth((1, upright())), found(upright())
    if what == "joints":
        true["annotations"][0]["keypoints"] += [1, 1, 2]
    if what == "26 keypoints":
        detection["coco_keypoints"] = [1.0] * 78
    if what == "boxes":
        del detection["coco_keypoints"]
    if what == "nan":
        detection["score"] = float("nan")
    if what == "image":
        detection["image_id"] = 3
    places = files(folder, true, [detection])
    if what == "missing":
        (folder / "found.json").unlink()
    if what == "no JSON":
        (folder / "ground_truth.json").write_text("level,name\n")
    return places


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("joints", "ground_truth.json, annotations[0]: `keypoints` holds 33 numbers, not 30"),
        ("26 keypoints", "found.json[0]: `coco_keypoints` holds 78 numbers, not 51"),
        ("boxes", "found.json has only boxes: PCK needs 17 COCO keypoints"),
        ("nan", "found.json[0]: `score` must be finite numbers, not nan"),
        ("image", "found.json[0]: the ground truth has no image 3"),
        ("missing", "found.json is missing: give the JSON file of the detections"),
        ("no JSON", "ground_truth.json cannot be read as JSON"),
    ],
)
def test_mistakes_end_with_one_sentence(tmp_path, capsys, what, message):
    assert main(["evaluate", "mvor-pck", *spoil(tmp_path, what)]) == 1
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1


def test_random_detections_are_never_better_than_all_hits():
    rng = np.random.default_rng(0)
    people = [(1 + i % 2, upright(*rng.uniform(0, 400, 2))) for i in range(8)]
    results = [found(upright(*rng.uniform(0, 400, 2)), image=1 + i % 2) for i in range(20)]
    table = mvor.pck(ground_truth(*people), results)
    assert (table.hits <= table.persons).all() and table.pck.between(0, 100).all()
