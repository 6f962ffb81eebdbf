"""Where the recordings in a file begin and end, even where its headers are wrong.

libsndfile trusts the length in a header, and reads only the first of several recordings that were joined (by `cat` or a
stream recorder). But writers to a pipe leave lengths open, MP3 often has none, and a truncated file keeps the length
that it had. So the structure is read here first: each recording is found to its true end, with an open length filled
in, or reported as cut short.
"""

import functools
import struct
from collections.abc import Callable, Iterator

from asr.audio import flac, media, mpeg
from asr.audio.recording_file import File, Recording
from asr.errors import AudioError

MOST_CHUNKS = 10_000  # of a RIFF or AIFF file: real ones have a few dozen
MOST_RECORDINGS = 10_000  # joined in one file

FLAC_MAGIC = b"fLaC\0\0\0\x22"  # with the header of STREAMINFO, which comes first (RFC 9639, section 8.1)
EBML_MAGIC = b"\x1a\x45\xdf\xa3"
W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")


@functools.lru_cache(maxsize=1024)  # all of a FLAC file is searched, and a manifest may name many parts of it
def find_recordings(file: File, name: str) -> tuple[Recording, ...]:
    """The recordings of a file, one after the other; those of an unknown format are one.

    Raises `AudioError` when one is cut short.
    """
    found: list[Recording] = []
    position = 0
    while position < file.size and len(found) < MOST_RECORDINGS:
        parser = _parser(file, position)
        if parser is None:
            break
        try:
            found += parser(file, position, name)
        except EOFError as error:  # within a header: libsndfile's message is better
            if found:
                raise AudioError(f"{name}: cut short within recording {len(found) + 1}; copy it again") from error
            break
        position = max(found[-1].end, position + 1)
    # What no parser knows is left to libsndfile, and so is what follows the last recording, such as tags.
    if len(found) <= 1 and not (found and (found[0].patches or found[0].head)):
        return (Recording(0, file.size),)
    return tuple(found)


Parser = Callable[[File, int, str], list[Recording]]


def _parser(file: File, position: int) -> Parser | None:
    head = file.read(position, 16)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _wav
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff
    magic: dict[bytes, Parser] = {
        W64_RIFF: _w64,
        FLAC_MAGIC: _flac,
        b"OggS": _ogg,
        b".snd": _au,
        b"dns.": _au,
        b"caff": _caf,
        b"NIST_1A\n": _nist,
        EBML_MAGIC: _matroska,
    }
    for start, parser in magic.items():
        if head.startswith(start):
            return parser
    if head[:3] == b"ID3":
        after = position + 10 + mpeg.tag_size(file.read(position, 10))
        return _flac_with_tag if file.read(after, 8) == FLAC_MAGIC else _mp3
    if head[4:8] == b"ftyp":
        return _mp4
    if media.is_foreign(file.read(position, media.HEAD)) or mpeg.find_frame(file, position) is None:
        return None
    return _mp3


def _follows(file: File, position: int) -> bool:
    """Whether a recording of another format begins here."""
    return file.read(position, 4) in (b"RIFF", b"RF64", b"FORM", b"OggS", b"fLaC", b"caff", b".snd")


def _is_open(length: int, bits: int = 32) -> bool:
    """Whether a length is a placeholder for an unknown one: 0, all bits set, or about the largest possible value.

    sox writes 0x7F000000 and 0x7FFFF000, arecord 2**31, ffmpeg all bits.
    """
    if bits == 64:
        return length == 0 or length >= 1 << 62
    return length == 0 or 0x7F000000 <= length <= 0x80010000 or length >= 0xFFFF0000


def _check_end(end: int, start: int, file: File, name: str) -> None:
    if end > file.size:
        share = 100 * max(0, file.size - start) / max(1, end - start)
        raise AudioError(f"{name}: cut short, {share:.0f}% of the samples are there; copy it again")


def _wav(file: File, start: int, name: str) -> list[Recording]:
    """RIFF, or with 64-bit lengths in a chunk ds64 RF64 (EBU Tech 3306)."""
    magic, riff = file.unpack("<4sxxxxxxxx4s", start)[0], 0
    order = ">" if magic == b"RIFX" else "<"
    (riff,) = file.unpack(f"{order}I", start + 4)
    wide = None  # position of the data's length in ds64
    for chunk, body, length in _chunks(file, start + 12, order):
        if chunk == b"ds64":
            wide = body + 8
        if chunk != b"data":
            continue
        if wide is not None and length == 0xFFFFFFFF:
            (length,) = file.unpack("<Q", wide)
            is_open = _is_open(length, 64)
        else:
            wide, is_open = None, _is_open(length)
        if length == 0 and _is_chunk(file, body, order):
            is_open = False  # an empty recording, then tags
        if not is_open:
            _check_end(body + length, body, file, name)
            end = body + length
            outer = start + 8 + riff
            patches = ((start, b"RF64"),) if magic == b"BW64" else ()
            return [Recording(start, outer if end <= outer <= file.size else end, patches)]
        end = _next_wav(file, body)
        if wide is not None:  # libsndfile knows BW64 by its older name only
            return [Recording(start, end, ((start, b"RF64"), (wide, struct.pack("<Q", end - body))))]
        return [Recording(start, end, ((body - 4, struct.pack(f"{order}I", min(end - body, 0xFFFFFFFF))),))]
    raise AudioError(f"{name}: a WAV file without samples; record or copy it again")


def _next_wav(file: File, position: int) -> int:
    """Where the next WAV file begins that was joined behind one of open length, or the end of the file."""
    found = file.find(b"WAVEfmt ", position)
    return found - 8 if found >= 0 and file.read(found - 8, 4) == b"RIFF" else file.size


def _chunks(file: File, position: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """(name, position of the content, length) of each chunk of a RIFF or AIFF file."""
    for _ in range(MOST_CHUNKS):
        if position + 8 > file.size:
            return
        chunk, length = file.unpack(f"{order}4sI", position)
        yield chunk, position + 8, length
        position += 8 + length + length % 2


def _is_chunk(file: File, position: int, order: str) -> bool:
    """Whether a known chunk, or nothing, is at this position rather than samples."""
    return position >= file.size or file.read(position, 4) in (b"LIST", b"id3 ", b"ID3 ", b"cue ", b"PEAK", b"bext")


def _w64(file: File, start: int, name: str) -> list[Recording]:
    """Sony Wave64: chunks with GUIDs for names and 64-bit lengths that include their headers."""
    position = start + 40
    (outer,) = file.unpack("<Q", start + 16)
    for _ in range(MOST_CHUNKS):
        guid, length = file.unpack("<16sQ", position)
        if guid == W64_DATA:
            if not _is_open(length, 64) and length != 24:
                _check_end(position + length, position + 24, file, name)
                end = position + length
                return [Recording(start, start + outer if end <= start + outer <= file.size else end)]
            patches = ((start + 16, struct.pack("<Q", file.size - start)),)
            return [Recording(start, file.size, (*patches, (position + 16, struct.pack("<Q", file.size - position))))]
        position += max(24, length + -length % 8)
    return [Recording(start, file.size)]


def _aiff(file: File, start: int, name: str) -> list[Recording]:
    """AIFF and AIFF-C, with a number of frames in COMM and a length in SSND."""
    (outer,) = file.unpack(">I", start + 4)
    frames_at, frame_bytes = None, 0
    for chunk, body, length in _chunks(file, start + 12, ">"):
        if chunk == b"COMM":
            channels, _, bits = file.unpack(">hIh", body)
            code = file.read(body + 18, 4) if length >= 22 else b"NONE"
            frames_at = body + 2
            frame_bytes = 0 if code in (b"ima4", b"GSM ") else max(0, channels) * (max(0, bits) + 7 >> 3)
            if code.lower() in (b"ulaw", b"alaw"):
                frame_bytes = max(0, channels)
        if chunk != b"SSND":
            continue
        if not _is_open(length):
            _check_end(body + length, body, file, name)
            end = max(body + length, min(start + 8 + outer, file.size) if not _is_open(outer) else 0)
            return [Recording(start, end, _aiff_frames(file, frames_at, frame_bytes, length - 8))]
        end = file.size
        patches = _aiff_frames(file, frames_at, frame_bytes, end - body - 8)
        return [Recording(start, end, (*patches, (body - 4, struct.pack(">I", min(end - body, 0xFFFFFFFF)))))]
    return [Recording(start, file.size)]


def _aiff_frames(file: File, position: int | None, frame_bytes: int, length: int) -> tuple[tuple[int, bytes], ...]:
    """The number of frames in COMM, if it was left open and follows from `length` bytes of samples."""
    if position is None or not frame_bytes or length <= 0 or not _is_open(file.unpack(">I", position)[0]):
        return ()
    return ((position, struct.pack(">I", min(length // frame_bytes, 0xFFFFFFFF))),)


def _au(file: File, start: int, name: str) -> list[Recording]:
    """Sun AU: offset and length of the samples."""
    order = ">" if file.read(start, 4) == b".snd" else "<"
    offset, length = file.unpack(f"{order}II", start + 4)
    if _is_open(length):
        return [Recording(start, file.size, ((start + 8, struct.pack(f"{order}I", file.size - start - offset)),))]
    _check_end(start + offset + length, start + offset, file, name)
    return [Recording(start, start + offset + length)]


def _caf(file: File, start: int, name: str) -> list[Recording]:
    """Apple's Core Audio Format: chunks with 64-bit lengths; -1 of the last one means to the end of the file."""
    position, data = start + 8, False
    for _ in range(MOST_CHUNKS):
        try:
            chunk, length = file.unpack(">4sq", position)
        except EOFError:
            break
        if not chunk.isascii() or (data and _follows(file, position)):
            break
        if chunk == b"data" and _is_open(length % (1 << 64), 64):
            patch = struct.pack(">q", file.size - position - 12)
            return [Recording(start, file.size, ((position + 4, patch),))]
        if length < 0:
            break
        _check_end(position + 12 + length, position + 12, file, name)
        position += 12 + length
        data |= chunk == b"data"
    return [Recording(start, position if data and _follows(file, position) else file.size)]


def _nist(file: File, start: int, name: str) -> list[Recording]:
    """NIST SPHERE: a text header that ends in `end_head`."""
    lines = file.read(start, 16).split(b"\n")
    header = int(lines[1]) if len(lines) > 1 and lines[1].strip().isdigit() else 1024
    fields = [line.split(None, 2) for line in file.read(start, min(header, 65536)).split(b"end_head")[0].split(b"\n")]
    values = {parts[0]: parts[2].strip() for parts in fields if len(parts) == 3}
    if b"shorten" in values.get(b"sample_coding", b""):
        raise AudioError(f"{name}: SPHERE compressed by shorten; convert it: sph2pipe -f wav {name} out.wav")
    try:
        samples = int(values[b"sample_count"]) * int(values.get(b"channel_count", b"1"))
        end = start + header + samples * int(values[b"sample_n_bytes"])
    except (KeyError, ValueError):
        return [Recording(start, file.size)]
    if end <= start + header:
        return [Recording(start, file.size)]
    _check_end(end, start + header, file, name)
    return [Recording(start, end)]


def _flac(file: File, start: int, name: str) -> list[Recording]:
    """A STREAMINFO block, with the number of samples in 36 bits, and frames."""
    following = file.find(FLAC_MAGIC, start + len(FLAC_MAGIC))
    end = following if following >= 0 else file.size
    (total,) = file.unpack(">Q", start + 18)
    if total % (1 << 36):
        return [Recording(start, end)]
    samples = flac.count_samples(file, start, end)
    if samples is None:
        raise AudioError(f"{name}: cut short within the last FLAC frame; copy it again")
    return [Recording(start, end, ((start + 18, struct.pack(">Q", total | samples)),))]


def _flac_with_tag(file: File, start: int, name: str) -> list[Recording]:
    return _flac(file, start + 10 + mpeg.tag_size(file.read(start, 10)), name)


def _ogg(file: File, start: int, name: str) -> list[Recording]:
    """All links of an Ogg file (RFC 3533): a page with the flag "first" behind one without begins another."""
    links, flags, previous = [], 0, 0
    position = begin = start
    while position < file.size:
        try:
            magic, _, flags, _, segments = file.unpack("<4sBB20sB", position)
            table = file.unpack(f"{segments}B", position + 27)
        except EOFError:
            raise AudioError(f"{name}: cut short within the last Ogg page; copy it again") from None
        if magic != b"OggS":
            following = -1 if _follows(file, position) else file.find(b"OggS", position)
            if following < 0:
                break  # another recording, tags or padding behind the last page
            position = following
            continue
        if flags & 2 and not previous & 2 and position > begin:
            _check_last_page(previous, name)
            links.append(Recording(begin, position))
            begin = position
        previous = flags
        position += 27 + segments + sum(table)
    if position > file.size:
        raise AudioError(f"{name}: cut short, the last Ogg page lacks {position - file.size} bytes; copy it again")
    _check_last_page(previous, name)
    return [*links, Recording(begin, position if _follows(file, position) else file.size)]


def _check_last_page(flags: int, name: str) -> None:
    if not flags & 4:
        raise AudioError(
            f"{name}: cut short, the last Ogg page has no end mark; copy it again, or convert what is there: "
            f"ffmpeg -i {name} out.wav"
        )


def _mp4(file: File, start: int, name: str) -> list[Recording]:
    """MP4: boxes, of which the first one is `ftyp`, and so is that of another file joined behind it."""
    position = start
    while position + 8 <= file.size:
        length, box = file.unpack(">I4s", position)
        if box == b"ftyp" and position > start:
            return [Recording(start, position)]
        if length == 1:
            (length,) = file.unpack(">Q", position + 8)
        if length < 8:  # 0: to the end of the file
            break
        position += length
    return [Recording(start, file.size)]


def _matroska(file: File, start: int, name: str) -> list[Recording]:
    """WebM and Matroska: an EBML header, whose first element is its version, at the start of each file."""
    position = start
    while (position := file.find(EBML_MAGIC, position + 4)) >= 0:
        if b"\x42\x86\x81\x01" in file.read(position, 20):
            return [Recording(start, position)]
    return [Recording(start, file.size)]


def _mp3(file: File, start: int, name: str) -> list[Recording]:
    *links, (first, end, head) = mpeg.find_streams(file, start)
    last = Recording(first, end if _follows(file, end) else file.size, (), head)
    return [*(Recording(first, end, (), head) for first, end, head in links), last]
