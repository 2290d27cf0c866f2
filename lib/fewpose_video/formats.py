"""Poses of a video in the formats of other tools.

Each writer takes the poses and the path of its file, and returns the paths written: TRC, MOT and C3D hold one person,
so several get a file each, `<stem>_person<ID>`. A file is complete or not there. What an extra of this package is
needed for raises ValueError with the command that installs it.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from fewpose.disk import DiskFull, full_disk_named, replacing
from fewpose_video.measure import ALIASES, angles, facing_right
from fewpose_video.poses import VideoPoses

if TYPE_CHECKING:
    import pandas

SCORER = "fewpose"
MAX_C3D_FRAMES = 65535  # what its header counts; ezc3d drops the rest without a word


def require(module: str, extra: str) -> ModuleType:
    """Import a module of an optional dependency; ValueError says how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(f"this format needs {error.name}: pip install -e .[{extra}]") from error


# ---- DeepLabCut ----------------------------------------------------------------------------------


def write_dlc_csv(poses: VideoPoses, path: Path) -> tuple[Path, ...]:
    """DeepLabCut's CSV: x, y in pixels and likelihood; with the row `individuals` if there are several people."""
    with replacing(path) as part:
        dlc_table(poses).to_csv(part, encoding="utf-8", lineterminator="\n")
    return (path,)


def write_dlc_h5(poses: VideoPoses, path: Path) -> tuple[Path, ...]:
    """The table of `write_dlc_csv` as DeepLabCut's HDF5, with the key `df_with_missing`."""
    require("tables", "formats")
    with replacing(path) as part:
        # not "table" as DeepLabCut: its pandas 2 cannot read what pandas 3 writes there, nor is an empty one written
        dlc_table(poses).to_hdf(part, key="df_with_missing", mode="w", format="fixed")
    return (path,)


def dlc_table(poses: VideoPoses) -> pandas.DataFrame:
    """Rows are frames; columns (scorer, individuals if several, bodyparts, coords). Nobody is one absent person."""
    import pandas as pd  # here, as it takes half a second

    levels = {
        "scorer": [SCORER],
        "individuals": [f"person{i}" for i in poses.people],
        "bodyparts": poses.skeleton.keypoints,
        "coords": ["x", "y", "likelihood"],
    }
    values = poses.poses.reshape(len(poses.seconds), -1)
    if not poses.people:
        values = np.tile([np.nan, np.nan, 0.0], (len(poses.seconds), len(poses.skeleton)))
    if len(poses.people) < 2:
        del levels["individuals"]
    frames = pd.RangeIndex(poses.first, poses.first + len(values))
    return pd.DataFrame(values, index=frames, columns=pd.MultiIndex.from_product(levels.values(), names=list(levels)))


# ---- OpenSim and motion capture ------------------------------------------------------------------


def write_trc(poses: VideoPoses, path: Path) -> tuple[Path, ...]:
    """OpenSim's TRC with the marker names of Pose2Sim (RHip, LBigToe, …) and the coordinates of `markers`.

    What is absent is NaN: the empty cells of other programs stop OpenSim 4.6 or move markers, depending on the reader.
    """
    names = [marker_name(keypoint) for keypoint in poses.skeleton.keypoints]
    files = person_files(poses, path)
    for column, target in enumerate(files):
        points, unit = markers(poses, column)
        rate, frames = f"{poses.rate:.6g}", len(points)
        header = [
            ["PathFileType", 4, "(X/Y/Z)", target.name],
            "DataRate CameraRate NumFrames NumMarkers Units OrigDataRate OrigDataStartFrame OrigNumFrames".split(),
            [rate, rate, frames, len(names), unit, rate, 0, frames],
            ["Frame#", "Time", *(cell for name in names for cell in (name, "", ""))],
            ["", "", *(f"{axis}{i + 1}" for i in range(len(names)) for axis in "XYZ")],
        ]
        rows = (
            [poses.first + i, f"{second:.6f}", *(f"{v:.5f}" for v in frame.flat)]
            for i, (second, frame) in enumerate(zip(poses.seconds, points, strict=True))
        )
        write_tabs(target, [*header, *rows])
    return files


def write_mot(poses: VideoPoses, path: Path) -> tuple[Path, ...]:
    """OpenSim's MOT with the angles of `measure.angles` in degrees, from the poses as they are (smooth them first).

    Columns have underscores (right_knee), as OpenSim's `Storage` splits names at blanks. What is absent is NaN, which
    its `TimeSeriesTable` reads; `Storage` stops there, so fill the gaps for it.
    """
    files = person_files(poses, path)
    for column, target in enumerate(files):
        points = poses.poses[:, column]
        found = angles(points, poses.skeleton, facing_right(poses.seconds, points, poses.skeleton))
        names = [name.replace(" ", "_") for name in found]
        header = ["Coordinates", "version=1", f"nRows={len(points)}", f"nColumns={len(found) + 1}", "inDegrees=yes"]
        table = np.stack([poses.seconds, *found.values()], 1)
        rows = [[f"{value:.6f}" for value in row] for row in table.tolist()]
        write_tabs(target, [*([line] for line in header), ["endheader"], ["time", *names], *rows])
    return files


def write_c3d(poses: VideoPoses, path: Path) -> tuple[Path, ...]:
    """C3D with the coordinates of `markers`, metres as millimetres, and residual −1 for what is absent.

    C3D knows no times: frames at uneven ones keep their number and get the median rate. ValueError for more frames than
    it can count.
    """
    ezc3d = require("ezc3d", "formats")
    if len(poses.seconds) > MAX_C3D_FRAMES:
        frames = len(poses.seconds)
        raise ValueError(f"{poses.source}: C3D holds {MAX_C3D_FRAMES} frames, not {frames}: take a shorter part")
    files = person_files(poses, path)
    for column, target in enumerate(files):
        points, unit = markers(poses, column)
        points = points * 1000 if unit == "m" else points
        file = ezc3d.c3d()
        point = file["parameters"]["POINT"]
        point["LABELS"]["value"] = [marker_name(keypoint) for keypoint in poses.skeleton.keypoints]
        point["RATE"]["value"], point["UNITS"]["value"] = [poses.rate], ["px" if unit == "px" else "mm"]
        file["data"]["points"] = np.concatenate([points, np.ones_like(points[..., :1])], -1).transpose(2, 1, 0)
        with replacing(target) as part:
            file.write(str(part))
            if part.stat().st_size < points.size // 3 * 16:  # ezc3d tells nobody that a disk is full
                raise DiskFull(part, written=part.stat().st_size)
    return files


def markers(poses: VideoPoses, column: int) -> tuple[np.ndarray, str]:
    """Coordinates [T, K, 3] of a person and their unit, in OpenSim's axes: x right, y up, z towards the camera.

    3D in millimetres where there is; else metres from the lower left corner of the frame; else, as in Sports2D, pixels
    of the frame (y down).
    """
    if poses.poses3d is not None:
        return poses.poses3d[:, column] * (1, -1, -1), "mm"
    flat = poses.poses[:, column].astype(float) * (1, 1, 0)
    flat[np.isnan(flat[..., 0])] = np.nan
    if poses.metres_per_pixel is None:
        return flat, "px"
    return (flat * (1, -1, 1) + (0, poses.size[0] - 1, 0)) * poses.metres_per_pixel, "m"


def marker_name(keypoint: str) -> str:
    """Pose2Sim's name of a keypoint: LBigToe of left_big_toe."""
    keypoint = next((name for name, alias in ALIASES.items() if alias == keypoint), keypoint)
    side, _, rest = keypoint.partition("_")
    words = rest if side in ("left", "right") else keypoint
    return (side[0].upper() if words is rest else "") + "".join(word.capitalize() for word in words.split("_"))


def person_files(poses: VideoPoses, path: Path) -> tuple[Path, ...]:
    """The file of each person: `path` if there is one."""
    if len(poses.people) == 1:
        return (path,)
    return tuple(path.with_name(f"{path.stem}_person{person}{path.suffix}") for person in poses.people)


def write_tabs(path: Path, rows: Iterable[list]) -> None:
    """Rows of cells, separated by tabs."""
    with replacing(path) as part, open(part, "w", newline="\n", encoding="utf-8") as file:
        file.writelines("\t".join(map(str, row)) + "\n" for row in rows)


# ---- JSON ----------------------------------------------------------------------------------------


def write_openpose(poses: VideoPoses, path: Path) -> tuple[Path, ...]:
    """A folder of OpenPose's JSON, `<video>_<frame>.json`, with the people of each frame; absent keypoints are 0, 0, 0.

    An older folder of this kind is replaced; ValueError if it holds anything else.
    """
    if path.exists() and not (path.is_dir() and all(old.suffix == ".json" for old in path.iterdir())):
        raise ValueError(f"{path} is in the way: it holds more than JSON files")
    part = path.absolute().with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a killed call
    try:
        with full_disk_named(path, part):
            part.mkdir(parents=True)
            for frame, people in enumerate(people_by_frame(poses), poses.first):
                found = [{"person_id": [person], "pose_keypoints_2d": flat_list(pose)} for person, pose in people]
                name = f"{Path(poses.source).stem}_{frame:06d}.json"
                (part / name).write_text(json.dumps({"version": 1.3, "people": found}), encoding="utf-8")
            if path.exists():
                shutil.rmtree(path)
            os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return (path,)


def write_coco(poses: VideoPoses, path: Path) -> tuple[Path, ...]:
    """COCO's keypoint results: `image_id` is the number of the frame, `score` the mean of the keypoints.

    `keypoints` are x, y, score, and 0, 0, 0 where absent; `track_id` is the person.
    """
    results = [
        {
            "image_id": frame,
            "category_id": 1,
            "track_id": person,
            "keypoints": flat_list(pose),
            "score": float(pose[:, 2].mean()),
        }
        for frame, people in enumerate(people_by_frame(poses), poses.first)
        for person, pose in people
    ]
    with replacing(path) as part:
        part.write_text(json.dumps(results), encoding="utf-8")
    return (path,)


def people_by_frame(poses: VideoPoses) -> Iterator[list[tuple[int, np.ndarray]]]:
    """ID and pose [K, 3] of the people in each frame who have a keypoint there."""
    for people in poses.poses.astype(float):
        pairs = zip(poses.people, people, strict=True)
        yield [(person, pose) for person, pose in pairs if np.isfinite(pose[:, 0]).any()]


def flat_list(pose: np.ndarray) -> list[float]:
    """Keypoints [K, 3] in one list, with 0 for NaN."""
    return np.nan_to_num(pose).round(4).flatten().tolist()


# ---- SLEAP and NWB -------------------------------------------------------------------------------


def write_sleap(poses: VideoPoses, path: Path) -> tuple[Path, ...]:
    """SLEAP's `.slp` with predicted instances and a track for each person."""
    sio = require("sleap_io", "sleap")
    names = poses.skeleton.keypoints
    twins = [(names[i], names[j]) for i, j in enumerate(poses.skeleton.flip_index) if i < j]
    skeleton = sio.Skeleton(list(names), list(poses.skeleton.limbs), twins, name=poses.skeleton.name)
    shape = [poses.first + len(poses.seconds), *poses.size, 3]
    video = sio.Video(poses.source, backend_metadata={"shape": shape, "fps": poses.rate}, open_backend=False)
    tracks = {person: sio.Track(str(person)) for person in poses.people}
    frames = []
    for frame, people in enumerate(people_by_frame(poses), poses.first):
        found = [
            sio.PredictedInstance.from_numpy(
                pose[:, :2], skeleton, point_scores=pose[:, 2], score=float(pose[:, 2].mean()), track=tracks[person]
            )
            for person, pose in people
        ]
        frames += [sio.LabeledFrame(video=video, frame_idx=frame, instances=found)] if found else []
    labels = sio.Labels(frames, videos=[video], skeletons=[skeleton], tracks=list(tracks.values()))
    with replacing(path) as part:
        sio.save_slp(labels, str(part), embed=False, verbose=False)
    return (path,)


def write_nwb(poses: VideoPoses, path: Path) -> tuple[Path, ...]:
    """NWB with ndx-pose: a `PoseEstimation` for each person in `processing/behavior`, at the times of the frames.

    By pynwb itself: sleap-io cuts the frame rate to a whole number. NWB asks for the time of the session; it is that of
    writing, as a video's is not known.
    """
    pynwb, ndx_pose = require("pynwb", "sleap"), require("ndx_pose", "sleap")
    file = pynwb.NWBFile(
        session_description=f"Poses of {poses.source}; the time of the session is that of writing this file",
        identifier=str(uuid4()),
        session_start_time=datetime.now(UTC),
    )
    behavior = file.create_processing_module("behavior", "Poses estimated from video")
    limbs = np.array(poses.skeleton.limb_index, "uint8").reshape(-1, 2)
    skeleton = ndx_pose.Skeleton(name=poses.skeleton.name, nodes=list(poses.skeleton.keypoints), edges=limbs)
    behavior.add(ndx_pose.Skeletons(skeletons=[skeleton]))
    for person, points in zip(poses.people, poses.poses.swapaxes(0, 1), strict=True):
        series = [
            ndx_pose.PoseEstimationSeries(
                name=keypoint,
                description=f"{keypoint} of person {person}",
                data=points[:, k, :2],
                unit="pixels",
                reference_frame="(0, 0) is the middle of the upper left pixel, y points down",
                timestamps=np.asarray(poses.seconds, float),
                confidence=points[:, k, 2],
                confidence_definition="height of the heat map's maximum; 0 with a position: interpolated",
            )
            for k, keypoint in enumerate(poses.skeleton.keypoints)
        ]
        estimation = ndx_pose.PoseEstimation(
            pose_estimation_series=series,
            name=f"person{person}",
            description=f"Person {person} in {poses.source}",
            scorer=SCORER,
            source_software="fewpose",
            skeleton=skeleton,
        )
        behavior.add(estimation)
    with replacing(path) as part, pynwb.NWBHDF5IO(str(part), "w") as io:
        io.write(file)
    return (path,)


# What `--format` takes: the end of the file's (of OpenPose the folder's) name, and its writer.
FORMATS: dict[str, tuple[str, Callable[[VideoPoses, Path], tuple[Path, ...]]]] = {
    "dlc-csv": ("_dlc.csv", write_dlc_csv),
    "dlc-h5": ("_dlc.h5", write_dlc_h5),
    "trc": (".trc", write_trc),
    "mot": (".mot", write_mot),
    "c3d": (".c3d", write_c3d),
    "openpose": ("_json", write_openpose),
    "coco": ("_coco.json", write_coco),
    "sleap": (".slp", write_sleap),
    "nwb": (".nwb", write_nwb),
}
