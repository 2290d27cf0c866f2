import json
import unicodedata
import warnings
from itertools import permutations

import numpy as np
import pytest
from PIL import Image

from fewpose import SkippedInput
from fewpose.data.custom import all_videos, read_custom, read_people, training_videos, video_files
from fewpose.data.file_names import candidate_videos, match_video

pytestmark = pytest.mark.filterwarnings("ignore:.*swap no sides")
SPLITS = ("train", "train", "val", "test")


def write(folder, images, videos):
    """Images as rows of annotations.json, each of one labelled point; empty videos."""
    for folder_name in ("images", "videos"):
        (folder / folder_name).mkdir()
    for video in videos:
        (folder / "videos" / video).touch()
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
    ("image", "video"),
    [
        ("1_5.jpg", "1"),
        ("5_1.jpg", "5"),  # the leftmost of equally long names
        ("anna_jump_004.jpg", "anna"),
        ("anna_run10_5.jpg", "run10"),  # the longest
        ("ANNA_004.jpg", "anna"),
        ("bob_004.jpg", None),
    ],
)
def test_the_order_of_videos_does_not_matter(image, video):
    videos = ("1", "5", "anna", "jump", "run10")
    assert {match_video(image, given) for given in permutations(videos)} == {video}


def test_videos_that_differ_in_case_alone_go_by_name():
    assert match_video("a_1.jpg", ["a", "A"]) == match_video("a_1.jpg", ["A", "a"]) == "A"


def test_images_that_may_be_of_several_videos_are_named_and_left_out(tmp_path):
    images = [
        {"file_name": f"{video}_{frame}.png", "split": split}
        for video, split in enumerate(SPLITS, 1)
        for frame in (3, 70)
    ]
    write(tmp_path, images, [f"{video}.mp4" for video in range(1, 7)])
    with pytest.warns(SkippedInput) as caught:
        people = read_custom(tmp_path, (8, 8))
    assert people.video.tolist() == list("12334")
    (message,) = [str(w.message) for w in caught if "several videos" in str(w.message)]
    # 3_3 contains one video's name twice, only 1_3, 2_3 and 4_3 contain two.
    assert "file names of 3 images" in message and "1_3.png (1 or 3)," in message and "`video_id`" in message


@pytest.mark.parametrize(
    ("image", "videos", "candidates"),
    [
        ("run_1.jpg", ["run", "run_1"], ["run_1", "run"]),  # frame 1 of run?
        ("run_1_0007.jpg", ["run", "run_1"], ["run_1"]),
        ("run_1.jpg", ["run_1", "other"], ["run_1"]),
        ("frame_1.jpg", ["1", "2"], []),
        ("1.jpg", ["1", "2"], ["1"]),
        ("my%20run_0001.jpg", ["my run"], ["my run"]),
    ],
)
def test_a_number_may_be_of_the_frame_or_of_the_video(image, videos, candidates):
    assert candidate_videos(image, videos) == candidates


def test_a_video_in_the_name_of_another_is_not_a_guess(tmp_path):
    images = [{"file_name": f"run.{part}_7.png", "split": split} for part, split in zip("abcd", SPLITS, strict=True)]
    write(tmp_path, images, ["run.mp4", *(f"run.{part}.mp4" for part in "abcd")])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        people = read_custom(tmp_path, (8, 8))
    assert people.video.tolist() == ["run.a", "run.b", "run.c", "run.d"]
    assert not [w for w in caught if "several" in str(w.message)]


@pytest.mark.parametrize("named", ["by file", "by video_id"])
def test_case_and_accents_do_not_let_a_test_video_into_training(named, tmp_path):
    decomposed = unicodedata.normalize("NFD", "müller")
    assert decomposed != "müller"
    images = [
        {"file_name": f"{video}_{i}.png", "split": split}
        for i, (video, split) in enumerate(zip(("f0", "f1", "müller", "f2"), SPLITS, strict=True))
    ]
    if named == "by video_id":
        for image, video in zip(images, ("f0.MP4", "F1", "müller", "C:\\videos\\f2.mp4"), strict=True):
            image["video_id"] = video
    write(tmp_path, images, ["f0.mp4", "f1.mp4", f"{decomposed}.mp4", "F2.MP4", "other.mp4"])
    people = read_custom(tmp_path, (8, 8))
    assert people.video.tolist() == ["f0", "f1", decomposed, "F2"]  # as the files are named
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        videos = training_videos(tmp_path, people)
    assert [video.name for video in videos] == ["f0.mp4", "f1.mp4", "other.mp4"]
    people.video = np.array(["f0", "f1", "müller", "f2"])  # of a reader that knows no videos
    assert training_videos(tmp_path, people) == videos


def test_images_without_a_certain_video_are_in_no_split(tmp_path):
    images = [{"file_name": f"f{i % 4}_{i}.png"} for i in range(8)] + [{"file_name": "lost_3.png"}]
    write(tmp_path, images, [f"f{i}.mp4" for i in range(4)])
    with pytest.warns(
        SkippedInput, match=r"1 images are of no known video, skipped: lost_3\.png; name their `video_id`"
    ):
        people = read_custom(tmp_path, (8, 8))
    assert sorted(people.video) == sorted(["f0", "f1", "f2", "f3"] * 2)
    assert set(people.video[people.split == "test"]).isdisjoint(people.video[people.split == "train"])


def test_images_and_videos_that_do_not_match_at_all_are_refused(tmp_path):
    write(tmp_path, [{"file_name": f"frame_{i}.png"} for i in range(8)], ["a.mp4", "b.mp4"])
    with pytest.raises(
        ValueError, match=r"named frame_0\.png, frame_1\.png, frame_2\.png and 5 more, videos a, b; name"
    ):
        read_custom(tmp_path, (8, 8))


@pytest.mark.parametrize("listed", [False, True])
def test_a_renamed_video_of_the_test_split_stays_out_of_the_pool(tmp_path, listed):
    names = ["run0", "run1", "run2", "run3"]
    images = [
        {"file_name": f"{i}.png", "video_id": name, "split": s}
        for i, (name, s) in enumerate(zip(names, SPLITS, strict=True))
    ]
    write(tmp_path, images, ["run0.mp4", "run1.mp4", "run2.mp4", "clip3.mp4"])
    if listed:  # then clip3 is another one
        content = json.loads((tmp_path / "annotations.json").read_text())
        content["videos"] = [{"id": i, "file_name": f"{n}.mp4"} for i, n in enumerate([*names, "clip3"])]
        (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.warns(SkippedInput) as caught:
        people = read_custom(tmp_path, (8, 8))
        pool = training_videos(tmp_path, people)
    assert {path.stem for path in pool} == {"run0", "run1", *["clip3"] * listed}
    text = " ".join(str(w.message) for w in caught)
    assert "no file in videos/ is named like 1 videos of images: run3" in text
    assert "no labelled image is of 1 files in videos/: clip3" in text
    assert listed or "1 files are left out" in text


@pytest.mark.parametrize("names", [("valid", "validation"), ("VAL", "dev")])
def test_other_names_of_splits(tmp_path, names):
    images = [{"file_name": f"{i}.png", "split": s} for i, s in enumerate(("training", *names, "testing"))]
    with pytest.warns(SkippedInput):
        people = read_custom(write(tmp_path, images, []), (8, 8))
    assert people.split.tolist() == ["train", "val", "val", "test"]


def test_several_people_in_an_image_are_told(tmp_path):
    images = [{"file_name": f"{i}.png", "split": s} for i, s in enumerate(SPLITS)]
    write(tmp_path, images, [])
    content = json.loads((tmp_path / "annotations.json").read_text())
    content["annotations"].append({"id": 9, "image_id": 2, "bbox": [0, 0, 8, 8], "keypoints": [2, 4, 2]})
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.warns(SkippedInput, match=r"several people are labelled in 1 images \(2\.png\), the same frame has"):
        assert len(read_custom(tmp_path, (8, 8))) == 5


def test_null_is_as_if_missing(tmp_path):
    images = [{"file_name": f"f{i}_0.png", "split": None, "video_id": None} for i in range(4)]
    people = read_custom(write(tmp_path, images, [f"f{i}.mp4" for i in range(4)]), (8, 8))
    assert people.video.tolist() == ["f0", "f1", "f2", "f3"]
    assert sorted(people.split) == ["test", "train", "train", "val"]


def test_people_of_few_videos_are_read_without_splits(tmp_path):
    images = [{"file_name": f"run1_{i}.png"} for i in range(2)]
    people, named = read_people(write(tmp_path, images, ["run1.mp4"]), (8, 8))
    assert people.video.tolist() == ["run1"] * 2 and set(people.split) == {"train"} and not named
    with pytest.raises(ValueError, match="1 video"):
        read_custom(tmp_path, (8, 8))


def test_named_splits_are_told(tmp_path):
    images = [{"file_name": f"run{i}_0.png", "split": split} for i, split in enumerate(SPLITS)]
    people, named = read_people(write(tmp_path, images, [f"run{i}.mp4" for i in range(3)]), (8, 8))
    assert people.split.tolist() == list(SPLITS) and named


def test_hidden_files_are_no_videos(tmp_path):
    """macOS leaves ._run1.mp4 beside run1.mp4, a kill .run2.part.mp4."""
    (tmp_path / "videos").mkdir()
    for name in ("run1.mp4", "._run1.mp4", ".run2.part.mp4"):
        (tmp_path / "videos" / name).touch()
    assert [path.name for path in video_files(tmp_path)] == ["run1.mp4"]
    assert [path.name for path in all_videos(tmp_path)] == ["run1.mp4"]
