import copy
import json
from pathlib import Path

import numpy as np
import pytest

from fewpose.data.images import read_folder
from fewpose.data.mvor import project, read_mvor, scene, sigmas
from fewpose.metrics.mpjpe import UPPER_BODY, mpjpe
from fewpose.skeleton import COCO, MVOR

REAL = Path(__file__).parents[3] / "shared" / "data"
TRUTH = REAL / "mvor" / "camma_mvor_2018.json"
LOW = REAL / "mvor_lowres" / "color_x12"

TURN = np.array([[0, 0, 1, 100.0], [0, 1, 0, 0], [-1, 0, 0, 2000], [0, 0, 0, 1]])  # camera 2 to 1
CAMERA = np.array([[500, 0, 320], [0, 500, 240], [0, 0, 1.0]])


def body(x=0.0):
    """3D joints [10, 3] in the frame of the first camera, seen by both."""
    rng = np.random.default_rng(1)
    return rng.uniform(-300, 300, (10, 3)) + np.array([500 + x, 0, 1500])


def annotation(id, image, joints, person, **more):
    points = joints if image == 1 else (joints - TURN[:3, 3]) @ np.linalg.inv(TURN[:3, :3]).T
    pose = np.concatenate([project(points, CAMERA), np.full((10, 1), 2)], 1)
    return {
        "id": id,
        "image_id": image,
        "category_id": "1",
        "person_id": person,
        "only_bbox": 0,
        "bbox": [10, 20, 100, 200],
        "keypoints": pose.ravel().tolist(),
        **more,
    }


def content():
    """Two views of one moment with two people; the second has the same number as the first."""
    bodies = [body(), body(x=900)]
    rows = [annotation(10 * i + p, i, b, 0) for i in (1, 2) for p, b in enumerate(bodies)]
    rows.append(annotation(50, 1, body(), -1, keypoints=[0] * 30, only_bbox=1))
    whole = [np.pad(np.c_[b, np.ones(10)], ((0, 2), (0, 0))) for b in bodies]
    whole[0][0, :3] = 0  # a head that is not there
    one = {"focallength": [500, 500], "principalpoint": [320, 240]}
    return {
        "images": [
            {"id": i, "cam_id": i, "day_id": 3, "file_name": f"cam{i}.png", "height": 480, "width": 640} for i in (2, 1)
        ],
        "annotations": rows,
        "categories": [{"id": "1"}],
        "annotations3D": [
            {"image_ids": "1_2", "person_id": 0, "ref_camera": 1, "keypoints3D": w.ravel().tolist()} for w in whole
        ],
        "cameras_info": {
            "camParams": {"intrinsics": [one, one], "extrinsics": [np.eye(4).ravel().tolist(), TURN.ravel().tolist()]}
        },
    }


def write(folder, what):
    path = folder / "mvor.json"
    path.write_text(json.dumps(what))
    return path


def test_3d_in_the_frame_of_each_camera(tmp_path):
    first, second = read_mvor(write(tmp_path, content()))
    assert (first.image_id, first.view, first.day, first.size) == (1, 0, "day3", (480, 640))
    np.testing.assert_allclose(first.joints[0, 1:, :3], body()[1:])
    assert (first.joints[0, 0] == 0).all() and (first.joints[2] == 0).all()
    for frame in (first, second):  # each number's two people have their own 3D
        known = frame.joints[..., 3] > 0
        pixels = project(frame.joints[known][:, :3], frame.camera)
        np.testing.assert_allclose(pixels, frame.poses[known][:, :2])
    assert second.joints[:, 1:, 2].min() > 0 and first.person.tolist() == [0, 0, -1]


def test_scenes_for_mpjpe(tmp_path):
    frames = read_mvor(write(tmp_path, content()))
    exact = [scene(f, f.poses, f.joints[..., :3], MVOR) for f in frames]
    result = mpjpe(exact, sigmas(MVOR))
    assert result.errors.shape == (4, 8) and result.mean < 1e-6 and result.missed == 0
    poses, joints = np.zeros((2, 17, 3)), np.zeros((2, 17, 3))
    for name in UPPER_BODY:  # the same in COCO's order, 30 mm off
        poses[:, COCO.index(name)] = frames[0].poses[:2, MVOR.index(name)]
        joints[:, COCO.index(name)] = frames[0].joints[:2, MVOR.index(name), :3]
    joints[:, COCO.index("left_wrist")] += [0, 30, 0]
    result = mpjpe([scene(frames[0], poses, joints, COCO)], sigmas(COCO))
    np.testing.assert_allclose(result.per_joint, [0, 0, 0, 0, 0, 0, 30, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda c: c.pop("annotations3D"), "has no list `annotations3D`"),
        (lambda c: c["annotations3D"][1].update(image_ids="1_9"), r"annotations3D\[1\] needs"),
        (lambda c: c["annotations3D"][1].update(keypoints3D=[1]), "`keypoints3D` holds 1 numbers"),
        (lambda c: c["annotations"][2].pop("person_id"), r"annotations\[2\] has no `person_id`"),
        (lambda c: c["annotations"][2].update(keypoints=[0] * 51), "holds 51 numbers, not 30"),
        (lambda c: c.pop("cameras_info"), "cameras_info.camParams must hold"),
        (lambda c: c["images"][0].update(cam_id=4), "images are of cameras 1 to 4, 2 are"),
        (lambda c: c["cameras_info"]["camParams"]["extrinsics"].pop(), "2 intrinsics for 1"),
    ],
)
def test_one_sentence_names_what_is_wrong(tmp_path, spoil, says):
    broken = copy.deepcopy(content())
    spoil(broken)
    with pytest.raises(ValueError, match=says) as error:
        read_mvor(write(tmp_path, broken))
    assert "mvor.json" in str(error.value)


@pytest.mark.skipif(not TRUTH.is_file(), reason="MVOR's annotations are not beside the clone")
def test_the_real_annotations_fit_their_cameras():
    frames = read_mvor(TRUTH)
    assert len(frames) == 2196 and {f.day for f in frames} == {f"day{i}" for i in range(1, 5)}
    off = []
    for f in frames:
        seen = (f.joints[..., 3] > 0) & (f.poses[..., 2] == 2)
        pixels = project(f.joints[seen][:, :3], f.camera)
        off.append(np.linalg.norm(pixels - f.poses[seen][:, :2], axis=-1))
    assert np.median(np.concatenate(off)) == pytest.approx(6.65, abs=0.01)
    exact = [scene(f, f.poses, f.joints[..., :3], MVOR) for f in frames[::20]]
    assert mpjpe(exact, sigmas(MVOR)).mean < 1e-6


@pytest.mark.skipif(not LOW.is_dir(), reason="MVOR's frames of low resolution are not at hand")
def test_the_real_frames_of_low_resolution():
    frames, names = read_folder(LOW)
    assert frames.shape == (480, 3, 40, 53) and names[0] == "000000.png"
