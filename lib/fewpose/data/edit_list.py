"""The header of an MP4: what a film that was trimmed without being written anew still shows."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

Span = tuple[int, int]  # first byte and end of what a box holds


def shown_share(path: Path) -> float:
    """The part of a film's frames that players show, 1 where there is no edit list or no MP4.

    Phones and lossless cutters leave all pictures in the file and note which are to be shown; its header goes on
    counting all (ISO/IEC 14496-12, 8.6.6).
    """
    try:
        data = movie(path)
        scale, _ = clock(data, find(data, "mvhd")[0])
        for track in find(data, "trak"):
            (mdia,) = find(data, "mdia", track)
            (handler,) = find(data, "hdlr", mdia)
            if data[handler[0] + 8 : handler[0] + 12] != b"vide":
                continue
            ticks, length = clock(data, find(data, "mdhd", mdia)[0])
            lists = [e for edits in find(data, "edts", track) for e in find(data, "elst", edits)]
            shown = sum(edits(data, lists[0])) / scale if lists else 0
            return min(1.0, shown * ticks / length) if shown and length else 1.0
    except (OSError, struct.error, IndexError, ValueError, ZeroDivisionError):
        pass  # no MP4, or one that the decoder will call broken
    return 1.0


def fragmented(path: Path) -> bool:
    """Whether a file is an MP4 in fragments, as browsers write it: its header counts no frames."""
    try:
        return bool(find(movie(path), "mvex"))
    except (OSError, struct.error, ValueError):
        return False  # no MP4


def movie(path: Path) -> bytes:
    """What the box `moov` of a file holds; ValueError if there is none."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = 0
        while start + 8 <= size:
            file.seek(start)
            length, name = struct.unpack(">I4s", file.read(8))
            head = 8
            if length == 1:
                (length,), head = struct.unpack(">Q", file.read(8)), 16
            length = length or size - start
            if name == b"moov":
                return file.read(length - head)
            start += max(length, head)
    raise ValueError(f"{path} has no moov")


def find(data: bytes, name: str, span: Span | None = None) -> list[Span]:
    """What the boxes of a name directly inside of `span` hold."""
    return [inner for kind, inner in boxes(data, *(span or (0, len(data)))) if kind == name]


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[str, Span]]:
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        if length < 8:
            return
        yield kind.decode("latin-1"), (start + 8, min(end, start + length))
        start += length


def clock(data: bytes, span: Span) -> tuple[int, int]:
    """Ticks a second and length in ticks, of a movie's or a track's header."""
    at = span[0]
    if data[at] == 1:
        return struct.unpack_from(">IQ", data, at + 20)
    return struct.unpack_from(">II", data, at + 12)


def edits(data: bytes, span: Span) -> Iterator[int]:
    """How long each edit shows pictures, in the movie's ticks; an empty one shows none."""
    at = span[0]
    form, size = (">Qq4x", 20) if data[at] == 1 else (">Ii4x", 12)
    (count,) = struct.unpack_from(">I", data, at + 4)
    for i in range(count):
        duration, media = struct.unpack_from(form, data, at + 8 + size * i)
        if media >= 0:
            yield duration
