"""Videos of odd kinds against what was put into them: pixels and times as players show them."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition

from fewpose import SkippedInput
from fewpose.data.video import frame_rate, iter_frames, read_video, video_writer
from odd_videos import encode, set_edits

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def greys(n, size=(48, 64), step=8):
    return [np.full((*size, 3), step * i % 256, np.uint8) for i in range(n)]


def quadrants(height=48, width=64):
    image = np.zeros((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    image[:top, :left], image[:top, left:], image[top:, :left], image[top:, left:] = RED, GREEN, BLUE, WHITE
    return image


def times_of(path):
    return [seconds for _, seconds, _ in iter_frames(path)]


def values_of(path):
    return np.array([image[8:-8, 8:-8].mean() for _, _, image in iter_frames(path)])


def assert_like(image, expected, error=3):
    assert image.shape == expected.shape
    assert np.abs(image.astype(float) - expected).mean() < error


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),  # a telephone held upright
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((0, -1, 1, 0), lambda image: np.rot90(image)),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),  # of a camera that faces its user
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    ],
)
def test_turned_and_mirrored_videos_are_upright(matrix, shown, tmp_path):
    path = encode(tmp_path / "a.mp4", [quadrants()] * 3, matrix=matrix)
    frames, numbers = read_video(path)
    assert numbers.tolist() == [0, 1, 2]
    assert_like(frames[2].permute(1, 2, 0).numpy(), shown(quadrants()))


@pytest.mark.parametrize("code", ["libx264", "mpeg4"])
def test_frames_outside_of_the_edits_do_not_count(code, tmp_path):
    """Cut without re-encoding: the file holds more frames than it shows, to decode those from."""
    path = encode(tmp_path / "a.mp4", greys(30), code, options={"file": {"video_track_timescale": "25"}})
    delay = 2 if code == "libx264" else 0  # of B-frames
    np.testing.assert_allclose(values_of(path), 8.0 * np.arange(30), atol=3)
    set_edits(path, (800, 5 + delay))
    np.testing.assert_allclose(values_of(path), 8.0 * np.arange(5, 25), atol=3)
    np.testing.assert_allclose(times_of(path), np.arange(20) / 25, atol=1e-5)
    assert frame_rate(path) == 25
    set_edits(path, (400, -1), (400, 2 + delay), (200, 20 + delay))  # shown late, and without the middle
    np.testing.assert_allclose(values_of(path), 8.0 * np.array([*range(2, 12), *range(20, 25)]), atol=3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_times_of_a_varying_rate(name, tmp_path):
    times = [0, 33, 67, 100, 350, 400, 1000, 1010, 2000]
    path = encode(tmp_path / name, greys(9), rate=30, times=times)
    np.testing.assert_allclose(times_of(path), np.array(times) / 1000, atol=0.001)
    np.testing.assert_allclose(values_of(path), 8.0 * np.arange(9), atol=3)
    assert frame_rate(path) == pytest.approx(4)


@pytest.mark.parametrize(("name", "code"), [("a.avi", "mpeg4"), ("a.mpg", "mpeg2video"), ("a.ts", "libx264")])
def test_frames_stored_out_of_order_are_timed(name, code, tmp_path):
    path = encode(tmp_path / name, greys(30), code, options={"bf": "2", "b": "4M"})
    np.testing.assert_allclose(times_of(path), np.arange(30) / 25, atol=1e-4)
    np.testing.assert_allclose(values_of(path), 8.0 * np.arange(30), atol=6)
    assert frame_rate(path) == 25


def test_a_file_without_timestamps_is_timed_by_its_rate(tmp_path):
    path = encode(tmp_path / "a.m4v", greys(10), "mpeg4")  # a stream of frames alone
    np.testing.assert_allclose(times_of(path), np.arange(10) / 25, atol=1e-4)
    assert frame_rate(path) == 25


@pytest.mark.parametrize(
    ("code", "pixels"), [("libx264", "yuv420p10le"), ("prores_ks", "yuv422p10le"), ("ffv1", "gbrp16le")]
)
def test_more_than_8_bits(code, pixels, tmp_path):
    images = [quadrants().astype(np.uint16) * 257] * 2
    path = encode(tmp_path / "a.mkv", images, code, pixels)
    for _, _, image in iter_frames(path):
        assert_like(image, quadrants(), 5)


@pytest.mark.parametrize("curve", [16, 18])
def test_hdr_is_shown_in_the_range_of_a_screen(curve, tmp_path):
    """Steps of grey in PQ and HLG stay grey and in order, are as bright as in SDR, and differ up to the brightest."""
    steps = np.tile(np.linspace(0, 65535, 9).astype(np.uint16)[:, None], (32, 1, 3)).reshape(32, 9, 3).repeat(16, 1)
    frame = av.VideoFrame.from_ndarray(steps, "rgb48le").reformat(format="yuv420p10le", dst_colorspace="BT2020")
    tags = dict(colorspace=9, color_trc=curve, color_primaries=9, color_range=1)
    path = encode(tmp_path / "a.mp4", [frame] * 2, "libx264", "yuv420p10le", **tags)
    (_, _, first), (_, _, image) = iter_frames(path)
    assert np.array_equal(first.shape, image.shape)
    shown = image[16, 8::16].astype(int)
    assert np.ptp(shown, axis=1).max() <= 3  # grey
    assert shown[0].max() <= 2 and shown[-1].min() > 225
    assert (np.diff(shown.mean(1)[:8]) > 8).all()
    # 100 cd/m² in PQ, a screen's white; 26 in HLG, of 203 for a white sheet
    assert 110 < shown[4].mean() < 150


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("span", [1, 2])
def test_colours_follow_the_tags(matrix, span, tmp_path):
    """Of three standards and both ranges of values."""
    names = {1: "ITU709", 5: "ITU601", 9: "BT2020"}
    frame = av.VideoFrame.from_ndarray(quadrants(), "rgb24")
    frame = frame.reformat(format="yuv444p", dst_colorspace=names[matrix], dst_color_range=span)
    tags = dict(colorspace=matrix, color_range=span)
    path = encode(tmp_path / "a.mp4", [frame], "libx264", "yuv444p", options={"crf": "1"}, **tags)
    ((_, _, image),) = iter_frames(path)
    assert_like(image, quadrants(), 2)


def test_interlaced_frames_have_no_combs(tmp_path):
    """A bar moves between the two fields of each frame."""

    def field(i):
        image = np.full((96, 128, 3), 30, np.uint8)
        image[:, 4 * i : 4 * i + 24] = 220
        return image

    frames = []
    for n in range(10):
        image = field(2 * n)
        image[::2] = field(2 * n + 1)[::2]  # the upper field is the later one, as the encoder says
        frames.append(av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv422p"))
    path = encode(tmp_path / "a.mkv", frames, pixels="yuv422p", options={"x264-params": "bff=1"})
    shown = list(iter_frames(path))
    np.testing.assert_allclose([seconds for _, seconds, _ in shown], np.arange(10) / 25, atol=0.001)
    for n, _, image in shown[1:-1]:
        assert_like(image, field(2 * n), 2)


def test_transparent_pixels_are_black(tmp_path):
    image = np.zeros((32, 48, 4), np.uint8)
    image[..., :3], image[:16, :, 3], image[16:, :24, 3] = RED, 255, 128
    path = encode(tmp_path / "a.mov", [image], "png", "rgba")
    ((_, _, shown),) = iter_frames(path)
    assert shown[4, 4].tolist() == [255, 0, 0] and shown[20, 4].tolist() == [128, 0, 0]
    assert not shown[16:, 24:].any()


@pytest.mark.parametrize(
    "flags", ["frag_keyframe+empty_moov", "frag_keyframe+empty_moov+default_base_moof", "faststart"]
)
def test_fragmented_videos_are_whole(flags, tmp_path):
    path = encode(tmp_path / "a.mp4", greys(60), options={"g": "10", "file": {"movflags": flags}})
    np.testing.assert_allclose(values_of(path), 8.0 * np.arange(60) % 256, atol=5)
    np.testing.assert_allclose(times_of(path), np.arange(60) / 25, atol=1e-5)
    assert frame_rate(path) == 25


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_file_is_refused_though_its_header_is_there(share, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), np.uint8)
    path = encode(tmp_path / "a.mp4", noise, options={"file": {"movflags": "faststart"}})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError, match=r"a\.mp4 is broken: it ends after \d+ of 60 frames"):
        read_video(path)


def test_a_damaged_stretch_is_skipped_and_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), np.uint8)
    path = encode(tmp_path / "a.mp4", noise, options={"g": "5", "bf": "0"})
    with av.open(str(path)) as video:
        places = [(p.pos, p.size) for p in video.demux(video=0) if p.size]
    content = bytearray(path.read_bytes())
    for start, size in places[20:24]:  # a key frame and three after it; the next is at 25
        content[start : start + size] = b"\0" * size
    path.write_bytes(content)
    with pytest.warns(SkippedInput, match=r"a\.mp4: damaged from 0\.80 to 0\.92 s, 4 frames skipped"):
        seconds = times_of(path)
    np.testing.assert_allclose(seconds, [n / 25 for n in range(60) if not 20 <= n < 24], atol=1e-5)


def test_the_longer_sound_of_a_complete_video(tmp_path):
    path = encode(tmp_path / "a.mkv", greys(50), sound=9)
    assert len(times_of(path)) == 50 and frame_rate(path) == 25
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="ends after"):
        read_video(path)


def test_a_cover_image_is_not_the_video(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as video:
        cover, stream = video.add_stream("mjpeg", 25), video.add_stream("libx264", 25)
        stream.disposition = Disposition.default
        (cover.width, cover.height, cover.pix_fmt), stream.pix_fmt = (64, 48, "yuvj420p"), "yuv420p"
        stream.width, stream.height = 64, 48
        for n, image in enumerate(greys(20)):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            if not n:
                video.mux([*cover.encode(frame), *cover.encode()])
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
    np.testing.assert_allclose(values_of(tmp_path / "a.mp4"), 8.0 * np.arange(20), atol=3)


def test_frames_of_another_size_are_letterboxed(tmp_path):
    wide = encode(tmp_path / "a.ts", [np.full((48, 64, 3), 200, np.uint8)] * 5)
    tall = encode(tmp_path / "b.ts", [np.full((64, 48, 3), 200, np.uint8)] * 5)
    wide.write_bytes(wide.read_bytes() + tall.read_bytes())
    frames, numbers = read_video(wide)
    assert frames.shape == (10, 3, 48, 64) and numbers.tolist() == list(range(10))
    assert frames[0].float().mean() > 190
    assert frames[9, :, :, :12].max() < 10 and frames[9, :, :, 16:48].float().mean() > 190


@pytest.mark.parametrize("name", ["Weitsprung Größe 1.mp4", "三段跳び.mp4"])
def test_one_odd_frame_under_any_name(name, tmp_path):
    path = encode(tmp_path / name, [quadrants(49, 65)], pixels="yuv444p")
    ((number, seconds, image),) = iter_frames(path)
    assert (number, seconds) == (0, 0) and frame_rate(path) == 25
    assert_like(image, quadrants(49, 65))


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        stream = file.add_stream("pcm_s16le", 8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        silence.rate = 8000
        file.mux(stream.encode(silence))
    with pytest.raises(ValueError, match=r"a\.mkv is broken or not a video"):
        read_video(tmp_path / "a.mkv")


def scene(n, size):
    """n images RGB of a soft coloured pattern that moves."""
    y, x = np.mgrid[: size[0], : size[1]]
    waves = [[np.sin((x + 3 * t) / 9 + k) + np.cos(y / (7 + k)) for k in range(3)] for t in range(n)]
    return np.clip(128 + 60 * np.array(waves), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


@pytest.mark.parametrize("size", [(96, 128), (97, 131), (64, 63)])
@pytest.mark.parametrize("rate", [12.5, 30000 / 1001, 200])
def test_what_is_written_is_what_players_show(size, rate, tmp_path):
    """H.264 of 8 bits and halved colours; an odd last row or column twice."""
    images = scene(12, size)
    with video_writer(tmp_path / "a.mp4", size, rate) as write:
        for image in images:
            write(image[..., ::-1])
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    with av.open(str(tmp_path / "a.mp4")) as video:
        (stream,) = video.streams
        assert (stream.codec_context.name, stream.pix_fmt, stream.frames) == ("h264", "yuv420p", 12)
        assert (stream.colorspace, stream.color_primaries, stream.color_trc, stream.color_range) == (1, 1, 1, 1)
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # a browser plays it before all is there
    _, seconds, shown = zip(*iter_frames(tmp_path / "a.mp4"), strict=True)
    np.testing.assert_allclose(seconds, np.arange(12) / rate, atol=1e-5)
    assert frame_rate(tmp_path / "a.mp4") == pytest.approx(rate)
    padded = [np.pad(image, ((0, size[0] % 2), (0, size[1] % 2), (0, 0)), "edge") for image in images]
    assert_like(np.array(shown), np.array(padded), 4)
    video = cv2.VideoCapture(str(tmp_path / "a.mp4"))  # a reader that is not ours
    assert_like(np.array([video.read()[1][..., ::-1] for _ in images]), np.array(padded), 4)


def test_written_videos_are_the_same_each_time(tmp_path):
    for name in "ab":
        with video_writer(tmp_path / f"{name}.mp4", (64, 64), 50, crf=10) as write:
            for image in scene(30, (64, 64)):
                write(image)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("frames", [0, 5])
def test_no_file_is_left_after_an_error(frames, tmp_path):
    (tmp_path / "a.mp4").write_text("of before")
    with pytest.raises(KeyError), video_writer(tmp_path / "a.mp4", (64, 64), 25) as write:
        for image in scene(5, (64, 64))[:frames]:
            write(image)
        assert [path.name for path in tmp_path.glob("[!.]*")] == ["a.mp4"]
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "of before"
