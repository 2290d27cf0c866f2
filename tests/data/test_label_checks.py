"""People of known pose in images of 256x192 whose labels are written in other units."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewpose import SkippedInput
from fewpose.data.coco import read_coco
from fewpose.data.custom import read_custom
from fewpose.data.label_checks import turn

CASES = Path(__file__).parents[3] / "shared" / "cases"
WIDTH, HEIGHT = 256, 192
NAMES = ["nose", "left_hip", "right_hip", "left_ankle", "right_ankle"]


def people(count=8):
    """Points [count, 5, 2] in pixels and boxes [count, 4] x, y, width, height."""
    rng = np.random.default_rng(3)
    boxes = np.stack([rng.uniform(10, 150, count), rng.uniform(5, 60, count), rng.uniform(50, 90, count),
                      rng.uniform(90, 120, count)], 1)  # fmt: skip
    inside = np.array([[0.5, 0.05], [0.4, 0.5], [0.6, 0.5], [0.3, 0.98], [0.7, 0.97]])
    return boxes[:, None, :2] + inside * boxes[:, None, 2:], boxes


def write(folder, points, boxes, sized=True):
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} | ({"width": WIDTH, "height": HEIGHT} if sized else {})
                   for i in range(len(points))],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1,
             "keypoints": np.concatenate([p, np.full((len(p), 1), 2)], 1).ravel().tolist()}
            | ({} if boxes is None else {"bbox": list(boxes[i])})
            for i, p in enumerate(points)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": NAMES}],
    }  # fmt: skip
    for i in range(len(points)):
        if not (folder / f"{i}.png").exists():
            Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{i}.png")
    (folder / "labels.json").write_text(json.dumps(content))
    return folder / "labels.json"


SIDE = np.array([WIDTH, HEIGHT])
FRACTIONS, PERCENT = "fractions of the image", "percent"


def corners(boxes):
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def middles(boxes):
    return np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], 1)


@pytest.mark.parametrize(
    ("points_as", "boxes_as", "guess"),
    [
        (lambda p: p / SIDE, lambda b: b, f"keypoints seem to be {FRACTIONS}"),
        (lambda p: p / SIDE * 100, lambda b: b, f"keypoints seem to be {PERCENT}"),
        (lambda p: p[..., ::-1], lambda b: b, "keypoints seem to be y before x"),
        (lambda p: p, lambda b: b / np.tile(SIDE, 2), f"boxes seem to be {FRACTIONS}"),
        (lambda p: p, lambda b: b / np.tile(SIDE, 2) * 100, f"boxes seem to be {PERCENT}"),
        (lambda p: p, corners, r"corners \(x0, y0, x1, y1\)"),
        (lambda p: p, lambda b: corners(b) / np.tile(SIDE, 2), rf"boxes seem to be {FRACTIONS} .* and corners"),
        (lambda p: p / SIDE * 1000, lambda b: b, "keypoints seem to be thousandths"),
        (lambda p: (p / SIDE * 1000)[..., ::-1], lambda b: b, "thousandths of the image, y before x"),
        (lambda p: p * (1, -1) + (0, HEIGHT - 1), lambda b: b, "keypoints seem to be counted from the bottom"),
        (lambda p: p, lambda b: b / np.tile(SIDE, 2) * 1000, "boxes seem to be thousandths"),
        (lambda p: p, lambda b: b[:, [1, 0, 3, 2]], "y before x .or boxes y, x, height, width"),
        (lambda p: p, middles, "boxes seem to be middle, width and height"),
        (lambda p: p, lambda b: middles(b) / np.tile(SIDE, 2), rf"boxes seem to be {FRACTIONS} .* and middle"),
        (lambda p: p / SIDE, lambda b: b / np.tile(SIDE, 2), rf"keypoints .* {FRACTIONS}.*boxes .* {FRACTIONS}"),
        (lambda p: p / SIDE, lambda b: None, f"keypoints seem to be {FRACTIONS}"),
        (lambda p: p / SIDE * 100, lambda b: None, "percents of the image"),
        (lambda p: p / SIDE * 100, lambda b: b / np.tile(SIDE, 2) * 100, "percents of the image"),
        (lambda p: p * 3, lambda b: b * 3, "labelled on other images"),
        (lambda p: p * 3, lambda b: None, "labelled on other images"),
        (lambda p: p - people()[1][:, None, :2], lambda b: b, "counted from the box's corner"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("whole", [False, True])
def test_other_units_are_refused_with_a_guess(tmp_path, points_as, boxes_as, guess, whole):
    points, boxes = people()
    path = write(tmp_path, points_as(points), boxes_as(boxes))
    with pytest.raises(ValueError, match=rf"labels\.json: .*{guess}"):
        read_coco(path, tmp_path, whole=whole)


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("boxed", [True, False])
def test_pixels_are_read_where_they_are(tmp_path, sized, boxed):
    points, boxes = people()
    with warnings.catch_warnings():
        warnings.simplefilter("error" if boxed else "ignore")
        data = read_coco(
            write(tmp_path, points, boxes if boxed else None, sized), tmp_path, (HEIGHT, WIDTH), whole=True
        )
    assert np.abs(data.poses[..., :2].numpy() - points).max() < 1e-4


def test_a_few_in_another_unit_are_named_and_left_out(tmp_path):
    points, boxes = people()
    points[2] /= SIDE
    with pytest.warns(SkippedInput, match=r"1 annotations whose keypoints lie mostly outside .* skipped: annotation 2"):
        data = read_coco(write(tmp_path, points, boxes), tmp_path, (HEIGHT, WIDTH), whole=True)
    assert np.abs(data.poses[..., :2].numpy() - np.delete(points, 2, 0)).max() < 1e-4


def test_people_counted_from_the_bottom_are_told(tmp_path):
    points, boxes = people()
    points, boxes[:, 1] = points * (1, -1) + (0, HEIGHT - 1), HEIGHT - boxes[:, 1] - boxes[:, 3]
    with pytest.warns(SkippedInput, match="8 of 8 people have head and shoulders below legs"):
        read_coco(write(tmp_path, points, boxes), tmp_path)


def test_thousandths_without_boxes_are_told(tmp_path):
    points, _ = spread_people(40)
    points = np.round(points / SIDE * 1000).clip(0, 1000)
    points[0, 0] = 30, 990
    for i in range(40):
        Image.new("L", (1920, 1080)).save(tmp_path / f"{i}.png")
    with pytest.warns(SkippedInput, match="are they thousandths of the image"):
        read_coco(write(tmp_path, points, None, sized=False), tmp_path)


def test_labels_of_half_the_size_are_told(tmp_path):
    points, boxes = people(12)
    for i in range(12):
        Image.new("RGB", (2 * WIDTH + 2, 2 * HEIGHT + 2)).save(tmp_path / f"{i}.png")
    with pytest.warns(SkippedInput, match="labelled at half size"):
        read_coco(write(tmp_path, points, boxes, sized=False), tmp_path)


def spread_people(count=12):
    """As `people`, all over the image."""
    rng = np.random.default_rng(5)
    boxes = np.stack([rng.uniform(0, 190, count), rng.uniform(0, 80, count), rng.uniform(50, 65, count),
                      rng.uniform(90, 110, count)], 1)  # fmt: skip
    inside = np.array([[0.5, 0.05], [0.4, 0.5], [0.6, 0.5], [0.3, 0.98], [0.7, 0.97]])
    return boxes[:, None, :2] + inside * boxes[:, None, 2:], boxes


@pytest.mark.parametrize(
    ("factor", "boxed"), [(1.25, True), (4 / 3, True), *((f, b) for f in (1.5, 2, 3) for b in (True, False))]
)
def test_labels_of_larger_images_are_refused_with_the_factor(tmp_path, factor, boxed):
    points, boxes = spread_people()
    path = write(tmp_path, points * factor, boxes * factor if boxed else None, sized=False)
    with pytest.raises(ValueError, match="labelled on other images") as caught:
        read_coco(path, tmp_path)
    guess = float(str(caught.value).split("images, ")[1].split(" ")[0])
    assert (0.99 if boxed else 0.75) * factor <= guess <= 1.01 * factor  # without boxes people may not reach the edge


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.5, 2])
def test_keypoints_of_another_size_than_their_boxes(tmp_path, factor):
    points, boxes = spread_people()
    with pytest.raises(ValueError, match=r"labelled on other images, ([\d.]+) times as large") as caught:
        read_coco(write(tmp_path, points * factor, boxes, sized=False), tmp_path)
    assert float(str(caught.value).split("images, ")[1].split(" ")[0]) == pytest.approx(factor, rel=0.06)


@pytest.mark.parametrize("boxed", [True, False])
@pytest.mark.parametrize("side", ["left", "below", "right"])
def test_people_who_leave_the_image_are_read(tmp_path, boxed, side):
    points, boxes = spread_people()
    boxes[::2, :2] = {"left": (-30, 40), "below": (90, HEIGHT - 70), "right": (WIDTH - 30, 40)}[side]
    inside = np.array([[0.5, 0.05], [0.4, 0.5], [0.6, 0.5], [0.3, 0.98], [0.7, 0.97]])
    points = boxes[:, None, :2] + inside * boxes[:, None, 2:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = read_coco(write(tmp_path, points, boxes if boxed else None, sized=False), tmp_path, whole=True)
    assert len(data) >= 6


# ---- turned images ------------------------------------------------------------------------------------------------

UPRIGHT = {3: "ROTATE_180", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_points_turn_as_pixels_do(orientation):
    lying = np.zeros((7, 11), np.uint8)
    lying[2, 5] = 1
    upright = np.array(Image.fromarray(lying).transpose(Image.Transpose[UPRIGHT[orientation]]))
    ((y, x),) = np.argwhere(upright)
    assert turn(np.array([[5, 2]]), lying.shape, orientation).tolist() == [[x, y]]


def write_turned(folder, upright_points, as_it_lies, sized):
    """A portrait image that lies on its side in the file, with the labels of either."""
    path = write(folder, upright_points[None], None)
    content = json.loads(path.read_text())
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "0.jpg", exif=exif)  # upright: 192x256
    points = upright_points
    if as_it_lies:
        points = np.stack([points[:, 1], HEIGHT - 1 - points[:, 0]], 1)
    content["images"][0] = {"id": 0, "file_name": "0.jpg"} | ({"width": WIDTH, "height": HEIGHT} if sized else {})
    content["annotations"][0]["keypoints"] = np.c_[points, np.full(len(points), 2)].ravel().tolist()
    path.write_text(json.dumps(content))
    return path


PORTRAIT = np.array([[90, 20], [80, 120], [100, 120], [85, 245], [105, 250]], float)


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("as_it_lies", [True, False])
def test_labels_of_tools_that_ignore_exif_are_turned(tmp_path, as_it_lies, sized):
    path = write_turned(tmp_path, PORTRAIT, as_it_lies, sized)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = read_coco(path, tmp_path, (WIDTH, HEIGHT), whole=True)
    assert np.abs(data.poses[0, :, :2].numpy() - PORTRAIT).max() < 1e-4
    assert any("turned with their images" in str(w.message) for w in caught) == as_it_lies


def test_labels_that_fit_both_ways_are_refused(tmp_path):
    path = write_turned(tmp_path, PORTRAIT / 3, False, True)
    with pytest.raises(ValueError, match=r"0\.jpg are turned by EXIF, and their labels fit both ways; save"):
        read_coco(path, tmp_path)


def write_half_turned(folder, as_it_lies, names=NAMES, orientation=3):
    """Six people who stand, in images of which four are turned by 180 degrees in their files."""
    points, boxes = people(6)
    path = write(folder, points, boxes)
    content = json.loads(path.read_text())
    content["categories"][0]["keypoints"] = names
    exif = Image.Exif()
    exif[0x0112] = orientation
    for i in range(4):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{i}.jpg", exif=exif)
        content["images"][i]["file_name"] = f"{i}.jpg"
        if as_it_lies:
            x, y, w, h = boxes[i]
            lying = np.array([WIDTH - 1, HEIGHT - 1]) - points[i]
            content["annotations"][i]["keypoints"] = np.c_[lying, np.full(5, 2)].ravel().tolist()
            content["annotations"][i]["bbox"] = [WIDTH - x - w, HEIGHT - y - h, w, h]
    path.write_text(json.dumps(content))
    return path, points


@pytest.mark.parametrize("as_it_lies", [True, False])
def test_people_on_their_heads_are_turned_by_half(tmp_path, as_it_lies):
    path, points = write_half_turned(tmp_path, as_it_lies)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = read_coco(path, tmp_path, (HEIGHT, WIDTH), whole=True)
    assert np.abs(data.poses[..., :2].numpy() - points).max() < 1e-4
    assert ["by 180°" in str(w.message) for w in caught] == [True] * as_it_lies


@pytest.mark.parametrize(("names", "orientation"), [(list("abcde"), 3), (NAMES, 2), (NAMES, 4)])
def test_what_no_label_tells_of_turned_images_is_said(tmp_path, names, orientation):
    path, _ = write_half_turned(tmp_path, False, names, orientation)
    with pytest.warns(SkippedInput, match=r"0\.jpg, 1\.jpg, 2\.jpg and 1 more are (turned by 180°|mirrored) by EXIF"):
        read_coco(path, tmp_path)


# ---- boxes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("box", [None, [60, 70, 0, 0], [59.5, 69.5, 1, 1], [0, 0, 0, 0]])
def test_a_single_point_gets_half_of_the_others_box(tmp_path, box):
    points, boxes = people()
    path = write(tmp_path, points, boxes)
    content = json.loads(path.read_text())
    content["annotations"][0] |= {"keypoints": [60, 70, 2] + [0] * 12, "bbox": box}
    path.write_text(json.dumps(content))
    with pytest.warns(SkippedInput, match="1 boxes missing or empty, taken from the keypoints; 1 of them were grown"):
        data = read_coco(path, tmp_path, (256, 192))
    np.testing.assert_allclose(data.poses[0, 0, :2], [95.5 + 0.5, 127.5 + 0.5], atol=3)  # in the middle
    width, height = np.median(boxes[1:, 2:], 0) / 2
    # a keypoint one pixel to the right lies this much further right in the crop
    content["annotations"][0]["keypoints"][3:6] = [61, 70, 2]
    path.write_text(json.dumps(content))
    with pytest.warns(SkippedInput):
        moved = read_coco(path, tmp_path, (256, 192)).poses[0]
    assert float(moved[1, 0] - moved[0, 0]) == pytest.approx(min(192 / width, 256 / height) / 1.25, rel=0.03)


def test_without_any_other_box_a_tenth_of_the_image(tmp_path):
    points, _ = people(1)
    path = write(tmp_path, points, None)
    content = json.loads(path.read_text())
    content["annotations"][0]["keypoints"] = [60, 70, 2, 61, 70, 2] + [0] * 9
    path.write_text(json.dumps(content))
    with pytest.warns(SkippedInput, match="1 of them were grown"):
        pose = read_coco(path, tmp_path, (192, 192)).poses[0]
    assert float(pose[1, 0] - pose[0, 0]) == pytest.approx(192 / 25.6 / 1.25, rel=0.01)


# ---- files that went wrong ----------------------------------------------------------------------------------------


@pytest.fixture
def case(tmp_path, request):
    """A folder of `shared/cases` with its images, each of the grey of its number."""
    source = CASES / request.param
    if not source.is_dir():
        pytest.skip("the cases are not beside the clone")
    (tmp_path / "annotations.json").write_bytes((source / "annotations.json").read_bytes())
    for name in (source / "images.txt").read_text().split("\n"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name.startswith("images/"):
            Image.new("L", (256, 256), int(name[-6:-4])).save(tmp_path / name)
        elif name:
            (tmp_path / name).touch()
    return tmp_path


def case_of(name):
    return pytest.mark.parametrize("case", [name], indirect=True)


def read_whole(folder, **options):
    content = json.loads((folder / "annotations.json").read_text())
    with pytest.warns(SkippedInput) as caught:
        data = read_custom(folder, (256, 256), **options)
    labels = torch.tensor([a["keypoints"] for a in content["annotations"]]).reshape(60, -1, 3).float()
    return data, labels, " ".join(str(w.message) for w in caught)


@pytest.mark.parametrize("case", ["label_studio_hash_prefix", "names_nfc_nfd"], indirect=True)
def test_other_spellings_of_names(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = read_custom(case, (256, 256))
    content = json.loads((case / "annotations.json").read_text())
    labels = torch.tensor([a["keypoints"] for a in content["annotations"]]).reshape(60, 20, 3).float()
    labels[(labels[..., :2] > 255.5).any(-1) | (labels[..., 2] == 0)] = 0  # outside of the image, not labelled
    torch.testing.assert_close(data.poses, labels)
    assert (data.frames[:, 0, 128, 128] - torch.arange(60)).abs().max() <= 1  # each with its own image
    assert set(data.video) == {f"jump{i:04}" for i in range(6)}


@case_of("normalised_keypoints")
def test_the_normalised_keypoints(case):
    with pytest.raises(ValueError, match=r"of 60 annotations .* keypoints seem to be fractions of the image"):
        read_custom(case, (256, 192), cropped=True)


@case_of("one_point_boxes")
def test_the_boxes_of_one_point(case):
    data, _, text = read_whole(case, cropped=True)
    assert "of them were grown to a least size" in text
    assert data.poses[0, 0, :2].sub(127.5).abs().max() < 2


@case_of("two_naming_schemes")
def test_the_two_naming_schemes(case):
    data, labels, text = read_whole(case)
    assert "mirrored views swap these pairs, as their names say: LKnee/RKnee" in text
    assert data.skeleton.name == "jump"
    torch.testing.assert_close(data.poses[..., 2], labels[..., 2])
