"""Labels compared with their images: units, orientation, size, and boxes where tools left them out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from fewpose.crops import MARGIN
from fewpose.data.coco_file import LabelledImage, Person
from fewpose.data.file_names import shown_few
from fewpose.data.images import warn

# What tools write instead of pixels, as functions of points [L, 2], the image's (width, height) and the box.
POINTS: dict[str, Callable] = {
    "": lambda points, side, box: points,
    "fractions of the image (0 … 1)": lambda points, side, box: points * side,
    "percent of the image (0 … 100)": lambda points, side, box: points * side / 100,
    "thousandths of the image (0 … 1000)": lambda points, side, box: points * side / 1000,
    "y before x (or boxes y, x, height, width)": lambda points, side, box: points[:, ::-1],
    "thousandths of the image, y before x": lambda points, side, box: points[:, ::-1] * side / 1000,
    "counted from the bottom": lambda points, side, box: points * (1, -1) + (0, side[1] - 1),
    "counted from the box's corner": lambda points, side, box: points + (0 if box is None else box[:2]),
}
CORNERS = "corners (x0, y0, x1, y1)"
REMEDY = "write pixels, and bbox as x, y, width, height"
# … and instead of x, y, width, height: functions of these four, twice two.
LAYOUTS: dict[str, Callable] = {
    "": lambda a, b: (a, a + b),
    CORNERS: lambda a, b: (a, b),
    "middle, width and height": lambda a, b: (a - b / 2, a + b / 2),
}
THOUSANDTHS = "thousandths of the image"
UNITS = {
    "": 1.0,
    "fractions of the image (0 … 1)": None,
    "percent of the image (0 … 100)": 100.0,
    "thousandths of the image (0 … 1000)": 1000.0,
}
FEW = 5  # people below whom a file says too little about its unit
FACTORS = (1.25, 4 / 3, 1.5, 1.6, 2, 2.25, 2.5, 3, 4, 5, 6, 8)  # between usual sizes of images
HEAD, FEET = re.compile("head|nose|eye|ear|neck|shoulder"), re.compile("knee|ankle|foot|toe|heel")


def check_units(people: list[Person], sizes: dict[LabelledImage, tuple[int, int]], path: Path) -> list[Person]:
    """The people most of whose labels lie in their image and box; the others are named in a warning.

    `sizes` (height, width) of the images. ValueError with a guess of the unit if the others are the most, if nearly all
    people fit another reading and many not this one, if all labels lie in the first 100 pixels of larger images, as
    percents do, or if they are of larger or smaller images.
    """
    wrong = [person for person in people if not is_plausible(person, sizes[person.image])]
    guess = better_reading(people, sizes)
    if not guess and (factor := other_size(people, sizes)):
        raise ValueError(
            f"{path}: the labels do not fit their images and boxes, divided by some {factor:.3g} they would: were they "
            f"labelled on other images, {factor:.3g} times as large? Use those images, or divide the labels"
        )
    if len(wrong) * 2 > len(people):
        raise ValueError(
            f"{path}: the keypoints of {len(wrong)} of {len(people)} annotations lie mostly outside of their box or "
            f"image ({shown_few([p.name for p in wrong])}); "
            + (guess or better_reading(wrong, sizes) or "were they labelled on other images?")
        )
    if guess:
        raise ValueError(f"{path}: keypoints do not lie in their boxes as they are: {guess}")
    if len(people) >= FEW and all(min(sizes[p.image]) >= 150 and p.points.max() <= 100 for p in people):
        raise ValueError(
            f"{path}: all labels lie in the first 100 pixels of larger images, as "
            "percents of the image would: write pixels (x times width / 100, y times height / 100)"
        )
    largest, widest = max(p.points.max() for p in people), min(max(sizes[p.image]) for p in people)
    if len(people) >= 2 * FEW and 900 < largest <= 1000 and widest >= 1500:
        warn(
            f"{path.name}: all labels end at 1000 in images of {widest} pixels and more: are they thousandths of the "
            "image, as language models write? Then write pixels (x times width / 1000, y times height / 1000)"
        )
    reach = max((p.points / sizes[p.image][::-1]).max() for p in people)
    if reach <= (0.5 if len(people) < 4 * FEW else 0.72) and len(people) >= 2 * FEW:
        size = "half size" if reach <= 0.5 else f"some {reach:.0%} of this size"
        warn(f"{path.name}: all labels lie in the upper left {reach:.0%} of their images: labelled at {size}?")
    if wrong:
        warn(
            f"{path.name}: {len(wrong)} annotations whose keypoints lie mostly outside of their box or image, "
            f"skipped: {shown_few([p.name for p in wrong])}"
        )
    return [person for person in people if person not in wrong]


def is_plausible(person: Person, size: tuple[int, int]) -> bool:
    """Whether at least half of the labels lie in box and image, and not all in the image's very corner."""
    points = person.points
    inside = share_inside(points, np.array([0, 0, *size[::-1]]))
    if person.box is not None:
        inside = min(inside, share_inside(points, enlarged(person.box)))
    return inside >= 0.5 and not (points.max() <= 1.5 and min(size) >= 16)


def other_size(people: list[Person], sizes: dict[LabelledImage, tuple[int, int]]) -> float | None:
    """How many times larger the images seem to have been on which keypoints, or they and boxes, were labelled.

    Keypoints are compared with their boxes. Without boxes, or if these are scaled alike, larger labels leave the image
    to the right and bottom and never to the left and top; smaller ones are not certain. None if they fit, of few people
    too.
    """
    people = people[:: 1 + len(people) // 500]
    if len(people) < FEW:
        return None
    boxed = [p for p in people if p.box is not None and ((p.box[2:] - p.box[:2]) > 1).all()]
    if len(boxed) >= FEW:
        ratio = np.median([p.points.mean(0) / ((p.box[:2] + p.box[2:]) / 2) for p in boxed])
        fit = [share_inside(p.points, enlarged(p.box)) >= 0.9 for p in boxed]
        scaled = [share_inside(p.points / ratio, enlarged(p.box)) >= 0.9 for p in boxed] if ratio > 0.15 else [False]
        if np.mean(fit) < 0.75 and np.mean(scaled) >= 0.9:
            return float(ratio)
    corners = [p.points if p.box is None else np.concatenate([p.points, p.box.reshape(2, 2)]) for p in people]
    reach = np.array([c.max(0) / sizes[p.image][::-1] for c, p in zip(corners, people, strict=True)])
    below = np.array([c.min(0) / sizes[p.image][::-1] for c, p in zip(corners, people, strict=True)])
    beyond = (reach > 1.03).sum(0)
    lost = np.mean([share_inside(p.points, np.array([0, 0, *sizes[p.image][::-1]])) < 0.5 for p in people])
    before = (below < -0.02).any(1).sum()
    if 10 * before > beyond.sum() or beyond.min() < 2 or (beyond.sum() < 0.2 * len(people) and lost < 0.05):
        return None
    return next((factor for factor in FACTORS if factor >= 0.98 * reach.max()), float(reach.max()))


def share_inside(points: np.ndarray, box: np.ndarray) -> float:
    """The share of points, counted from pixel centres, in a box counted from pixel edges."""
    return float(((points >= box[:2] - 0.5) & (points <= box[2:] + 0.5)).all(1).mean())


def enlarged(box: np.ndarray) -> np.ndarray:
    """A box a quarter larger, as its crop is."""
    margin = (box[2:] - box[:2]) * (MARGIN - 1) / 2 + 1
    return np.concatenate([box[:2] - margin, box[2:] + margin])


def fits_reading(person: Person, size: tuple[int, int], points: str, unit: str, layout: str) -> bool:
    """Whether box and labels fit one another and the image if they are read as POINTS, UNITS and LAYOUTS name."""
    side = np.array(size[::-1], dtype=np.float64)
    box = person.box
    if points.startswith(THOUSANDTHS) and (box is None or unit.startswith(THOUSANDTHS)):
        return False  # pixels of small images would fit as well
    if box is not None:
        scale = 1 if unit == "" else side / (UNITS[unit] or 1)
        box = np.concatenate(LAYOUTS[layout](box[:2] * scale, (box[2:] - box[:2]) * scale))
        # `Person.box` are the corners of x, y, width, height
        if (box[:2] < -0.05 * side).any() or (box[2:] > 1.05 * side).any() or (box[2:] - box[:2] <= 1).any():
            return False
    read = POINTS[points](person.points, side, box)
    if share_inside(read, np.array([0, 0, *side])) < 0.9 or (read.max() <= 1.5 and min(size) >= 16):
        return False
    return box is None or share_inside(read, enlarged(box)) >= 0.9


def better_reading(people: list[Person], sizes: dict[LabelledImage, tuple[int, int]]) -> str:
    """What keypoints and boxes seem to be, if nearly all people fit that and many not what they should be; else empty.

    Corners count even if as many fit x, y, width and height, which smaller boxes are within: of many people none would
    fit both by chance.
    """
    people = people[:: 1 + len(people) // 500]
    fit = {"": sum(fits_reading(p, sizes[p.image], "", "", "") for p in people)}
    if len(people) >= FEW and fit[""] > 0.75 * len(people):
        apart = [p for p in people if p.box is not None and (p.box[:2] > 0.02 * np.array(sizes[p.image][::-1])).any()]
        corners = [fits_reading(p, sizes[p.image], "", "", CORNERS) for p in apart]
        return f"boxes seem to be {CORNERS}: {REMEDY}" if len(apart) >= 2 * FEW and np.mean(corners) > 0.95 else ""
    for points, unit, layout in product(POINTS, UNITS, LAYOUTS):
        box = " and ".join(part for part in (unit, layout) if part)
        parts = [f"keypoints seem to be {points}" if points else "", f"boxes seem to be {box}" if box else ""]
        name = ", ".join(part for part in parts if part)
        fit.setdefault(name, sum(fits_reading(p, sizes[p.image], points, unit, layout) for p in people))
    best = max(fit, key=fit.__getitem__)
    few = len(people) < FEW and fit[""] > 0  # chance
    return f"{best}: {REMEDY}" if best and fit[best] >= 0.9 * len(people) and not few else ""


# ---- images -----------------------------------------------------------------------------------------------------


def image_size(path: Path) -> tuple[tuple[int, int], int] | None:
    """Height and width of an image file, upright, and the EXIF orientation (1: as it lies); None if it is broken."""
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(0x0112, 1)
            size = image.size if orientation in (5, 6, 7, 8) else image.size[::-1]
            return size, orientation
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def check_sizes(images: Iterable[LabelledImage], sizes: dict[LabelledImage, tuple[int, int]], path: Path) -> None:
    """ValueError if an image is not of the size in its entry, or that size transposed."""
    for image in images:
        height, width = sizes[image]
        if image.size is not None and image.size not in ((height, width), (width, height)):
            raise ValueError(
                f"{path}: {image.name} was labelled with {image.size[1]}x{image.size[0]} pixels and has "
                f"{width}x{height}; use the images that were labelled"
            )


def turn_labels(
    people: list[Person],
    files: dict[LabelledImage, tuple[tuple[int, int], int]],
    path: Path,
    keypoints: tuple[str, ...] = (),
) -> None:
    """Turn labels, in place, that a tool made on images whose EXIF orientation it ignored.

    `files` are sizes and orientations, `keypoints` the names. Images whose entry has the size of the upright image are
    left; the others are judged together, by whether their labels lie in the image as it is turned or as it lies.
    ValueError if both hold and the entries have the size as it lies. Of images that are turned by half, whose size says
    nothing, those are turned in which most people stand on their heads while others stand on their feet; a warning
    names images that are mirrored, which nothing tells.
    """
    turn_by_half(people, files, path, keypoints)
    turned = [p for p in people if files[p.image][1] in (5, 6, 7, 8) and p.image.size != files[p.image][0]]
    if not turned:
        return
    upright = np.mean([share_inside(p.points, np.array([0, 0, *files[p.image][0][::-1]])) for p in turned])
    lying = np.mean([share_inside(p.points, np.array([0, 0, *files[p.image][0]])) for p in turned])
    names = shown_few(list(dict.fromkeys(p.image.name for p in turned)))
    if lying > upright:
        for person in turned:
            (width, height), orientation = files[person.image]  # upright is transposed
            turn_person(person, (height, width), orientation)
        warn(f"{path.name}: labels of {len(turned)} people were turned with their images (EXIF): {names}")
    elif lying == upright and any(person.image.size for person in turned):
        raise ValueError(
            f"{path}: {names} are turned by EXIF, and their labels fit both ways; save the images upright and give "
            "their entries the height and width that the labels belong to"
        )


def turn_by_half(
    people: list[Person],
    files: dict[LabelledImage, tuple[tuple[int, int], int]],
    path: Path,
    keypoints: tuple[str, ...],
) -> None:
    """As `turn_labels`, of images that EXIF turns by 180 degrees (3) or mirrors (2, 4)."""
    standing = {id(p): stands(p, keypoints) for p in people}
    turned = [p for p in people if files[p.image][1] == 3]
    upside_down = sum(standing[id(p)] < 0 for p in turned) > max(1, sum(standing[id(p)] > 0 for p in turned)) * 2
    others = [standing[id(p)] for p in people if files[p.image][1] != 3]
    if upside_down and sum(others) >= 0:
        for person in turned:
            turn_person(person, *files[person.image])
        names = shown_few(list(dict.fromkeys(p.image.name for p in turned)))
        warn(f"{path.name}: labels of {len(turned)} people were turned with their images (EXIF, by 180°): {names}")
    elif turned and not any(standing[id(p)] > 0 for p in turned):
        tell_unsure(turned, path, "turned by 180°")
    tell_unsure([p for p in people if files[p.image][1] in (2, 4)], path, "mirrored")


def tell_upside_down(people: list[Person], keypoints: tuple[str, ...], path: Path) -> None:
    """Warn if nearly all people stand on their heads, as where y is counted from the bottom."""
    standing = [side for side in (stands(person, keypoints) for person in people) if side]
    if len(standing) >= FEW and standing.count(-1) > 0.8 * len(standing):
        warn(
            f"{path.name}: {standing.count(-1)} of {len(standing)} people have head and shoulders below legs and feet: "
            "COCO counts y from the top of the image; if your tool counts from the bottom, write height - 1 - y"
        )


def tell_unsure(people: list[Person], path: Path, how: str) -> None:
    """Warn of images whose labels fit before and after their EXIF orientation."""
    if people:
        names = shown_few(list(dict.fromkeys(p.image.name for p in people)))
        warn(
            f"{path.name}: {names} are {how} by EXIF, and labels are taken as of the image that viewers show: if your "
            "tool showed the other, save these images upright and label them again"
        )


def stands(person: Person, keypoints: tuple[str, ...]) -> int:
    """1 if the labelled keypoints of head and shoulders are above those of legs and feet, -1 if below, 0 if unknown."""
    rows = {}
    for part in (HEAD, FEET):
        named = [k for k, name in enumerate(keypoints) if part.search(name.lower()) and person.keypoints[k, 2] > 0]
        rows[part] = person.keypoints[named, 1]
    return int(np.sign(rows[FEET].mean() - rows[HEAD].mean())) if len(rows[HEAD]) and len(rows[FEET]) else 0


def turn_person(person: Person, size: tuple[int, int], orientation: int) -> None:
    """Turn keypoints and box, in place; arguments as of `turn`."""
    person.keypoints[:, :2] = turn(person.keypoints[:, :2], size, orientation)
    if person.box is not None:
        corners = turn(person.box.reshape(2, 2) - 0.5, size, orientation) + 0.5
        person.box = np.concatenate([corners.min(0), corners.max(0)])


def turn(points: np.ndarray, size: tuple[int, int], orientation: int) -> np.ndarray:
    """Points [N, 2] from pixels of an image file as it lies, of `size` (H, W), to those of the upright image."""
    x, y = points[:, 0], points[:, 1]
    right, bottom = size[1] - 1 - x, size[0] - 1 - y
    return np.stack({3: (right, bottom), 5: (y, x), 6: (bottom, x), 7: (bottom, right), 8: (y, right)}[orientation], 1)


# ---- boxes ------------------------------------------------------------------------------------------------------


def fill_boxes(people: list[Person], sizes: dict[LabelledImage, tuple[int, int]], path: Path) -> None:
    """Give people without a box, in place, that of their labels, at least half as large as the other boxes.

    A box of less than a fiftieth of the image counts as none. The least size is half of the median width and height of
    the other boxes, relative to their images, or a tenth of the image where there are none. A warning counts them.
    """

    def side(person: Person) -> int:
        return max(sizes[person.image])

    without = [p for p in people if p.box is None or (p.box[2:] - p.box[:2]).max() < side(p) / 50]
    if not without:
        return
    for person in without:
        points = person.points
        person.box = np.concatenate([points.min(0) - 0.5, points.max(0) + 0.5])
    others = [p for p in people if p not in without] or [p for p in without if len(p.points) * 2 > len(p.keypoints) > 2]
    least = np.median([(p.box[2:] - p.box[:2]) / side(p) for p in others], 0) / 2 if others else np.array([0.1, 0.1])
    grown = 0
    for person in without:
        middle, sides = (person.box[:2] + person.box[2:]) / 2, person.box[2:] - person.box[:2]
        larger = np.maximum(sides, least * side(person))
        grown += bool((larger > sides).any())
        person.box = np.concatenate([middle - larger / 2, middle + larger / 2])
    warn(
        f"{path.name}: {len(without)} boxes missing or empty, taken from the keypoints"
        + (f"; {grown} of them were grown to a least size, half of the other boxes'" if grown else "")
    )
