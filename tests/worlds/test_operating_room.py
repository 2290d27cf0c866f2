import json

import numpy as np
import pytest
import torch

from fewpose.data.multi_person import PeopleData
from fewpose.skeleton import COCO
from fewpose_worlds import worlds
from fewpose_worlds.body import KEYPOINTS, pose_bodies
from fewpose_worlds.operating_room import cameras, scene, views
from fewpose_worlds.operating_room.staff import dress, rotations, sample_angles, sample_clinician, sample_wardrobe
from fewpose_worlds.operating_room.table import TABLE
from fewpose_worlds.render import look_at, render
from fewpose_worlds.shapes import box

SIZE = (120, 160)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return worlds.operating_room(13, SIZE, seed=2, cache=tmp_path_factory.mktemp("cache"))


def test_three_days_three_views_three_splits(people):
    assert people.frames.shape == (13, 3, *SIZE) and len(people) == 13
    assert set(people.split) == {"train", "val", "test"} and len(set(people.day)) == 3
    for day in set(people.day):
        assert len(set(people.split[people.day == day])) == 1
    assert people.frames.float().std(dim=(1, 2, 3)).min() > 10
    assert 1 <= np.mean([len(boxes) for boxes in people.boxes]) <= 6
    moments = people.moments()
    assert moments.shape == (4, 3)  # of the fifth there is one view
    assert (people.view[moments] == [0, 1, 2]).all()
    assert (people.moment[moments] == people.moment[moments[:, :1]]).all()
    for i in moments.flatten().tolist():
        assert torch.equal(people.cameras[i], people.cameras[0])  # of one make
    test = people.subset("test")
    assert set(test.split) == {"test"} and torch.equal(
        test.boxes[0], people.boxes[int(np.flatnonzero(people.split == "test")[0])]
    )


def test_keypoints3d_project_onto_keypoints(people):
    checked = 0
    for i in range(len(people)):
        space, flat = people.keypoints3d[i].double(), people.keypoints[i].double()
        there = flat[..., 2] > 0
        pixels = space @ people.cameras[i].double().T
        pixels = pixels[..., :2] / pixels[..., 2:]
        assert (pixels - flat[..., :2])[there].abs().max() < 1e-3
        assert (flat[..., :2][~there] == 0).all()
        checked += int(there.sum())
    assert checked > 200


def test_the_views_of_a_moment_see_the_same_people_on_the_floor(people):
    met = 0
    for row in people.moments().tolist():
        where = {}
        for i in row:
            ones = torch.ones_like(people.keypoints3d[i][..., :1])
            room = torch.cat([people.keypoints3d[i], ones], -1) @ people.to_room[i].T
            for who, place in zip(people.person[i].tolist(), room[..., :3], strict=True):
                met += who in where
                assert (where.setdefault(who, place) - place).abs().max() < 0.1  # millimetres
        for place in where.values():
            ankles = place[[COCO.index("left_ankle"), COCO.index("right_ankle")]]
            assert 20 < ankles[:, 2].min() < 250 and (place[:, 2] > 0).all()
    assert met > 5


def test_boxes_hold_what_is_seen(people):
    height, width = SIZE
    for boxes, keypoints, areas in zip(people.boxes, people.keypoints, people.areas, strict=True):
        assert (boxes >= 0).all() and (boxes <= torch.tensor([width, height] * 2)).all()
        sides = boxes[:, 2:] - boxes[:, :2]
        assert (sides > 0).all() and (areas <= sides.prod(1) + 1).all() and (areas > 0).all()
        at = keypoints[..., :2] + 0.5
        held = ((at >= boxes[:, None, :2] - 0.01) & (at <= boxes[:, None, 2:] + 0.01)).all(-1)
        assert held[keypoints[..., 2] == 2].all()
    poses = torch.cat(people.keypoints)
    labelled = (poses[..., 2] > 0).any(1)
    assert 0.5 < labelled.float().mean() < 0.85  # the others have a box only
    shown = (poses[labelled, 5:13, 2] == 2).float().mean()
    hidden = (poses[labelled, 5:13, 2] == 1).float().mean()
    assert shown > 0.45 and hidden > 0.15  # MVOR's annotators: 0.78 and 0.2


def test_a_frame_depends_on_its_seed_alone(people):
    last = views.tasks(13, SIZE, 2, 3)[-1]  # made alone, as by another process
    frames, metadata, _ = views.make_scene(*last)
    assert torch.equal(torch.from_numpy(frames), people.frames[-len(frames) :])
    assert [one["moment"] for one in metadata] == people.moment[-len(frames) :].tolist()
    other = views.make_scene(3, *last[1:4], 1, *last[5:])[0]
    assert (other[0] != frames[0]).any()


def test_nobody_stands_in_the_table_or_in_another():
    for day in range(6):
        today = views.sample_day(1, day, SIZE)
        rng = np.random.default_rng(day)
        sampled = scene.sample_scene(rng, today.room, today.cameras, today.wardrobe, today.staff)
        for _ in range(5):
            spots = scene.next_moment(rng, sampled).places[:, :2]
            assert (np.abs(spots) > np.array(TABLE) / 2).any(1).all()
            assert (scene.gap(sampled.gear.blocks, spots) > 0.15).all()
            distances = np.linalg.norm(spots[:, None] - spots, axis=-1) + 9 * np.eye(len(spots))
            assert distances.min() > 0.5
            assert (np.abs(today.room.local(spots)) < today.room.half).all()


def test_what_a_board_covers_is_occluded_and_the_rest_is_not():
    rng = np.random.default_rng(4)
    who = sample_clinician(rng, sample_wardrobe(rng), "watch", 0)
    turned = rotations(rng, sample_angles(rng, "stand"), -np.pi / 2)[None]
    bodies = pose_bodies(who.phenotype[None], turned, np.zeros((1, 3)))
    bodies.vertices[0, :, 2] -= bodies.vertices[0, :, 2].min()
    shift = bodies.vertices[0, :, 2].max() / 2
    camera = look_at((0, -4, 1.2), (0, 0, 0.9), 140, 160, 120)
    lifted = bodies.keypoints[0]
    lifted[:, 2] -= lifted[[KEYPOINTS.index("left_heel"), KEYPOINTS.index("right_heel")], 2].min()
    lights = views.sample_day(1, 0, SIZE).room.light
    open_ = render(camera, dress(bodies, 0, who, 0), lights)
    board = render(camera, [box((0, -1, shift / 2), (2, 0.05, shift), 0, np.ones(3))], lights)
    hidden = render(camera, dress(bodies, 0, who, 0), lights, static=board)
    names = ("left_shoulder", "right_shoulder", "left_knee", "right_knee", "right_ankle")

    def flags(rendering):
        made = views.annotate(rendering, camera, bodies, 0, who)
        pose_ = np.reshape(made["keypoints"], (17, 3))
        return [int(pose_[COCO.index(name), 2]) for name in names], made["bbox"][3]

    seen, tall = flags(open_)
    covered, short = flags(hidden)
    assert seen == [2] * 5 and covered == [2, 2, 1, 1, 0]  # no keypoint joined to the ankle is visible
    assert short < 0.75 * tall


def test_what_cannot_be_inferred_is_not_annotated():
    index = COCO.index
    seen = np.ones(17)
    assert (views.annotator_flags(seen) == 0).all()  # all hidden: only a box
    seen[[index("left_shoulder"), index("left_elbow")]] = 2
    assert (views.annotator_flags(seen) == 0).all()  # two joints are not enough
    seen[index("left_wrist")] = 2
    flags = views.annotator_flags(seen)
    assert (flags[seen == 2] == 2).all()
    guessed = {COCO.keypoints[i] for i in np.flatnonzero(flags == 1)}
    assert guessed == {"right_shoulder", "left_hip", "left_ear"}
    seen[index("left_hip")] = 0
    assert views.annotator_flags(seen)[index("left_hip")] == 0  # outside stays outside


def test_the_cameras_look_down_at_the_table_from_the_ceiling():
    for day in range(8):
        for camera in cameras.sample_cameras(np.random.default_rng(day), (480, 640)):
            assert 2.2 < camera.position[2] < 3.1
            below = np.degrees(np.arcsin(-camera.rotation[2, 2]))
            assert 25 < below < 50
            pixel, depth = camera.project(np.array([0, 0, 1.0]))
            assert depth > 1 and (np.abs(pixel - (319.5, 239.5)) < (220, 200)).all()
            matrix = cameras.camera_matrix(camera)
            space = cameras.camera_to_room(camera)
            point = np.array([300.0, -200, 2500])
            home = (space @ [*point, 1])[:3] / 1000
            flat = matrix @ point
            np.testing.assert_allclose(camera.project(home)[0], flat[:2] / flat[2], atol=1e-6)


def test_exported_file_is_coco(tmp_path):
    out = worlds.export("operating_room", 9, 48, 2, tmp_path / "out")
    content = json.loads((out / "annotations.json").read_text())
    assert {(i["width"], i["height"]) for i in content["images"]} == {(64, 48)}
    assert len(list((out / "images").iterdir())) == 9
    assert all(len(a["keypoints3d"]) == 51 for a in content["annotations"])
    coco = pytest.importorskip("pycocotools.coco").COCO(str(out / "annotations.json"))
    assert len(coco.getImgIds()) == 9 and len(coco.getAnnIds()) == len(content["annotations"])


def test_resizing_moves_labels_and_cameras_alike(people):
    small = people.resized((40, 53))
    assert small.size == (40, 53) and small.frames.dtype == torch.uint8
    for space, flat, camera in zip(small.keypoints3d, small.keypoints, small.cameras, strict=True):
        pixels = space @ camera.T
        there = flat[..., 2] > 0
        assert torch.allclose((pixels[..., :2] / pixels[..., 2:])[there], flat[..., :2][there], atol=1e-3)
    assert people.resized(SIZE) is people


def test_what_makes_no_world_is_refused(people):
    with pytest.raises(ValueError, match="at least 1 frame"):
        worlds.operating_room(0)
    with pytest.raises(ValueError, match="size from 32"):
        worlds.operating_room(9, (480, 8))
    with pytest.raises(ValueError, match="at least three days"):
        worlds.operating_room(9, SIZE, days=2)
    with pytest.raises(ValueError, match="3 frames or more"):
        worlds.operating_room(9, SIZE, days=4)
    torn = {name: getattr(people, name) for name in PeopleData.__dataclass_fields__}
    with pytest.raises(ValueError, match="split by day"):
        PeopleData(**{**torn, "split": np.array(["train", "test"] + ["train"] * 11)})
    with pytest.raises(ValueError, match="boxes of frame 3"):
        boxes = list(people.boxes)
        boxes[3] = boxes[3][:, :3]
        PeopleData(**{**torn, "boxes": boxes})


def test_videos_show_the_same_people_who_move_little_from_frame_to_frame():
    """Without their images: places and joints of one scene's successive frames."""
    size = (48, 64)
    day = views.sample_day(3, 1000, size)
    rng = np.random.default_rng(0)
    acted = scene.sample_scene(rng, day.room, day.cameras, day.wardrobe, day.staff)
    acted.cast[:] = [actor for actor in acted.cast if actor.place[0] < 90]
    moments = list(scene.act_on(rng, acted, 25, 10))
    assert len(moments) == 25 and len({len(moment.cast) for moment in moments}) == 1
    places = np.stack([moment.places for moment in moments])
    steps = np.linalg.norm(np.diff(places, axis=0), axis=-1)
    assert 0 < steps.max() < 0.7, "metres in a fifth of a second"
    assert np.abs(np.diff([moment.rotations for moment in moments], axis=0)).max() < 0.7
    for way in places.transpose(1, 0, 2):  # nobody walks through the table
        if scene.gap(acted.gear.blocks, way[:1, :2])[0] >= 0:
            assert scene.gap(acted.gear.blocks, way[:, :2]).min() > -0.15


def test_a_video_is_a_world_of_one_camera(tmp_path):
    video = worlds.operating_room_videos(1, 0.4, SIZE, seed=2, cache=tmp_path)
    assert video.frames.shape == (2, 3, *SIZE) and set(video.day) == {"video0"} and video.moment.tolist() == [0, 1]
    assert torch.equal(video.cameras[0], video.cameras[1]) and torch.equal(video.to_room[0], video.to_room[1])
    change = (video.frames[0].float() - video.frames[1].float()).abs().mean()
    assert 0 < change < 20 and set(video.person[0].tolist()) & set(video.person[1].tolist())
    with pytest.raises(ValueError, match="at least 1 frame"):
        worlds.operating_room_videos(0, 1.0, SIZE)
