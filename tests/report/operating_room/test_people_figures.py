import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from fewpose.geometry import place_in_camera
from fewpose.metrics.people import evaluate
from fewpose.skeleton import COCO
from fewpose_report.operating_room.people_figures import (
    Scene,
    _limits,
    found_scene,
    people_figure,
    privacy_curves,
    privacy_table,
    side_by_side,
    soft_and_hard,
    true_scene,
    upright,
)
from fewpose_report.operating_room.people_results import Measured, PeopleTest
from fewpose_report.viewer import people_png, people_viewer
from two_people import guesses, world

PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def seen_world():
    """Two people three metres before the camera, seen where they are."""
    data = world(2)
    for i in range(2):
        data.keypoints3d[i] = data.keypoints3d[i] + torch.tensor([-400.0, -400, 3000])
        pixels = data.keypoints3d[i] @ data.cameras[i].T
        data.keypoints[i][..., :2] = pixels[..., :2] / pixels[..., 2:]
    return data


def test_what_is_found_stands_where_it_is_seen():
    data = seen_world()
    people = guesses(data, 2)[0]
    rooted = people.keypoints3d - people.keypoints3d[:, [11, 12]].mean(1, keepdim=True)
    people = type(people)(people.boxes, torch.tensor([0.9, 0.2]), people.keypoints, rooted)
    true, found = true_scene(data, 0), found_scene(data, 0, people, "found")
    assert len(found.poses) == 1  # the other is below the score
    assert torch.allclose(found.points, true.points[:1], atol=1)


def test_up_is_up():
    point = torch.tensor([[[1.0, -2, 3]]])  # right, up and away of the camera
    assert upright(point).tolist() == [[[1, 3, 2]]]
    to_room = torch.eye(4)
    to_room[:3, 3] = torch.tensor([0, 0, 10.0])
    assert upright(point, to_room).tolist() == [[[1, -2, 13]]]


def test_scenes_side_by_side_and_nobody():
    data = seen_world()
    people = guesses(data, 1)  # in the second frame nobody
    for i in range(2):
        scenes = [true_scene(data, i), found_scene(data, i, people[i], "found")]
        fig = people_figure(scenes, COCO, data.to_room[i])
        assert len(fig.axes) == 4 and fig.axes[2].get_title() == "found"
        fig.canvas.draw()
        low, high = fig.axes[1].get_xlim3d(), fig.axes[3].get_xlim3d()
        assert low == high  # one scale for both
    nobody = Scene("found", data.frames[0], torch.zeros(0, 17, 3), torch.zeros(0, 17, 3))
    people_figure([nobody], COCO).canvas.draw()


def test_networks_are_compared_where_each_found_somebody_above_its_own_threshold():
    data = seen_world()
    found = {"teacher": guesses(data, 1), "student_all": guesses(data, 2)}  # the teacher finds nobody in frame 1
    tests = []
    for method, people in found.items():
        evidence = evaluate(people, data)
        tests.append(PeopleTest(method, "room", 12, 0, evidence, data, people))
    for test, people in zip(tests, found.values(), strict=True):
        assert 0 < test.threshold <= min(float(p.scores[0]) for p in people if len(p.scores))
    titles = [ax.get_title() for ax in side_by_side(tests).axes[::2]]
    assert titles[0] == "ground truth" and titles[2] == f"student all at 12x, score ≥ {tests[1].threshold:.2f}"
    assert len(side_by_side(tests).axes[2].lines) > 0  # the teacher's people are there


def test_soft_and_hard_count_keypoints():
    data = seen_world()
    people = guesses(data, 1)[0]
    people.keypoints[..., 2] = 0.8
    people.keypoints[0, :4, 2] = 0.2
    left, right = soft_and_hard(data.frames[0], people, COCO, 0.5).axes
    assert "all 34" in left.get_title() and "30 of confidence ≥ 0.5" in right.get_title()
    hollow = [line for line in right.lines if line.get_markerfacecolor() == "none"]
    assert len(hollow) == 4


def test_privacy_curve():
    rng = np.random.default_rng(0)
    summary = {
        (method, scale, metric): Measured(50.0 / scale, 50 / scale + rng.normal(0, 1, 200), 1)
        for method, scales in (("teacher", (1, 8, 12)), ("student_fixed", (1,)))
        for scale in scales
        for metric in ("box_ap", "keypoint_ap", "mpjpe")
    }
    table = privacy_table(summary, ["teacher", "student_fixed", "student_all"])
    assert len(table) == 12 and (table["low"] < table["value"]).all()
    fig = privacy_curves(table)
    fig.canvas.draw()
    assert [len(ax.lines) for ax in fig.axes] == [2, 2, 2]
    assert list(fig.axes[0].lines[0].get_xdata()) == [1, 8, 12]


def test_viewer_follows_its_sliders_and_has_a_still_image():
    data = seen_world()
    people = guesses(data, 2)
    viewer = people_viewer({1: (data, people), 12: (data, guesses(data, 0))})
    (frame, scale), (score, azimuth), image = (*(box.children for box in viewer.children[:2]), viewer.children[2])
    first = bytes(image.value)
    assert first.startswith(PNG) and "image/png" in viewer._repr_mimebundle_()
    assert score.value == 0.3
    for slider, value in ((frame, 1), (azimuth, -60), (scale, 12)):
        before = bytes(image.value)
        slider.value = value
        assert image.value != before
    assert people_png(data, people, 0, "found at 1x") == first


def test_camera_and_figure_agree_on_left_and_right():
    """Seen from the camera's own side, what is right in the frame is right in the room."""
    data = seen_world()
    level = Scene("ground truth", data.frames[0], data.keypoints[0], upright(data.keypoints3d[0]))
    fig = people_figure([level], COCO, azimuth=0)
    fig.canvas.draw()
    ax = fig.axes[1]
    ends = ax.get_proj() @ np.array([[-500, 3000, 800, 1], [500, 3000, 800, 1.0]]).T
    assert ends[0, 0] / ends[3, 0] < ends[0, 1] / ends[3, 1]


def test_the_room_shows_the_true_people_and_who_was_found_near_them():
    true = torch.tensor([[[0.0, 0, 0], [0, 0, 1800]]])
    beside, astray = true + torch.tensor([900.0, 0, -300]), true + torch.tensor([9000.0, 0, 0])
    limits = _limits(torch.cat([true, beside, astray]), true)
    assert 900 < limits[0, 1] < 2000  # the one beside it, not the one astray
    assert (limits[2] == _limits(true)[2]).all()  # one floor


def test_people_are_placed_where_they_are_seen():
    torch.manual_seed(0)
    camera = torch.tensor([[538.0, 0, 319.5], [0, 540, 239.5], [0, 0, 1]])
    points, stand = 400 * torch.randn(3, 17, 3), torch.tensor([[0.0, 100, 3000]])
    pixels = (points + stand) @ camera.T
    poses = torch.cat([pixels[..., :2] / pixels[..., 2:], torch.ones(3, 17, 1)], -1)
    poses[1, :9] = 0  # not seen
    shift = place_in_camera(points, poses, camera)
    assert torch.allclose(shift, stand.expand(3, 3), atol=0.5)
    poses[2, 1:, 2] = 0  # one keypoint tells no distance
    shift = place_in_camera(points, poses, camera)
    assert shift[2].isnan().all() and torch.allclose(shift[:2], stand.expand(2, 3), atol=0.5)
    assert place_in_camera(points[:0], poses[:0], camera).shape == (0, 3)
