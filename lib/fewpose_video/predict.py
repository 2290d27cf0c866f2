"""`python -m fewpose predict`: a trained network on videos and images, as CSV, MP4 and the formats of other tools."""

from __future__ import annotations

import json
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from fewpose import __version__, geometry, heatmaps
from fewpose.data.images import IMAGES, is_unread, letterbox, letterbox_map, read_image, warn_unread
from fewpose.data.video import VIDEOS, frame_rate, iter_frames, video_writer
from fewpose.models.people import People
from fewpose.models.student.keypoint_rcnn import Student, find_people
from fewpose.models.teacher.box_fusion import Detector
from fewpose.models.teacher.yolox import yolox_tiny
from fewpose.skeleton import Skeleton
from fewpose_video.formats import FORMATS, replacing
from fewpose_video.identity import link_people
from fewpose_video.inference import on_cpu
from fewpose_video.measure import height_in_pixels, metres_per_pixel
from fewpose_video.networks import PoseNetwork, find_weights, open_network
from fewpose_video.overlay import draw
from fewpose_video.people import BATCH, batches, crop_boxes, detect_people, stack_images
from fewpose_video.pipeline import ahead, behind
from fewpose_video.poses import VideoPoses
from fewpose_video.smoothing import SMOOTHERS, WINDOW, smooth_poses
from fewpose_video.tables import MEASURES, read_poses, write_poses
from fewpose_video.track import boxes_of, choose_people

EVERY = 3  # frames from one detection of people to the next: the poses were as good as with one in each frame
MIN_PERSON_SCORE = 0.3  # of the people that a student of the operating room finds
MAX_GAP = 0.2  # seconds for which a missing person is interpolated
HELD = 300e6  # bytes of frames that wait until the poses after them are known
RECORD = ".predict.json"  # in the folder of the outputs: which of them are complete, and made of what
WRITERS = {**MEASURES, **FORMATS}


@dataclass(frozen=True)
class Options:
    """What `predict` does.

    person       "largest", "all", or the ID of one; None: the largest, of a student of the operating room all
    start, end   part of the video in seconds as it is played
    slow_motion  how many times slower it is played than it was recorded: seconds are divided by it
    smoother     name in `smoothing.SMOOTHERS`, or None for the poses as the network gives them
    formats      names in WRITERS
    height       of the person in metres, for the scale
    length       two keypoints or points "x,y" in pixels, and the metres between them, for the scale
    video        whether to write the frames with the poses drawn
    background, blur_faces   of this video, as in `overlay.draw`
    whole        whether a sports network gets whole frames instead of crops of the people that are found
    """

    person: str | int | None = None
    start: float = 0.0
    end: float = float("inf")
    slow_motion: float = 1.0
    smoother: str | None = "savitzky-golay"
    formats: tuple[str, ...] = ()
    height: float | None = None
    length: tuple[str, str, float] | None = None
    video: bool = True
    background: str = "video"
    blur_faces: bool = False
    whole: bool = False


@dataclass(frozen=True)
class WrittenPoses:
    """The files written for a video or image, its number of frames, and in how many of them somebody was found.

    done: "", "kept" from an earlier call, or "redone" because an earlier call was stopped within it.
    """

    source: Path
    frames: int
    frames_with_people: int
    files: tuple[Path, ...]
    done: str = ""


@dataclass(frozen=True)
class Found:
    """Who is where in a video, before the poses of a sports network are predicted.

    first        number of the first frame in which was looked for people
    every        frames from there to the next one
    boxes        of everybody found in each of these, [P, 4] in pixels
    people       IDs of those to follow
    tracks       [T, P, 4] their boxes in all frames from the first on, NaN where absent; None for whole frames
    poses, poses3d, seconds, size   what a student finds as well: [T, P, K, 3] twice, T times, and H, W of the frames
    """

    first: int = 0
    every: int = 1
    boxes: list[Tensor] = field(default_factory=list)
    people: tuple[int, ...] = (0,)
    tracks: Tensor | None = None
    poses: np.ndarray | None = None
    poses3d: np.ndarray | None = None
    seconds: tuple[float, ...] = ()
    size: tuple[int, int] | None = None

    def boxes_around(self, number: int) -> np.ndarray:
        """Boxes [N, 4] of everybody near the time of a frame, as one detection may have missed somebody."""
        i = (number - self.first) // self.every
        return torch.cat([torch.zeros(0, 4), *self.boxes[max(0, i - 1) : i + 3]]).numpy()


def predict(
    network: str | Path,
    source: str | Path,
    out: str | Path | None = None,
    options: Options | None = None,
    yolox: str | Path | None = None,
) -> tuple[list[WrittenPoses], list[str]]:
    """Write `<name>_poses.csv` and `.mp4` (of an image `.png`) for each video or image in `source`, and other formats.

    network is a run's folder, a weights file or "rtmpose_s" (`networks.open_network`), source a video, an image or a
    folder of them, out the folder to write (`poses` beside them). A video is kept as it is if an earlier call finished
    it with the same network and options. The second result names the broken files and what is wrong with each.
    ValueError where nothing can be read, or the options do not fit the network.
    """
    options = options or Options()
    paths = find_inputs(Path(source))
    opened = open_network(network)
    check(options, opened.skeleton)
    weights = find_weights(network)
    detector = yolox_tiny(yolox) if isinstance(opened, PoseNetwork) and not options.whole else None
    if torch.cuda.is_available():
        for model in (opened.model if isinstance(opened, PoseNetwork) else opened, detector):
            model and model.to("cuda")
    else:
        opened, detector = on_cpu(opened), on_cpu(detector)
    folder = Path(out) if out else (paths[0].parent / "poses")
    folder.mkdir(parents=True, exist_ok=True)
    written, broken = [], []
    for path, name in zip(paths, output_names(paths), strict=True):
        made_of = json.dumps([state(path), state(weights), asdict(options), __version__])
        before = read_record(folder).get(name, {})
        if before.get("made_of") == made_of and before["files"] and all((folder / f).exists() for f in before["files"]):
            files = tuple(folder / file for file in before["files"])
            written.append(WrittenPoses(path, before["frames"], before["frames_with_people"], files, "kept"))
            continue
        write_record(folder, name, {"made_of": made_of, "files": []})
        try:
            with warnings_named(path.name):
                done = predict_file(path, folder / name, opened, detector, options)
        except ValueError as error:
            broken.append(str(error))
            write_record(folder, name, None)
            continue
        files = [file.name for file in done.files]
        counts = {"frames": done.frames, "frames_with_people": done.frames_with_people}
        write_record(folder, name, {"made_of": made_of, "files": files, **counts})
        written.append(replace(done, done="redone" if before and not before["files"] else ""))
    if not written:
        raise ValueError("nothing could be read: " + "; ".join(broken))
    return written, broken


def read_written(written: WrittenPoses, skeleton: Skeleton) -> tuple[VideoPoses, VideoPoses]:
    """The poses that `predict` has written for a video, smoothed and, if they are among its formats, raw ones."""
    with closing(iter_images(written.source)) as frames:
        size = next(frames)[2].shape[:2]
    smoothed = written.files[0]
    raw = smoothed.with_name(smoothed.name.removesuffix("_poses.csv") + MEASURES["raw"][0])
    return tuple(read_poses(path if path in written.files else smoothed, skeleton, size) for path in (smoothed, raw))


# ---- files ---------------------------------------------------------------------------------------


def find_inputs(source: Path) -> list[Path]:
    """The video or image `source`, or those in the folder, sorted by name; ValueError if there is none."""
    if source.is_file():
        if is_unread(source.name):
            raise ValueError(f"{source} is of a format that is not read: convert it to JPEG, PNG or MP4")
        return [source]
    if not source.is_dir():
        raise ValueError(f"there is no video, image or folder {source}")
    paths = sorted(p for p in source.iterdir() if p.name[0] != "." and p.suffix.lower() in (*VIDEOS, *IMAGES))
    warn_unread(str(source), sorted(p.name for p in source.iterdir()))
    if not paths:
        raise ValueError(f"{source} holds no video or image: {', '.join((*VIDEOS, *IMAGES))}")
    return paths


def output_names(paths: list[Path]) -> list[str]:
    """A name for each file's outputs: its own without suffix, unless two would share it."""
    stems = [path.stem for path in paths]
    names = [p.stem if stems.count(p.stem) == 1 else p.name.replace(".", "_") for p in paths]
    return names if len(set(names)) == len(names) else [p.name for p in paths]


def state(path: Path) -> list:
    """What changes when a file does."""
    about = path.stat()
    return [str(path.resolve()), about.st_size, about.st_mtime_ns]


def read_record(folder: Path) -> dict[str, dict]:
    """What earlier calls have done in a folder; nothing if the record cannot be read."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write_record(folder: Path, name: str, entry: dict | None) -> None:
    """Set or remove what is recorded of an output."""
    record = {**read_record(folder), name: entry}
    with replacing(folder / RECORD) as part:
        part.write_text(json.dumps({k: v for k, v in record.items() if v}, indent=1), encoding="utf-8")


@contextmanager
def warnings_named(name: str) -> Iterator[None]:
    """Warnings within the block come after it, each once and with the name of the file."""
    caught = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            yield
    finally:
        for message, category in dict.fromkeys((str(w.message), w.category) for w in caught):
            warnings.warn(message if name in message else f"{name}: {message}", category, stacklevel=3)


def check(options: Options, skeleton: Skeleton) -> None:
    """ValueError, before any work, for options that do not fit the network or lack a package."""
    nobody = VideoPoses("check", (1, 1), np.zeros(1), (0,), np.zeros((1, 1, len(skeleton), 3)), skeleton)
    if options.height:
        height_in_pixels(nobody.poses[:, 0], skeleton)
    if options.length:
        for end in options.length[:2]:
            end_of(end, nobody)
    with TemporaryDirectory() as folder:
        for name in options.formats:
            WRITERS[name][1](nobody, Path(folder) / f"check{WRITERS[name][0]}")


# ---- one video -----------------------------------------------------------------------------------


def predict_file(
    path: Path, base: Path, network: PoseNetwork | Student, detector: Detector | None, options: Options
) -> WrittenPoses:
    """Predict a video or image and write all its files; none is left if `path` is broken (ValueError)."""
    still = path.suffix.lower() in IMAGES
    rate = 25.0 if still else frame_rate(path)
    if options.smoother:
        SMOOTHERS[options.smoother](np.zeros(20), rate * options.slow_motion)  # an error now if the rate is too low
    found = find(path, network, detector, options, rate)
    drawing = base.with_name(f"{base.name}_poses.{'png' if still else 'mp4'}")

    with ExitStack() as stack:
        predicted = stack.enter_context(closing(predict_frames(path, network, found, options)))
        start = next(predicted, None)
        if start is None:
            raise ValueError(f"{path} has no frame from {options.start:g} to {options.end:g} s")
        first, _, image, _ = start
        size = found.size if image is None else image.shape[:2]

        def build(seconds: list[float], poses: list[np.ndarray]) -> VideoPoses:
            times = np.array(seconds) / options.slow_motion
            return VideoPoses(path.name, size, times, found.people, np.stack(poses), network.skeleton, first=first)

        show = None
        if options.video:
            add = stack.enter_context(image_writer(drawing) if still else video_writer(drawing, size, rate))

            def draw_and_add(i: int, image: np.ndarray, poses: np.ndarray) -> None:
                hidden = found.boxes_around(first + i) if options.blur_faces else None
                add(draw(image, poses, found.people, network.skeleton, options.background, hidden))

            show = stack.enter_context(behind(draw_and_add))
        poses = collect(chain([start], predicted), build, options.smoother, show, rate * options.slow_motion)
    raw = poses = replace(poses, poses3d=found.poses3d)
    if options.smoother:
        poses = smooth_poses(poses, options.smoother, MAX_GAP)
    poses = replace(poses, metres_per_pixel=scale(poses, options))
    files = []
    for name in options.formats:
        suffix, write = WRITERS[name]
        try:
            shown = replace(raw, metres_per_pixel=poses.metres_per_pixel) if name == "raw" else poses
            files += write(shown, base.with_name(base.name + suffix))
        except ValueError as error:
            warnings.warn(f"{path.name}: no {name}: {error}", stacklevel=2)
    files += [drawing] * options.video
    files += write_poses(poses, base.with_name(f"{base.name}_poses.csv"))  # last: with it all is there
    with_people = int(np.isfinite(poses.poses[..., 0]).any((1, 2)).sum())
    return WrittenPoses(path, len(poses.seconds), with_people, tuple(files[-1:] + files[:-1]))


def iter_images(path: Path, every: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
    """Number, seconds and image [H, W, 3] uint8 RGB of every n-th frame of a video, or of an image file.

    ValueError if the file is broken.
    """
    if path.suffix.lower() not in IMAGES:
        yield from iter_frames(path, every)
        return
    image = read_image(path)
    if image is None:
        raise ValueError(f"{path} is broken or not an image")
    yield 0, 0.0, image


def read(
    path: Path, options: Options, what: str, every: int = 1, margin: float = 0.0
) -> Iterator[tuple[int, float, np.ndarray]]:
    """The frames of `iter_images` in the wanted part of the video and `margin` seconds around it.

    They are read ahead, with a progress bar.
    """

    def wanted() -> Iterator:
        with closing(iter_images(path, every)) as frames:
            for number, seconds, image in frames:
                if seconds > options.end + margin:
                    return
                if seconds >= options.start - margin:
                    yield number, seconds, image

    with closing(ahead(wanted())) as frames:
        yield from tqdm(frames, desc=f"{path.name}: {what}", unit="frame", leave=False)


def find(path: Path, network: PoseNetwork | Student, detector: Detector | None, options: Options, rate: float) -> Found:
    """Who is where in a file, and whom to follow; ValueError if it is broken, or lacks the person."""
    if isinstance(network, Student):
        return find_by_student(path, network, options)
    if detector is None:
        return Found()
    numbers: list[int] = []

    def images() -> Iterator[np.ndarray]:
        for number, _, image in read(path, options, "finding people", EVERY, EVERY / rate):
            numbers.append(number)
            yield image

    detections = [(boxes, scores, None) for boxes, scores in detect_people(detector, images())]
    first, every = min(numbers, default=0), EVERY
    ids = choose(path, detections, "largest" if options.person is None else options.person, first, every)
    people = people_in(ids)
    tracks = torch.full((max(0, (len(ids) - 1) * every + 1), len(people), 4), torch.nan)
    followed = torch.tensor([int(row.max()) if len(row) else -1 for row in ids])
    nearest = followed[(torch.arange(len(tracks)) + every // 2) // every]
    for column, person in enumerate(people):
        boxes = boxes_of(detections, ids, person, every)
        # of the largest person only while nobody else is followed
        theirs = (nearest < 0) | (nearest == person) | (options.person == "all")
        tracks[theirs, column] = boxes[theirs]
    return Found(first, every, [boxes for boxes, _, _ in detections], people, tracks)


def find_by_student(path: Path, student: Student, options: Options) -> Found:
    """As `find`; the student finds the poses too."""
    times, people, size = [], [], None
    for batch in batches(read(path, options, "poses")):
        times += [(number, second) for number, second, _ in batch]
        size = batch[0][2].shape[:2]
        people += [sure(found) for found in find_people(student, stack_images([image for _, _, image in batch]))]
    first = times[0][0] if times else 0
    detections = [(found.boxes, found.scores, found.keypoints) for found in people]
    ids = choose(path, detections, "all" if options.person is None else options.person, first, 1)
    chosen = people_in(ids)
    poses = np.full((len(ids), len(chosen), len(student.skeleton), 3), np.nan, np.float32)
    poses[..., 2] = 0
    poses3d = np.full_like(poses, np.nan)
    for t, (found, row) in enumerate(zip(people, ids, strict=True)):
        for i in (row >= 0).nonzero()[:, 0].tolist():
            column = chosen.index(int(row[i]))
            poses[t, column], poses3d[t, column] = found.keypoints[i], found.keypoints3d[i]
    seconds = tuple(second for _, second in times)
    return Found(first, 1, [found.boxes for found in people], chosen, None, poses, poses3d, seconds, size)


def sure(people: People) -> People:
    """Those with a score of at least MIN_PERSON_SCORE."""
    kept = people.scores >= MIN_PERSON_SCORE
    return People(people.boxes[kept], people.scores[kept], people.keypoints[kept], people.keypoints3d[kept])


def choose(path: Path, detections: list, person: str | int, first: int, every: int) -> list[Tensor]:
    """IDs in each detected frame, -1 for those not chosen; a warning says when somebody else is followed."""
    try:
        ids = choose_people(detections, link_people(detections, every), person, every)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    if person == "largest":
        followed = [(first + i * every, int(row.max())) for i, row in enumerate(ids) if len(row) and row.max() >= 0]
        changes = [f"{b} from frame {t}" for (_, a), (t, b) in pairwise(followed) if a != b]
        if changes:
            message = f"{path.name}: somebody else is followed: after person {followed[0][1]}, {', '.join(changes)}"
            warnings.warn(message, stacklevel=2)
    return ids


def people_in(ids: list[Tensor]) -> tuple[int, ...]:
    """The IDs that occur, sorted."""
    return tuple(sorted({person for row in ids for person in row.tolist() if person >= 0}))


# ---- poses ---------------------------------------------------------------------------------------

# Of a frame: number, seconds, image (None where it is not needed) and poses [P, K, 3].
Predicted = tuple[int, float, np.ndarray | None, np.ndarray]


def predict_frames(path: Path, network: PoseNetwork | Student, found: Found, options: Options) -> Iterator[Predicted]:
    """The poses of those to follow in each frame of the wanted part."""
    if found.poses is not None:
        if options.video:
            with closing(read(path, options, "drawing")) as frames:
                yield from ((*frame, pose) for frame, pose in zip(frames, found.poses, strict=True))
        else:
            pairs = zip(found.seconds, found.poses, strict=True)
            yield from ((number, second, None, pose) for number, (second, pose) in enumerate(pairs, found.first))
        return
    with closing(read(path, options, "poses")) as frames:
        for batch in batches(frames):
            images = [image for _, _, image in batch]
            if found.tracks is None:
                poses = predict_whole(network, images)[:, None]
            else:
                # detections end up to EVERY - 1 frames before the video
                last = len(found.tracks) - 1
                rows = [min(max(0, number - found.first), last) for number, _, _ in batch]
                poses = predict_crops(network, images, found.tracks[rows])
            yield from ((*frame, pose) for frame, pose in zip(batch, poses.numpy(), strict=True))


def predict_crops(network: PoseNetwork, images: list[np.ndarray], boxes: Tensor) -> Tensor:
    """Poses [N, P, K, 3] in pixels of images [H, W, 3], of the person in each box of boxes [N, P, 4].

    NaN, NaN, 0 where the box is NaN.
    """
    poses = torch.full((*boxes.shape[:2], len(network.skeleton), 3), torch.nan)
    poses[..., 2] = 0
    there = (~boxes.isnan().any(-1)).nonzero()
    if len(there):
        index = there.T.unbind()
        crops, maps = crop_boxes([images[i] for i in index[0].tolist()], boxes[index], network.size, network.margin)
        poses[index] = geometry.transform_points(geometry.invert(maps), heatmaps.predict_all(network.model, crops))
    return poses


def predict_whole(network: PoseNetwork, images: list[np.ndarray]) -> Tensor:
    """Poses [N, K, 3] from whole images, scaled to fit the network's frames."""
    frames = stack_images([letterbox(image, network.size) for image in images])
    back = geometry.invert(letterbox_map(images[0].shape[:2], network.size)[None])
    predicted = heatmaps.predict_all(network.model, frames)
    return geometry.transform_points(back.expand(len(predicted), 2, 3), predicted)


def collect(
    predicted: Iterable[Predicted],
    build: Callable[[list[float], list[np.ndarray]], VideoPoses],
    smoother: str | None,
    show: Callable[[int, np.ndarray, np.ndarray], None] | None,
    rate: float,
) -> VideoPoses:
    """All predicted poses, as they are; `show` gets number, image and smoothed poses of each frame.

    A frame is shown as soon as the poses are known that its smoothed ones depend on (for Butterworth's filter, but for
    a thousandth).
    """
    seconds, poses, held = [], [], deque()
    look = round((MAX_GAP + WINDOW) * rate) if smoother else 0

    def show_first(count: int) -> None:
        at = len(poses) - len(held)
        start = max(0, at - look)
        window = build(seconds[start:], poses[start:])
        shown = (smooth_poses(window, smoother, MAX_GAP) if smoother else window).poses[at - start :]
        for i in range(count):
            show(at + i, held.popleft(), shown[i])

    for _, second, image, pose in predicted:
        seconds.append(second)
        poses.append(pose)
        if show:
            held.append(image)
            if len(held) >= BATCH + min(look, HELD // image.nbytes):
                show_first(BATCH)
    if held:
        show_first(len(held))
    return build(seconds, poses)


@contextmanager
def image_writer(path: Path) -> Iterator[Callable[[np.ndarray], None]]:
    """As `video_writer`, for a single image as PNG."""

    def write(image: np.ndarray) -> None:
        # not imwrite, which on Windows knows only some letters in paths
        part.write_bytes(cv2.imencode(".png", image)[1])

    with replacing(path) as part:
        yield write


# ---- metres --------------------------------------------------------------------------------------


def scale(poses: VideoPoses, options: Options) -> float | None:
    """Metres per pixel, where a height or length is given; None, with a warning, where it is not seen."""
    if not poses.people or not (options.height or options.length):
        return None
    # of the person who is there most
    column = int(np.isfinite(poses.poses[..., 0]).any(-1).sum(0).argmax())
    own = replace(poses, people=(poses.people[column],), poses=poses.poses[:, [column]], poses3d=None)
    try:
        if options.height:
            return options.height / height_in_pixels(own.poses[:, 0], poses.skeleton)
        return metres_per_pixel(options.length[2], *map(partial(end_of, poses=own), options.length[:2]))
    except ValueError as error:
        warnings.warn(f"{poses.source}: no metres: {error}", stacklevel=2)
        return None


def end_of(text: str, poses: VideoPoses) -> np.ndarray:
    """A point "x,y" [2], or the keypoint of this name [T, 2] of the one person; ValueError if it is neither."""
    if "," in text:
        try:
            x, y = map(float, text.split(","))
        except ValueError as error:
            raise ValueError(f"{text} is no point: give x,y in pixels, or a keypoint") from error
        return np.array([x, y])
    return poses.poses[:, 0, poses.skeleton.index(text), :2]
