"""Tar shards in WebDataset's layout (https://github.com/webdataset/webdataset): per utterance a sound, KEY.flac or of
another type, and its transcript beside it, KEY.json or KEY.txt.

Nothing is unpacked: a manifest names the bytes of each sound in its shard, and only those are read.
"""

import io
import itertools
import os
import random
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec
import soundfile

from asr.audio import media
from asr.audio.io import SUFFIXES, limit_peak, load_audio, probe
from asr.data.utterances import ByteRange, Utterance, shard_of
from asr.errors import AudioError, ManifestError
from asr.utils import storage
from asr.utils.files import replacing
from asr.utils.progress import track

BLOCK = tarfile.BLOCKSIZE
NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")
PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")  # neither a dot, at which WebDataset ends a key, nor a folder
PLACE = ("audio_filepath", "byte_range", "offset")  # of an utterance, which a shard gives
REST = 1 << 20  # bytes read at a time behind the end, where there are only zeros
LONGEST_TEXT = 1 << 20  # bytes of a transcript: a larger member is something else

Places = list[tuple[int, Utterance]]  # utterances with their positions in the corpus


def expand(path: Path) -> list[Path]:
    """The paths that `train-{0000..0999}.tar` stands for, in order; any other path alone."""
    numbers = NUMBERS.search(str(path))
    if numbers is None or os.path.lexists(path):
        return [path]
    first, last = numbers.groups()
    before, after = str(path)[: numbers.start()], str(path)[numbers.end() :]
    names = (f"{before}{number:0{len(first)}d}{after}" for number in range(int(first), int(last) + 1))
    return [each for name in names for each in expand(Path(name))]


def open_shard(path: Path) -> BinaryIO:
    """A shard, to be read by position."""
    return io.BufferedReader(storage.open_binary(path))


def read_shard(path: Path) -> Iterator[dict[str, Any]]:
    """The utterances of a shard as lines of a manifest in its folder; a line lacks what the shard lacks.

    Durations that no KEY.json states are those of the sounds' headers. Raises `ManifestError` for a file that is no
    tar file.
    """
    try:
        with open_shard(path) as file, tarfile.open(fileobj=file, mode="r:") as shard:
            for key, members in itertools.groupby(_files(shard), _key):
                line: dict[str, Any] = {}
                for member in members:
                    line |= _of_member(shard, member, path.name)
                if "byte_range" in line and "duration" not in line:
                    line |= _duration(file, *line["byte_range"])
                if line:
                    yield {"id": key} | line
            file.seek(shard.offset)
            while rest := file.read(REST):
                if rest.count(0) < len(rest):
                    raise tarfile.ReadError("there is more behind its end")
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: no such file; `asr prepare ... --shards N` writes shards") from error
    except (OSError, tarfile.TarError) as error:
        raise ManifestError(f"{path}: not a tar file that can be read ({error}); copy it again") from error


def _files(shard: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while member := shard.next():
        shard.members = []  # type: ignore[attr-defined]  # where tarfile collects all
        if member.isfile():
            yield member


def _key(member: tarfile.TarInfo) -> str:
    folder, _, name = member.name.rpartition("/")
    return os.path.join(folder, name.partition(".")[0])


def _of_member(shard: tarfile.TarFile, member: tarfile.TarInfo, shard_name: str) -> dict[str, Any]:
    """What a member adds to the line of its utterance."""
    suffix = member.name[len(_key(member)) :].lower()
    if suffix in SUFFIXES or suffix in media.SUFFIXES:
        return {"audio_filepath": f"{shard_name}/{member.name}", "byte_range": [member.offset_data, member.size]}
    if suffix not in (".json", ".txt") or member.size > LONGEST_TEXT:
        return {}
    content = shard.extractfile(member).read()  # type: ignore[union-attr]  # a file has content
    if suffix == ".txt":
        return {"text": content.decode("utf-8", "replace").strip()}
    try:
        values = msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.DecodeError:
        return {"text": None}
    return {key: value for key, value in values.items() if key not in PLACE}


def _duration(file: BinaryIO, start: int, size: int) -> dict[str, float]:
    file.seek(start)
    try:
        return {"duration": soundfile.info(io.BytesIO(file.read(size))).duration}
    except (soundfile.LibsndfileError, RuntimeError):
        return {}


def read_sound(path: Path, byte_range: ByteRange) -> BinaryIO:
    """The bytes of a recording SHARD.tar/NAME, as a file with its name.

    Raises `AudioError` when it is not where its manifest says.
    """
    start, size = byte_range
    try:
        content = storage.read_range(shard_of(str(path)), start - BLOCK, BLOCK + size)
        header = tarfile.TarInfo.frombuf(content[:BLOCK], "utf-8", "surrogateescape")
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror or error}; copy the shard again") from error
    except tarfile.HeaderError as error:
        raise _moved(path, start) from error
    if header.size != size or len(content) != BLOCK + size:
        raise _moved(path, start)
    return _NamedBytes(content[BLOCK:], str(path))


def sound_of(utterance: Utterance) -> Path | BinaryIO:
    """The recording: a file, or its bytes in a shard."""
    path, byte_range = utterance.audio_filepath, utterance.byte_range
    return read_sound(path, byte_range) if byte_range else path


class _NamedBytes(io.BytesIO):
    def __init__(self, content: bytes, name: str):
        super().__init__(content)
        self.name = name  # for messages


def _moved(path: Path, start: int) -> AudioError:
    return AudioError(
        f"{path}: not at byte {start} of its shard, which is not the one that the manifest names; prepare both again"
    )


class ShardWriter(Protocol):
    """`write_shard` for each of some shards, given with their utterances: here, or on a cluster."""

    def __call__(self, shards: Sequence[tuple[Path, Places]]) -> Iterable[Places]: ...


def write_here(shards: Sequence[tuple[Path, Places]]) -> Iterable[Places]:
    """Write shards one after the other."""
    return map(write_shard, track(shards, "shards", len(shards)))


def shard_subsets(
    folder: Path, subsets: dict[str, list[Utterance]], count: int, write: ShardWriter = write_here
) -> tuple[dict[str, list[Utterance]], dict[str, int]]:
    """Write the subsets of a corpus into shards, `count` for the largest and the others in proportion; returns the
    utterances with their places, and the numbers of shards.

    Utterances are dealt out in a random order that depends on their number only. Raises `ManifestError` when more
    shards of an earlier run would remain beside them, `AudioError` naming a recording that cannot be read.
    """
    largest = max(map(len, subsets.values()))
    counts = {name: min(len(part), max(1, round(count * len(part) / largest))) for name, part in subsets.items()}
    for name, number in counts.items():
        if storage.is_file(surplus := folder / f"{name}-{number:04d}.tar"):
            raise ManifestError(f"{surplus}: of an earlier run with more shards; delete its shards, or write elsewhere")
    shards = [
        (name, folder / f"{name}-{number:04d}.tar", dealt)
        for name, part in subsets.items()
        for number, dealt in enumerate(_deal(part, counts[name]))
    ]
    placed: dict[str, Places] = {name: [] for name in subsets}
    for (name, _, _), places in zip(shards, write([shard[1:] for shard in shards]), strict=True):
        placed[name] += places
    return {
        name: [utterance for _, utterance in sorted(places, key=itemgetter(0))] for name, places in placed.items()
    }, counts


def _deal(utterances: Sequence[Utterance], count: int) -> Iterator[Places]:
    """The utterances of each of `count` shards."""
    order = list(range(len(utterances)))
    random.Random(0).shuffle(order)
    for number in range(count):
        yield [(position, utterances[position]) for position in order[number::count]]


def write_shard(shard: tuple[Path, Places]) -> Places:
    """Write the utterances of a shard, and return them with their places in it.

    Recordings are copied as they are; parts of recordings become FLAC files of 16 bits. Raises `AudioError` naming a
    recording that cannot be read.
    """
    path, utterances = shard
    with replacing(path) as stream, tarfile.open(fileobj=stream, mode="w") as file:
        return [(position, _add(file, path, utterance, position)) for position, utterance in utterances]


def _add(shard: tarfile.TarFile, path: Path, utterance: Utterance, position: int) -> Utterance:
    """Add an utterance to a shard; returns it with its place."""
    key = utterance.id
    if not PLAIN_KEY.fullmatch(key):
        key = f"{re.sub('[^A-Za-z0-9_-]+', '_', key)[:80]}-{position}"
    if utterance.offset is None:
        sound, suffix = _content(utterance), utterance.audio_filepath.suffix.lower()
    else:
        sound, suffix = _cut(utterance), ".flac"
    line = {"id": utterance.id, "text": utterance.text, "duration": utterance.duration, "speaker": utterance.speaker}
    _add_member(shard, f"{key}{suffix}", sound)
    start = shard.offset - -(-len(sound) // BLOCK) * BLOCK
    _add_member(shard, f"{key}.json", msgspec.json.encode(line | utterance.extra))
    return replace(
        utterance, audio_filepath=path / f"{key}{suffix}", offset=None, byte_range=ByteRange(start, len(sound))
    )


def _add_member(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # without a time, so that the same utterances give the same shard
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))


def _content(utterance: Utterance) -> bytes:
    if utterance.byte_range:
        return read_sound(utterance.audio_filepath, utterance.byte_range).read()
    try:
        return storage.read_bytes(utterance.audio_filepath)
    except OSError as error:
        raise AudioError(f"{utterance.audio_filepath}: {error.strerror}") from error


def _cut(utterance: Utterance) -> bytes:
    rate = probe(sound_of(utterance)).sample_rate
    audio = load_audio(sound_of(utterance), rate, utterance.offset or 0.0, utterance.duration)
    content = io.BytesIO()
    soundfile.write(content, limit_peak(audio.samples), rate, format="FLAC", subtype="PCM_16")
    return content.getvalue()
