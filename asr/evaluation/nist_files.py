"""NIST's transcript files (SCTK, github.com/usnistgov/SCTK): CTM, STM and TRN.

    CTM    RECORDING CHANNEL START LENGTH WORD [CONFIDENCE [TYPE [SPEAKER]]]
           RECORDING CHANNEL * * <ALT_BEGIN>, <ALT> and <ALT_END> around alternatives, in references
    STM    RECORDING CHANNEL SPEAKER START END [<LABEL,...>] WORDS
    TRN    WORDS (UTTERANCE)

Lines that begin with `;;` are comments. Times are seconds.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from asr.errors import ScoreError
from asr.evaluation.nist_markup import Choice, Sentence
from asr.transcript import Word
from asr.utils.files import read_lines

REMEDY = "give the path of a file with transcripts"
IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"
NO_CONFIDENCE = ("na", "n/a", "nan", "-", "*")
_TRN = re.compile(r"(.*)\(([^()\s]+)\)")


class Channel(NamedTuple):
    """One channel of a recording. The numbers 1 and 2 are the channels A and B."""

    recording: str
    name: str

    @classmethod
    def of(cls, recording: str, name: str) -> "Channel":
        """With the name as other files may write it."""
        return cls(recording, {"1": "A", "2": "B"}.get(name, name.upper()))

    def __str__(self) -> str:
        return f"{self.recording}-{self.name}"


@dataclass(frozen=True)
class Segment:
    """A part of a channel with one speaker."""

    channel: Channel
    speaker: str
    start: float
    end: float
    text: str

    @property
    def ignored(self) -> bool:
        """Whether it is excluded from scoring."""
        return self.text.split()[:1] == [IGNORED]


@dataclass
class Track:
    """The words of one channel of a CTM file, in the order of their times."""

    line: int  # of the first word
    words: list[Word] = field(default_factory=list)  # without those of alternatives; confidence NaN if not given
    choices: list[tuple[float, Choice]] = field(default_factory=list)  # with the time at which they begin

    @property
    def sentence(self) -> Sentence:
        """Words and alternatives."""
        items: list[tuple[float, str | Choice]] = [*((word.start, word.text) for word in self.words), *self.choices]
        return tuple(item for _, item in sorted(items, key=lambda item: item[0]))


def read_ctm(path: Path) -> dict[Channel, Track]:
    """The channels of a CTM file. Raises `ScoreError` naming file and line."""
    tracks: dict[Channel, Track] = {}
    alternatives: list[list[Word]] = []  # of the group that is open; empty: none is
    for number, line in _content(path):
        columns = line.split()
        tag = columns[4].upper() if len(columns) > 4 else ""
        if tag in ("<ALT_BEGIN>", "<ALT>", "<ALT_END>"):
            if bool(alternatives) == (tag == "<ALT_BEGIN>"):
                raise ScoreError(f"{path}:{number}: {tag} out of order; groups are <ALT_BEGIN> ... <ALT> ... <ALT_END>")
            channel = Channel.of(*columns[:2])
            track = tracks.setdefault(channel, Track(number))
            if tag == "<ALT_BEGIN>":
                alternatives = [[]]
            elif tag == "<ALT>":
                alternatives.append([])
            else:
                start = min((word.start for words in alternatives for word in words), default=_end(track))
                texts = (tuple(word.text for word in words if word.text != "@") for words in alternatives)
                track.choices.append((start, Choice(tuple(texts))))
                alternatives = []
            continue
        channel, word = _parse_word(columns, f"{path}:{number}")
        track = tracks.setdefault(channel, Track(number))
        if alternatives:
            alternatives[-1].append(word)
        else:
            track.words.append(word)
    if alternatives:
        raise ScoreError(f"{path}: <ALT_BEGIN> without its <ALT_END>")
    for track in tracks.values():
        track.words.sort(key=lambda word: word.start)
    return tracks


def read_stm(path: Path) -> list[tuple[int, Segment]]:
    """The segments of an STM file in its order, with their lines. Raises `ScoreError` naming file and line."""
    segments = []
    for number, line in _content(path):
        try:
            recording, channel, speaker, start, end, *rest = line.split(maxsplit=5)
            start, end = float(start), float(end)
            if not 0 <= start < end < math.inf:
                raise ValueError("times")
        except ValueError as error:
            raise ScoreError(f"{path}:{number}: not 'RECORDING CHANNEL SPEAKER START END <LABEL> WORDS'") from error
        text = re.sub(r"^<[^<>\s]*>", "", rest[0]) if rest else ""
        segments.append((number, Segment(Channel.of(recording, channel), speaker, start, end, text.strip())))
    return segments


def read_trn(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, utterance and words of each line of a TRN file. Raises `ScoreError` naming file and line."""
    for number, line in _content(path):
        found = _TRN.fullmatch(line.strip())
        if not found:
            raise ScoreError(f"{path}:{number}: not 'WORDS (UTTERANCE)'; each line ends in an id in parentheses")
        yield number, found[2], found[1].strip()


def is_trn(lines: list[str]) -> bool:
    """Whether all lines that are not blank end in an id in parentheses, each another one."""
    found = [_TRN.fullmatch(line.strip()) for line in lines if line.strip()]
    ids = {match[2] for match in found if match}
    return len(ids) == len(found) > 0 and all(re.search(r"[\d_-]", id) for id in ids)


def assign_words(words: list[Word], segments: list[Segment]) -> list[list[Word]]:
    """The words of each segment of a channel, as sclite divides them: by their middle.

    `segments` are in order. A word between two segments belongs to the later one, one after the last to the last.
    """
    parts: list[list[Word]] = [[] for _ in segments]
    for word in words:
        middle = (word.start + word.end) / 2
        place = next((i for i, segment in enumerate(segments) if middle < segment.end), len(segments) - 1)
        parts[place].append(word)
    return parts


def _content(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are neither blank nor comments, numbered from 1."""
    for number, line in enumerate(read_lines(path, ScoreError, REMEDY), start=1):
        if line.strip() and not line.lstrip().startswith(";;"):
            yield number, line


def _parse_word(columns: list[str], place: str) -> tuple[Channel, Word]:
    try:
        recording, channel, start, length, text, *rest = columns
        start, length = float(start), float(length)
        if not (math.isfinite(start) and 0 <= length < math.inf):
            raise ValueError("times")
    except ValueError as error:
        raise ScoreError(f"{place}: not 'recording channel start length word [confidence]'") from error
    confidence = math.nan
    if rest and rest[0].lower() not in NO_CONFIDENCE:
        try:
            confidence = float(rest[0])
        except ValueError as error:
            raise ScoreError(f"{place}: '{rest[0]}' is not a confidence; is there a space inside the word?") from error
    return Channel.of(recording, channel), Word(text, start, start + length, confidence)


def _end(track: Track) -> float:
    """The end of the words so far."""
    return max((word.end for word in track.words), default=0.0)
