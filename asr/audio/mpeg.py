"""MPEG audio frames (ISO 11172-3 and 13818-3): MP3 files have no length but that of their frames."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from asr.audio.recording_file import File

MPEG1, MPEG2, MPEG25 = 3, 2, 0  # the version's two bits
KILOBITS = {  # by (MPEG-1, layer)
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {MPEG1: (44100, 48000, 32000), MPEG2: (22050, 24000, 16000), MPEG25: (11025, 12000, 8000)}
SYNC = re.compile(rb"\xff[\xe2-\xe7\xf2-\xff]")
SEARCH = 1 << 16  # bytes searched for a first frame
BLOCK = 1 << 20  # bytes read at a time
GAPLESS = 3  # frames that a header may count more or less than there are: its own, and what an encoder adds


@dataclass(frozen=True)
class Frame:
    """The four bytes of a frame's header."""

    version: int
    layer: int
    sample_rate: int
    mono: bool
    size: int  # bytes

    @property
    def kind(self) -> tuple[int, int, int, bool]:
        """What all frames of a stream share."""
        return self.version, self.layer, self.sample_rate, self.mono

    @property
    def header_offset(self) -> int:
        """Where a first frame has the header of the stream: behind the side information, which is zero."""
        if self.version == MPEG1:
            return 4 + (17 if self.mono else 32)
        return 4 + (9 if self.mono else 17)


def parse_header(data: bytes) -> Frame | None:
    """The frame that begins with these four bytes, if one does. A free bit rate is none."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3)
    bit_rate, rate = data[2] >> 4, data[2] >> 2 & 3
    if version == 1 or layer == 4 or bit_rate in (0, 15) or rate == 3:
        return None
    bits, sample_rate, padding = (
        1000 * KILOBITS[version == MPEG1, layer][bit_rate - 1],
        RATES[version][rate],
        data[2] >> 1 & 1,
    )
    if layer == 1:
        size = 4 * (12 * bits // sample_rate + padding)
    else:
        size = (144 if layer == 2 or version == MPEG1 else 72) * bits // sample_rate + padding
    return Frame(version, layer, sample_rate, data[3] >> 6 == 3, size)


def tag_size(data: bytes) -> int:
    """Bytes behind the ten of an ID3v2 header, whose length has seven bits to a byte."""
    if len(data) < 10:
        return 0
    return sum((byte & 0x7F) << 7 * (3 - place) for place, byte in enumerate(data[6:10]))


def find_frame(file: File, start: int) -> int | None:
    """Where the first frame begins that another of its kind follows, near `start`."""
    data = file.read(start, SEARCH)
    for match in SYNC.finditer(data):
        place = match.start()
        frame = parse_header(data[place : place + 4])
        if frame is None:
            continue
        following = parse_header(file.read(start + place + frame.size, 4))
        if following and following.kind == frame.kind:
            return start + place
    return None


def find_streams(file: File, start: int) -> Iterator[tuple[int, int, bytes]]:
    """(start, end, head) of each stream of an MP3 file. `head` is a frame to put in front that states the length of a
    stream that does not state it itself, or too little."""
    begin, end, count = start, start, 0
    first: tuple[int, Frame] | None = None  # of the present stream
    header: int | None = None  # its number of frames, as stated
    for position, frame, data in _frames(file, start):
        stated = _stated_frames(frame, data)
        if first is not None and (frame.kind != first[1].kind or stated is not None):
            yield _stream(file, begin, end, first, count, header)
            begin, first = position, None
        if first is None:
            first, header = (position, frame), stated
            count = 0 if stated is None else -1
        count += 1
        end = position + frame.size
    if first is None:
        yield start, file.size, b""
    else:
        yield _stream(file, begin, end, first, count, header)


def _stream(
    file: File, begin: int, end: int, first: tuple[int, Frame], count: int, header: int | None
) -> tuple[int, int, bytes]:
    position, frame = first
    if frame.layer != 3 or (header is not None and header >= count - GAPLESS):
        return begin, end, b""
    # A frame of a header that states too little is decoded as silence, unless left out.
    skip = 0 if header is None else frame.size
    return position + skip, end, _length_frame(file.read(position, 4), count)


def _frames(file: File, start: int) -> Iterator[tuple[int, Frame, bytes]]:
    """(position, header, first bytes) of each frame, past tags and damage."""
    position, block, base = start, b"", 0
    while position + 4 <= file.size:
        if not base <= position <= base + len(block) - 200:
            block, base = file.read(position, BLOCK), position
        data = block[position - base : position - base + 200]
        frame = parse_header(data)
        if frame is not None:
            yield position, frame, data
            position += frame.size
        elif data[:3] == b"ID3":
            position += 10 + tag_size(data)
        else:
            found = find_frame(file, position + 1)
            if found is None:
                return
            position = found


def _stated_frames(frame: Frame, data: bytes) -> int | None:
    """The number of frames that a header (Xing, LAME or VBRI) states; -1 if it states none, None if there is none."""
    place = frame.header_offset
    if data[place : place + 4] in (b"Xing", b"Info"):
        flags, frames = struct.unpack(">II", data[place + 4 : place + 12].ljust(8, b"\0"))
        return frames if flags & 1 else -1
    if data[36:40] == b"VBRI":
        return struct.unpack(">I", data[50:54].ljust(4, b"\0"))[0]
    return None


def _length_frame(header: bytes, count: int) -> bytes:
    """A frame of silence that states the number of frames after it (Xing's header)."""
    for bit_rate in range(1, 15):
        candidate = bytes([0xFF, header[1] | 1, bit_rate << 4 | header[2] & 0x0C, header[3]])
        frame = parse_header(candidate)
        if frame is not None and frame.size >= frame.header_offset + 12:
            xing = b"Xing" + struct.pack(">II", 1, count)
            return (candidate.ljust(frame.header_offset, b"\0") + xing).ljust(frame.size, b"\0")
    raise AssertionError("the largest frame has room for a header")
