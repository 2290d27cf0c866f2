"""The header of an MP4: how much a video shows that was trimmed without being re-encoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

Span = tuple[int, int]  # first byte and end of a box's content


def shown_share(path: Path) -> float:
    """The share of a video's frames that players show, 1 without an edit list and for files other than MP4.

    Phones and lossless cutters keep all frames in the file and list which to show; the header still counts all (ISO/IEC
    14496-12, 8.6.6).
    """
    try:
        data = read_moov(path)
        scale, _ = ticks_and_length(data, find(data, "mvhd")[0])
        for track in find(data, "trak"):
            (mdia,) = find(data, "mdia", track)
            (handler,) = find(data, "hdlr", mdia)
            if data[handler[0] + 8 : handler[0] + 12] != b"vide":
                continue
            ticks, length = ticks_and_length(data, find(data, "mdhd", mdia)[0])
            lists = [e for edits in find(data, "edts", track) for e in find(data, "elst", edits)]
            shown = sum(edit_lengths(data, lists[0])) / scale if lists else 0
            return min(1.0, shown * ticks / length) if shown and length else 1.0
    except (OSError, struct.error, IndexError, ValueError, ZeroDivisionError):
        pass  # not an MP4, or one that the decoder will report as broken
    return 1.0


def is_fragmented(path: Path) -> bool:
    """Whether a file is a fragmented MP4, as browsers write it: its header counts no frames."""
    try:
        return bool(find(read_moov(path), "mvex"))
    except (OSError, struct.error, ValueError):
        return False  # no MP4


def read_moov(path: Path) -> bytes:
    """The content of the box `moov` of a file; ValueError if there is none."""
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
    """The contents of the boxes of a name directly inside `span`."""
    return [inner for kind, inner in boxes(data, *(span or (0, len(data)))) if kind == name]


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[str, Span]]:
    """Name and content of each box between two bytes."""
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        if length < 8:
            return
        yield kind.decode("latin-1"), (start + 8, min(end, start + length))
        start += length


def ticks_and_length(data: bytes, span: Span) -> tuple[int, int]:
    """Ticks per second and length in ticks, from the header of a movie or track."""
    at = span[0]
    if data[at] == 1:
        return struct.unpack_from(">IQ", data, at + 20)
    return struct.unpack_from(">II", data, at + 12)


def edit_lengths(data: bytes, span: Span) -> Iterator[int]:
    """How long each edit shows frames, in the movie's ticks; empty edits show none."""
    at = span[0]
    form, size = (">Qq4x", 20) if data[at] == 1 else (">Ii4x", 12)
    (count,) = struct.unpack_from(">I", data, at + 4)
    for i in range(count):
        duration, media = struct.unpack_from(form, data, at + 8 + size * i)
        if media >= 0:
            yield duration
