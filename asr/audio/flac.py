"""The length of a FLAC stream whose header leaves it open, from its last frame (RFC 9639, section 9)."""

import re
from functools import cache

from asr.audio.recording_file import File

LARGEST_FRAME = 1 << 22  # bytes that the last frame is searched in
SYNC = re.compile(rb"\xff[\xf8\xf9]")
BLOCK_SIZES = {1: 192, **{code: 576 << (code - 2) for code in range(2, 6)}, **{c: 256 << (c - 8) for c in range(8, 16)}}


def count_samples(file: File, start: int, end: int) -> int | None:
    """Samples per channel of the stream in bytes `start` to `end`, or None if no frame ends there."""
    block_size = int.from_bytes(file.read(start + 10, 2), "big")  # the largest, which all but the last frame have
    first = max(start, end - LARGEST_FRAME)
    data = file.read(first, end - first)
    for match in reversed(list(SYNC.finditer(data))):
        frame = data[match.start() :]
        parsed = _parse_header(frame[:16])
        if parsed and _crc(frame[:-2], 0x8005, 16) == int.from_bytes(frame[-2:], "big"):
            number, size = parsed
            return (number if frame[1] & 1 else number * block_size) + size
    return None


def _parse_header(data: bytes) -> tuple[int, int] | None:
    """The coded number (of the frame, or of its first sample) and the block size, or None if it is not a header."""
    if len(data) < 6 or data[3] & 1:
        return None
    length = max(1, 8 - (data[4] ^ 0xFF).bit_length())  # of a number in extended UTF-8: its leading ones
    number = data[4] if length == 1 else data[4] & (0x7F >> length)
    for byte in data[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    place, code = 4 + length, data[2] >> 4
    extra = {6: 1, 7: 2}.get(code, 0)
    size = int.from_bytes(data[place : place + extra], "big") + 1 if extra else BLOCK_SIZES.get(code)
    place += extra + {12: 1, 13: 2, 14: 2}.get(data[2] & 15, 0)
    if size is None or place >= len(data) or _crc(data[:place], 0x07, 8) != data[place]:
        return None
    return number, size


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    """The highest bit first, from 0, as FLAC's frames have it."""
    table, mask, value = _crc_table(polynomial, bits), (1 << bits) - 1, 0
    for byte in data:
        value = (value << 8 ^ table[value >> bits - 8 ^ byte]) & mask
    return value


@cache
def _crc_table(polynomial: int, bits: int) -> list[int]:
    table = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value >> bits - 1 else 0)) & (1 << bits) - 1
        table.append(value)
    return table
