"""Videos of odd kinds beside what `ffmpeg -i` shows of them, and the ones of ../shared/cases as their README says."""

import re
import subprocess
import warnings
from pathlib import Path

import av
import numpy as np
import pytest

from fewpose.data.video import iter_frames
from odd_videos import encode, set_edits

CASES = Path(__file__).parents[3] / "shared" / "cases"


def shown_by_ffmpeg(path, stream="0:V:0"):
    """Seconds from the first frame on [T], and the frames [T, H, W, 3], of a program that is not ours."""
    program = pytest.importorskip("imageio_ffmpeg", reason="pip install imageio-ffmpeg").get_ffmpeg_exe()
    command = [program, "-hide_banner", "-i", path, "-map", stream, "-fps_mode", "passthrough", "-vf", "showinfo"]
    done = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True)
    report = done.stderr.decode("utf-8", "replace")
    seconds = np.array([float(t) for t in re.findall(r"pts_time:([\d.]+)", report)])
    width, height = map(int, re.search(r" s:(\d+)x(\d+)", report).groups())
    return seconds - seconds[0], np.frombuffer(done.stdout, np.uint8).reshape(len(seconds), height, width, 3)


def shown_by_us(path):
    _, seconds, images = zip(*iter_frames(path), strict=True)
    return np.array(seconds), np.stack(images)


def scene(n=20, height=48, width=64):
    """n images RGB in which everything moves."""
    y, x = np.mgrid[:height, :width]
    waves = [[np.sin((x + 3 * t) / 9 + k) + np.cos(y / (7 + k)) for k in range(3)] for t in range(n)]
    return list(np.clip(128 + 60 * np.array(waves), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1))


def trimmed(path):
    return set_edits(encode(path, scene(), options={"file": {"video_track_timescale": "25"}}), (400, 7))


def with_alpha(path):
    opaque = [np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]) for image in scene()]
    return encode(path, opaque, "png", "rgba")


ONE_THREAD = {"x265-params": "pools=none:frame-threads=1:log-level=none"}
FRAGMENTED = {"g": "5", "file": {"movflags": "frag_keyframe+empty_moov"}}
KINDS = {
    "a telephone held upright.mp4": lambda path: encode(path, scene(), matrix=(0, 1, -1, 0)),
    "mirrored.mov": lambda path: encode(path, scene(), matrix=(-1, 0, 0, 1)),
    "a rate that varies.mkv": lambda path: encode(path, scene(6), times=[0, 40, 50, 300, 333, 1000]),
    "HEVC.mp4": lambda path: encode(path, scene(), "libx265", options=ONE_THREAD, codec_tag="hvc1"),
    "HEVC of 10 bits.mp4": lambda path: encode(path, scene(), "libx265", "yuv420p10le", options=ONE_THREAD),
    "H.264 of 10 bits.mp4": lambda path: encode(path, scene(), pixels="yuv420p10le"),
    "VP9.webm": lambda path: encode(path, scene(), "libvpx-vp9", options={"cpu-used": "8"}),
    "fragmented.mp4": lambda path: encode(path, scene(), options=FRAGMENTED),
    "trimmed.mp4": trimmed,
    "one frame.mp4": lambda path: encode(path, scene(1)),
    "with sound.mov": lambda path: encode(path, scene(25), sound=1),
    "opaque alpha.mov": with_alpha,
    "odd sides.mp4": lambda path: encode(path, scene(5, 49, 65), pixels="yuv444p"),
    "Größe und Sprünge, 三段跳び.mp4": lambda path: encode(path, scene(5)),
}


@pytest.mark.parametrize("name", KINDS)
def test_frames_and_times_are_those_of_ffmpeg(name, tmp_path):
    path = KINDS[name](tmp_path / name)
    (ours, images), (seconds, expected) = shown_by_us(path), shown_by_ffmpeg(path)
    assert images.shape == expected.shape
    np.testing.assert_allclose(ours, seconds, atol=2e-3 if path.suffix in (".mkv", ".webm") else 1e-5)
    assert np.abs(images.astype(int) - expected).mean((1, 2, 3)).max() < 2  # rounding, of 10 bits most


@pytest.mark.parametrize("name", ["HEVC.mp4", "HEVC of 10 bits.mp4", "VP9.webm"])
def test_codecs_of_telephones_and_browsers_are_read(name, tmp_path):
    _, images = shown_by_us(KINDS[name](tmp_path / name))
    assert images.shape == (20, 48, 64, 3)
    assert np.abs(images.astype(int) - scene()).mean((1, 2, 3)).max() < 6


def case(name):
    if not (CASES / name).is_file():
        pytest.skip("needs ../shared/cases, videos that are not part of the repository")
    return CASES / name


@pytest.mark.parametrize(
    ("name", "frames", "last"),
    [
        ("opengop_cut.mp4", 93, 92 / 30),
        ("sound_longer_than_picture.webm", 120, 119 / 30),
        ("cover_first.mp4", 120, 119 / 30),
        ("mirrored_by_display_matrix.mp4", 120, 119 / 30),
        ("hdr_bt2020.mp4", 30, 29 / 30),
    ],
)
def test_a_case_is_read_whole(name, frames, last):
    seconds, images = shown_by_us(case(name))
    assert images.shape == (frames, 240, 320, 3) and abs(seconds[-1] - last) < 1e-3
    stream = "0:1" if name == "cover_first.mp4" else "0:V:0"
    times, expected = shown_by_ffmpeg(case(name), stream)
    np.testing.assert_allclose(seconds, times, atol=1e-5)
    # HDR is brought to the range of a screen, which ffmpeg does not do unless it is told to
    assert np.abs(images.astype(int) - expected).mean() < (10 if "hdr" in name else 0.5)


def test_a_mirrored_case_is_not_turned():
    with av.open(str(case("mirrored_by_display_matrix.mp4"))) as video:
        stored = next(video.decode(video=0)).to_ndarray(format="rgb24")
    (_, _, first), *_ = iter_frames(case("mirrored_by_display_matrix.mp4"))
    assert np.array_equal(first, stored[:, ::-1])


def test_what_can_be_decoded_of_a_damaged_case():
    with pytest.warns(UserWarning, match=r"damaged from 2\.03 to 2\.20 s, 4 frames skipped"):
        seconds, images = shown_by_us(case("damaged_middle.mp4"))
    times, expected = shown_by_ffmpeg(case("damaged_middle.mp4"))
    assert len(images) == 116
    np.testing.assert_allclose(seconds, times, atol=1e-5)
    whole = np.r_[:60, 86:116]  # between the damage and the next key frame decoders invent different pixels
    assert np.array_equal(images[whole], expected[whole])


def test_the_second_half_of_a_case_that_changes_size_is_letterboxed():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seconds, images = shown_by_us(case("size_changes.ts"))
    assert images.shape == (60, 240, 320, 3) and abs(seconds[-1] - 59 / 30) < 1e-3
    assert images[0, :, :69].any() and images[29, :, -69:].any()
    assert not images[30:, :, :69].any() and not images[30:, :, -69:].any()
    assert images[30:, :, 71:-71].mean() > 50
