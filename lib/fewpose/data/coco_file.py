"""A COCO keypoint file read and checked by itself; what contradicts itself is refused by name.

`label_checks` compares it with the images, `file_names` finds those, `coco` cuts the people out.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fewpose import skeleton as skeletons
from fewpose.data.file_names import normalised, shown_few
from fewpose.data.images import warn
from fewpose.data.keypoint_names import mirror_names, numbered_pairs, plain_name, unpaired
from fewpose.data.video import VIDEOS
from fewpose.skeleton import Skeleton, find_flip_pairs

SPLIT_NAMES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
Id = int | str


@dataclass(frozen=True)
class LabelledImage:
    """An entry of `images`: its size (height, width) where both are given; the names of its video and split."""

    name: str
    size: tuple[int, int] | None
    video: str | None
    split: str | None


@dataclass(eq=False)
class Person:
    """An annotation: keypoints [K, 3] (x, y, visibility 0, 1 or 2); box x0, y0, x1, y1, None if missing or empty."""

    name: str  # "annotation 12", for messages
    image: LabelledImage
    keypoints: np.ndarray
    box: np.ndarray | None

    @property
    def points(self) -> np.ndarray:
        """The labelled keypoints [L, 2]."""
        return self.keypoints[self.keypoints[:, 2] > 0, :2]


@dataclass(frozen=True)
class CocoFile:
    """What is read of a file: all images, the labelled people, the names of the videos that it lists."""

    path: Path
    skeleton: Skeleton
    images: list[LabelledImage]
    people: list[Person]
    videos: list[str]


def read_coco_file(path: str | Path) -> CocoFile:
    """All people with a labelled keypoint, of the first category with poses, except crowds.

    If any annotation has the key `main`, only those where it is true. What is left out or repaired is told in warnings.
    ValueError names the file and the entry that is malformed, repeated or contradicts another.
    """
    path = Path(path)
    content = load_coco(path)
    images = read_images(content, path)
    check_repeated(content["annotations"], "annotations", path)
    category = pose_category(content, path)
    skeleton = read_skeleton(content, path, category)
    people = read_people(content, category, skeleton, images, path)
    return CocoFile(path, skeleton, list(images.values()), people, list(listed_videos(content, path).values()))


# ---- JSON -------------------------------------------------------------------------------------------------------


def load_coco(path: Path) -> dict:
    """The content of a COCO keypoint file, keys whose value is null removed; ValueError if it is not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: give a COCO keypoint file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON in UTF-8: {error}") from None
    for key in ("images", "annotations", "categories"):
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{path} is not a COCO file: it has no list `{key}` of entries: export COCO keypoints")
    return content


def _once(pairs: list[tuple[str, object]]) -> dict:
    """An entry without the keys whose value is null, which others omit; ValueError if a key has two values."""
    entry: dict = {}
    for key, value in pairs:
        if value is not None and repr(entry.setdefault(key, value)) != repr(value):
            raise ValueError(f"an entry has the key {key!r} twice, with different values")
    return entry


def id_of(value: object, where: str) -> Id:
    """An id, which some tools write as 7, others as 7.0 or "7"; ValueError if it is missing or no id."""
    if isinstance(value, str) and value.strip():
        value = value.strip()
        return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else value
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        return int(value)
    raise ValueError(f"{where} must be a whole number or a name, not {value!r}")


def check_repeated(entries: list[dict], key: str, path: Path) -> None:
    """ValueError if two entries share an id, as in files that were merged without renumbering."""
    first: dict[Id, dict] = {}
    for entry in entries:
        if "id" not in entry:
            continue
        number = id_of(entry["id"], f"{path}: the id of an entry of `{key}`")
        if number in first and not (key == "annotations" and entry == first[number]):  # a label twice is dropped later
            second = entry.get("file_name", entry.get("name", f"of image {entry.get('image_id')}"))
            raise ValueError(
                f"{path}: two {key} have the id {number!r}, the second is {second}; renumber "
                f"`{key}`{', and `image_id` of their annotations' if key == 'images' else ''}"
            )
        first[number] = entry


def flag(entry: dict, key: str, where: str) -> bool:
    """A key that is true or false, 1 or 0, or missing."""
    value = entry.get(key, False)
    if value not in (0, 1):
        raise ValueError(f"{where}: {key} must be true or false, not {value!r}")
    return bool(value)


# ---- images and videos ------------------------------------------------------------------------------------------


def read_images(content: dict, path: Path) -> dict[Id, LabelledImage]:
    """The images by id."""
    check_repeated(content["images"], "images", path)
    videos = listed_videos(content, path)
    images, ids = {}, {}
    for entry in content["images"]:
        name = entry.get("file_name")
        if "id" not in entry or not isinstance(name, str) or not name.strip():
            raise ValueError(f"{path}: an image has no id or no file_name: {entry}")
        where = f"{path}: the image {name}"
        number = id_of(entry["id"], f"{where}: id")
        if ids.setdefault(normalised(name), number) != number:
            raise ValueError(
                f"{where} has two entries, with the ids {ids[normalised(name)]!r} and {number!r}: keep one"
            )
        images[number] = LabelledImage(
            name, size_of(entry, where), video_of(entry, videos, where), split_of(entry, where)
        )
    return images


def size_of(entry: dict, where: str) -> tuple[int, int] | None:
    sides = []
    for key in ("height", "width"):
        try:
            side = float(entry[key])
        except KeyError:
            return None
        except (TypeError, ValueError, OverflowError):
            side = -1.0
        if not (side >= 0 and side.is_integer()):
            raise ValueError(f"{where}: {key} must be a number of pixels, not {entry[key]!r}")
        sides.append(int(side))
    return tuple(sides) if all(sides) else None  # 0 is how tools write "unknown"


def split_of(entry: dict, where: str) -> str | None:
    split = entry.get("split")
    if split is None:
        return None
    name = str(split).strip().lower()
    name = SPLIT_NAMES.get(name, name)
    if name not in ("train", "val", "test"):
        raise ValueError(f"{where}: unknown split {split!r}; use train, val or test")
    return name


def listed_videos(content: dict, path: Path) -> dict[Id, str]:
    """Names without suffix of the entries of the file's `videos`, by id."""
    listed = content.get("videos", [])
    if not isinstance(listed, list) or not all(isinstance(video, dict) for video in listed):
        raise ValueError(f"{path}: `videos` must be a list of entries with id and file_name")
    check_repeated(listed, "videos", path)
    names = {}
    for video in listed:
        name = video.get("file_name", video.get("name"))
        if name is None or "id" not in video:
            continue
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{path}: the name of a video must be text, not {name!r}")
        names[id_of(video["id"], f"{path}: the id of a video")] = video_name(name)
    return names


def video_of(entry: dict, listed: dict[Id, str], where: str) -> str | None:
    """The video of an image: `video_id` is the name or path itself or the id of a listed one; None if not given."""
    if entry.get("video_id") in (None, ""):
        return None
    number = id_of(entry["video_id"], f"{where}: video_id")
    if listed and isinstance(number, int) and number not in listed:
        raise ValueError(f"{where}: there is no video {number} in `videos`")
    return listed.get(number) or video_name(str(number))


def video_name(name: str) -> str:
    """The name of a video file without folders and suffix; other names as they are."""
    file = Path(name.replace("\\", "/"))
    return file.stem if file.suffix.lower() in VIDEOS else name


# ---- categories -------------------------------------------------------------------------------------------------


def pose_category(content: dict, path: Path) -> dict:
    """The first category that names keypoints and has poses; labelling tools may list others before it."""
    named = [category for category in content["categories"] if category.get("keypoints")]
    if not named:
        raise ValueError(f"{path}: no category names keypoints: export COCO keypoints, not boxes or outlines alone")
    check_repeated(content["categories"], "categories", path)
    names = Counter(str(category.get("name")) for category in named)
    if len(named) > 1 and (names.most_common(1)[0][1] > 1 or not all("id" in category for category in named)):
        raise ValueError(
            f"{path}: several categories name keypoints and cannot be told apart ({', '.join(names)}): "
            "give each its own id and name, or keep one"
        )
    posed = {
        id_of(a["category_id"], f"{path}: category_id")
        for a in content["annotations"]
        if a.get("keypoints") and "category_id" in a
    }
    used = [category for category in named if "id" not in category or id_of(category["id"], f"{path}: id") in posed]
    unused = [str(category.get("name")) for category in named if category not in used]
    if used and unused:
        warn(f"{path.name}: the categories {', '.join(unused)} name keypoints that nobody has: not used")
    return (used or named)[0]


def read_skeleton(content: dict, path: Path, category: dict | None = None) -> Skeleton:
    """The skeleton of a category (the first with keypoints): a known one if the names are the same.

    An unknown one gets its limbs from the file (pairs counted from 1, or from 0 where a pair holds a 0) and 0.08 for
    every OKS sigma. Sides are read in any naming scheme (`mirror_names`, `find_flip_pairs`), unless the category names
    mirror partners in `flip_pairs`, as [left, right]; `pck_reference` is `Skeleton.reference`. ValueError for a left or
    right keypoint without its partner.
    """
    category = category or pose_category(content, path)
    given, written = category["keypoints"], category.get("flip_pairs")
    if not are_names(given):
        raise ValueError(f"{path}: a category's keypoints must be names, each once, not {given!r}")
    names = mirror_names(given) if written is None else tuple(map(plain_name, given))
    if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
        raise ValueError(
            f"{path}: a category's keypoints must be names, each once; {', '.join(repeated)} is there twice"
        )
    if written is not None and not (isinstance(written, list) and all(are_names(p) and len(p) == 2 for p in written)):
        raise ValueError(f"{path}: flip_pairs must be pairs of keypoints, [[left, right], …], not {written!r}")
    known_as = dict(zip(map(plain_name, given), names, strict=True))
    pairs = find_flip_pairs(names)
    if written is not None:
        pairs = tuple(tuple(known_as.get(plain_name(name), name) for name in pair) for pair in written)
    reference = category.get("pck_reference")
    if are_names(reference) and len(reference) == 2:
        reference = tuple(known_as.get(plain_name(name), plain_name(name)) for name in reference)
    elif not (reference is None or isinstance(reference, str | int | float)):
        raise ValueError(f'{path}: pck_reference must be two keypoints, "box" or pixels, not {reference!r}')
    tell_sides(given, names, pairs, path)
    try:
        for known in (skeletons.COCO, skeletons.JUMP, skeletons.LSP, skeletons.HALPE, skeletons.MVOR):
            if known.keypoints == names:
                return replace(known, reference=reference) if reference is not None else known
        name, sigmas = str(category.get("name", path.stem)), (0.08,) * len(names)
        return Skeleton(name, names, read_limbs(category, names), sigmas, pairs, reference)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name.strip() for name in value)


def tell_sides(given: list[str], names: tuple[str, ...], pairs: tuple[tuple[str, str], ...], path: Path) -> None:
    """Warn of pairs that are named otherwise than left_… and right_…, and of sides without a partner."""
    written = dict(zip(names, given, strict=True))
    shown = [
        f"{written[a]}/{written[b]}"
        for a, b in pairs
        if not plain_name(written[a]).startswith("left_") or not plain_name(written[b]).startswith("right_")
    ]
    if shown:
        warn(f"{path.name}: mirrored views swap these pairs, as their names say: {', '.join(shown)}")
    if odd := [name for name in unpaired(given) if all(name not in (written[a], written[b]) for a, b in pairs)]:
        warn(f"{path.name}: {', '.join(odd)} have no partner on the other side, mirrored views leave them as they are")
    paired = {written[name] for pair in pairs for name in pair}
    if pairs and (numbered := numbered_pairs([name for name in given if name not in paired])):
        warn(f"{path.name}: are {', '.join(numbered)} left and right? If so, name them in the category's `flip_pairs`")
    if not pairs:
        warn(f"{path.name}: no keypoint is named left_… and right_…, mirrored views swap no sides")


def read_limbs(category: dict, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs of names; the file counts from 1, some tools from 0."""
    try:
        pairs = [(int(a), int(b)) for a, b in category.get("skeleton", [])]
        first = 0 if any(0 in pair for pair in pairs) else 1
        if any(not first <= end < first + len(names) for pair in pairs for end in pair):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"a category's skeleton must be pairs of 1 … {len(names)}") from None
    return tuple((names[a - first], names[b - first]) for a, b in pairs if a != b)


# ---- people -----------------------------------------------------------------------------------------------------


def read_people(
    content: dict, category: dict, skeleton: Skeleton, images: dict[Id, LabelledImage], path: Path
) -> list[Person]:
    """The people to read; what is left out without a word from the user is told in warnings."""
    ids = {id_of(c["id"], f"{path}: id of a category") for c in content["categories"] if "id" in c}
    expected = id_of(category["id"], f"{path}: id of a category") if "id" in category else None
    several = sum(bool(c.get("keypoints")) for c in content["categories"]) > 1
    only_main = any("main" in annotation for annotation in content["annotations"])
    people: list[Person] = []
    others, bare, unseen, left_out, at_zero, placed = 0, [], [], set(), 0, 0
    for annotation in content["annotations"]:
        name = f"annotation {annotation.get('id', '?')}"
        where = f"{path}, {name}"
        number = annotation.get("category_id")
        number = expected if number is None else id_of(number, f"{where}: category_id")
        if number != expected and number not in ids and ids:
            raise ValueError(f"{where}: there is no category {number!r}")
        of_category = number == expected or (expected is None and number not in ids)
        if not annotation.get("keypoints"):  # a box or an outline
            bare += [name] if of_category else []
            continue
        if several and annotation.get("category_id") is None:
            raise ValueError(f"{where} has no category_id, and several categories name keypoints: give it one")
        if not of_category:
            others += 1
            continue
        keypoints = read_keypoints(annotation["keypoints"], skeleton, where)
        image = id_of(annotation.get("image_id"), f"{where}: image_id")
        if image not in images:
            raise ValueError(f"{where}: there is no image {annotation.get('image_id')!r}")
        crowd, main = flag(annotation, "iscrowd", where), flag(annotation, "main", where)
        corner = (keypoints[:, 2] > 0) & ~keypoints[:, :2].any(1)
        keypoints[corner, 2] = 0
        labelled = keypoints[:, 2] > 0
        at_zero += int(corner.sum())
        if labelled.any():
            placed += hidden_inside(keypoints, images[image].size)
        if not labelled.any():
            unseen += [name] if keypoints[:, :2].any() else []
        elif crowd:
            continue
        elif only_main and not main:
            left_out.add(image)
        else:
            people.append(Person(name, images[image], keypoints, read_box(annotation, where)))
    if at_zero:
        warn(f"{path.name}: {at_zero} keypoints lie at 0, 0, where tools put those that are not labelled: ignored")
    if placed > 0.05 * sum(len(person.points) for person in people):
        warn(
            f"{path.name}: {placed} keypoints have a place in the image and visibility 0, which in COCO means not "
            "labelled: ignored; if 0 is another word for visible in your file, write 2"
        )
    if others:
        warn(f"{path.name}: {others} poses of other categories than {category.get('name')!r} are skipped")
    if bare:
        warn(f"{path.name}: {len(bare)} without `keypoints`, skipped: {shown_few(bare)}")
    if unseen:
        warn(f"{path.name}: {len(unseen)} whose keypoints all have visibility 0, skipped: {shown_few(unseen)}")
    with_main = {person.image for person in people}
    if nobody := sorted(images[i].name for i in left_out if images[i] not in with_main):
        warn(f"{path.name}: {len(nobody)} images where nobody is `main`, skipped: {shown_few(nobody)}")
    return drop_repeated(people, path)


def hidden_inside(keypoints: np.ndarray, size: tuple[int, int] | None) -> int:
    """How many keypoints [K, 3] have visibility 0 and yet a place, in the image of this size (H, W) if it is known."""
    x, y, visibility = keypoints.T
    height, width = size or (np.inf, np.inf)
    return int(((visibility == 0) & ((x > 0) | (y > 0)) & (x >= 0) & (y >= 0) & (x < width) & (y < height)).sum())


def read_keypoints(values: object, skeleton: Skeleton, where: str) -> np.ndarray:
    """Keypoints [K, 3] of a flat or nested list; visibilities are 0, 1 or 2."""
    count = len(skeleton)
    flat = np.array(values, dtype=object).ravel()
    if len(flat) != 3 * count:
        raise ValueError(f"{where}: {len(flat)} numbers, {count} keypoints need {3 * count}: x, y, visibility of each")
    keypoints = numbers(flat, f"{where}: keypoints must be numbers").reshape(count, 3)
    labelled = keypoints[:, 2] > 0
    if not np.isfinite(keypoints[:, 2]).all() or not np.isfinite(keypoints[labelled]).all():
        raise ValueError(f"{where}: a keypoint is not a finite number")
    if (wrong := ~np.isin(keypoints[:, 2], (0, 1, 2))).any():
        k = int(wrong.argmax())
        raise ValueError(
            f"{where}: the visibility of {skeleton.keypoints[k]} is {keypoints[k, 2]:g}; COCO's are 0 (not labelled), "
            "1 (hidden) and 2 (visible), in the order x, y, visibility"
        )
    return np.nan_to_num(keypoints)


def numbers(values: np.ndarray, message: str) -> np.ndarray:
    """An array of objects as float64; ValueError with this message if one is not a number."""
    try:
        if any(value is None or isinstance(value, bool) for value in values.flat):
            raise TypeError
        return values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(message) from None


def read_box(annotation: dict, where: str) -> np.ndarray | None:
    """Corners of the annotation's bbox; None if tools left it out or empty."""
    if not annotation.get("bbox"):
        return None
    message = f"{where}: bbox must be four numbers: x, y, width, height"
    box = numbers(np.array(annotation["bbox"], dtype=object), message)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] < 0).any():
        raise ValueError(message)
    return np.concatenate([box[:2], box[:2] + box[2:]]) if box[2:].all() else None


def drop_repeated(people: list[Person], path: Path) -> list[Person]:
    """The people without those that are labelled twice alike in one image."""
    seen, kept, repeated = set(), [], []
    for person in people:
        key = person.image, person.keypoints.tobytes()
        if key in seen:
            repeated.append(person.name)
        else:
            kept.append(person)
        seen.add(key)
    if repeated:
        warn(f"{path.name}: {len(repeated)} the same as others of their image, skipped: {shown_few(repeated)}")
    return kept
