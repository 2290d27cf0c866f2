"""Small label files of known poses, and any of them with a key dropped, doubled, retyped or renamed."""

import copy
import json
import warnings

from hypothesis import strategies as st
from PIL import Image

from fewpose.data.coco import read_coco
from fewpose.data.custom import read_custom

NAMES = ["nose", "left_hip", "right_hip"]


def content(count=6):
    """Images of 64x48 of `count` videos, each with one person of known pose."""
    return {
        "images": [
            {"id": i, "file_name": f"run{i}_7.png", "width": 64, "height": 48, "video_id": i + 100}
            for i in range(count)
        ],
        "videos": [{"id": i + 100, "file_name": f"run{i}.mp4"} for i in range(count)],
        "annotations": [
            {
                "id": i + 1,
                "image_id": i,
                "category_id": 1,
                "iscrowd": 0,
                "num_keypoints": 3,
                "bbox": [10 + i, 5, 30, 40],
                "keypoints": [25 + i, 8, 2, 20 + i, 30, 2, 30 + i, 31, 1],
            }
            for i in range(count)
        ],
        "categories": [{"id": 1, "name": "ant", "keypoints": list(NAMES), "skeleton": [[1, 2], [2, 3]]}],
    }


def write(folder, data):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for i in range(6):
        if not (folder / "images" / f"run{i}_7.png").exists():
            Image.new("L", (64, 48), 40 * i).save(folder / "images" / f"run{i}_7.png")
    text = data if isinstance(data, str) else json.dumps(data)
    (folder / "annotations.json").write_text(text, encoding="utf-8")
    return folder / "annotations.json"


def other_types(value):
    """Values that are no other spelling of this one's type."""
    wrong = [None, True, False, [], {}, [value], {"value": value}, float("nan"), float("inf"), -1, "", "x y", "Ä"]
    return [*wrong, str(value)] if isinstance(value, int) else wrong


def places(value, path=()):
    """The paths of all keys and indices in JSON content."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in entries:
        yield (*path, key)
        yield from places(below, (*path, key))


@st.composite
def mutated(draw):
    """A file, as text, with one place dropped, doubled, retyped or renamed; the place and what was done."""
    data = content()
    *path, key = draw(st.sampled_from(list(places(data))))
    parent = data
    for step in path:
        parent = parent[step]
    how = draw(st.sampled_from(["drop", "double", "retype", "rename"]))
    text = None
    if how == "drop":
        del parent[key]
    elif how == "retype":
        parent[key] = draw(st.sampled_from(other_types(parent[key])))
    elif isinstance(parent, list):
        parent.insert(draw(st.integers(0, len(parent))), copy.deepcopy(parent[key]))
    elif how == "double":
        again = json.dumps(draw(st.sampled_from([parent[key], *other_types(parent[key])])))
        parent["again"] = 0
        text = json.dumps(data).replace('"again": 0', f"{json.dumps(key)}: {again}")
    else:
        parent[draw(st.sampled_from([key.upper(), key + "s", "x"]))] = parent.pop(key)
    return text or json.dumps(data), (*path, key), how


def outcome(folder, text, read):
    """Videos and poses by image, or None if refused; and whether a warning told of something."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            return read(write(folder, text)), bool(caught)
        except ValueError as error:
            message = str(error)
            assert "annotations.json" in message and len(message) < 1000, message
            return None, True


def whole(path):
    data = read_coco(path, path.parent / "images", (48, 64), whole=True)
    return [(data.frames[i].max().item(), data.skeleton.keypoints, data.poses[i].tolist()) for i in range(len(data))]


def split(path):
    data = read_custom(path.parent, (48, 64))
    assert not set(data.video[data.split == "test"]) & set(data.video[data.split != "test"])
    return [(data.frames[i].max().item(), data.video[i], data.poses[i].tolist()) for i in range(len(data))]


def unknowable(place, how):
    """Whether a file with this change is another right one: other names or limbs, an entry that is not there."""
    dropped = place[0] in ("annotations", "images", "videos") and len(place) == 2 and how == "drop"
    named = place == ("videos",) or place[2:3] in (("skeleton",), ("name",))
    return dropped or named or place[:1] + place[2:3] in (("videos", "file_name"), ("categories", "keypoints"))
