"""Each format is read back by a program that is not ours."""

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fewpose.skeleton import COCO, HALPE, JUMP
from fewpose_video import formats
from fewpose_video.formats import (
    FORMATS,
    marker_name,
    write_c3d,
    write_coco,
    write_dlc_csv,
    write_mot,
    write_openpose,
    write_trc,
)
from fewpose_video.measure import angles, facing_right
from fewpose_video.poses import VideoPoses
from fewpose_video.smoothing import smooth_poses
from walking import walking

NEEDS = {"dlc-h5": "tables", "c3d": "ezc3d", "sleap": "sleap_io", "nwb": "ndx_pose"}
each_format = pytest.mark.parametrize("name", FORMATS)


def write(name, poses, folder):
    """The paths that a format is written to."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} is an extra")
    suffix, writer = FORMATS[name]
    return writer(poses, folder / f"walk{suffix}")


def in_three_dimensions():
    return walking(people=(3,), poses3d=np.random.default_rng(4).uniform(-900, 900, (20, 1, 26, 3)))


# ---- DeepLabCut ----------------------------------------------------------------------------------


@pytest.mark.parametrize("people", [(3, 8), (3,), ()])
def test_dlc_csv_and_h5_are_read_by_pandas(tmp_path, people):
    poses = walking(people)
    write_dlc_csv(poses, tmp_path / "walk.csv")
    rows = ["scorer", "individuals", "bodyparts", "coords"] if len(people) > 1 else ["scorer", "bodyparts", "coords"]
    tables = [pd.read_csv(tmp_path / "walk.csv", header=list(range(len(rows))), index_col=0)]
    if write("dlc-h5", poses, tmp_path):
        tables.append(pd.read_hdf(tmp_path / "walk_dlc.h5"))
    for table in tables:
        assert table.columns.names == rows and table.index.tolist() == list(range(20))
        scorer = table["fewpose"]
        if len(people) < 2:
            values = [scorer[keypoint][["x", "y", "likelihood"]].to_numpy() for keypoint in HALPE.keypoints]
            expected = poses.poses[:, 0] if people else np.broadcast_to((np.nan, np.nan, 0), (20, 26, 3))
            assert np.allclose(np.stack(values, 1), expected, equal_nan=True)
            continue
        for column, person in enumerate(("person3", "person8")):
            values = [scorer[person][keypoint].to_numpy() for keypoint in HALPE.keypoints]
            assert np.allclose(np.stack(values, 1), poses.poses[:, column], equal_nan=True)


# ---- OpenSim and motion capture ------------------------------------------------------------------


def read_trc(path):
    """Markers' names, unit, seconds [T] and coordinates [T, K, 3], by trc-data-reader."""
    trc = pytest.importorskip("trc", reason="trc-data-reader is of the extra `test`")
    data = trc.TRCData()
    data.load(str(path))
    return data["Markers"], data["Units"], np.array(data["Time"]), np.stack([data[m] for m in data["Markers"]], 1)


def test_trc_in_pixels_one_file_a_person(tmp_path):
    poses = walking((3, 8))
    paths = write_trc(poses, tmp_path / "walk.trc")
    assert [path.name for path in paths] == ["walk_person3.trc", "walk_person8.trc"]
    for column, path in enumerate(paths):
        names, unit, seconds, points = read_trc(path)
        assert names == [marker_name(keypoint) for keypoint in HALPE.keypoints] and unit == "px"
        assert np.allclose(seconds, poses.seconds, atol=1e-6)
        assert np.allclose(points[..., :2], poses.poses[:, column, :, :2], atol=1e-5, equal_nan=True)
        assert (points[~np.isnan(points[..., 0]), 2] == 0).all()


def test_trc_in_metres_points_up_from_the_lower_left_corner(tmp_path):
    poses = walking((3,), metres_per_pixel=0.01)
    (path,) = write_trc(poses, tmp_path / "walk.trc")
    _, unit, _, points = read_trc(path)
    x, y = np.moveaxis(poses.poses[:, 0, :, :2], -1, 0)
    assert unit == "m"
    assert np.allclose(points[..., 0], x * 0.01, atol=1e-5, equal_nan=True)
    assert np.allclose(points[..., 1], (399 - y) * 0.01, atol=1e-5, equal_nan=True)


def test_trc_and_c3d_in_three_dimensions_turn_the_cameras_axes(tmp_path):
    poses = in_three_dimensions()
    (path,) = write_trc(poses, tmp_path / "walk.trc")
    _, unit, _, points = read_trc(path)
    assert unit == "mm" and np.allclose(points, poses.poses3d[:, 0] * (1, -1, -1), atol=1e-5)
    (path,) = write("c3d", poses, tmp_path)
    _, unit, _, points = read_c3d(path)
    assert unit == "mm" and np.allclose(points, poses.poses3d[:, 0] * (1, -1, -1), atol=1e-3)


@pytest.mark.filterwarnings("ignore:No analog data")
def read_c3d(path):
    """Markers' names, unit, rate and coordinates [T, K, 3], by the package c3d."""
    c3d = pytest.importorskip("c3d", reason="c3d is of the extra `test`")
    with open(path, "rb") as file:
        reader = c3d.Reader(file)
        frames = np.stack([points.copy() for _, points, _ in reader.read_frames()])
        unit = reader.get("POINT").get("UNITS").string_value.strip()
        names = [label.strip() for label in reader.point_labels]
    absent = frames[..., 3] < 0
    return names, unit, reader.point_rate, np.where(absent[..., None], np.nan, frames[..., :3])


@pytest.mark.filterwarnings("ignore:No analog data")
def test_c3d(tmp_path):
    pixels, metres = walking((3, 8)), walking((3,), metres_per_pixel=0.01)
    paths = write("c3d", pixels, tmp_path)
    assert [path.name for path in paths] == ["walk_person3.c3d", "walk_person8.c3d"]
    for column, path in enumerate(paths):
        names, unit, rate, points = read_c3d(path)
        assert names == [marker_name(keypoint) for keypoint in HALPE.keypoints]
        assert unit == "px" and rate == pytest.approx(29.97, abs=1e-3)
        assert np.allclose(points[..., :2], pixels.poses[:, column, :, :2], atol=1e-3, equal_nan=True)
    (path,) = write("c3d", metres, tmp_path)
    _, unit, _, points = read_c3d(path)
    assert unit == "mm" and np.allclose(points[..., 0], metres.poses[:, 0, :, 0] * 10, atol=1e-2, equal_nan=True)


def test_c3d_refuses_more_frames_than_it_can_count(tmp_path):
    pytest.importorskip("ezc3d", reason="ezc3d is an extra")
    poses = VideoPoses("long.mp4", (9, 9), np.arange(65536.0), (1,), np.zeros((65536, 1, 17, 3)), COCO)
    with pytest.raises(ValueError, match=r"long\.mp4: C3D holds 65535 frames, not 65536"):
        write_c3d(poses, tmp_path / "long.c3d")


def test_mot_is_read_by_pandas_as_pose2sim_does(tmp_path):
    poses = walking((3,))
    (path,) = write_mot(poses, tmp_path / "walk.mot")
    lines = path.read_text(encoding="utf-8").splitlines()
    end = lines.index("endheader")
    assert "inDegrees=yes" in lines and "nRows=20" in lines and "nColumns=25" in lines
    table = pd.read_csv(path, sep="\t", skiprows=end + 1)
    points = poses.poses[:, 0]
    expected = angles(points, HALPE, facing_right(poses.seconds, points, HALPE))
    assert list(table.columns) == ["time", *(name.replace(" ", "_") for name in expected)]
    assert np.allclose(table["time"], poses.seconds, atol=1e-6)
    assert np.allclose(table.iloc[:, 1:], np.stack(list(expected.values()), 1), atol=1e-6, equal_nan=True)
    assert np.isnan(table["left_elbow"][[5, 7]]).all() and table["left_elbow"].isna().sum() == 2


def test_opensim_reads_trc_and_mot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it writes a log where it is
    opensim = pytest.importorskip("opensim", reason="opensim is large: pip install opensim")
    poses = walking((3,), metres_per_pixel=0.01)
    (trc,), (mot,) = write_trc(poses, tmp_path / "walk.trc"), write_mot(poses, tmp_path / "walk.mot")
    table, data = opensim.TimeSeriesTableVec3(str(trc)), opensim.MarkerData(str(trc))
    assert (table.getNumRows(), table.getNumColumns()) == (data.getNumFrames(), data.getNumMarkers()) == (20, 26)
    shoulder = HALPE.index("left_shoulder")
    for frame in (4, 5):
        point = table.getRowAtIndex(frame).getElt(0, shoulder).to_numpy()
        assert np.array_equal(point, data.getFrame(frame).getMarker(shoulder).to_numpy(), equal_nan=True)
        assert np.isnan(point).all() == (frame == 5)
    table = opensim.TimeSeriesTable(str(mot))
    assert (table.getNumRows(), table.getNumColumns()) == (20, 24) and np.isnan(table.getRowAtIndex(7).to_numpy()).all()
    (mot,) = write_mot(smooth_poses(poses, None, 1.0), tmp_path / "filled.mot")
    storage = opensim.Storage(str(mot))
    assert (storage.getSize(), storage.getColumnLabels().getSize(), storage.isInDegrees()) == (20, 25, True)


def test_markers_have_the_names_of_pose2sim():
    names = (
        "Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee RKnee LAnkle RAnkle "
    )
    names += "Head Neck Hip LBigToe RBigToe LSmallToe RSmallToe LHeel RHeel"
    assert [marker_name(keypoint) for keypoint in HALPE.keypoints] == names.split()
    assert marker_name("right_toe") == "RBigToe" and marker_name("left_hand") == "LIndex"
    assert len({marker_name(keypoint) for keypoint in JUMP.keypoints}) == 20


# ---- JSON ----------------------------------------------------------------------------------------


def test_openpose_frames(tmp_path):
    poses = walking((3, 8))
    (folder,) = write_openpose(poses, tmp_path / "walk_json")
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [f"walk_{frame:06d}.json" for frame in range(20)]
    for frame, file in enumerate(files):
        people = json.loads(file.read_text(encoding="utf-8"))["people"]
        assert [person["person_id"] for person in people] == ([] if frame == 7 else [[3], [8]])
        found = np.array([person["pose_keypoints_2d"] for person in people]).reshape(-1, 26, 3)
        assert np.allclose(found, np.nan_to_num(poses.poses[frame][: len(people)]), atol=1e-4)


def test_an_older_openpose_folder_is_replaced_and_anything_else_is_not(tmp_path):
    write_openpose(walking(frames=9), tmp_path / "walk_json")
    write_openpose(walking(frames=3), tmp_path / "walk_json")
    assert len(list((tmp_path / "walk_json").iterdir())) == 3
    (tmp_path / "walk_json" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds more than JSON"):
        write_openpose(walking(), tmp_path / "walk_json")
    assert (tmp_path / "walk_json" / "notes.txt").read_text() == "mine"


def test_coco_results_are_scored_by_pycocotools(tmp_path):
    from pycocotools.coco import COCO as Dataset
    from pycocotools.cocoeval import COCOeval

    all_poses = walking((3, 8)).poses[:, :, :17]
    poses = replace(walking((3, 8)), poses=all_poses, skeleton=COCO)
    (path,) = write_coco(poses, tmp_path / "walk_coco.json")
    annotations = []
    for frame, column in np.argwhere(np.isfinite(all_poses[..., 0]).any(-1)).tolist():
        points = all_poses[frame, column]
        seen = np.isfinite(points[:, 0])
        (x0, y0), (x1, y1) = np.nanmin(points[:, :2], 0).tolist(), np.nanmax(points[:, :2], 0).tolist()
        flat = np.nan_to_num(np.column_stack([points[:, :2], 2 * seen])).flatten().tolist()
        box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0, "category_id": 1}
        annotations.append(
            {"id": len(annotations) + 1, "image_id": frame, "keypoints": flat, "num_keypoints": 17, **box}
        )
    ground_truth = {
        "images": [{"id": frame, "height": 400, "width": 640} for frame in range(20)],
        "categories": [{"id": 1, "name": "person", "keypoints": COCO.keypoints}],
        "annotations": annotations,
    }
    (tmp_path / "ground_truth.json").write_text(json.dumps(ground_truth))
    dataset = Dataset(str(tmp_path / "ground_truth.json"))
    scores = COCOeval(dataset, dataset.loadRes(str(path)), "keypoints")
    scores.evaluate()
    scores.accumulate()
    scores.summarize()
    assert scores.stats[0] == pytest.approx(1) and scores.stats[5] == pytest.approx(1)
    results = json.loads(path.read_text(encoding="utf-8"))
    assert len(results) == 38 and {r["track_id"] for r in results} == {3, 8}
    assert np.allclose(results[1]["keypoints"], all_poses[0, 1].flatten(), atol=1e-4)


# ---- SLEAP and NWB -------------------------------------------------------------------------------


def test_sleap_is_read_by_sleap_io(tmp_path):
    poses = walking((3, 8))
    (path,) = write("sleap", poses, tmp_path)
    import sleap_io as sio

    labels = sio.load_slp(str(path), open_videos=False)
    skeleton = labels.skeletons[0]
    assert sorted(skeleton.node_names) == sorted(HALPE.keypoints)
    assert {frozenset(edge) for edge in skeleton.edge_inds} == {
        frozenset(map(skeleton.node_names.index, limb)) for limb in HALPE.limbs
    }
    assert {frozenset(node.name for node in pair.nodes) for pair in skeleton.symmetries} >= {
        frozenset(("left_knee", "right_knee"))
    }
    assert [track.name for track in labels.tracks] == ["3", "8"]
    assert labels.video.filename == "walk.mp4" and list(labels.video.shape) == [20, 400, 640, 3]
    order = [skeleton.node_names.index(keypoint) for keypoint in HALPE.keypoints]
    assert [frame.frame_idx for frame in labels] == [frame for frame in range(20) if frame != 7]
    for frame in labels:
        for column, instance in enumerate(frame.instances):
            found = instance.numpy(scores=True)[order]
            assert np.allclose(found, poses.poses[frame.frame_idx, column], equal_nan=True)


@pytest.mark.parametrize("uneven", [False, True])
def test_nwb_is_read_by_pynwb(tmp_path, uneven):
    poses = walking((3, 8), seconds=np.arange(20) / 29.97 + uneven * np.arange(20) ** 2 / 1000)
    (path,) = write("nwb", poses, tmp_path)
    from pynwb import NWBHDF5IO, validate

    assert not validate(path=str(path))
    with NWBHDF5IO(str(path), "r") as file:
        behavior = file.read().processing["behavior"]
        assert list(behavior["Skeletons"]["halpe"].nodes[:]) == list(HALPE.keypoints)
        assert behavior["Skeletons"]["halpe"].edges[:].tolist() == [list(limb) for limb in HALPE.limb_index]
        for column, name in enumerate(("person3", "person8")):
            for k, keypoint in enumerate(HALPE.keypoints):
                series = behavior[name][keypoint]
                found = np.column_stack([series.data[:], series.confidence[:]])
                assert np.allclose(found, poses.poses[:, column, k], equal_nan=True)
                assert np.allclose(series.timestamps[:], poses.seconds) and series.unit == "pixels"


# ---- all formats ---------------------------------------------------------------------------------


@each_format
@pytest.mark.parametrize("people", [(), (4,)])
@pytest.mark.parametrize("frames", [1, 20])
def test_nobody_one_frame_and_nothing_seen(tmp_path, name, people, frames):
    poses = walking(people, frames)
    write(name, poses, tmp_path)
    nothing = np.broadcast_to((np.nan, np.nan, 0), poses.poses.shape)
    for path in write(name, replace(poses, poses=nothing), tmp_path):
        assert path.exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@each_format
def test_single_precision_and_an_odd_name_are_written(tmp_path, name):
    poses = walking((1,), source="Läufer 1.final.mp4")
    for path in write(name, replace(poses, poses=poses.poses.astype(np.float32)), tmp_path):
        assert path.exists()


@each_format
def test_after_an_error_the_old_file_stays(tmp_path, name, monkeypatch):
    poses = walking((4,))
    (path,) = write(name, poses, tmp_path)
    if path.is_dir():
        pytest.skip("of a folder the parts are complete")
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write(name, walking((4,), frames=5), tmp_path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "extra"), [("dlc-h5", "formats"), ("c3d", "formats"), ("sleap", "sleap"), ("nwb", "sleap")]
)
def test_a_missing_extra_says_how_to_get_it(tmp_path, name, extra, monkeypatch):
    def missing(module):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(formats.importlib, "import_module", missing)
    with pytest.raises(ValueError, match=rf"^this format needs \w+: pip install -e \.\[{extra}\]$"):
        FORMATS[name][1](walking(), Path(tmp_path / "walk"))
    assert not list(tmp_path.iterdir())


def test_csv_has_one_line_ending_on_every_system(tmp_path):
    write_dlc_csv(walking(), tmp_path / "walk.csv")
    write_trc(walking((3,)), tmp_path / "walk.trc")
    for name in ("walk.csv", "walk.trc"):
        content = (tmp_path / name).read_bytes()
        assert b"\r" not in content and content.endswith(b"\n") and len(io.BytesIO(content).readlines()) > 20
