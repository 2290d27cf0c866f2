"""Frames of video files, without labels, and MP4 files of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain, count, groupby, islice
from pathlib import Path

import av
import numpy as np
import torch
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from torch import Tensor

from fewpose.data.images import letterbox, to_frames, warn, warn_skipped
from fewpose.data.pose_data import PoseData
from fewpose.disk import replacing
from fewpose.skeleton import Skeleton

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".ts", ".mts", ".m2ts")
HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)  # the curves PQ and HLG, brighter than a screen's
MICROSECOND = Fraction(1, 1_000_000)


def read_video(
    path: str | Path, every: int = 1, size: tuple[int, int] | None = None, limit: int | None = None
) -> tuple[Tensor, np.ndarray]:
    """Every n-th frame of a video, from the first: frames [N, 3, H, W] uint8 RGB and their numbers.

    With `size` (H, W) each is letterboxed; N is at most `limit`. Errors as for `decode`.
    """
    images, numbers = [], []
    for number, _, image in islice(iter_frames(path, every), limit):
        images.append(letterbox(image, size) if size else image)
        numbers.append(number)
    return to_frames(images), np.array(numbers)


def iter_frames(path: str | Path, every: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
    """Number, seconds since the first and image [H, W, 3] uint8 RGB of every n-th frame in order, as players show it.

    Upright, deinterlaced, HDR in the colours of a screen, black behind what is transparent, letterboxed where the size
    changes; pixels that are not square stay as stored. Frames are decoded in order, as seeking is not
    exact in every codec. Errors as for `decode`.
    """
    check_every(every)
    frames = filter_where(decode(path), lambda frame: frame.interlaced_frame, "bwdif", "mode=send_frame")
    frames = islice(frames, 0, None, every)
    to_screen = "out_primaries=bt709:out_transfer=bt709:intent=perceptual"
    frames = filter_where(frames, lambda frame: frame.color_trc in HDR, "scale", to_screen)
    size = None
    for i, frame in enumerate(frames):
        image = to_image(frame)
        size = size or image.shape[:2]
        yield i * every, frame.time, image if image.shape[:2] == size else letterbox(image, size)


def check_every(every: int) -> None:
    """ValueError unless `every` is at least 1."""
    if every < 1:
        raise ValueError(f"every must be 1 or more, not {every}")


def open_video(path: str | Path) -> InputContainer:
    """A video to be read and closed; ValueError if there is none or it cannot be opened."""
    if not Path(path).is_file():
        raise ValueError(f"there is no video {path}")
    try:
        # absolute, as FFmpeg takes the start of "10:30 sprint.mp4" for a protocol
        video = av.open(str(Path(path).absolute()), metadata_errors="replace")
    except av.FFmpegError as error:
        raise ValueError(f"{path} is broken or not a video: it cannot be opened") from error
    stream = video.streams.best("video")
    if stream is None or stream.codec_context is None:
        video.close()
        raise ValueError(f"{path} is broken or not a video: it cannot be opened")
    return video


def decode(path: str | Path) -> Iterator[VideoFrame]:
    """The frames of a video as they are stored, with times counted from the first.

    What cannot be decoded is skipped and named in a warning. ValueError if the file cannot be opened, or at the end
    if that comes earlier than its header says (trimming an MP4, as phones do, is no damage).
    """
    with open_video(path) as video, suppress(av.FFmpegError):  # what cannot be read is the end
        stream = video.streams.best("video")
        step = 1 / rate_of(stream)
        if stream.duration:
            streams, duration = [stream], float(stream.duration * stream.time_base)
        else:  # the header knows that of the longest stream
            streams = [*video.streams.video, *video.streams.audio]
            duration = (video.duration or 0) / av.time_base
        exact = "mp4" in video.format.name and stream.frames  # others estimate, from what is left of a cut AVI
        duration = duration if exact else max(duration, stream.frames * step)
        number, first, shown, seconds = 0, 0.0, 0.0, -step
        last, end, lost = 0.0, 0.0, []  # when the last packet begins and ends, and when the damaged ones begin
        for packet in video.demux(streams):
            start = packet.dts if packet.pts is None else packet.pts
            start = last if start is None else float(start * packet.time_base)
            end = max(end, start + float((packet.duration or 0) * packet.time_base))
            if packet.stream is not stream:
                continue
            last = last if packet.is_discard else start
            try:
                frames = packet.decode()
            except av.FFmpegError:
                lost.append(start)
                continue
            for frame in frames:
                shown = shown + step if frame.time is None else frame.time
                first = first if number else shown
                seconds = shown - first if shown - first > seconds else seconds + step
                frame.pts, frame.time_base = round(seconds / MICROSECOND), MICROSECOND
                yield frame
                number += 1
    # Headers of complete files may count a frame or two that no decoder delivers.
    missing = max(duration - end, last - shown)
    if not number or missing > max(2.5 * step, duration * (0.01 if exact else 0.1)):
        raise ValueError(f"{path} is broken: it ends after {number} of {round(duration / step)} frames")
    if lost:
        warn(f"{Path(path).name}: damaged from {min(lost):.2f} to {max(lost):.2f} s, {len(lost)} frames skipped")


def filter_where(
    frames: Iterable[VideoFrame], wanted: Callable[[VideoFrame], bool], name: str, options: str
) -> Iterator[VideoFrame]:
    """All frames, those `wanted` changed by a filter of FFmpeg."""
    for (change, *_), group in groupby(frames, lambda f: (wanted(f), f.width, f.height, f.format.name)):
        if change:
            group = filter_all(group, name, options)
        yield from group


def filter_all(frames: Iterable[VideoFrame], name: str, options: str) -> Iterator[VideoFrame]:
    """Frames of one size and format, changed by a filter of FFmpeg."""
    graph = None
    for frame in chain(frames, [None]):  # None: the end
        if graph is None:
            graph = Graph()
            source = graph.add_buffer(None, frame.width, frame.height, frame.format, time_base=frame.time_base)
            graph.link_nodes(source, graph.add(name, options), graph.add("buffersink")).configure()
        graph.push(frame)
        with suppress(BlockingIOError, EOFError):
            while True:
                yield graph.pull()


def to_image(frame: VideoFrame) -> np.ndarray:
    """A frame as upright image [H, W, 3] uint8 RGB, black behind what is transparent."""
    if frame.format.components[-1].is_alpha:
        image = frame.to_ndarray(format="rgba", threads=1)
        image = (image[..., :3] * (image[..., 3:] / np.float32(255))).round().astype(np.uint8)
    else:
        image = frame.to_ndarray(format="rgb24", threads=1)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    (a, b, _), (c, d, _), _ = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3).tolist()
    if abs(b) > abs(a):  # right is shown up or down
        image, a, d = image.swapaxes(0, 1), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def frame_rate(path: str | Path) -> float:
    """Frames per second: the mean if the rate varies, 25 where the file gives none.

    Errors as for `open_video`, and if the rate varies as for `decode`.
    """
    with open_video(path) as video:
        stream = video.streams.best("video")
        rate = rate_of(stream)
        # packets, not decoded: an hour of video takes a moment
        times = [p.pts for p in video.demux(stream) if p.size and not p.is_discard]
        known = [float(pts * stream.time_base) for pts in times if pts is not None]
    length = max(known, default=0) - min(known, default=0)
    if not length or abs(length * rate - (len(times) - 1)) <= 2:
        return rate
    times = [frame.time for frame in decode(path)]  # decoded: some packets hold no frame
    return round((len(times) - 1) / times[-1], 2) if times[-1] else rate


def rate_of(stream: av.VideoStream) -> float:
    """The rate that a file gives, 25 where it gives none."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return rate if 0 < rate < 10000 else 25.0


def read_videos(
    paths: Iterable[str | Path], skeleton: Skeleton, every: int = 1, size: tuple[int, int] = (256, 256)
) -> PoseData:
    """Unlabelled frames of several videos; broken ones are named in a warning and skipped.

    `video` holds the file names without suffix, poses are all 0. ValueError if none can be read.
    """
    check_every(every)
    frames, names, skipped = [], [], []
    for path in paths:
        try:
            frames.append(read_video(path, every, size)[0])
        except ValueError:
            skipped.append(Path(path).name)
            continue
        names += [Path(path).stem] * len(frames[-1])
    if not frames:
        raise ValueError(f"no video can be read, tried {', '.join(skipped) or 'none'}")
    warn_skipped("videos", "broken or truncated,", skipped)
    poses = torch.zeros(len(names), len(skeleton), 3)
    return PoseData(
        concatenate_videos(frames), poses, skeleton, np.array(names), np.full(len(names), "train"), "videos"
    )


def concatenate_videos(videos: list[Tensor]) -> Tensor:
    """Frames [N, 3, H, W] of all videos, as `torch.cat` but emptying the list, so that none is held twice."""
    if len(videos) == 1:
        return videos.pop()
    end = sum(map(len, videos))
    frames = videos[0].new_empty(end, *videos[0].shape[1:])
    while videos:
        video = videos.pop()
        frames[end - len(video) : end] = video
        end -= len(video)
    return frames


@contextmanager
def video_writer(
    path: Path, size: tuple[int, int], rate: float, crf: int = 20
) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that adds an image [H, W, 3] BGR of `size` to an MP4 (H.264) of `rate` frames per second.

    The file appears when it is complete, and not at all after an error. Codecs halve the resolution of colours, so an
    odd last row or column is doubled. The lower `crf`, the better the quality and the larger the file.
    """
    height, width = size
    with replacing(path) as part:
        with av.open(str(part), "w", options={"movflags": "faststart"}, format="mp4") as video:
            rate = max(Fraction(rate).limit_denominator(1001), Fraction(1, 1000))  # never 0
            stream = video.add_stream("libx264", rate, options={"crf": str(crf), "preset": "superfast"})
            stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
            stream.color_primaries, stream.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
            stream.colorspace, stream.color_range = 1, ColorRange.MPEG  # BT.709 too
            stream.thread_count = 1  # another number would write other pixels
            number = count()

            def write(image: np.ndarray) -> None:
                image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
                frame = VideoFrame.from_ndarray(image, "bgr24").reformat(
                    format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
                )
                frame.pts, frame.time_base = next(number), 1 / rate
                video.mux(stream.encode(frame))

            yield write
            video.mux(stream.encode())
