"""Transcripts as files: one writer per format, and names for the files."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from asr.errors import ConfigError
from asr.output.resume_ledger import Ledger
from asr.output.segments import make_segments
from asr.output.subtitles import make_subtitles
from asr.transcript import Transcript, Word
from asr.utils import storage
from asr.utils.files import write_together

STDIN, STDIN_NAME = "-", "stdin"  # standard input among the inputs, and the name of its outputs
LEAST_SECONDS = 0.001  # of a word in formats that allow none without a length


@dataclass(frozen=True)
class Document:
    """A transcript and its origin."""

    name: str  # of the recording, unique: see `recording_names`
    source: str  # the sound file, as the user named it
    transcript: Transcript
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)  # of the decoder
    segment_slope: float = 1.0  # see `asr.output.segments`


def to_txt(document: Document) -> str:
    """The words, on one line."""
    return document.transcript.text + "\n"


def to_json(document: Document) -> str:
    """One JSON object with everything known of the recording. Segments are those of subtitles; times are in seconds."""
    record = _record(document)
    if document.transcript.notes:
        record["notes"] = document.transcript.notes
    if len(document.transcript.alternatives) > 1:
        record["alternatives"] = document.transcript.alternatives
    for name in ("characters", "doubtful"):
        if getattr(document.transcript, name):
            record[name] = getattr(document.transcript, name)
    record["segments"] = [
        {"start": each.words[0].start, "end": each.words[-1].end, "text": each.text, "confidence": each.confidence}
        for each in make_segments(document.transcript, document.segment_slope)
    ]
    record |= {"model": _utf8(document.model), "settings": document.settings}
    return msgspec.json.format(msgspec.json.encode(record), indent=2).decode() + "\n"


def to_jsonl(document: Document) -> str:
    """One JSON object on one line, in the field names of a manifest: for many recordings in one file."""
    return msgspec.json.encode(_record(document)).decode() + "\n"


def to_srt(document: Document) -> str:
    """SubRip subtitles."""
    blocks = [
        f"{number}\n{_clock(subtitle.start, ',')} --> {_clock(subtitle.end, ',')}\n{_untagged(subtitle.text)}\n\n"
        for number, subtitle in enumerate(make_subtitles(document.transcript), start=1)
    ]
    return "".join(blocks)


def to_vtt(document: Document) -> str:
    """WebVTT subtitles (W3C)."""
    blocks = [
        f"\n{_clock(subtitle.start, '.')} --> {_clock(subtitle.end, '.')}\n{_escape(subtitle.text)}\n"
        for subtitle in make_subtitles(document.transcript)
    ]
    return "WEBVTT\n" + "".join(blocks)


def to_ctm(document: Document) -> str:
    """NIST's CTM, a word as recognised per line: recording, channel, start, duration, word, confidence."""
    name = "_".join(_utf8(document.name).split())
    lines = [
        f"{name} 1 {start:.3f} {end - start:.3f} {_ctm_word(word.text)} {word.confidence:.4f}\n"
        for word, (start, end) in _spans(document.transcript.plain_words)
    ]
    return "".join(lines)


def to_tsv(document: Document) -> str:
    """A table for spreadsheets, a word per line: start and end in seconds, confidence, word."""
    lines = [
        f"{word.start:.3f}\t{word.end:.3f}\t{word.confidence:.4f}\t{word.text}\n" for word in document.transcript.words
    ]
    return "start\tend\tconfidence\tword\n" + "".join(lines)


def to_textgrid(document: Document) -> str:
    """Praat's long TextGrid with a tier of words as recognised and, after forced alignment, tiers of characters and of
    doubtful words."""
    from praatio.utilities.textgrid_io import getTextgridAsStr

    transcript = document.transcript
    rows = {"words": transcript.plain_words}
    if transcript.characters:
        rows |= {"characters": transcript.characters, "doubtful": transcript.doubtful}
    tiers = {name: [(*span, word.text) for word, span in _spans(words)] for name, words in rows.items()}
    duration = max([transcript.duration, LEAST_SECONDS, *(tier[-1][1] for tier in tiers.values() if tier)])
    bounds = {"xmin": 0.0, "xmax": duration}
    grid = {
        **bounds,
        "tiers": [
            {"class": "IntervalTier", "name": name, **bounds, "entries": entries} for name, entries in tiers.items()
        ],
    }
    return getTextgridAsStr(grid, "long_textgrid", includeBlankSpaces=True)


WRITERS: dict[str, Callable[[Document], str]] = {
    "txt": to_txt,
    "json": to_json,
    "jsonl": to_jsonl,
    "srt": to_srt,
    "vtt": to_vtt,
    "ctm": to_ctm,
    "tsv": to_tsv,
    "TextGrid": to_textgrid,
}
STACKABLE = ("txt", "jsonl", "ctm")  # formats of which several files joined are a valid file


class Outputs:
    """Where the transcripts of some inputs go: to a folder, in several formats, or as text to standard output.

    `model` and `settings` are recorded in JSON and in the folder's ledger, which also identifies the files `made_with`.
    Raises `ConfigError` for what standard output cannot hold.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        formats: Sequence[str],
        folder: Path | None,
        model: str = "",
        settings: dict[str, Any] | None = None,
        made_with: Sequence[Path] = (),
        segment_slope: float = 1.0,
    ):
        self.formats = tuple(dict.fromkeys(formats))
        if not self.formats:
            raise ConfigError(f"--format: name one or more of {', '.join(WRITERS)}")
        if folder is None and len(self.formats) > 1:
            raise ConfigError(f"--format {' '.join(self.formats)}: standard output takes only one; add -o DIR")
        if folder is None and len(inputs) > 1 and self.formats[0] not in STACKABLE:
            stackable = " or ".join(STACKABLE)
            raise ConfigError(f"--format {self.formats[0]}: makes one file per input: add -o DIR, or use {stackable}")
        self.folder = folder
        self._names = dict(zip(inputs, recording_names(inputs), strict=True))
        self._model, self._settings, self._segment_slope = model, settings or {}, segment_slope
        self._ledger = Ledger(folder, inputs, made_with, self._settings) if folder else None

    def text(self, source: str, transcript: Transcript) -> str:
        """What standard output gets for an input."""
        return WRITERS[self.formats[0]](self._document(source, transcript))

    def paths(self, source: str) -> list[Path]:
        """The files of an input, one per format."""
        return [self._written.folder / f"{self._names[source]}.{kind}" for kind in self.formats]

    def are_written(self, source: str) -> bool:
        """Whether the folder has all files of an input, written from its present content with the present settings."""
        return all(self._written.has(path, source) for path in self.paths(source))

    def read_ledger(self, sources: Sequence[str]) -> None:
        """Learn whether other processes have written the files of these inputs meanwhile."""
        self._written.read([path for source in sources for path in self.paths(source)])

    def write(self, source: str, transcript: Transcript) -> list[Path]:
        """Write the files of an input, all or none."""
        document, paths = self._document(source, transcript), self.paths(source)
        texts = [WRITERS[kind](document) for kind in self.formats]
        self._written.revoke(paths)
        write_together(dict(zip(paths, texts, strict=True)))
        self._written.enter(paths, source)
        return paths

    def _document(self, source: str, transcript: Transcript) -> Document:
        name, origin = self._names[source], (self._model, self._settings, self._segment_slope)
        return Document(name, source, transcript, *origin)

    @property
    def _written(self) -> Ledger:
        assert self._ledger, "only a folder has files"
        return self._ledger


def recording_names(inputs: Sequence[str]) -> list[str]:
    """A name for each input, all different: `a/x.wav` and `b/x.wav` are `a/x` and `b/x`; `x.wav` and `x.flac` of one
    folder are `x.wav` and `x.flac`.

    Names are the inputs' own below the folder that all of them share, with the suffix where they would be another
    input's name without it. Standard input is `stdin`.
    """
    stdin = STDIN if os.path.abspath(STDIN_NAME) in map(os.path.abspath, inputs) else STDIN_NAME
    paths = [Path(storage.absolute(stdin if name == STDIN else name)) for name in inputs]
    shared = os.path.commonpath([path.parent for path in paths]) if paths else ""
    # Each input claims its name with and without the suffix: one path, or two of them.
    claims = Counter(claim for path in paths for claim in {path, path.with_suffix("")})
    return [
        os.path.join(
            *path.relative_to(shared).parent.parts, path.stem if claims[path.with_suffix("")] == 1 else path.name
        )
        for path in paths
    ]


def output_names(inputs: Sequence[str], suffix: str) -> list[Path]:
    """A relative file name for the output of each input: its `recording_names` and the suffix."""
    return [Path(f"{name}.{suffix}") for name in recording_names(inputs)]


def _record(document: Document) -> dict[str, Any]:
    transcript = document.transcript
    return {
        "id": _utf8(document.name),
        "audio_filepath": _utf8(document.source),
        "duration": transcript.duration,
        "text": transcript.text,
        **({"pred_text": transcript.plain_text} if transcript.spoken else {}),
        "words": transcript.words,
    }


def _spans(words: Sequence[Word]) -> list[tuple[Word, tuple[float, float]]]:
    """Words with their start and end, none empty and none overlapping, as these formats require."""
    spans, free = [], 0.0
    for word in words:
        start = max(word.start, free)
        free = max(word.end, start + LEAST_SECONDS)
        spans.append((word, (start, free)))
    return spans


def _clock(seconds: float, point: str) -> str:
    """`01:02:03,456`."""
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def _untagged(text: str) -> str:
    """Text that players show as it is: SubRip has no escapes, but with a word joiner behind it, `<` begins no tag."""
    return text.replace("<", "<\u2060")


def _ctm_word(text: str) -> str:
    """A word without white space, which would be another column: `well —` is written as `well`."""
    parts = text.split()
    return "_".join([part for part in parts if any(map(str.isalnum, part))] or parts)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _utf8(name: str) -> str:
    """A file's name need not be UTF-8, but these formats must be."""
    return name.encode("utf-8", "replace").decode()
