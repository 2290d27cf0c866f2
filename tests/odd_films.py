"""Films as OpenCV writes none: with empty frames, and in fragments."""

import struct


def drop(path, slots):
    """Empty these frames of an AVI, whose slots of time stay: a camera that is too slow does so."""
    content = bytearray(path.read_bytes())
    at, frames = content.index(b"movi") + 4, 0
    while content[at : at + 4] == b"00dc":
        (length,) = struct.unpack_from("<I", content, at + 4)
        if frames in slots:
            struct.pack_into("<I4sI", content, at + 4, 0, b"JUNK", length - 8)
        frames += 1
        at += 8 + length + length % 2
    for slot in slots:  # in the index behind the pictures, 16 bytes a frame, the length last
        struct.pack_into("<I", content, at + 8 + 16 * slot + 12, 0)
    path.write_bytes(content)


def fragment(path, longer=1.0):
    """Write an MP4 of OpenCV anew as browsers do: no count in `moov`, all pictures in a fragment.

    Its header says `longer` times the length of the pictures.
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
        pictures = box(b"trun", numbers(0x201, count, start, *sizes))
        track = box(b"traf", box(b"tfhd", numbers(0x20000, 1)), pictures)
        return box(b"moof", box(b"mfhd", numbers(0, 1)), track)

    path.write_bytes(
        content[: content.index(b"mdat") - 4]
        + box(b"moov", moov, box(b"mvex", box(b"trex", numbers(0, 1, 1, step, 0, 0))))
        + moof(len(moof(0)) + 8)
        + box(b"mdat", content[first:end])
    )


def box(name, *parts):
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def numbers(*them):
    return struct.pack(f">{len(them)}I", *them)
