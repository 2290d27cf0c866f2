"""The motion of a camera, of images that are cut from a larger one."""

import cv2
import numpy as np

from fewpose_video.camera import background_motion, moves, without_people

WALL = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (700, 1400, 3), np.uint8), (0, 0), 2)
SIZE = (200, 300)


def pan(maps, person=True):
    """Images under maps [T, 2, 3] from the wall, with a striped person who stays in the middle, and their poses."""
    images = []
    for matrix in maps:
        image = cv2.warpAffine(WALL, matrix, SIZE[::-1])
        if person:
            image[60:160, 110:190:8] = 255
        images.append(image)
    pose = np.array([[110, 60, 1], [190, 160, 1.0], [np.nan, np.nan, 0]])
    return images, np.tile(pose, (len(maps), 1, 1, 1))


def test_a_pan_with_zoom_is_followed_past_a_person():
    zoom = 1 + 0.01 * np.arange(6)
    maps = np.stack([[[z, 0, -200 - 9.5 * i], [0, z, -150 + 2.25 * i]] for i, z in enumerate(zoom)])
    found = background_motion(*pan(maps))
    assert np.array_equal(found[0], np.eye(2, 3))
    for before, now, moved in zip(maps, maps[1:], found[1:], strict=False):
        ratio = now[0, 0] / before[0, 0]
        expected = np.array([[ratio, 0, 0], [0, ratio, 0]])
        expected[:, 2] = now[:, 2] - ratio * before[:, 2]
        corners = np.array([[0, 0, 1], [299, 0, 1], [0, 199, 1], [299, 199, 1.0]])
        assert np.abs(corners @ (moved - expected).T).max() < 0.5


def test_large_images_are_followed_in_their_own_pixels():
    maps = np.stack([[[1, 0, -10.0 - 12 * i], [0, 1, 0]] for i in range(3)])
    images = [cv2.warpAffine(WALL, matrix, (1200, 600)) for matrix in maps]
    found = background_motion(images, np.full((3, 0, 1, 3), np.nan))
    assert np.allclose(found[1:, :, 2], [[-12, 0]] * 2, atol=0.5)


def test_nothing_to_follow_is_unknown():
    found = background_motion([np.zeros((100, 100, 3), np.uint8)] * 3, np.zeros((3, 0, 1, 3)))
    assert np.isnan(found[1:]).all()


def test_people_are_left_out():
    mask = without_people((200, 300), pan(np.zeros((1, 2, 3)))[1][0])
    assert (mask[60:160, 110:190] == 0).all() and mask[10, 10] == mask[190, 290] == 255


def test_a_pan_is_told_from_a_tremble():
    still, panned = np.tile(np.eye(2, 3), (50, 1, 1)), np.tile(np.eye(2, 3), (50, 1, 1))
    still[1:, :, 2] = np.random.default_rng(0).normal(0, 0.3, (49, 2))
    panned[1:, 0, 2] = -0.5
    panned[7] = np.nan
    assert not moves(still, SIZE) and moves(panned, SIZE)
