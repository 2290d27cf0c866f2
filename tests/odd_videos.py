"""Videos of odd kinds: encoded as given, with empty frames, trimmed, and fragmented."""

import struct
from fractions import Fraction

import av
import numpy as np


def encode(
    path, images, code="libx264", pixels="yuv420p", rate=25, times=None, matrix=None, sound=0, options=None, **tags
):
    """Images [H, W, C] as a video, at `times` in ms if given, with `sound` of so many seconds; returns the path.

    matrix: how the video is turned (a, b, c, d, of MP4); options: of the encoder, those of the file in "file".
    """
    options = dict(options or {})
    with av.open(str(path), "w", options=options.pop("file", {})) as video:
        stream = video.add_stream(
            code, rate, options={"crf": "8", **options} if "264" in code else {"b": "4M", **options}
        )
        frames = [im if isinstance(im, av.VideoFrame) else av.VideoFrame.from_ndarray(im, layout(im)) for im in images]
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pixels
        for name, value in tags.items():
            setattr(stream, name, value)
        if matrix:
            a, b, c, d = (65536 * m for m in matrix)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        noise = video.add_stream("pcm_s16le", 8000, layout="mono") if sound else None
        stream.codec_context.time_base = Fraction(1, 1000) if times else 1 / Fraction(rate)
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = times[number] if times else number, stream.codec_context.time_base
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
        if sound:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000 * sound), np.int16), "s16", "mono")
            silence.rate = 8000
            video.mux(noise.encode(silence))
    return path


def layout(image):
    return {np.dtype("uint8"): {3: "rgb24", 4: "rgba"}, np.dtype("uint16"): {3: "rgb48le"}}[image.dtype][image.shape[2]]


def set_edits(path, *edits):
    """Replace the edit list of an MP4 by these: how long to show, in ms, and from which tick of the frames on."""
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") - 4
    (length,) = struct.unpack_from(">I", content, at)
    (scale,) = struct.unpack_from(">I", content, content.index(b"mvhd") + 16)
    shown = [struct.pack(">IiI", duration * scale // 1000, start, 0x10000) for duration, start in edits]
    new = box(b"elst", integers(0, len(edits)), *shown)
    content[at : at + length] = new
    for name in (b"edts", b"trak", b"moov"):
        start = content.index(name) - 4
        (old,) = struct.unpack_from(">I", content, start)
        struct.pack_into(">I", content, start, old + len(new) - length)
    path.write_bytes(content)
    return path


def drop_frames(path, slots):
    """Empty these frames of an AVI, whose slots in time stay, as a camera that is too slow does."""
    content = bytearray(path.read_bytes())
    at, frames = content.index(b"movi") + 4, 0
    while content[at : at + 4] == b"00dc":
        (length,) = struct.unpack_from("<I", content, at + 4)
        if frames in slots:
            struct.pack_into("<I4sI", content, at + 4, 0, b"JUNK", length - 8)
        frames += 1
        at += 8 + length + length % 2
    for slot in slots:  # in the index behind the frames, 16 bytes each, the length last
        struct.pack_into("<I", content, at + 8 + 16 * slot + 12, 0)
    path.write_bytes(content)


def fragment(path, longer=1.0):
    """Rewrite an MP4 of OpenCV as browsers write theirs: no count in `moov`, all frames in a fragment.

    Its header says `longer` times the duration of the frames.
    """
    content = path.read_bytes()
    (first,) = struct.unpack_from(">I", content, content.index(b"stco") + 12)
    end = content.index(b"moov") - 4
    moov = bytearray(content[end + 8 :])
    at = moov.index(b"stsz") + 12
    (count,) = struct.unpack_from(">I", moov, at)
    sizes = struct.unpack_from(f">{count}I", moov, at + 4)
    (step,) = struct.unpack_from(">I", moov, moov.index(b"stts") + 16)
    struct.pack_into(">I", moov, at, 0)
    for table in (b"stts", b"stsc", b"stco"):
        struct.pack_into(">I", moov, moov.index(table) + 8, 0)
    moov = moov.replace(b"edts", b"free")
    for header in (b"mvhd", b"mdhd"):
        at = moov.index(header) + 20
        (length,) = struct.unpack_from(">I", moov, at)
        struct.pack_into(">I", moov, at, round(length * longer))

    def moof(start):
        frames = box(b"trun", integers(0x201, count, start, *sizes))
        track = box(b"traf", box(b"tfhd", integers(0x20000, 1)), frames)
        return box(b"moof", box(b"mfhd", integers(0, 1)), track)

    path.write_bytes(
        content[: content.index(b"mdat") - 4]
        + box(b"moov", moov, box(b"mvex", box(b"trex", integers(0, 1, 1, step, 0, 0))))
        + moof(len(moof(0)) + 8)
        + box(b"mdat", content[first:end])
    )


def box(name, *parts):
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def integers(*values):
    return struct.pack(f">{len(values)}I", *values)
