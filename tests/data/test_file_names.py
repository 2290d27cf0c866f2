import unicodedata
import warnings

import pytest

from fewpose import SkippedInput
from fewpose.data.file_names import find_images, path_parts

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Läufer") for form in ("NFC", "NFD"))


def make(folder, *files):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


def found(folder, *names):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    files = find_images(names, folder / "images", folder, "labels.json")
    return {name: path.relative_to(folder).as_posix() for name, path in files.items()}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a.jpg", "a.jpg"),
        (f"{COMPOSED}_1.jpg", f"{DECOMPOSED}_1.jpg"),
        (f"{DECOMPOSED}_1.jpg", f"{COMPOSED}_1.jpg"),
        ("A.JPG", "a.jpg"),
        ("my%20run.jpg", "my run.jpg"),
        ("my run.jpg", "my%20run.jpg"),
        (r"C:\data\images\run\a.jpg", "run/a.jpg"),
        ("/home/me/images/a.jpg", "a.jpg"),
        ("../images/a.jpg", "a.jpg"),
        ("a.jpg", "default/a.jpg"),
        ("Run/a.jpg", "run/A.jpg"),
    ],
)
def test_names_of_one_file(tmp_path, name, file):
    make(tmp_path / "images", file, "other.jpg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found(tmp_path, name) == {name: f"images/{file}"}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cb0618f6-x.jpg", "x.jpg"),
        ("x.jpg", "cb0618f6-x.jpg"),
        ("images/cb0618f6-x.jpg", "x.jpg"),
        ("/data/upload/3/cb0618f6-x.jpg", "x.jpg"),
        ("/data/local-files/?d=set/cb0618f6-x.jpg", "x.jpg"),
        ("x", "x.jpg"),
        ("x.png", "x.jpg"),
        ("x.jpg", "x"),
        ("cb0618f6-my_run_1.jpg", "my run (1).JPG"),
    ],
)
def test_files_that_are_respelled_are_told(tmp_path, name, file):
    make(tmp_path / "images", file, "xx.jpg")
    with pytest.warns(SkippedInput, match="1 images are named otherwise than their files"):
        assert found(tmp_path, name) == {name: f"images/{file}"}


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("A.JPG", ["a.jpg", "a.JPG"]),
        ("x", ["x.jpg", "x.png"]),
        ("x.jpg", ["cb0618f6-x.jpg", "aa0618f6-x.jpg"]),
        ("a.jpg", ["one/a.jpg", "two/a.jpg"]),
    ],
)
def test_candidates_of_an_ambiguous_name(tmp_path, name, files):
    make(tmp_path / "images", *files)
    with pytest.raises(ValueError, match=r"labels\.json: .* may be any of .*exact name") as error:
        found(tmp_path, name)
    assert all(file in str(error.value) for file in files)


@pytest.mark.parametrize(
    ("name", "file"), [("run1/a.jpg", "run2/a.jpg"), ("cb0618f6-x.jpg", "aa0618f6-x.jpg"), ("a1.jpg", "a10.jpg")]
)
def test_files_that_contradict_a_name_are_not_it(tmp_path, name, file):
    make(tmp_path / "images", file)
    with pytest.raises(ValueError, match="no image is found"):
        found(tmp_path, name)


def test_nothing_found_says_what_was_looked_for_and_what_is_there(tmp_path):
    make(tmp_path / "images", *(f"new_{i}.jpg" for i in range(5)))
    with pytest.raises(ValueError) as error:
        found(tmp_path, *(f"old_{i}.jpg" for i in range(4)))
    assert "looked for old_0.jpg, old_1.jpg, old_2.jpg and 1 more" in str(error.value)
    assert f"{tmp_path / 'images'}, which holds new_0.jpg, new_1.jpg, new_2.jpg and 2 more" in str(error.value)
    with pytest.raises(ValueError, match="holds no file"):
        found(make(tmp_path / "b"), "a.jpg")
    with pytest.raises(ValueError, match="is no folder"):
        find_images(["a.jpg"], tmp_path / "none", tmp_path, "labels.json")


def test_a_part_that_is_missing_is_named(tmp_path):
    make(tmp_path / "images", "a.jpg")
    with pytest.warns(SkippedInput, match=r"1 images missing, skipped: b\.jpg; looked in"):
        assert found(tmp_path, "a.jpg", "b.jpg") == {"a.jpg": "images/a.jpg"}


def test_two_names_of_one_file_are_refused(tmp_path):
    make(tmp_path / "images", "a.jpg")
    for names in (("images/a.jpg", "a.jpg"), ("a", "A.JPG"), ("cb0618f6-a.jpg", "aa0618f6-a.jpg")):
        with pytest.raises(ValueError, match="are both the file"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found(tmp_path, *names)
    # one that is there as it is leaves none for the other
    with pytest.warns(SkippedInput, match="1 images missing"):
        assert found(tmp_path, "a.jpg", "A.jpg") == {"a.jpg": "images/a.jpg"}


@pytest.mark.parametrize("outside", ["../secret.jpg", "..\\secret.jpg", "images/../../secret.jpg", "{}/secret.jpg"])
def test_no_name_leads_outside(tmp_path, outside):
    make(tmp_path, "secret.jpg", "project/images/a.jpg")
    name = outside.format(tmp_path)
    with pytest.warns(SkippedInput, match="1 images missing"):
        assert found(tmp_path / "project", name, "a.jpg") == {"a.jpg": "images/a.jpg"}


def test_beside_the_labels_exact_paths_count(tmp_path):
    make(tmp_path, "train/a.jpg")
    assert found(tmp_path, "train/a.jpg") == {"train/a.jpg": "train/a.jpg"}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("C:a.jpg", ("a.jpg",)),
        ("https://host/a.jpg", ("host", "a.jpg")),
        ("./a//b.jpg", ("a", "b.jpg")),
        ("..", ()),
        ("a:b.jpg", ("b.jpg",)),
    ],
)
def test_parts_of_a_path(name, parts):
    assert path_parts(name) == parts


@pytest.mark.parametrize("name", ["x" * 5000 + ".jpg", "a\0b.jpg", "..", "/"])
def test_impossible_names_are_missing(tmp_path, name):
    make(tmp_path / "images", "a.jpg")
    with pytest.warns(SkippedInput, match="1 images missing"):
        assert list(found(tmp_path, name, "a.jpg")) == ["a.jpg"]
