import struct

import cv2
import numpy as np
import pytest
import torch

from fewpose.data.video import concatenate_videos, frame_rate, iter_frames, read_video, read_videos
from fewpose.skeleton import JUMP
from odd_videos import drop_frames, fragment


def write_video(path, frames=30, rate=25, code="mp4v"):
    """A video whose frame n is grey of value 8 n."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), rate, (64, 48))
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


def test_broken_videos_are_named_and_skipped(tmp_path):
    good = write_video(tmp_path / "good.mp4")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    text = tmp_path / "text.mp4"
    text.write_text("no video")
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
    # Everything after the first few hundred bytes of frames is lost, the index is complete.
    end = content.find(b"moov") - 4
    middle = start + (end - start) // 4
    content[middle:end] = b"\0" * (end - middle)
    (tmp_path / "damaged.mp4").write_bytes(content)
    with pytest.raises(ValueError, match="ends after"):
        read_video(tmp_path / "damaged.mp4")


def test_a_video_trimmed_by_its_edit_list_is_complete(tmp_path):
    """Phones leave all frames in the file and note in `elst` that the first half is shown."""
    good = write_video(tmp_path / "good.mp4", 60)
    content = bytearray(good.read_bytes())
    at = content.index(b"elst") + 12  # duration of the first edit, behind version and count
    (duration,) = struct.unpack_from(">I", content, at)
    struct.pack_into(">I", content, at, duration // 2)
    trimmed = tmp_path / "trimmed.mp4"
    trimmed.write_bytes(content)
    frames, numbers = read_video(trimmed)
    assert 28 <= len(frames) <= 32 and numbers.tolist() == list(range(len(frames)))


def test_containers_that_count_seconds_are_read(tmp_path):
    video = write_video(tmp_path / "a.mkv", 50)
    assert len(read_video(video)[0]) == 50
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(ValueError, match="ends after"):
        read_video(cut)


@pytest.mark.parametrize("rate", [25, 29.97, 60])
@pytest.mark.parametrize(
    ("name", "code"), [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "mp4v"), ("a.webm", "VP80"), ("a.ts", "mpg2")]
)
def test_seconds_are_the_frame_number_over_a_constant_rate(tmp_path, name, code, rate):
    video = write_video(tmp_path / name, 40, rate, code)
    numbers, seconds = zip(*[(n, s) for n, s, _ in iter_frames(video, 3)], strict=True)
    assert seconds[0] == 0
    np.testing.assert_allclose(seconds, np.array(numbers) / rate, atol=0.001)  # Matroska counts ms
    assert frame_rate(video) == pytest.approx(rate, abs=0.01)


def test_times_and_mean_rate_where_the_rate_varies(tmp_path):
    """30 frames a second, and 5 from the 60th frame on."""
    video = write_video(tmp_path / "a.avi", 151, 30, "MJPG")
    drop_frames(video, set(range(60, 151)) - set(range(60, 151, 6)))
    seconds = [s for _, s, _ in iter_frames(video)]
    expected = [n / 30 for n in range(60)] + [2 + n / 5 for n in range(16)]
    np.testing.assert_allclose(seconds, expected, atol=0.001)
    assert frame_rate(video) == 15.0  # 75 frames after the first in 5 seconds


def test_a_fragmented_video_with_longer_sound_is_complete(tmp_path):
    video = write_video(tmp_path / "a.mp4", 100)
    fragment(video, longer=1.05)
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) == 105  # estimated from the duration
    assert len(read_video(video)[0]) == 100
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(ValueError, match="ends after"):
        read_video(video)


def test_an_avi_with_empty_frames_is_complete_and_half_of_one_is_not(tmp_path):
    video = write_video(tmp_path / "a.avi", 150, 30, "MJPG")
    content = video.read_bytes()
    drop_frames(video, set(range(14, 150, 15)))
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) == 150
    frames, numbers = read_video(video)
    assert len(frames) == 140 and numbers.tolist() == list(range(140))
    video.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="ends after"):
        read_video(video)


def test_videos_are_concatenated_without_a_second_copy(tmp_path):
    video = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)
    assert concatenate_videos([video]).data_ptr() == video.data_ptr()
    videos = [video, video[:1] + 50, video + 100]
    expected = torch.cat(videos)
    assert torch.equal(concatenate_videos(videos), expected) and videos == []


def test_a_step_of_no_frames_is_not_a_broken_video(tmp_path):
    with pytest.raises(ValueError, match="every must be 1 or more, not 0"):
        read_videos([write_video(tmp_path / "a.mp4")], JUMP, every=0)


def test_a_colon_in_a_file_name_is_no_protocol(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4").rename(tmp_path / "10:30 sprint.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(read_video("10:30 sprint.mp4")[0]) == 30
