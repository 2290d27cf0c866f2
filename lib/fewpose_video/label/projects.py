"""Labels of other tools: DeepLabCut, Lightning Pose, SLEAP, YOLO pose, COCO as CVAT, Roboflow, Label Studio export it.

Read into the folder that `fewpose.data.custom` reads, and written back. The order of the keypoints, the split, the
video of each frame and which points are occluded are kept where the format has them: DeepLabCut and Lightning Pose know
no occlusion and no split.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from fewpose.data.coco_file import listed_videos, load_coco, pose_category, video_of
from fewpose.data.custom import split_videos
from fewpose.data.file_names import find_images
from fewpose.data.images import IMAGES, warn_skipped
from fewpose.disk import copy_file, replacing, write_text
from fewpose.skeleton import Skeleton
from fewpose_video.formats import require
from fewpose_video.label import label_file, sleap
from fewpose_video.label.imported import SPLIT_NAMES, Imported
from fewpose_video.label.label_file import LabelledFrame, annotation_of, locked, next_id, open_labels
from fewpose_video.label.skeletons import make_skeleton


def import_labels(source: str | Path, folder: str | Path, names: Sequence[str] = ()) -> Path:
    """Labels of another tool as a label file in a new `folder`, with copies of the images; the path of the file.

    source is the folder of a DeepLabCut or Lightning Pose project or of a YOLO data set, a COCO file, or SLEAP's .slp
    or the folder of those of its splits. `names` are the keypoints of a YOLO data set, which has none. ValueError if
    nothing is known there, or the folder has labels.
    """
    source, folder = Path(source), Path(folder)
    if (folder / label_file.NAME).exists():
        raise ValueError(f"{folder} holds {label_file.NAME}: import into a new folder, so that no labels are lost")
    try:
        return import_project(source, folder, names)
    except BaseException:
        (folder / label_file.NAME).unlink(missing_ok=True)  # without its labels it would keep the next call out
        raise


def import_project(source: Path, folder: Path, names: Sequence[str]) -> Path:
    """As `import_labels`, into a folder without a label file."""
    if source.suffix.lower() == ".slp" or (source.is_dir() and any(source.glob("*.slp"))):
        with TemporaryDirectory() as work:  # for frames that are inside of files
            return write_imported(folder, *sleap.read_sleap(source, Path(work)))
    if source.is_file():
        return import_coco(source, folder)
    tables = [*source.glob("labeled-data/*/CollectedData_*")] or [*source.glob("CollectedData*.csv")]
    if tables:
        return write_imported(folder, *read_tables(source, tables))
    if any(source.rglob("labels/**/*.txt")):
        return write_imported(folder, *read_yolo(source, names))
    raise ValueError(
        f"{source} is no project that can be read: DeepLabCut (labeled-data/*/CollectedData_*), Lightning Pose "
        "(CollectedData.csv), YOLO (labels/*.txt), SLEAP (*.slp) or a COCO file"
    )


def write_imported(folder: Path, skeleton: Skeleton, found: Sequence[Imported]) -> Path:
    """The label file of imported images, which are copied; two of one name get that of their video before it."""
    path, images = open_labels(folder, skeleton), folder / "images"
    images.mkdir(exist_ok=True)
    names = [item.image.name for item in found]
    content = load_coco(path)
    category = pose_category(content, path)
    missing, any_split = [], all(item.split for item in found)
    for item in found:
        if not item.image.is_file():
            missing.append(str(item.image))
            continue
        twice = names.count(item.image.name) > 1 or (item.video and not item.image.name.startswith(item.video))
        name = f"{item.video or item.split}_{item.image.name}" if twice else item.image.name
        copy_file(item.image, images / name)
        with Image.open(item.image) as image:
            width, height = ImageOps.exif_transpose(image).size
        entry = {"id": next_id(content["images"]), "file_name": name, "width": width, "height": height}
        entry |= {"video_id": item.video} if item.video else {}
        entry |= {"frame": item.number} if item.number >= 0 else {}
        entry |= {"split": item.split} if any_split else {}
        content["images"].append(entry)
        for pose in item.people:
            if (pose[:, 2] > 0).any():
                frame = LabelledFrame(name, (height, width), item.video, item.number, pose, np.zeros(len(pose), bool))
                about = {"id": next_id(content["annotations"]), "image_id": entry["id"], "category_id": category["id"]}
                content["annotations"].append(about | annotation_of(frame, list(skeleton.keypoints)))
    warn_skipped(str(folder), "images missing,", missing)
    if not content["images"]:
        raise ValueError(f"{folder}: none of the {len(found)} labelled images is there, the first is {missing[0]}")
    with locked(path):
        label_file.write(path, content)
    return path


# ---- COCO ----------------------------------------------------------------------------------------


def import_coco(source: Path, folder: Path) -> Path:
    """A COCO keypoint file, everything in it kept, with its images, which are found as `find_images` does.

    Roboflow's and CVAT's splits are files of their own: import each, or name `split` in the images.
    """
    content = load_coco(source)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    near = (source.parent / "images", source.parent.parent / "images")  # CVAT has annotations/ beside images/
    images = next((place for place in near if place.is_dir()), source.parent)
    names = [entry["file_name"] for entry in content["images"]]
    files = find_images(names, images, source.parent, source.name)
    flat: dict[str, str] = {}
    for name in dict.fromkeys(names):
        plain = name.replace("\\", "/").split("/")[-1]
        flat[name] = plain if plain not in flat.values() else re.sub(r"[\\/:]+", "_", name)
    for name, file in files.items():
        copy_file(file, folder / "images" / flat[name])
    for entry in content["images"]:
        entry["file_name"] = flat[entry["file_name"]]
    path = folder / label_file.NAME
    with locked(path):
        label_file.write(path, content)
    return path


# ---- DeepLabCut and Lightning Pose ---------------------------------------------------------------


def read_tables(root: Path, tables: Iterable[Path]) -> tuple[Skeleton, list[Imported]]:
    """The frames of tables with the header scorer, individuals (if several), bodyparts, coords; of CSV and H5 one.

    ValueError if their keypoints differ.
    """
    tables = sorted(tables)
    csvs = {path.with_suffix("") for path in tables if path.suffix == ".csv"}
    tables = [path for path in tables if path.suffix == ".csv" or path.with_suffix("") not in csvs]
    found, names = [], []
    for path in tables:
        here, items = read_table(path, root)
        if names and set(here) != set(names):
            raise ValueError(f"{path} has the keypoints {', '.join(here)}, {tables[0]} has {', '.join(names)}")
        names = names or here
        order = [here.index(name) for name in names]
        found += [replace(item, people=item.people[:, order]) for item in items]
    return make_skeleton("deeplabcut", names), found


def read_table(path: Path, root: Path) -> tuple[list[str], list[Imported]]:
    """Keypoints and frames of one table; paths in it are relative to `root`, or their last parts lie beside it."""
    table = read_csv_table(path) if path.suffix == ".csv" else read_h5_table(path)
    individuals, parts = (list(dict.fromkeys(table.columns.get_level_values(level))) for level in (0, 1))
    found = []
    for name, row in table.iterrows():
        people = np.zeros((len(individuals), len(parts), 3))
        for (individual, part, coordinate), value in row.items():
            if coordinate in ("x", "y"):
                place = individuals.index(individual), parts.index(part)
                people[(*place, "xy".index(coordinate))] = value
        there = np.isfinite(people[..., :2]).all(-1) & people[..., :2].any(-1)
        people[..., 2] = np.where(there, 2, 0)
        people[~there] = 0
        image = root / name
        image = image if image.is_file() else path.parent / Path(name).name
        folder = Path(name).parent.name
        found.append(Imported(image, "" if folder in ("", "images") else folder, people))
    return parts, found


def read_csv_table(path: Path) -> pd.DataFrame:
    """Columns (individual, keypoint, coordinate), rows named by the image's path with slashes."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    header = {row[0]: row for row in rows[:4] if row[0] in ("scorer", "individuals", "bodyparts", "coords")}
    if not {"bodyparts", "coords"} <= header.keys():
        raise ValueError(f"{path} is no table of DeepLabCut: its header has no bodyparts and coords")
    start = next(i for i, cell in enumerate(header["coords"]) if cell in ("x", "y"))  # one cell of the path, or three
    several = header.get("individuals", [""] * len(header["coords"]))
    columns = pd.MultiIndex.from_arrays([row[start:] for row in (several, header["bodyparts"], header["coords"])])
    body = rows[len(header) :]
    names = ["/".join(cell for cell in row[:start] if cell).replace("\\", "/") for row in body]
    values = [[float(cell) if cell.strip() else np.nan for cell in row[start:]] for row in body]
    return pd.DataFrame(values, index=names, columns=columns)


def read_h5_table(path: Path) -> pd.DataFrame:
    """As `read_csv_table`, of DeepLabCut's HDF5."""
    require("tables", "formats")
    table = pd.read_hdf(path)
    levels = list(table.columns.names)
    individual = table.columns.get_level_values("individuals") if "individuals" in levels else [""] * table.shape[1]
    others = [table.columns.get_level_values(name) for name in ("bodyparts", "coords")]
    names = ["/".join(name) if isinstance(name, tuple) else str(name) for name in table.index]
    index = [name.replace("\\", "/") for name in names]
    return pd.DataFrame(table.to_numpy(), index=index, columns=pd.MultiIndex.from_arrays([individual, *others]))


def export_deeplabcut(path: Path, out: str | Path, scorer: str = "fewpose") -> list[Path]:
    """`labeled-data/<video>/` with the images and CollectedData_<scorer>.csv of each video; the tables written.

    Lightning Pose reads the same rows from one file, CollectedData.csv, which is written too. Several people become
    individuals.
    """
    out, content, skeleton = Path(out), load_coco(path), label_file.skeleton_of(path)
    rows = defaultdict(list)
    people: dict = defaultdict(list)
    listed = listed_videos(content, path)
    for annotation in label_file.poses_in(content, pose_category(content, path)):
        people[annotation["image_id"]].append(np.array(annotation["keypoints"], float).reshape(-1, 3))
    most = max(map(len, people.values()), default=1)
    for entry in content["images"]:
        video = video_of(entry, listed, str(path)) or Path(entry["file_name"]).stem
        video = re.sub(r"[\\/:]+", "_", video)
        target = out / "labeled-data" / video / entry["file_name"]
        target.parent.mkdir(parents=True, exist_ok=True)
        if (path.parent / "images" / entry["file_name"]).is_file():
            copy_file(path.parent / "images" / entry["file_name"], target)
        poses = np.full((most, len(skeleton), 2), np.nan)
        for i, pose in enumerate(people[entry["id"]]):
            poses[i][pose[:, 2] > 0] = pose[pose[:, 2] > 0, :2]
        rows[video].append([target.relative_to(out).as_posix(), *poses.ravel()])
    header = table_header(scorer, skeleton, most)
    every = [row for group in rows.values() for row in group]
    tables = {out / "labeled-data" / v / f"CollectedData_{scorer}.csv": group for v, group in rows.items()}
    for file, group in {**tables, out / "CollectedData.csv": every}.items():
        with replacing(file) as part, open(part, "w", newline="", encoding="utf-8") as opened:
            plain = [["" if isinstance(v, float) and np.isnan(v) else v for v in row] for row in group]
            csv.writer(opened, lineterminator="\n").writerows([*header, *plain])
    return [*tables, out / "CollectedData.csv"]


def table_header(scorer: str, skeleton: Skeleton, individuals: int) -> list[list[str]]:
    """The three rows above a table, four with several individuals."""
    n, names = 2 * len(skeleton), [name for name in skeleton.keypoints for _ in "xy"]
    several = [f"individual{i + 1}" for i in range(individuals) for _ in range(n)]
    header = [["scorer", *[scorer] * n * individuals]]
    header += [["individuals", *several]] if individuals > 1 else []
    return [*header, ["bodyparts", *names * individuals], ["coords", *["x", "y"] * len(skeleton) * individuals]]


# ---- YOLO ----------------------------------------------------------------------------------------


def read_yolo(root: Path, names: Sequence[str] = ()) -> tuple[Skeleton, list[Imported]]:
    """The images of a YOLO pose data set: labels/<split>/*.txt or <split>/labels/*.txt beside images.

    Mirror partners are the `flip_idx` of its YAML file, where the names do not tell. ValueError if the number of
    `names` is not that of the keypoints, or a line has too few numbers.
    """
    found, count = [], len(names)
    settings = "\n".join(path.read_text(encoding="utf-8") for path in sorted(root.glob("*.y*ml")))
    shape = re.search(r"kpt_shape:\s*\[\s*(\d+)\s*,\s*(\d)\s*\]", settings)
    if shape and count not in (0, int(shape[1])):
        raise ValueError(f"{root} has {shape[1]} keypoints, not {count}: {', '.join(names)}")
    if not (shape or names):
        raise ValueError(f"{root}: no YAML file says `kpt_shape`; give the names of the keypoints")
    count, values = int(shape[1]) if shape else count, int(shape[2]) if shape else 3
    for path in sorted(root.rglob("labels/**/*.txt")):
        parts = path.relative_to(root).parts
        split = next((SPLIT_NAMES[part] for part in parts if part in SPLIT_NAMES), "")
        place = root.joinpath(*["images" if part == "labels" else part for part in parts[:-1]])
        images = (place / f"{path.stem}{suffix}" for suffix in (*IMAGES, *map(str.upper, IMAGES)))
        image = next((file for file in images if file.is_file()), place / f"{path.stem}.jpg")
        found.append(Imported(image, "", yolo_people(path, image, count, values), split))
    flips = re.search(r"flip_idx:\s*\[([\d\s,]*)\]", settings)
    skeleton = make_skeleton("yolo", names or [f"keypoint_{k}" for k in range(count)])
    if flips and flips[1].strip() and not skeleton.pair_index:
        index = [int(k) for k in flips[1].split(",")]
        pairs = tuple((skeleton.keypoints[k], skeleton.keypoints[other]) for k, other in enumerate(index) if k < other)
        skeleton = replace(skeleton, flip_pairs=pairs)
    return skeleton, found


def yolo_people(path: Path, image: Path, count: int, values: int) -> np.ndarray:
    """The people [P, K, 3] in a label file, in pixels of its image; none where the image is missing."""
    if not image.is_file():
        return np.zeros((0, count, 3))
    with Image.open(image) as opened:
        width, height = ImageOps.exif_transpose(opened).size
    people = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        numbers = line.split()
        if not numbers:
            continue
        if len(numbers) != 5 + count * values:
            raise ValueError(f"{path}, line {number}: {len(numbers)} numbers instead of {5 + count * values}")
        pose = np.array(numbers[5:], float).reshape(count, values)
        visibility = pose[:, 2] if values == 3 else np.where(pose.any(1), 2, 0)
        # YOLO counts from the image's edge, COCO here from the centre of its first pixel
        xy = pose[:, :2] * (width, height) - 0.5
        people.append(np.column_stack([xy, visibility]) * (visibility > 0)[:, None])
    return np.array(people).reshape(-1, count, 3)


def export_yolo(path: Path, out: str | Path) -> Path:
    """A YOLO pose data set: images/<split>, labels/<split> and data.yaml, which is returned.

    The split is that of the images, or of their videos as `custom.read_custom` divides them; it is never by frame.
    """
    out, content, skeleton = Path(out), load_coco(path), label_file.skeleton_of(path)
    listed, poses = listed_videos(content, path), label_file.poses_in(content, pose_category(content, path))
    videos = np.array([video_of(entry, listed, str(path)) or entry["file_name"] for entry in content["images"]])
    divided = all("split" in entry for entry in content["images"])
    splits = [e["split"] for e in content["images"]] if divided else split_videos(videos, path).tolist()
    for entry, split in zip(content["images"], splits, strict=True):
        for kind in ("images", "labels"):
            (out / kind / split).mkdir(parents=True, exist_ok=True)
        copy_file(path.parent / "images" / entry["file_name"], out / "images" / split / entry["file_name"])
        lines = [yolo_line(a, entry) for a in poses if a["image_id"] == entry["id"]]
        target = out / "labels" / split / f"{Path(entry['file_name']).stem}.txt"
        write_text(target, "".join(f"{line}\n" for line in lines))
    rows = ["path: .", *(f"{split}: images/{split}" for split in sorted(set(splits)))]
    rows += [f"kpt_shape: [{len(skeleton)}, 3]", f"flip_idx: {skeleton.flip_index}", "names:", f"  0: {skeleton.name}"]
    rows += ["kpt_names:", "  0:", *(f"    - {name}" for name in skeleton.keypoints)]
    write_text(out / "data.yaml", "\n".join(rows) + "\n")
    return out / "data.yaml"


def yolo_line(annotation: dict, entry: dict) -> str:
    """Class, box (centre and size) and keypoints of an annotation, as fractions of the image."""
    size = np.array([entry["width"], entry["height"]], float)
    x, y, width, height = annotation["bbox"]
    pose = np.array(annotation["keypoints"], float).reshape(-1, 3)
    pose[:, :2] = np.where(pose[:, 2:] > 0, (pose[:, :2] + 0.5) / size, 0)
    box = [*((np.array([x, y]) + np.array([width, height]) / 2 + 0.5) / size), *(np.array([width, height]) / size)]
    return " ".join(["0", *(f"{v:.7f}" for v in box), *(f"{a:.7f} {b:.7f} {v:.0f}" for a, b, v in pose)])
