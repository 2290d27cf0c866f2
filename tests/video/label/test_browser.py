"""The labeller in Chromium, with a real `Labeller` behind it; skipped where there is no browser."""

import numpy as np
import pytest

from browser import chromium, show
from fewpose.skeleton import Skeleton
from fewpose_video.label.label_file import read_frames
from fewpose_video.label.labeller import Labeller
from toy_labels import SIZE, write_toy_labels


@pytest.fixture(scope="module")
def context():
    with chromium(viewport={"width": 900, "height": 800}, has_touch=True) as opened:
        yield opened


@pytest.fixture
def toy(context, tmp_path):
    path, truth = write_toy_labels(tmp_path / "sport")
    page = show(context, Labeller(path, path.parent / "images"))
    errors = []
    page.on("pageerror", lambda error: errors.append(error))
    yield page, path, truth
    assert not errors
    page.close()


def middle(page, keypoint):
    box = page.locator(f"circle[data-keypoint='{keypoint}']").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def on_screen(page, point):
    """Where a point of the frame is, from the place of the image."""
    box, width = page.locator(".fp-stage img").bounding_box(), SIZE[1]
    return tuple(box[axis] + (float(point[i]) + 0.5) * box["width"] / width for i, axis in enumerate("xy"))


def saved(page, path, frame=0):
    page.wait_for_function("() => document.querySelector('.fp-state').textContent === 'saved ✓'")
    return read_frames(path)[frame]


def drag(page, start, end):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def test_points_are_dragged_placed_and_accepted(toy):
    page, path, truth = toy
    np.testing.assert_allclose(middle(page, 0), on_screen(page, truth[0][0]), atol=0.6)
    drag(page, middle(page, 0), on_screen(page, truth[0][0] + 6))
    frame = saved(page, path)
    np.testing.assert_allclose(frame.keypoints[0], [*(truth[0][0] + 6), 2], atol=0.4)
    assert not frame.keypoints[1:].any(), "a suggestion that nobody accepted is no label"
    page.locator(".fp-keypoint", has_text="left_hip").click()
    page.mouse.click(*on_screen(page, truth[0][2]))
    page.mouse.click(*on_screen(page, truth[0][3]), button="right")
    page.keyboard.press("Enter")
    page.get_by_text("1 of 3 labelled").wait_for()
    frame = read_frames(path)[0]
    np.testing.assert_allclose(frame.keypoints[2:, :2], truth[0][2:], atol=0.4)
    np.testing.assert_allclose(frame.keypoints[1, :2], truth[0][1], atol=0.01)
    assert frame.keypoints[:, 2].tolist() == [2, 2, 2, 1] and frame.done
    page.get_by_text("run · frame 12").wait_for()


def test_keys_undo_and_the_way_back(toy):
    page, path, truth = toy
    press = page.keyboard.press
    page.locator(".fewpose-labeller").focus()
    press("e")  # the rest is not there
    assert saved(page, path).absent.all()
    press("Control+z")
    page.locator("[data-kind=none]").first.wait_for()
    assert not read_frames(path)[0].started
    press("y")
    press("z")
    press("ArrowUp")  # from left_hip, the first to place, to neck
    press("o")
    assert saved(page, path).keypoints[:, 2].tolist() == [0, 1, 0, 0]
    press("Shift+ArrowRight")
    assert saved(page, path).keypoints[1, 0] == pytest.approx(truth[0][1][0] + 1, abs=0.01)
    press("Backspace")
    press("x")
    page.locator("[data-kind=absent]").wait_for()
    assert saved(page, path).absent.tolist() == [False, True, False, False]
    press("ArrowRight")
    page.get_by_text("run · frame 12").wait_for()
    press("ArrowLeft")
    page.get_by_text("run · frame 0").wait_for()
    assert page.locator("[data-kind=absent]").count() == 1
    press("z")  # undo reaches back to before the frame was left
    page.locator("[data-kind=absent]").wait_for(state="detached")


def test_labels_are_swapped_and_copied(toy):
    page, path, truth = toy
    page.locator(".fp-keypoint", has_text="left_hip").click()
    page.mouse.click(*on_screen(page, truth[0][3]))
    page.mouse.click(*on_screen(page, truth[0][2]))
    page.keyboard.press("s")
    np.testing.assert_allclose(saved(page, path).keypoints[2:, :2], truth[0][2:], atol=0.4)
    page.keyboard.press("ArrowRight")
    page.get_by_text("run · frame 12").wait_for()
    page.keyboard.press("c")
    page.get_by_text("Copied from run_000000.png").wait_for()
    page.keyboard.press("Enter")
    page.get_by_text("1 of 3 labelled").wait_for()
    np.testing.assert_allclose(read_frames(path)[1].keypoints[2:, :2], truth[0][2:], atol=0.4)


def test_zoom_and_pan_leave_the_labels_in_place(toy):
    page, path, truth = toy
    before = np.array(middle(page, 1)) - middle(page, 0)
    page.locator(".fewpose-labeller").focus()
    page.mouse.move(*middle(page, 0))
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"() => document.querySelector('.fp-stage img').getBoundingClientRect().width > {1000}")
    after = np.array(middle(page, 1)) - middle(page, 0)
    assert after[1] / before[1] == pytest.approx(np.exp(0.6), rel=0.01)
    start = middle(page, 0)
    drag(page, (60, 600), (90, 580))  # beside the points: the image
    np.testing.assert_allclose(np.subtract(middle(page, 0), start), [30, -20], atol=0.5)
    np.testing.assert_allclose(middle(page, 1), on_screen(page, truth[0][1]), atol=0.6)
    assert not read_frames(path)[0].started
    page.keyboard.press("]")
    assert "brightness(1.2)" in page.locator(".fp-stage img").get_attribute("style")


def test_a_finger_places_and_two_zoom(toy):
    page, path, truth = toy
    page.touchscreen.tap(*on_screen(page, truth[0][2]))
    np.testing.assert_allclose(saved(page, path).keypoints[2, :2], truth[0][2], atol=0.5)
    width = page.locator(".fp-stage img").bounding_box()["width"]
    client = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 50), ("touchMove", 75), ("touchMove", 100), ("touchEnd", None)):
        points = [] if apart is None else [{"x": 300 - apart, "y": 400, "id": 0}, {"x": 300 + apart, "y": 400, "id": 1}]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert page.locator(".fp-stage img").bounding_box()["width"] == pytest.approx(2 * width, rel=0.02)
    assert read_frames(path)[0].keypoints[:, 2].tolist() == [0, 0, 2, 0]


def test_a_tab_that_comes_too_late_shows_the_newer_labels_and_keeps_its_own_for_undo(toy):
    page, path, truth = toy
    other = Labeller(path, path.parent / "images")
    keypoints = np.column_stack([truth[0], [2] * 4]).tolist()
    about = {"kind": "save", "editor": "other", "count": 1, "file": "run_000000.png", "absent": [False] * 4}
    other._message(None, about | {"keypoints": keypoints}, None)
    drag(page, middle(page, 0), on_screen(page, truth[0][0] + 6))
    page.get_by_text("Labelled elsewhere meanwhile").wait_for()
    np.testing.assert_allclose(read_frames(path)[0].keypoints[:, :2], truth[0], atol=0.01)
    np.testing.assert_allclose(middle(page, 0), on_screen(page, truth[0][0]), atol=0.6)
    page.keyboard.press("z")
    np.testing.assert_allclose(saved(page, path).keypoints[0, :2], truth[0][0] + 6, atol=0.4)


def test_names_are_shown_as_they_are(context, tmp_path):
    evil = Skeleton("x", ("<img src=x onerror=alert(1)>", "b"), (), (0.1, 0.1))
    path, _ = write_toy_labels(tmp_path / "sport", skeleton=evil, suggested=0)
    page = show(context, Labeller(path, path.parent / "images"))
    assert page.locator(".fp-keypoint span").first.text_content() == evil.keypoints[0]
    assert page.locator(".fp-list img").count() == 0
    page.close()
