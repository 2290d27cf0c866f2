"""What one file says about itself; images are not needed."""

import json
import warnings

import pytest
from hypothesis import HealthCheck, given, settings

from fewpose import SkippedInput
from fewpose.data.coco_file import read_coco_file
from mutated_labels import content, mutated, outcome, split, unknowable, whole, write


def changed(part, index, **values):
    data = content()
    entry = data[part][index]
    for key, value in values.items():
        entry[key] = value
    return data


def added(part, **values):
    data = content()
    data[part].append({**data[part][0], **values})
    return data


FIRST_POSE = content()["annotations"][0]["keypoints"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (added("images", file_name="b.png"), r"two images have the id 0, the second is b\.png; renumber"),
        (added("images", id=9), r"the image run0_7\.png has two entries, with the ids 0 and 9: keep one"),
        (added("images", id=9, file_name="RUN0_7.PNG"), "has two entries"),
        (added("images", id="0", file_name="b.png"), "two images have the id 0"),
        (added("annotations", image_id=3), "two annotations have the id 1, the second is of image 3; renumber"),
        (added("annotations", keypoints=[1] * 9), "two annotations have the id 1"),
        (added("categories", name="bee"), "two categories have the id 1, the second is bee"),
        (added("categories", id=2), r"several categories name keypoints and cannot be told apart \(ant\)"),
        (added("videos", file_name="b.mp4"), r"two videos have the id 100, the second is b\.mp4"),
        (changed("annotations", 0, category_id=5), "annotation 1: there is no category 5"),
        (changed("annotations", 0, image_id=77), "annotation 1: there is no image 77"),
        (changed("annotations", 0, image_id=[1]), "annotation 1: image_id must be a whole number or a name"),
        (changed("annotations", 0, image_id=True), "image_id must be"),
        (changed("annotations", 0, iscrowd="no"), "iscrowd must be true or false, not 'no'"),
        (changed("annotations", 0, keypoints=[1, 2, 0.7] * 3), "visibility of nose is 0.7; COCO's are 0"),
        (changed("annotations", 0, keypoints=[2, 25, 8] * 3), "visibility of nose is 8"),
        (changed("annotations", 0, keypoints=[25, 8, -1] * 3), "visibility of nose is -1"),
        (changed("annotations", 0, keypoints={"x": 1}), "1 numbers, 3 keypoints need 9"),
        (changed("annotations", 0, keypoints=[None] * 9), "keypoints must be numbers"),
        (changed("annotations", 0, keypoints=[10**400] * 9), "keypoints must be numbers"),
        (changed("annotations", 0, bbox=[1, 2, -3, 4]), "bbox must be four numbers"),
        (changed("images", 0, file_name=7), "no id or no file_name"),
        (changed("images", 0, width="wide"), "width must be a number of pixels, not 'wide'"),
        (changed("images", 0, split="exam"), "unknown split 'exam'; use train, val or test"),
        (changed("images", 0, video_id=[3]), "video_id must be"),
        (changed("videos", 0, file_name=[3]), r"the name of a video must be text, not \[3\]"),
        ({**content(), "videos": 3}, "`videos` must be a list"),
        ({**content(), "images": [1]}, "it has no list `images` of entries"),
        ('{"images": [{"id": 1, "id": 2}]}', "has the key 'id' twice, with different values"),
        ("[" * 100000, "cannot be read as JSON"),
        ("7", "not a COCO file"),
    ],
)
def test_contradictions_are_refused_by_name(tmp_path, data, message):
    with pytest.raises(ValueError, match=message) as error, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_coco_file(write(tmp_path, data))
    assert "annotations.json" in str(error.value)


@pytest.mark.parametrize(
    ("data", "people", "message"),
    [
        (added("annotations", id=9), 6, "1 the same as others of their image, skipped: annotation 9"),
        (added("annotations"), 6, "1 the same as others"),
        (added("categories", id=2, name="bee"), 6, "the categories bee name keypoints that nobody has"),
        (changed("annotations", 0, keypoints=[25, 8, 0] * 3), 5, "all have visibility 0, skipped: annotation 1"),
        (changed("annotations", 0, keypoints=None), 5, "1 without `keypoints`, skipped: annotation 1"),
        (changed("annotations", 0, keypoints=[25, 8, 2, 0, 0, 2, 30, 31, 1]), 6, "1 keypoints lie at 0, 0"),
        (changed("annotations", 0, keypoints=[25, 8, 2, 20, 30, 0, 30, 31, 0]), 6, "2 keypoints have a place in the"),
        (changed("annotations", 0, main=True), 1, r"5 images where nobody is `main`, skipped: run1_7\.png"),
    ],
)
def test_what_is_left_out_is_told(tmp_path, data, people, message):
    with pytest.warns(SkippedInput, match=message):
        assert len(read_coco_file(write(tmp_path, data)).people) == people


@pytest.mark.parametrize(
    "data",
    [
        content(),
        changed("annotations", 0, image_id="0", category_id=1.0),
        changed("annotations", 0, keypoints=[FIRST_POSE[:3], FIRST_POSE[3:6], FIRST_POSE[6:]]),
        changed("annotations", 0, keypoints=[str(v) for v in FIRST_POSE]),
        changed("images", 0, width=64.0, height="48"),
        changed("categories", 0, id=None),
        json.dumps(content()).replace('"id": 1,', '"id": 1, "id": 1,'),
    ],
)
def test_other_spellings_of_the_same_file(tmp_path, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = read_coco_file(write(tmp_path, data))
    assert [person.image.name for person in file.people] == [f"run{i}_7.png" for i in range(6)]
    assert [person.keypoints.ravel().tolist() for person in file.people] == [
        annotation["keypoints"] for annotation in content()["annotations"]
    ]
    assert [image.video for image in file.images] == [f"run{i}" for i in range(6)]


# ---- any change ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[whole, split])
def reader(request, tmp_path_factory):
    """A folder, a way to read it, and what that gives for the file as it should be."""
    folder = tmp_path_factory.mktemp("mutated")
    return folder, request.param, outcome(folder, json.dumps(content()), request.param)[0]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(mutation=mutated())
def test_poses_stay_equal_or_the_file_is_refused(reader, mutation):
    (folder, read, right), (text, place, how) = reader, mutation
    found, told = outcome(folder, text, read)
    assert found in (None, right) or told or unknowable(place, how), (place, how)
