"""Places on the floor, against people who stand where it is known."""

import numpy as np
import pytest
import torch

from fewpose.geometry import assumed_camera
from fewpose.models.people import People
from fewpose.skeleton import COCO
from fewpose_video.room_plan import find_places, person_minutes

SIZE = (480, 640)
PITCH = np.radians(35)
HEIGHT = 2.6  # metres of the camera above the floor
# right, ahead and up in the axes of the camera, which looks down
AXES = np.array([[1, 0, 0], [0, -np.sin(PITCH), np.cos(PITCH)], [0, -np.cos(PITCH), -np.sin(PITCH)]])


def standing():
    """Keypoints [17, 3] of somebody who stands, in metres: right, ahead, up; the middle of the hips over 0, 0."""
    up = {"ankle": 0.08, "knee": 0.5, "hip": 0.95, "shoulder": 1.45, "elbow": 1.15, "wrist": 0.9}
    points = np.zeros((17, 3))
    for k, name in enumerate(COCO.keypoints):
        side, _, joint = name.partition("_")
        points[k] = [{"left": -0.18, "right": 0.18}.get(side, 0), 0, up.get(joint, 1.6)]
    return points


def seen(places, hidden=False):
    """People at places [P, 2] (right, ahead) as a network with exact 2D and 3D poses finds them."""
    boxes, poses, bodies = [], [], []
    for right, ahead in places:
        camera = np.add(standing(), (right, ahead, -HEIGHT)) @ AXES * 1000
        pixels = camera @ assumed_camera(SIZE).double().numpy().T
        xy = pixels[:, :2] / pixels[:, 2:]
        confidence = np.ones(17)
        confidence[[15, 16]] = 0 if hidden else 1
        boxes.append([*xy.min(0), *xy.max(0)])
        poses.append(np.column_stack([xy, confidence]))
        bodies.append(camera - camera[[11, 12]].mean(0))
    parts = [
        np.array(part).reshape(len(boxes), *shape)
        for part, shape in ((boxes, (4,)), (poses, (17, 3)), (bodies, (17, 3)))
    ]
    boxes, poses, bodies = (torch.tensor(part, dtype=torch.float32) for part in parts)
    return People(boxes, torch.ones(len(boxes)), poses, bodies)


def found(walks, hidden=False):
    """Frames of walks [T, P, 2]; IDs are the people's numbers."""
    return [seen(places, hidden) for places in walks], [torch.arange(len(places)) for places in walks]


def test_people_are_where_they_are():
    walks = np.stack([np.linspace([-1.0, 3], [1.0, 4], 9), np.full((9, 2), [0.5, 2.5])], 1)
    table = find_places(*found(walks), minutes=0.5, size=SIZE, skeleton=COCO)
    assert list(table.columns) == ["frame", "person", "minutes", "x", "y", "right", "ahead"]
    for person in (0, 1):
        own = table[table["person"] == person].set_index("frame")
        middle = slice(2, 6)  # at the ends a running median is of fewer frames
        np.testing.assert_allclose(own.loc[middle, ["right", "ahead"]], walks[middle.start : 7, person], atol=0.01)
    assert table["minutes"].sum() == 9


def test_feet_in_the_image_or_the_edge_of_the_box():
    places = [[[0.0, 3.0]]]
    people, ids = found(places)
    at = people[0].keypoints[0, [15, 16], :2].mean(0).numpy()
    table = find_places(people, ids, 1.0, SIZE, COCO)
    np.testing.assert_allclose(table[["x", "y"]].to_numpy()[0], at, rtol=1e-5)
    people, ids = found(places, hidden=True)
    x0, _, x1, y1 = people[0].boxes[0].tolist()
    table = find_places(people, ids, 1.0, SIZE, COCO)
    np.testing.assert_allclose(table[["x", "y"]].to_numpy()[0], [(x0 + x1) / 2, y1], rtol=1e-5)
    np.testing.assert_allclose(table[["right", "ahead"]].to_numpy()[0], [0, 3], atol=0.01)


def test_one_wild_frame_moves_nobody():
    walk = np.full((7, 1, 2), [0.0, 3.0])
    walk[3] = [2.0, 6.0]
    table = find_places(*found(walk), minutes=1.0, size=SIZE, skeleton=COCO)
    np.testing.assert_allclose(table[["right", "ahead"]], walk[[0] * 7, 0], atol=0.02)


def test_nobody():
    table = find_places([seen([])] * 2, [torch.zeros(0, dtype=torch.long)] * 2, 1.0, SIZE, COCO)
    assert len(table) == 0 and person_minutes(*table[["x", "y", "minutes"]].to_numpy().T, 0.25)[0].sum() == 0
    people, _ = found([[[0.0, 3.0]]])
    assert len(find_places(people, [torch.tensor([-1])], 1.0, SIZE, COCO)) == 0


def test_no_minute_is_lost():
    rng = np.random.default_rng(0)
    x, y, minutes = rng.normal(0, 2, 500), rng.normal(3, 1, 500), rng.uniform(0, 1, 500)
    values, across, along = person_minutes(x, y, minutes, 0.25)
    assert values.shape == (len(along) - 1, len(across) - 1) and values.sum() == pytest.approx(minutes.sum())
    x[:3], y[:3], minutes[:3] = [0.1, 0.2, 0.3], [1.1, 1.1, 1.1], [1, 2, 4]
    values, across, along = person_minutes(x[:3], y[:3], minutes[:3], 0.25)
    assert values.tolist() == [[3, 4]] and across.tolist() == [0, 0.25, 0.5] and along.tolist() == [1, 1.25]
    x[0] = np.nan
    assert person_minutes(x[:3], y[:3], minutes[:3], 0.25)[0].sum() == 6
