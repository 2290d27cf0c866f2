import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from fewpose import SkippedInput
from fewpose.data.images import (
    drop_outside,
    letterbox,
    letterbox_map,
    read_folder,
    read_image,
    to_frames,
    write_image,
)  # fmt: skip
from fewpose.geometry import invert, transform_points

LOW_RESOLUTION = Path(__file__).parents[3] / "shared" / "data" / "mvor_lowres" / "color_x12"


@pytest.mark.parametrize("source", [(40, 60), (200, 60), (37, 53), (512, 384), (1, 1)])
def test_letterbox_map_leads_to_the_frame_and_back(source):
    matrix = letterbox_map(source, (256, 192))[None]
    corners = torch.tensor([[[-0.5, -0.5], [source[1] - 0.5, source[0] - 0.5]]])
    inside = transform_points(matrix, corners)
    assert inside.min() >= -0.5 - 1e-4
    assert inside[0, 1, 0] <= 191.5 + 1e-4 and inside[0, 1, 1] <= 255.5 + 1e-4
    torch.testing.assert_close(transform_points(invert(matrix), inside), corners)


@pytest.mark.parametrize("source", [(60, 90), (600, 300)])
def test_letterboxed_pixels_lie_where_the_map_says(source):
    # A bright square block: its centre of mass is known to a fraction of a pixel.
    image = np.zeros((*source, 3), np.uint8)
    image[20:30, 35:45] = 255
    centre = torch.tensor([[[39.5, 24.5]]])
    frame = letterbox(image, (256, 192))[..., 0].astype(float)
    y, x = np.mgrid[:256, :192]
    found = torch.tensor([(x * frame).sum(), (y * frame).sum()]) / frame.sum()
    expected = transform_points(letterbox_map(source, (256, 192))[None], centre)[0, 0]
    torch.testing.assert_close(found.float(), expected, atol=0.1, rtol=0)


def test_read_image_is_rgb_and_refuses_half_a_file(tmp_path):
    # JPEG quantises, a flat colour stays within a few steps.
    image = np.full((32, 32, 3), (200, 100, 20), np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    (tmp_path / "whole.jpg").write_bytes(file.getvalue())
    (tmp_path / "half.jpg").write_bytes(file.getvalue()[: len(file.getvalue()) * 9 // 10])
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.jpg").touch()
    read = read_image(tmp_path / "whole.jpg")
    assert read.dtype == np.uint8 and np.abs(read.astype(int) - image).max() < 6
    for name in ("half.jpg", "text.jpg", "empty.jpg", "missing.jpg"):
        assert read_image(tmp_path / name) is None, name


def test_a_png_with_a_damaged_pixel_is_broken(tmp_path):
    Image.effect_noise((64, 64), 90).save(tmp_path / "a.png", compress_level=0)
    whole = (tmp_path / "a.png").read_bytes()
    assert read_image(tmp_path / "a.png") is not None
    at = len(whole) // 2
    (tmp_path / "a.png").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert read_image(tmp_path / "a.png") is None


def test_read_image_stands_upright(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.zeros((10, 20), np.uint8))
    assert read_image(tmp_path / "grey.png").shape == (10, 20, 3)
    turned = Image.new("RGB", (20, 10))
    exif = turned.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (20, 10, 3)


DEEP = [[0, 257, 514, 32896, 65535]]  # of 16 bits; of 8: v / 257
LEVELS = [0, 1, 2, 128, 255]


@pytest.mark.parametrize(
    ("name", "values", "mode", "levels"),
    [
        ("a.png", np.uint16(DEEP), "I;16", LEVELS),
        ("a.tif", np.uint16(DEEP), "I;16", LEVELS),
        ("a.tif", np.array(DEEP, ">u2"), "I;16B", LEVELS),
        ("a.tif", np.int32(DEEP), "I", LEVELS),
        ("a.tif", np.int32([LEVELS]), "I", LEVELS),
        ("a.tif", np.float32([LEVELS]) / 255, "F", LEVELS),
        ("a.tif", np.int32([[0, 65536]]), "I", None),
        ("a.tif", np.int32([[-1, 9]]), "I", None),
        ("a.tif", np.float32([[0, 1.5]]), "F", None),
        ("a.tif", np.float32([[-1, 1]]), "F", None),
        ("a.tif", np.float32([[0, np.nan]]), "F", None),
    ],
)
def test_grey_of_more_than_8_bits_is_scaled_or_refused(tmp_path, name, values, mode, levels):
    height, width = values.shape
    Image.frombytes(mode, (width, height), values.tobytes()).save(tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.mode == mode
    read = read_image(tmp_path / name)
    if levels is None:
        assert read is None
    else:
        assert read.dtype == np.uint8 and read.tolist() == [[[v, v, v] for v in levels]]


def test_to_frames_puts_channels_first():
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    frames = to_frames([image, image + 1])
    assert frames.shape == (2, 3, 2, 3)
    assert frames[1, 2, 0, 1] == image[0, 1, 2] + 1


def test_labels_outside_are_dropped_and_counted():
    poses = np.array([[[0, 0, 2], [19.4, 9.4, 1], [19.6, 5, 2], [-3, 5, 0]]], float)
    with pytest.warns(UserWarning, match="some: 1 labels"):
        assert drop_outside(poses, np.array([[10, 20]]), "some") == 1
    assert poses[0, :, 2].tolist() == [2, 1, 0, 0]


def test_a_folder_of_images_in_order(tmp_path):
    with pytest.raises(ValueError, match="holds no readable image"):
        read_folder(tmp_path)
    for i in (2, 0, 1):
        Image.new("RGB", (6, 4), (i, 10, 20)).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no image either")
    with pytest.warns(UserWarning, match=r"1 images broken, skipped: 3.png"):
        frames, names = read_folder(tmp_path)
    assert names == ["0.png", "1.png", "2.png"] and frames.shape == (3, 3, 4, 6)
    assert frames[:, 0, 0, 0].tolist() == [0, 1, 2] and frames[0, :, 0, 0].tolist() == [0, 10, 20]
    (tmp_path / "3.png").unlink()
    Image.new("RGB", (4, 6)).save(tmp_path / "4.png")
    with pytest.raises(ValueError, match=r"4.png has 4x6 pixels, 0.png has 6x4"):
        read_folder(tmp_path)


@pytest.mark.skipif(not LOW_RESOLUTION.is_dir(), reason="MVOR's low-resolution frames are not beside the clone")
def test_the_real_frames_of_low_resolution():
    frames, names = read_folder(LOW_RESOLUTION)
    assert frames.shape == (480, 3, 40, 53) and names[0] == "000000.png"


def test_a_written_image_is_read_again(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    write_image(tmp_path / "Zielfoto ä.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "Zielfoto ä.png"), image)


def test_files_of_other_formats_are_named(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    for name in ("IMG_1.HEIC", "clip.flv", "loop.gif", "._IMG_1.HEIC", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.warns(
        SkippedInput, match=r"3 files of formats that are not read .*: IMG_1\.HEIC, clip\.flv, loop\.gif$"
    ):
        _, names = read_folder(tmp_path)
    assert names == ["a.png"]
