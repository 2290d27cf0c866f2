"""Reading images and letterboxing them into frames of one size, with the map between both."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from fewpose import SkippedInput
from fewpose.disk import write_bytes

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
# Of telephones, cameras and the web, which people put beside those that are read: named, not passed over.
UNREAD = (
    *(".heic", ".heif", ".avif", ".jxl", ".jp2", ".gif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd"),
    *(".flv", ".f4v", ".vob", ".ogv", ".asf", ".mxf", ".rm", ".insv", ".braw", ".r3d"),
)


def read_image(path: Path) -> np.ndarray | None:
    """An image file as uint8 [H, W, 3] RGB, upright; None if missing, broken or cut short.

    None also for grey values outside the ranges of 8 bits, 16 bits and 0 to 1.
    """
    try:
        # Not OpenCV: it decodes half a JPEG silently and fills the rest with grey.
        with Image.open(path) as image:
            if image.format == "PNG":  # decoding it does not check the checksums of its pixels
                with Image.open(path) as file:
                    file.verify()
            image = ImageOps.exif_transpose(image)
            if image.mode[0] in "IF":  # integers and floats, which convert clips at 255
                image = _eight_bits(image)
            return None if image is None else np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def write_image(path: Path, image: np.ndarray, quality: int = 95) -> None:
    """An image [H, W, 3] uint8 RGB as a JPEG of `quality` or a PNG, by the suffix; whole or not at all."""
    # not imwrite, which says False of a full disk, and on Windows knows only some letters in paths
    options = [] if path.suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    write_bytes(path, cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]), options)[1].data)


def _eight_bits(image: Image.Image) -> Image.Image | None:
    """A grey image of more than 8 bits as one of 8; None if a value is out of range.

    White is 65535 (255 if no value of 32-bit integers exceeds it), of floats 1.
    """
    values = np.array(image, np.float64)
    white = 1 if image.mode == "F" else 65535
    if image.mode == "I" and values.max() <= 255:
        white = 255
    if not (values.min() >= 0 and values.max() <= white):  # also with a NaN
        return None
    return Image.fromarray((values / white * 255).round().astype(np.uint8))


def read_folder(folder: str | Path) -> tuple[Tensor, list[str]]:
    """The images of a folder, all of one size, as frames [N, 3, H, W] uint8 with their file names.

    In the order of their names. Broken ones are named in a warning and skipped. ValueError if there is none, or one
    differs in size from the first.
    """
    paths = sorted(p for p in Path(folder).glob("*") if p.suffix.lower() in IMAGES)
    warn_unread(str(folder), sorted(path.name for path in Path(folder).glob("[!.]*")))
    images = [(path.name, read_image(path)) for path in paths]
    warn_skipped(str(folder), "images broken,", [name for name, image in images if image is None])
    readable = [(name, image) for name, image in images if image is not None]
    if not readable:
        raise ValueError(f"{folder} holds no readable image: {', '.join(IMAGES)}")
    first = readable[0][1].shape
    for name, image in readable:
        if image.shape != first:
            raise ValueError(
                f"{folder}: {name} has {image.shape[1]}x{image.shape[0]} pixels, "
                f"{readable[0][0]} has {first[1]}x{first[0]}; use images of one size"
            )
    return to_frames([image for _, image in readable]), [name for name, _ in readable]


def letterbox_map(source: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Map [2, 3] from pixels of an image of `source` (H, W) to those of a frame of `size` (H, W).

    The whole image is scaled to fit and centred. Sides are rounded to whole pixels, so the two scales differ a
    little. `geometry.invert(map[None])` maps from the frame back to the image.
    """
    (height, width), (top, left) = _fit(source, size)
    matrix = torch.zeros(2, 3)
    for axis, (new, old, offset) in enumerate([(width, source[1], left), (height, source[0], top)]):
        scale = new / old
        matrix[axis, axis] = scale
        matrix[axis, 2] = 0.5 * scale - 0.5 + offset
    return matrix


def letterbox(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image [H, W, 3] scaled to fit a frame of `size` (H, W), centred, black around it."""
    (height, width), (top, left) = _fit(image.shape[:2], size)
    smaller = height < image.shape[0]
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    frame = np.zeros((*size, 3), np.uint8)
    frame[top : top + height, left : left + width] = image
    return frame


def _fit(source: tuple[int, int], size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    scale = min(size[0] / source[0], size[1] / source[1])
    height, width = (max(1, min(limit, round(side * scale))) for side, limit in zip(source, size, strict=True))
    return (height, width), ((size[0] - height) // 2, (size[1] - width) // 2)


def to_frames(images: list[np.ndarray]) -> Tensor:
    """Images [H, W, 3] of one size as uint8 frames [N, 3, H, W]; the list is emptied to free memory."""
    frames = torch.empty((len(images), 3, *images[0].shape[:2]), dtype=torch.uint8)
    for i in range(len(images)):
        frames[i] = torch.from_numpy(images[i]).permute(2, 0, 1)
        images[i] = None
    return frames


def drop_outside(poses: np.ndarray, sizes: np.ndarray, name: str) -> int:
    """Set the visibility of keypoints outside their image to 0, in place; warn and count them.

    poses [N, K, 3] in pixels of images of `sizes` [N, 2] (H, W).
    """
    x, y = poses[..., 0], poses[..., 1]
    height, width = sizes[:, :1], sizes[:, 1:]
    outside = (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)
    outside &= poses[..., 2] > 0
    poses[..., 2][outside] = 0
    if count := int(outside.sum()):
        warn(f"{name}: {count} labels lie outside their image and are ignored")
    return count


def warn_skipped(name: str, what: str, skipped: Iterable[str]) -> None:
    """One warning that names the skipped files; none if there are none."""
    skipped = list(skipped)
    if skipped:
        shown = ", ".join(skipped[:10]) + (f" and {len(skipped) - 10} more" * (len(skipped) > 10))
        warn(f"{name}: {len(skipped)} {what} skipped: {shown}")


def is_unread(name: str) -> bool:
    """Whether a file's suffix is that of an image or video of a format that is not read."""
    return name.lower().endswith(UNREAD)


def warn_unread(where: str, names: Iterable[str]) -> None:
    """One warning that names the files of formats that are not read; none if there are none."""
    unread = [name for name in names if is_unread(name) and name[0] != "."]
    warn_skipped(where, "files of formats that are not read (convert them to JPEG, PNG or MP4)", unread)


def warn(message: str) -> None:
    warnings.warn(message, SkippedInput, stacklevel=3)
