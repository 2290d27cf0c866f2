"""Names in label files → image files and videos: tools, systems and people spell them differently."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from fewpose.data.images import IMAGES, UNREAD, warn

HASH = re.compile(r"[0-9a-f]{8}-(?=.)")  # Label Studio puts it before the names of uploaded files


def normalised(name: str) -> str:
    """A name for comparison: cameras and tools change case, macOS decomposes accents, servers write %20."""
    return unicodedata.normalize("NFC", unquote(name)).casefold()


# ---- images -----------------------------------------------------------------------------------------------------


def find_images(names: Iterable[str], images: Path, beside: Path, labels: str) -> dict[str, Path]:
    """The image file of each name in the label file `labels`, without those of which none is found.

    A name may be a path of another machine: its last folders must be those of the file as far as both have any. It is
    looked for in `images` (and by its exact path in the folder `beside` the labels), as it is; then without regard to
    case, accents and %20; without Label Studio's prefix; without suffix and with other separators. The last two are
    told in a warning, as are names without a file. No name leads outside of both folders. ValueError names the
    candidates if several files fit a name or two names one file, and what is there if no name has a file.
    """
    names = list(dict.fromkeys(names))
    parts = {name: path_parts(name) for name in names}
    found = {}
    for name in names:
        places = (folder.joinpath(*parts[name]) for folder in (images, beside) if parts[name])
        found[name] = next((place for place in places if os.path.isfile(place)), None)
    missing = [name for name in names if found[name] is None]
    if missing:
        taken = set(found.values())
        files = [parts for parts in list_files(images) if images.joinpath(*parts) not in taken]
        index = [index_of(files, keys) for keys in (exactly, without_hash, loosely)]
        respelled = []
        for name in missing:
            matches = (best_matches(parts[name], keys, tables) for keys, tables in index)
            level, candidates = next(((i, best) for i, best in enumerate(matches) if best), (0, []))
            if len(candidates) > 1:
                shown = ", ".join("/".join(parts) for parts in candidates[:3])
                raise ValueError(f"{labels}: {name} may be any of {shown} in {images}: give the file's exact name")
            if candidates:
                found[name] = images.joinpath(*candidates[0])
                if level:
                    respelled.append(f"{name} is {'/'.join(candidates[0])}")
        if respelled:
            warn(f"{labels}: {len(respelled)} images are named otherwise than their files: {shown_few(respelled)}")
        name_missing([name for name in missing if found[name] is None], len(names), files, images, labels)
    check_one_each(found, labels)
    return {name: path for name, path in found.items() if path is not None}


def path_parts(name: str) -> tuple[str, ...]:
    """Folders and name in a path or address of any system, without drives, `..` and the like."""
    parts = name.replace("\\", "/").replace("?d=", "/").split("/")  # ?d= is Label Studio's address of a local file
    parts = [re.sub(r"^([a-z]|[a-z0-9]+(?=:$)):", "", part, flags=re.IGNORECASE) for part in parts]  # C: and http:
    return tuple(part for part in parts if part not in ("", ".", ".."))


def list_files(folder: Path) -> list[tuple[str, ...]]:
    """Paths relative to a folder of the files in it and below, without hidden ones, as parts."""
    files = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        below = Path(place).relative_to(folder).parts
        files += [(*below, name) for name in sorted(names) if name[0] != "."]
    return files


def exactly(name: str) -> tuple[str, str]:
    return name, name


def without_hash(name: str) -> tuple[str, str]:
    return name, HASH.sub("", name, count=1) if HASH.match(name) else name


def loosely(name: str) -> tuple[str, str]:
    stem, suffix = os.path.splitext(name)
    stem = stem if suffix in IMAGES + UNREAD else name
    return tuple(re.sub(r"[\W_]+", "_", key).strip("_") for key in without_hash(stem))


def index_of(files: list[tuple[str, ...]], keys) -> tuple:
    """Files by key: the function `keys`, and for either of its keys a table of the files that have it."""
    tables = defaultdict(list), defaultdict(list)
    for parts in files:
        for table, key in zip(tables, keys(normalised(parts[-1])), strict=True):
            table[key].append(parts)
    return keys, tables


def best_matches(name: tuple[str, ...], keys, tables: tuple) -> list[tuple[str, ...]]:
    """The files that fit a name, those that share most folders with it.

    One of both may have a prefix that the other has not, but they may not have two different ones.
    """
    if not name:
        return []
    plain, stripped = keys(normalised(name[-1]))
    files = {*tables[0][plain], *tables[1][plain], *tables[0][stripped]}
    shared = {parts: folders for parts in files if (folders := shared_folders(name, parts)) is not None}
    return sorted(parts for parts in shared if shared[parts] == max(shared.values()))


def shared_folders(a: tuple[str, ...], b: tuple[str, ...]) -> int | None:
    """How many of the last folders of two paths are the same; None if they differ while both have any."""
    count = min(len(a), len(b)) - 1
    same = [normalised(part) for part in a[-1 - count : -1]] == [normalised(part) for part in b[-1 - count : -1]]
    return count if same else None


def name_missing(missing: list[str], count: int, files: list[tuple[str, ...]], images: Path, labels: str) -> None:
    """Warn of names without a file, ValueError if that is all of them: what was looked for, where, what is there."""
    if not missing:
        return
    there = shown_few(["/".join(parts) for parts in files]) if files else "no file"
    place = f"{images}, which holds {there}" if images.is_dir() else f"{images}, which is no folder"
    if len(missing) == count:
        raise ValueError(
            f"{labels}: no image is found; looked for {shown_few(missing)} in {place}; put the labelled images there"
        )
    warn(f"{labels}: {len(missing)} images missing, skipped: {shown_few(missing, 10)}; looked in {images}")


def check_one_each(found: dict[str, Path | None], labels: str) -> None:
    """ValueError if two names lead to one file: its labels would be of two images."""
    owner: dict[Path, str] = {}
    for name, path in found.items():
        if path is not None and owner.setdefault(path, name) != name:
            raise ValueError(f"{labels}: {owner[path]} and {name} are both the file {path}: give each image one entry")


def shown_few(names: list[str], count: int = 3) -> str:
    """The first names and how many more there are."""
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


# ---- videos -----------------------------------------------------------------------------------------------------


def match_video(image: str, videos: Iterable[str]) -> str | None:
    """The video whose name is part of an image's file name or of a folder in its path; the longest name wins.

    Among equally long ones the leftmost wins. run1_0120.jpg, run1/0120.jpg and 5f3a-run1_0120.jpg are of run1;
    run10_0120.jpg is not.
    """
    matches = find_matches(image, videos)
    return matches[0][2] if matches else None


def candidate_videos(image: str, videos: Iterable[str]) -> list[str]:
    """All videos that an image may be of by its name, the best first.

    That of `match_video` alone, unless another's name lies outside of its, or no frame number is left beside it and it
    may be that number: run_1.jpg may be frame 1 of run or a frame of run_1, and frame_1.jpg is not of 1.mp4.
    """
    matches = find_matches(image, videos)
    if not matches:
        return []
    best = matches[0][2]
    places = [(start, end) for start, end, video in matches if video == best]
    name = os.path.splitext(normalised(image))[0]
    start, end = places[0]
    rest = name[:start] + name[end:]
    certain = re.search(r"\d", rest) or not re.search(r"\d", best)
    if not certain and best.isdigit() and rest:
        return []
    others = [v for a, b, v in matches if not certain or not any(s <= a and b <= e for s, e in places)]
    return list(dict.fromkeys([best, *others]))


def find_matches(image: str, videos: Iterable[str]) -> list[tuple[int, int, str]]:
    """Start, end and video of each place where an image's name contains a video's, the best first."""
    matches = [
        (*match.span(), video)
        for video in videos
        for match in re.finditer(rf"(?<![^\W_]){re.escape(normalised(video))}(?![^\W_])", normalised(image))
    ]
    return sorted(matches, key=lambda match: (match[0] - match[1], match))
