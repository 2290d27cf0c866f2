"""The CSV files of poses and measures, read back by pandas."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fewpose.skeleton import HALPE
from fewpose_video.poses import VideoPoses
from fewpose_video.tables import read_poses, write_angles, write_poses, write_velocities
from toy_teacher import SPOTS
from walking import walking


def two_people():
    """Person 2 moves by 3 pixels right and 4 down a frame, person 5 is there from the second frame on."""
    poses = np.zeros((3, 2, 4, 3))
    poses[:, 0] = np.arange(3)[:, None, None] * (3.0, 4.0, 0) + (10, 20, 1)
    poses[:, 1] = (50, 60, 0.5)
    poses[0, 1] = (np.nan, np.nan, 0)
    return VideoPoses("a.mp4", (100, 200), np.arange(3) / 10, (2, 5), poses, SPOTS, first=7)


def test_poses_have_rows_for_who_is_there(tmp_path):
    write_poses(two_people(), tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(table) == ["video", "frame", "seconds", "person", "keypoint", "x", "y", "score"]
    assert table.groupby(["frame", "person"]).size().to_dict() == {
        (7, 2): 4,
        (8, 2): 4,
        (8, 5): 4,
        (9, 2): 4,
        (9, 5): 4,
    }
    head = table[(table.person == 2) & (table.keypoint == "head")]
    assert (
        head.x.tolist() == [10, 13, 16] and head.y.tolist() == [20, 24, 28] and head.seconds.tolist() == [0, 0.1, 0.2]
    )


def test_metres_and_3d_have_columns_of_their_own(tmp_path):
    poses = replace(two_people(), metres_per_pixel=0.01, poses3d=1000 * two_people().poses)
    write_poses(poses, tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(table)[8:] == ["x3d", "y3d", "z3d", "x_m", "y_m"]
    first = table.iloc[0]
    assert (first.x3d, first.y3d, first.z3d, first.x_m, first.y_m) == (10000, 20000, 1000, 0.1, 0.79)


@pytest.mark.parametrize("fields", [{}, {"metres_per_pixel": 0.004, "first": 12}, {"people": ()}])
def test_what_was_written_is_read_again(tmp_path, fields):
    poses = walking(**fields)
    if poses.metres_per_pixel:
        poses = replace(poses, poses3d=100 * poses.poses)
    write_poses(poses, tmp_path / "walk.csv")
    read = read_poses(tmp_path / "walk.csv", HALPE, poses.size)
    for name in ("source", "people", "first", "size"):
        assert getattr(read, name) == getattr(poses, name)
    assert np.allclose(read.seconds, poses.seconds, atol=1e-4)
    assert np.allclose(read.poses, poses.poses, atol=0.0051, equal_nan=True)
    assert (read.poses3d is None) == (poses.poses3d is None)
    if poses.metres_per_pixel:
        assert np.allclose(read.poses3d[..., :2], poses.poses3d[..., :2], atol=0.051, equal_nan=True)
        assert read.metres_per_pixel == pytest.approx(0.004, rel=1e-3)


def test_another_table_is_not_read(tmp_path):
    write_angles(walking(), tmp_path / "a.csv")
    with pytest.raises(ValueError, match="no column keypoint"):
        read_poses(tmp_path / "a.csv", HALPE, (1, 1))
    write_poses(walking(), tmp_path / "b.csv")
    with pytest.raises(ValueError, match=f"is no keypoint of {SPOTS.name}"):
        read_poses(tmp_path / "b.csv", SPOTS, (1, 1))


def test_velocities_are_in_pixels_or_metres(tmp_path):
    for scale, unit, speed in ((None, "px/s", 50), (0.01, "m/s", 0.5)):
        write_velocities(replace(two_people(), metres_per_pixel=scale), tmp_path / "v.csv")
        table = pd.read_csv(tmp_path / "v.csv")
        moving = table[table.person == 2]
        assert set(table.unit) == {unit} and np.allclose(moving.speed, speed)
        assert np.allclose(moving.vx, 0.6 * speed) and np.allclose(moving.vy, 0.8 * speed)


def test_angles_have_a_row_for_each_frame_and_person(tmp_path):
    poses = walking()
    write_angles(poses, tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv")
    assert {"left_knee", "right_hip", "trunk"} <= set(table)
    assert len(table) == np.isfinite(poses.poses[..., 0]).any(-1).sum()
