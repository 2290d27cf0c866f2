"""Damaged inputs, each read and compared with the undamaged one: pairs of outcome and what was damaged."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from PIL import Image

from fewpose.data.images import read_image
from fewpose.data.video import iter_frames, video_writer
from mutated_labels import content, mutated, outcome, split, unknowable, whole


def mutated_files(count: int, number: int) -> Iterator[tuple[str, str]]:
    """COCO files with one change; a file that is another right one by it counts as told."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        right = {read: outcome(Path(folder), json.dumps(content()), read)[0] for read in (whole, split)}

        @seed(number)
        @settings(
            max_examples=count, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(mutated())
        def read_one(mutation) -> None:
            text, place, how = mutation
            read = (whole, split)[len(found) % 2]
            result, told = outcome(Path(folder), text, read)
            if result == right[read]:
                found.append(("same", ""))
            elif result is None:
                found.append(("refused", ""))
            else:
                found.append(("told" if told or unknowable(place, how) else "silent", f"{how} {place}"))

        read_one()
    yield from found


def damage(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Some bytes overwritten or the rest cut off, at a random place."""
    start, length = int(rng.integers(len(content))), int(2 ** rng.uniform(0, 12))
    if rng.random() < 0.3:
        return content[:start], f"cut at {start}"
    noise = rng.bytes(min(length, len(content) - start))
    return content[:start] + noise + content[start + len(noise) :], f"{len(noise)} bytes at {start}"


def damaged_images(count: int, number: int) -> Iterator[tuple[str, str]]:
    """Photographs in miniature; an image that cannot be read is None, which every reader names."""
    rng = np.random.default_rng(number)
    smooth = np.kron(rng.integers(0, 255, (12, 16, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            path = Path(folder) / ("a.jpg", "a.png")[i % 2]
            Image.fromarray(smooth).save(path)
            right = read_image(path)
            whole, what = damage(path.read_bytes(), rng)
            path.write_bytes(whole)
            yield compared(lambda path=path: read_image(path), right, path.suffix == ".jpg"), f"{path.name}: {what}"


def damaged_videos(count: int, number: int) -> Iterator[tuple[str, str]]:
    """A second of something that moves, as its frames and times."""
    rng = np.random.default_rng(number)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "moves.mp4"
        with video_writer(path, (96, 128), 25) as write:
            for t in range(24):
                image = np.full((96, 128, 3), 90, np.uint8)
                image[20:60, 4 * t : 4 * t + 20] = 10 * t
                write(image)
        whole, right = path.read_bytes(), read_video_file(path)
        for _ in range(count):
            damaged, what = damage(whole, rng)
            path.write_bytes(damaged)
            yield compared(lambda: read_video_file(path), right, True), f"{path.name}: {what}"


def read_video_file(path: Path) -> np.ndarray:
    """Frames of a video, numbers and times in the first row."""
    return np.stack([np.concatenate([[[[n, t, 0]] * image.shape[1]], image]) for n, t, image in iter_frames(path)])


def compared(read: Callable[[], np.ndarray | None], right: np.ndarray, no_checksum: bool) -> str:
    """The outcome of reading one damaged file, the first row of whose frames are numbers and times."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = read()
        except ValueError:
            return "refused"
    if found is None:
        return "refused"
    if found.shape == right.shape and np.array_equal(found, right):
        return "same"
    if caught:
        return "told"
    placed = found.shape == right.shape and (found.ndim == 3 or np.array_equal(found[:, 0], right[:, 0]))
    return "pixels" if no_checksum and placed else "silent"
