"""Videos of kinds that OpenCV does not write: with empty frames, and fragmented."""

import struct


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
