import cv2
import numpy as np
import pytest

from fewpose_worlds.render import Light, Mesh, annotated, look_at, normals_of, render, shadow, visibility
from fewpose_worlds.shapes import box, plain_paint, sphere

NOON = Light(np.array([0, 0, 1.0]), np.ones(3), np.zeros(3), np.zeros(3))
EVEN = Light(np.array([0, 0, 1.0]), np.zeros(3), np.ones(3), np.ones(3))


def test_projection_looks_where_it_should_and_rays_undo_it():
    camera = look_at((0, 5, 1), (0, 0, 1), 100, 80, 60)
    pixel, depth = camera.project(np.array([[0, 0, 1.0], [-1, 0, 1], [0, 0, 2]]))
    np.testing.assert_allclose(pixel, [[39.5, 29.5], [59.5, 29.5], [39.5, 9.5]], atol=1e-9)
    np.testing.assert_allclose(depth, 5)
    np.testing.assert_allclose(camera.position + 5 * camera.rays(pixel), [[0, 0, 1], [-1, 0, 1], [0, 0, 2]], atol=1e-9)


def test_roll_turns_the_image_about_its_centre():
    level = look_at((0, 5, 1), (0, 0, 1), 100, 80, 60)
    rolled = look_at((0, 5, 1), (0, 0, 1), 100, 80, 60, roll=np.pi / 2)
    at, _ = level.project(np.array([0, 0, 2.0]))
    turned, _ = rolled.project(np.array([0, 0, 2.0]))
    assert np.hypot(*(turned - (39.5, 29.5))) == pytest.approx(np.hypot(*(at - (39.5, 29.5))))
    assert abs(turned[1] - 29.5) < 1e-9


def test_a_square_covers_its_pixels_and_no_others():
    corners = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1.0]])
    mesh = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]), plain_paint((1, 0, 0)), two_sided=True)
    camera = look_at((0, 10, 0), (0, 0, 0), 100, 40, 40)  # 10 pixels a metre
    rendering = render(camera, [mesh], EVEN)
    assert rendering.alpha[12:28, 12:28].min() == pytest.approx(1)
    assert rendering.alpha[:8].max() == 0
    assert 400 <= rendering.alpha.sum() <= 450
    np.testing.assert_allclose(rendering.colour[20, 20], (1, 0, 0), atol=1e-3)
    np.testing.assert_allclose(rendering.depth[40, 40], 10, rtol=1e-4)
    over = rendering.over(np.full((40, 40, 3), 0.5))
    np.testing.assert_allclose(over[2, 2], 0.5)


def test_the_nearer_body_hides_the_farther_and_faces_that_look_away_are_not_drawn():
    vertices, faces = sphere()
    _, normals = normals_of(vertices, faces)
    assert (normals * vertices).sum(1).min() > 0.8  # faces look outward
    far = Mesh(vertices, faces, plain_paint((1, 0, 0)), person=0)
    near = Mesh(vertices * 0.5 + (0, 3, 0), faces, plain_paint((0, 1, 0)), person=1)
    rendering = render(look_at((0, 8, 0), (0, 0, 0), 100, 64, 64), [near, far], EVEN)
    assert rendering.person[64, 64] == 1
    assert set(np.unique(rendering.person)) == {-2, 0, 1}
    assert rendering.depth[64, 64] == pytest.approx(4.5, abs=0.1)


def test_boxes_have_their_sides_outward_and_light_comes_from_above():
    thing = box((0, 0, 0.5), (1, 1, 1), 0.3, np.ones(3))
    centres = thing.vertices[thing.faces].mean(1) - (0, 0, 0.5)
    normals, _ = normals_of(thing.vertices, thing.faces)
    assert (centres * normals).sum(1).min() > 0
    rendering = render(look_at((0, 4, 3), (0, 0, 0.5), 100, 64, 64), [thing], NOON)
    colour = rendering.colour[rendering.alpha == 1]
    assert colour.max() > 0.9 and colour.min() < 0.4


def test_the_shadow_of_noon_lies_below():
    vertices, faces = sphere()
    mesh = Mesh(vertices * 0.3 + (0, 0, 1), faces, plain_paint((1, 1, 1)))
    camera = look_at((0, 4, 4), (0, 0, 0), 60, 64, 64)
    dark = shadow(camera, [mesh], np.array([0, 0, 1.0]), 0)
    assert dark[32, 32] == 1 and dark[:10].max() == 0


@pytest.mark.parametrize("height", [0.3, 1.0, 9.0])
def test_a_soft_shadow_is_the_hard_one_blurred(height):
    vertices, faces = sphere()
    mesh = Mesh(vertices * 0.3 + (0.7, 0, height), faces, plain_paint((1, 1, 1)))
    camera = look_at((0, 4, 4), (0, 0, 0), 60, 96, 64)
    low = np.array([0.6, 0.3, 0.4])  # at the highest the shadow falls out of the frame
    hard = (shadow(camera, [mesh], low, 0) * 255).astype(np.uint8)
    expected = cv2.GaussianBlur(hard, (0, 0), 2.5).astype(np.float32) / 255
    assert np.array_equal(shadow(camera, [mesh], low, 2.5), expected)
    assert hard.any() == (height < 9)


def test_visibility_is_visible_hidden_or_outside():
    vertices, faces = sphere()
    body = Mesh(vertices, faces, plain_paint((1, 0, 0)), person=0)
    other = Mesh(vertices * 0.2 + (0.5, 2, 0), faces, plain_paint((0, 1, 0)), person=1)
    camera = look_at((0, 8, 0), (0, 0, 0), 100, 64, 64)
    rendering = render(camera, [body, other], EVEN)
    points = np.array([[0, 0.95, 0], [0, -0.9, 0], [0.4, 0.8, 0], [0, 0, 5], [0, 20, 0]])
    flags = visibility(rendering, camera, points, 0, np.full(5, 0.1))
    assert flags.tolist() == [2, 1, 1, 0, 0]


def test_a_hidden_keypoint_is_annotated_beside_a_visible_one():
    limbs = [(0, 1), (1, 2), (2, 3)]
    assert annotated(np.array([2, 1, 1, 1]), limbs).tolist() == [2, 1, 0, 0]
    assert annotated(np.array([2, 1, 1, 2]), limbs).tolist() == [2, 1, 1, 2]
    assert annotated(np.array([0, 1, 0, 1]), limbs).tolist() == [0, 0, 0, 0]
