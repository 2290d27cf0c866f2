import struct

import cv2
import numpy as np
import pytest

from fewpose.data.edit_list import shown_share
from fewpose.data.video import read_video, read_videos
from fewpose.skeleton import JUMP


def write_video(path, frames=30):
    """A film whose frame n is grey of value 8 n."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
    for n in range(frames):
        writer.write(np.full((48, 64, 3), 8 * n % 256, np.uint8))
    writer.release()
    return path


def test_every_nth_frame_is_that_frame(tmp_path):
    frames, numbers = read_video(write_video(tmp_path / "a.mp4"), every=7)
    assert numbers.tolist() == [0, 7, 14, 21, 28]
    assert frames.shape == (5, 3, 48, 64)
    np.testing.assert_allclose(frames.float().mean((1, 2, 3)), numbers * 8, atol=3)


def test_colours_are_rgb(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "r.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 255), np.uint8))  # red, as OpenCV writes it
    writer.release()
    red, green, blue = read_video(tmp_path / "r.mp4")[0][0].float().mean((1, 2))
    assert red > 200 and green < 60 and blue < 60


def test_broken_videos_are_named_and_left_out(tmp_path):
    good = write_video(tmp_path / "good.mp4")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    with pytest.warns(UserWarning, match=r"skipped: cut\.mp4, text\.mp4"):
        data = read_videos([cut, good, text], JUMP, every=10, size=(64, 64))
    assert data.frames.shape == (3, 3, 64, 64) and set(data.video) == {"good"}
    assert (data.poses == 0).all()
    with pytest.raises(ValueError, match="no video can be read"):
        read_videos([text], JUMP)
    with pytest.raises(ValueError, match=r"text\.mp4 is broken"):
        read_video(text)
    with pytest.raises(ValueError, match=r"there is no video .*none\.mp4"):
        read_video(tmp_path / "none.mp4")


def test_damage_in_the_middle_is_found(tmp_path):
    good = write_video(tmp_path / "good.mp4", 60)
    content = bytearray(good.read_bytes())
    start = content.find(b"mdat") + 4
    # Everything after the first few hundred bytes of pictures is lost, the index is whole.
    end = content.find(b"moov") - 4
    middle = start + (end - start) // 4
    content[middle:end] = b"\0" * (end - middle)
    (tmp_path / "damaged.mp4").write_bytes(content)
    with pytest.raises(ValueError, match="ends after"):
        read_video(tmp_path / "damaged.mp4")


def test_a_film_trimmed_by_its_edit_list_is_whole(tmp_path):
    """Phones leave all pictures in the file and note in `elst` that the first half is shown."""
    good = write_video(tmp_path / "good.mp4", 60)
    assert shown_share(good) == pytest.approx(1, abs=0.02)
    content = bytearray(good.read_bytes())
    at = content.index(b"elst") + 12  # duration of the first edit, behind version and count
    (duration,) = struct.unpack_from(">I", content, at)
    struct.pack_into(">I", content, at, duration // 2)
    trimmed = tmp_path / "trimmed.mp4"
    trimmed.write_bytes(content)
    assert shown_share(trimmed) == pytest.approx(0.5, abs=0.02)
    frames, numbers = read_video(trimmed)
    assert 28 <= len(frames) <= 32 and numbers.tolist() == list(range(len(frames)))


def test_what_is_no_mp4_has_no_edit_list(tmp_path):
    for content in (b"", b"RIFF no box", b"\0\0\0\x10moov\0\0\0\x08mvhd", b"\0" * 64):
        (tmp_path / "odd").write_bytes(content)
        assert shown_share(tmp_path / "odd") == 1
    assert shown_share(tmp_path / "none") == 1


def test_containers_that_count_seconds_are_read(tmp_path):
    film = write_video(tmp_path / "a.mkv", 50)
    assert len(read_video(film)[0]) == 50
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    with pytest.raises(ValueError, match="ends after"):
        read_video(cut)
