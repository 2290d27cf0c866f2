"""What is drawn, and what cannot be recognised any more."""

import numpy as np
import pytest

from fewpose_video.overlay import BACKGROUNDS, draw, face_box
from toy_teacher import SPOTS

NOISE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
POSE = np.array([[[160.0, 60, 1], [160, 90, 1], [180, 180, 1], [140, 180, 1]]])


def detail(image):
    return np.abs(np.diff(image.astype(float), axis=1)).mean()


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_pose_is_on_every_background(background):
    drawn = draw(NOISE, POSE, [0], SPOTS, background)
    assert drawn.shape == NOISE.shape and drawn.dtype == np.uint8
    for x, y in ((160, 60), (180, 180), (140, 180)):
        assert (drawn[y, x].astype(int).max() - drawn[y, x].astype(int).min()) > 60  # a colour
    if background == "blank":
        assert (drawn[:, :100] == 0).all()
    elif background == "12x":
        assert detail(drawn[:, :100]) < 0.1 * detail(NOISE[:, :100])
    else:
        assert (drawn[:, :100] == NOISE[:, :100, ::-1]).all()


def test_absent_people_are_not_drawn_and_several_have_their_ids():
    absent = np.concatenate([np.full((1, 4, 2), np.nan), np.zeros((1, 4, 1))], -1)
    plain = draw(NOISE, absent, [0], SPOTS)
    assert (plain == NOISE[..., ::-1]).all()
    one, two = draw(NOISE, POSE, [3], SPOTS), draw(NOISE, np.concatenate([POSE, absent]), [3, 4], SPOTS)
    assert (one[:30] == NOISE[:30, :, ::-1]).all() and (two[:57] != one[:57]).any()


def test_heads_are_blurred_of_poses_and_of_everybody_else():
    other = np.array([[20.0, 30, 80, 210]])
    drawn = draw(NOISE, POSE, [0], SPOTS, hidden=other)
    assert detail(drawn[30:88, 20:78]) < 0.1 * detail(NOISE)
    assert detail(drawn[48:58, 145:175]) < 0.4 * detail(NOISE)  # the keypoint is there too
    assert (drawn[100:, 20:80] == NOISE[100:, 20:80, ::-1]).all()
    assert (drawn[:, 250:] == NOISE[:, 250:, ::-1]).all()
    draw(NOISE, POSE, [0], SPOTS, hidden=np.array([[-50.0, -80, 10, 5], [310, 230, 400, 300]]))  # partly outside


def test_a_head_is_where_its_keypoints_are():
    x0, y0, x1, y1 = face_box(POSE[0], SPOTS)
    assert x0 < 150 < 170 < x1 and y0 < 50 < 70 < y1 and x1 - x0 == pytest.approx(2 * 0.15 * 120)
    assert np.isnan(face_box(np.full((4, 3), np.nan), SPOTS)).all()
