import json
import unicodedata
import warnings
from itertools import permutations

import numpy as np
import pytest
from PIL import Image

from fewpose import LeftOut
from fewpose.data.custom import film_named, read_own, training_films

pytestmark = pytest.mark.filterwarnings("ignore:.*swap no sides")
SPLITS = ("train", "train", "val", "test")


def write(folder, images, films):
    """Images as rows of annotations.json, each of one labelled point; films without content."""
    for place in ("images", "videos"):
        (folder / place).mkdir()
    for film in films:
        (folder / "videos" / film).touch()
    for number, image in enumerate(images):
        image["id"] = number
        Image.new("RGB", (8, 8)).save(folder / "images" / image["file_name"])
    content = {
        "images": images,
        "categories": [{"id": 1, "name": "ball", "keypoints": ["centre"]}],
        "annotations": [
            {"id": i, "image_id": i, "bbox": [0, 0, 8, 8], "keypoints": [4, 4, 2]} for i in range(len(images))
        ],
    }
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("image", "film"),
    [
        ("1_5.jpg", "1"),
        ("5_1.jpg", "5"),  # the leftmost of equally long names
        ("anna_jump_004.jpg", "anna"),
        ("anna_run10_5.jpg", "run10"),  # the longest
        ("ANNA_004.jpg", "anna"),
        ("bob_004.jpg", None),
    ],
)
def test_whatever_the_order_an_image_is_of_the_same_film(image, film):
    films = ("1", "5", "anna", "jump", "run10")
    assert {film_named(image, given) for given in permutations(films)} == {film}


def test_films_that_differ_in_case_alone_go_by_name():
    assert film_named("a_1.jpg", ["a", "A"]) == film_named("a_1.jpg", ["A", "a"]) == "A"


def test_a_guessed_film_is_named_once(tmp_path):
    images = [
        {"file_name": f"{film}_{frame}.png", "split": split}
        for film, split in enumerate(SPLITS, 1)
        for frame in (3, 70)
    ]
    write(tmp_path, images, [f"{film}.mp4" for film in range(1, 7)])
    with pytest.warns(LeftOut) as caught:
        own = read_own(tmp_path, (8, 8))
    assert own.video.tolist() == list("11223344")
    (said,) = [str(w.message) for w in caught if "several films" in str(w.message)]
    # 3_3 holds one film's name twice, only 1_3, 2_3 and 4_3 hold two.
    assert "names of 3 images" in said and "1_3.png is taken to be of 1;" in said
    assert "`video_id`" in said


def test_a_film_in_the_name_of_another_is_no_guess(tmp_path):
    images = [{"file_name": f"run.{part}_7.png", "split": split} for part, split in zip("abcd", SPLITS, strict=True)]
    write(tmp_path, images, ["run.mp4", *(f"run.{part}.mp4" for part in "abcd")])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        own = read_own(tmp_path, (8, 8))
    assert own.video.tolist() == ["run.a", "run.b", "run.c", "run.d"]
    assert not [w for w in caught if "several" in str(w.message)]


@pytest.mark.parametrize("named", ["by file", "by video_id"])
def test_case_and_accents_do_not_let_a_test_film_into_training(named, tmp_path):
    apart = unicodedata.normalize("NFD", "müller")
    assert apart != "müller"
    images = [
        {"file_name": f"{film}_{i}.png", "split": split}
        for i, (film, split) in enumerate(zip(("f0", "f1", "müller", "f2"), SPLITS, strict=True))
    ]
    if named == "by video_id":
        for image, video in zip(images, ("f0.MP4", "F1", "müller", "C:\\films\\f2.mp4"), strict=True):
            image["video_id"] = video
    write(tmp_path, images, ["f0.mp4", "f1.mp4", f"{apart}.mp4", "F2.MP4", "other.mp4"])
    own = read_own(tmp_path, (8, 8))
    assert own.video.tolist() == ["f0", "f1", apart, "F2"]  # as the films are named
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        films = training_films(tmp_path, own)
    assert [film.name for film in films] == ["f0.mp4", "f1.mp4", "other.mp4"]
    own.video = np.array(["f0", "f1", "müller", "f2"])  # of a reader that knows no films
    assert training_films(tmp_path, own) == films


def test_null_is_as_if_left_out(tmp_path):
    images = [{"file_name": f"f{i}_0.png", "split": None, "video_id": None} for i in range(4)]
    own = read_own(write(tmp_path, images, [f"f{i}.mp4" for i in range(4)]), (8, 8))
    assert own.video.tolist() == ["f0", "f1", "f2", "f3"]
    assert sorted(own.split) == ["test", "train", "train", "val"]
