"""Damaged sound files, each made from its number alone: number N is the same file on every machine and day.

The first ones are written by hand: headers with absurd values and files that decode to far more than they hold. The
others are good files of every format that were cut, flipped, overwritten or mixed.
"""

import functools
import gzip
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import soundfile

from asr.audio.io import SUFFIXES

SEED = 6

# format, subtype, suffix, hertz, channels
KINDS = (
    ("WAV", "PCM_U8", ".wav", 11025, 1),
    ("WAV", "PCM_16", ".wav", 16000, 1),
    ("WAV", "PCM_16", ".wav", 44100, 2),
    ("WAV", "PCM_24", ".wav", 48000, 2),
    ("WAV", "PCM_32", ".wav", 16000, 1),
    ("WAV", "FLOAT", ".wav", 16000, 1),
    ("WAV", "DOUBLE", ".wav", 16000, 1),
    ("WAV", "ULAW", ".wav", 8000, 1),
    ("WAV", "IMA_ADPCM", ".wav", 16000, 1),
    ("WAV", "MS_ADPCM", ".wav", 16000, 1),
    ("WAV", "GSM610", ".wav", 8000, 1),
    ("WAVEX", "PCM_16", ".wav", 16000, 2),
    ("WAVEX", "FLOAT", ".wav", 16000, 1),
    ("RF64", "PCM_16", ".wav", 16000, 1),
    ("W64", "PCM_16", ".w64", 16000, 1),
    ("W64", "FLOAT", ".w64", 16000, 1),
    ("FLAC", "PCM_16", ".flac", 16000, 1),
    ("FLAC", "PCM_24", ".flac", 48000, 2),
    ("OGG", "VORBIS", ".ogg", 16000, 1),
    ("OGG", "VORBIS", ".oga", 44100, 2),
    ("OGG", "OPUS", ".opus", 48000, 1),
    ("OGG", "OPUS", ".opus", 16000, 2),
    ("MP3", "MPEG_LAYER_III", ".mp3", 16000, 1),
    ("MP3", "MPEG_LAYER_III", ".mp3", 44100, 2),
    ("AIFF", "PCM_16", ".aiff", 16000, 1),
    ("AIFF", "FLOAT", ".aifc", 16000, 2),
    ("AU", "PCM_16", ".au", 16000, 1),
    ("CAF", "PCM_16", ".caf", 16000, 1),
    ("CAF", "ALAC_16", ".caf", 16000, 1),
)

EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 10_000_000, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1)
WIDE_EXTREMES = (*EXTREMES, 2**36, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


@functools.cache
def good_sound(kind: int) -> bytes:
    """A quarter of a second of noise as one of `KINDS`."""
    form, subtype, _, rate, channels = KINDS[kind]
    samples = 0.1 * np.random.default_rng(kind).standard_normal((rate // 4, channels))
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=form, subtype=subtype)
    return stream.getvalue()


def damaged_sound(number: int) -> tuple[str, bytes]:
    """The file's name, which says what was done to it, and its content."""
    made = by_hand()
    if number < len(made):
        return made[number]
    random = np.random.default_rng([SEED, number])
    damage = DAMAGES[number % len(DAMAGES)]
    kind = int(random.integers(len(KINDS)))
    data = damage(random, bytearray(good_sound(kind)))
    form, subtype, suffix, _, _ = KINDS[kind]
    if damage is nonsense:
        form, subtype, suffix = "no", "format", SUFFIXES[number // len(DAMAGES) % len(SUFFIXES)]
    return f"{damage.__name__}-{form}-{subtype}{suffix}".lower(), bytes(data)


def nonsense(random: np.random.Generator, data: bytearray) -> bytes:
    """Random bytes, behind the first bytes of a real format or not."""
    start = random.choice([0, 0, 4, 12, 48])
    return bytes(data[:start]) + random.bytes(int(random.integers(0, 4000)))


def cut(random: np.random.Generator, data: bytearray) -> bytearray:
    """The end lost."""
    return data[: random.integers(len(data))]


def cut_in_the_header(random: np.random.Generator, data: bytearray) -> bytearray:
    """All but a part of the header lost."""
    return data[: random.integers(200)]


def beheaded(random: np.random.Generator, data: bytearray) -> bytearray:
    """The start lost."""
    return data[random.integers(1, len(data)) :]


def flipped_header_bits(random: np.random.Generator, data: bytearray) -> bytearray:
    """A few bits of the header turned over."""
    for place in random.integers(0, min(len(data), 120), random.integers(1, 6)):
        data[place] ^= 1 << random.integers(8)
    return data


def flipped_header_bytes(random: np.random.Generator, data: bytearray) -> bytearray:
    """A few bytes of the header replaced."""
    for place in random.integers(0, min(len(data), 120), random.integers(1, 4)):
        data[place] = random.integers(256)
    return data


def flipped_anywhere(random: np.random.Generator, data: bytearray) -> bytearray:
    """Bits turned over all along the file."""
    for place in random.integers(0, len(data), random.integers(1, 60)):
        data[place] ^= 1 << random.integers(8)
    return data


def absurd_field(random: np.random.Generator, data: bytearray) -> bytearray:
    """A field of the header set to an extreme."""
    order = random.choice(["<", ">"])
    size = random.choice([2, 4, 8])
    place = random.integers(4, min(len(data) - 8, 100)) & (~1 if random.random() < 0.8 else ~0)
    value = int(random.choice(np.array(WIDE_EXTREMES, np.uint64))) % (1 << 8 * int(size))
    data[place : place + size] = struct.pack(order + {2: "H", 4: "I", 8: "Q"}[int(size)], value)
    return data


def overwritten(random: np.random.Generator, data: bytearray) -> bytearray:
    """A stretch of zeros or of ones, as a failing disk leaves it."""
    start = random.integers(len(data))
    size = min(len(data) - start, random.integers(1, 2000))
    data[start : start + size] = bytes([random.choice([0, 255])]) * int(size)
    return data


def shuffled(random: np.random.Generator, data: bytearray) -> bytearray:
    """A stretch taken out and put in elsewhere, or there a second time."""
    first, last = sorted(random.integers(0, len(data), 2))
    piece, place = data[first:last], random.integers(len(data))
    rest = data if random.random() < 0.5 else data[:first] + data[last:]
    return rest[:place] + piece + rest[place:]


def mixed(random: np.random.Generator, data: bytearray) -> bytearray:
    """The start of one format, then the rest of another."""
    place = random.integers(4, 200)
    return data[:place] + good_sound(int(random.integers(len(KINDS))))[place:]


def flipped_behind_the_checksum(random: np.random.Generator, data: bytearray) -> bytearray:
    """Bytes replaced anywhere and the checksums of Ogg pages, if it has any, made right again."""
    for place in random.integers(0, min(len(data), random.choice([150, 5000])), random.integers(1, 6)):
        data[place] = random.integers(256)
    place = data.find(b"OggS")
    while place >= 0 and place + 27 <= len(data):
        table = data[place + 27 : place + 27 + data[place + 26]]
        end = place + 27 + len(table) + sum(table)
        data[place + 22 : place + 26] = bytes(4)
        data[place + 22 : place + 26] = struct.pack("<I", _ogg_checksum(data[place:end]))
        place = data.find(b"OggS", place + 4)
    return data


DAMAGES: tuple[Callable, ...] = (
    nonsense,
    cut,
    cut_in_the_header,
    beheaded,
    flipped_header_bits,
    flipped_header_bytes,
    flipped_anywhere,
    absurd_field,
    overwritten,
    shuffled,
    mixed,
    flipped_behind_the_checksum,
)


@functools.cache
def by_hand() -> tuple[tuple[str, bytes], ...]:
    """Names and contents of the files that are written field by field."""
    made = [(f"empty{suffix}", b"") for suffix in SUFFIXES]
    foreign = {
        "text": b"chapter one\nit was a dark night\n" * 50,
        "gzip": gzip.compress(good_sound(1), mtime=0),
        "png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 8, 8, 8, 2, 0, 0, 0) + bytes(200),
        "zip": b"PK\3\4" + bytes(400),
        "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "zeros": bytes(5000),
        "ones": b"\xff" * 5000,
        "sync": b"\xff\xfb\x90\x00" * 1000,  # the first bytes of an MP3 frame, again and again
        "id3": b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(3000),
    }
    made += [(f"{name}{suffix}", data) for name, data in foreign.items() for suffix in (".wav", ".mp3", ".flac")]
    made += [(f"rate-{rate}.wav", wav(rate=rate)) for rate in RATES]
    made += [(f"rate-{rate}-short.wav", wav(rate=rate, samples=10)) for rate in RATES]
    made += [(f"rate-{rate}.flac", flac(rate=rate, frames=3, block=4096)) for rate in RATES if rate < 2**20]
    made += [(f"channels-{n}.wav", wav(channels=n)) for n in (0, 3, 255, 256, 1024, 1025, 0x8000, 0xFFFF)]
    made += [(f"channels-{n}-with-samples.wav", wav(channels=n, samples=n * 5000)) for n in (255, 1024)]
    made += [(f"bits-{bits}.wav", wav(bits=bits)) for bits in (0, 1, 7, 12, 24, 33, 64, 0xFFFF)]
    made += [(f"align-{align}.wav", wav(align=align)) for align in (0, 1, 3, 0xFFFF)]
    made += [(f"tag-{tag}.wav", wav(tag=tag)) for tag in (0, 2, 3, 6, 7, 17, 49, 80, 85, 255, 0xFFFE, 0xFFFF)]
    made += [(f"length-{n}.wav", wav(length=n)) for n in EXTREMES]
    made += [(f"riff-length-{n}.wav", wav(riff=n)) for n in EXTREMES]
    made += [(f"rf64-{n}-{m}.wav", rf64(n, m)) for n in WIDE_EXTREMES[::3] for m in WIDE_EXTREMES[::3]]
    made += [(f"aiff-rate-{e:x}.aiff", aiff(exponent=e)) for e in (0, 0x3FFE, 0x3FFF, 0x4016, 0x401E, 0x7FFF, 0xC00E)]
    made += [(f"aiff-frames-{n}.aiff", aiff(frames=n)) for n in EXTREMES]
    made += [(f"aiff-channels-{n}.aiff", aiff(channels=n)) for n in (0, 255, 1024, 0x7FFF, 0xFFFF)]
    made += [(f"au-{place}-{n}.au", au(place, n)) for place in range(1, 6) for n in EXTREMES]
    made += [(f"flac-claims-{n}.flac", flac(total=n, frames=3)) for n in (0, 1, 2**20, 2**31, 2**35, 2**36 - 1)]
    made += [(f"flac-bomb-{rate}-{n}.flac", flac(rate=rate, frames=n)) for rate in RATES[2:8] for n in (60, 700, 7000)]
    made += [(f"flac-8-channel-bomb-{n}.flac", flac(channels=8, frames=n)) for n in (60, 700, 7000)]
    made += [(f"{value}-{form}.{form}".lower(), not_sound(value, form)) for value in VALUES for form in FLOAT_FORMS]
    made += [("a-chunk-for-every-8-bytes.wav", b"RIFF\xff\xff\xff\x7fWAVE" + bytes(20_000_000))]
    return tuple(made)


RATES = (0, 1, 2, 100, 1999, 8000, 16000, 48000, 384000, 655350, 1_000_000, 10_000_000, 2**31 - 1, 2**31, 2**32 - 1)
VALUES = ("nan", "inf", "-inf", "1e30", "3e38", "1e-44")
FLOAT_FORMS = ("WAV", "AIFF", "W64", "CAF", "AU")


def wav(rate=16000, channels=1, bits=16, align=None, tag=1, length=None, riff=None, samples=4000) -> bytes:
    """A WAV file of noise whose header has these values, whether they fit or not."""
    data = np.random.default_rng(0).integers(-3000, 3000, samples).astype("<i2").tobytes()
    align = channels * bits // 8 % 65536 if align is None else align
    speed = rate * align % 2**32
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, rate, speed, align, bits)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(data) if length is None else length) + data
    return struct.pack("<4sI", b"RIFF", len(body) if riff is None else riff) + body


def rf64(size: int, frames: int) -> bytes:
    """An RF64 file with these 64-bit numbers for the data's bytes and the frames."""
    data = bytearray(good_sound(13))
    place = data.index(b"ds64") + 8
    data[place + 8 : place + 24] = struct.pack("<QQ", size, frames)
    return bytes(data)


def aiff(exponent=0x400C, frames=4000, channels=1) -> bytes:
    """An AIFF file; its rate is an 80-bit float with this sign and exponent."""
    data = bytes(8000)
    common = struct.pack(">4sIHIHHQ", b"COMM", 18, channels, frames, 16, exponent, 0xFA << 56)
    body = b"AIFF" + common + struct.pack(">4sIII", b"SSND", len(data) + 8, 0, 0) + data
    return struct.pack(">4sI", b"FORM", len(body)) + body


def au(place: int, value: int) -> bytes:
    """A Sun AU file with one of its six fields replaced."""
    fields = [0x2E736E64, 24, 8000, 3, 16000, 1]
    fields[place] = value
    return struct.pack(">6I", *fields) + bytes(8000)


def flac(rate=16000, channels=1, frames=1, block=65535, total=None) -> bytes:
    """A FLAC file of frames of digital silence, 14 bytes each, with right checksums (RFC 9639)."""
    total = frames * block if total is None else total
    info = struct.pack(">HHI", block, block, 0)[:4] + bytes(6)
    info += ((rate & 0xFFFFF) << 44 | (channels - 1) << 41 | 15 << 36 | total % 2**36).to_bytes(8, "big") + bytes(16)
    parts = [b"fLaC", b"\x80\0\0\x22", info]
    for number in range(frames):
        # Sync and fixed blocks; size in 16 bits, rate from STREAMINFO; channels, 16 bits; number; size - 1.
        head = b"\xff\xf8\x70" + bytes([(channels - 1) << 4 | 8]) + chr(number).encode() + struct.pack(">H", block - 1)
        frame = head + bytes([_crc(head, 0x07, 8)]) + bytes(3 * channels)
        parts.append(frame + struct.pack(">H", _crc(frame, 0x8005, 16)))
    return b"".join(parts)


def not_sound(value: str, form: str) -> bytes:
    """A float file with one sample that is no number, or an absurd one."""
    samples = 0.1 * np.random.default_rng(0).standard_normal(4000)
    samples[1234] = float(value)
    stream = io.BytesIO()
    soundfile.write(stream, samples.astype(np.float32), 16000, format=form, subtype="FLOAT")
    return stream.getvalue()


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    """As FLAC has it: the highest bit first, from 0."""
    value, top = 0, 1 << (bits - 1)
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & ((1 << bits) - 1)
    return value


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 as Ogg has it: zlib's polynomial with the highest bit first, from 0 and not inverted."""
    value = zlib.crc32(bytes(page).translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{value:032b}"[::-1], 2)
