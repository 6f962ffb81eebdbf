"""Files of references and hypotheses, written by any recogniser -> an evaluation."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from asr.data.manifest import Utterance
from asr.data.manifest_lines import decode_record, speaker_name, utterance_id
from asr.errors import ScoreError
from asr.evaluation.config import ScoreConfig
from asr.evaluation.metrics import Evaluation, evaluate
from asr.evaluation.nist_files import (
    REMEDY,
    Channel,
    Segment,
    assign_words,
    is_trn,
    read_ctm,
    read_stm,
    read_trn,
)
from asr.evaluation.nist_markup import ALTERNATIVES, Sentence, parse, resolve
from asr.text.config import TextConfig
from asr.text.normalizer import normalize
from asr.transcript import Transcript, Word
from asr.utils.files import read_lines, read_table

KINDS_BY_SUFFIX = {
    **{".jsonl": "jsonl", ".json": "jsonl", ".ctm": "ctm", ".stm": "stm", ".trn": "trn", ".txt": "lines"},
    "": "kaldi",
}
WITH_MARKUP = ("stm", "trn")  # formats of which alternatives in braces are a part


@dataclass(frozen=True)
class Entry:
    """The transcript of one utterance, or of one channel of a recording."""

    text: str
    words: tuple[Word, ...] = ()  # with times; confidence NaN if the file has none
    values: dict[str, Any] = field(default_factory=dict)  # of a JSON line: all of it
    sentence: Sentence = ()  # of a CTM channel with alternatives
    segments: tuple[Segment, ...] = ()  # of an STM channel


Entries = dict[str | Channel, Entry]


def score_files(reference: Path, hypothesis: Path, config: ScoreConfig) -> Evaluation:
    """Score a file of hypotheses against a file of references, utterance by utterance.

    CTM and STM channels are kept apart. Hypotheses with times are divided among the segments of an STM reference as
    sclite does. An utterance without a hypothesis is a failure, except in CTM, which has no line where no word was
    recognised. Raises `ScoreError` naming the file that cannot be used, or if the two do not match.
    """
    kind, other = file_kind(reference, config.reference_format), file_kind(hypothesis, config.hypothesis_format)
    if (kind == "lines") != (other == "lines"):
        raise ScoreError(
            f"{reference} is read as {kind}, {hypothesis} as {other}: plain lines have no utterance ids to match; "
            "choose the formats with --reference_format and --hypothesis_format"
        )
    references, hypotheses = read_transcripts(reference, kind, "text"), read_transcripts(hypothesis, other, "pred_text")
    if any(entry.sentence for entry in hypotheses.values()):
        raise ScoreError(f"{hypothesis}: <ALT_BEGIN> in hypotheses; only references can have alternatives")
    if other == "ctm":
        silent: Entries = {id: Entry("") for id in references if isinstance(id, Channel)}
        hypotheses = silent | hypotheses
    references, hypotheses = _match(references, hypotheses)
    _check_fit(reference, references, hypothesis, hypotheses, kind)
    if other == "ctm":
        hypotheses = {**dict.fromkeys(references, Entry("")), **hypotheses}
    text, notes = TextConfig(normalizer=config.normalizer), []
    pairs = [_pair(id, entry, hypotheses[id]) for id, entry in references.items() if id in hypotheses]
    sentences = [entry.sentence for id, entry in references.items() if id in hypotheses]
    if config.markup or kind in WITH_MARKUP or any(sentences):
        pairs = [
            _resolve(utterance, transcript, sentence, config.markup, text, reference)
            for (utterance, transcript), sentence in zip(pairs, sentences, strict=True)
        ]
    elif marked := sum(bool(ALTERNATIVES.search(entry.text)) for entry in references.values()):
        notes.append(f"{marked} references with alternatives in braces are read as plain words: --markup reads these")
    return evaluate(
        pairs,
        text=text,
        decoder="unknown: scored from files",
        model=hypothesis.name,
        manifests=[reference.name],
        alignment=config.alignment,
        failures=[(id, f"no such utterance in {hypothesis}") for id in references if id not in hypotheses],
        notes=notes,
    )


def file_kind(path: Path, chosen: str) -> str:
    """The format of a file: the one chosen or, with 'auto', by its suffix."""
    if chosen != "auto":
        return chosen
    if path.suffix.lower() not in KINDS_BY_SUFFIX:
        raise ScoreError(f"{path}: unknown suffix; choose --reference_format or --hypothesis_format")
    return KINDS_BY_SUFFIX[path.suffix.lower()]


def read_transcripts(path: Path, kind: str, key: str) -> Entries:
    """The utterances of a file by id, in CTM and STM by channel; the ids of `lines` are their numbers from 1.

    In JSON Lines the text is under `key` or, failing that, `text`. Raises `ScoreError` naming file and line.
    """
    entries: Entries = {}
    for number, id, entry in READERS[kind](path, key):
        if id in entries:
            raise ScoreError(f"{path}:{number}: duplicate id '{id}'; keep one of its transcripts")
        entries[id] = entry
    if not entries:
        raise ScoreError(f"{path}: no transcripts in it, read as '{kind}'")
    return entries


Rows = Iterator[tuple[int, str | Channel, Entry]]  # with the number of the line


def _read_lines(path: Path, key: str) -> Rows:
    lines = read_lines(path, ScoreError, REMEDY)
    if is_trn(lines):
        raise ScoreError(
            f"{path}: plain lines, but each ends in an id in parentheses, as in NIST's TRN; "
            "choose the format trn with --reference_format or --hypothesis_format"
        )
    yield from ((number, str(number), Entry(line)) for number, line in enumerate(lines, start=1))


def _read_kaldi(path: Path, key: str) -> Rows:
    for number, id, text in read_table(path, ScoreError, REMEDY):
        yield number, id, Entry(text)


def _read_jsonl(path: Path, key: str) -> Rows:
    lines = read_lines(path, ScoreError, REMEDY)
    if lines[:1] in (["{"], ["["]):
        raise ScoreError(
            f"{path}: one JSON document over several lines, not JSON Lines, an object per line; "
            "`asr transcribe --format jsonl` writes these"
        )
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = decode_record(line)
            text = record.get(key, record.get("text"))
            id = utterance_id(record.get("id"), str(record.get("audio_filepath") or ""), record.get("offset"))
            if not isinstance(text, str) or not id:
                raise ValueError(f"no '{'text' if not isinstance(text, str) else 'id'}'")
            record["speaker"] = speaker_name(record.get("speaker"))
            words = tuple(
                Word(str(word["text"]), float(word["start"]), float(word["end"]), _confidence(word.get("confidence")))
                for word in record.get("words") or ()
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ScoreError(f"{path}:{number}: {error}; a line needs an id and a text") from error
        yield number, id, Entry(text, words, record)


def _confidence(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _read_ctm(path: Path, key: str) -> Rows:
    for channel, track in read_ctm(path).items():
        text = " ".join(word.text for word in track.words)
        yield track.line, channel, Entry(text, tuple(track.words), sentence=track.sentence if track.choices else ())


def _read_stm(path: Path, key: str) -> Rows:
    lines: dict[Channel, int] = {}
    channels: dict[Channel, list[Segment]] = defaultdict(list)
    spans = set()
    for number, segment in read_stm(path):
        span = (segment.channel, segment.start, segment.end)
        if span in spans:
            raise ScoreError(f"{path}:{number}: a second segment from {segment.start:g} s to {segment.end:g} s")
        spans.add(span)
        lines.setdefault(segment.channel, number)
        channels[segment.channel].append(segment)
    for channel, segments in channels.items():
        segments.sort(key=lambda segment: segment.start)
        text = " ".join(segment.text for segment in segments if not segment.ignored)
        yield lines[channel], channel, Entry(text, segments=tuple(segments))


def _read_trn(path: Path, key: str) -> Rows:
    for number, id, text in read_trn(path):
        yield number, id, Entry(text)


READERS: dict[str, Callable[[Path, str], Rows]] = {
    "lines": _read_lines,
    "kaldi": _read_kaldi,
    "jsonl": _read_jsonl,
    "ctm": _read_ctm,
    "stm": _read_stm,
    "trn": _read_trn,
}


def _match(references: Entries, hypotheses: Entries) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """Both with the same names for the same things: STM segments if both sides have these, else channels.

    A channel is named RECORDING, or RECORDING-CHANNEL if its recording has several, or if the other file has that id.
    """
    by_segment = {id for id, entry in references.items() if entry.segments and _is_divisible(hypotheses.get(id), entry)}
    channels = {id for id in (*references, *hypotheses) if isinstance(id, Channel)}
    counts = Counter(channel.recording for channel in channels)
    ids = {id for id in (*references, *hypotheses) if isinstance(id, str)}

    def name(id: str | Channel) -> str:
        if isinstance(id, Channel):
            return str(id) if counts[id.recording] > 1 or str(id) in ids else id.recording
        return id

    matched: tuple[dict[str, Entry], dict[str, Entry]] = {}, {}
    for id, entry in references.items():
        if id in by_segment:
            pairs = _divide(name(id), entry.segments, hypotheses[id])
            matched[0].update((segment_id, entry) for segment_id, entry, _ in pairs)
            matched[1].update((segment_id, entry) for segment_id, _, entry in pairs if entry)
        else:
            matched[0][name(id)] = entry
    matched[1].update((name(id), entry) for id, entry in hypotheses.items() if id not in by_segment)
    return matched


def _is_divisible(hypothesis: Entry | None, reference: Entry) -> bool:
    """Whether a hypothesis can be divided among the segments of a reference: CTM, or STM with the same segments."""
    if hypothesis is None:
        return False
    spans = {(segment.start, segment.end) for segment in reference.segments}
    return {(segment.start, segment.end) for segment in hypothesis.segments} <= spans


def _divide(name: str, segments: Iterable[Segment], hypothesis: Entry) -> list[tuple[str, Entry, Entry | None]]:
    """Names, references and hypotheses (None if there is none) of the segments that are scored."""
    segments = list(segments)
    if hypothesis.segments:
        texts = {(segment.start, segment.end): segment.text for segment in hypothesis.segments}
        spans = ((segment.start, segment.end) for segment in segments)
        hypotheses = [Entry(texts[span]) if span in texts else None for span in spans]
    else:
        parts = assign_words(list(hypothesis.words), segments)
        hypotheses = [Entry(" ".join(word.text for word in words), tuple(words)) for words in parts]
    return [
        (
            f"{name}@{segment.start:g}-{segment.end:g}",
            Entry(segment.text, values={"speaker": segment.speaker, "duration": segment.end - segment.start}),
            entry,
        )
        for segment, entry in zip(segments, hypotheses, strict=True)
        if not segment.ignored
    ]


def _check_fit(
    reference: Path, references: dict[str, Entry], hypothesis: Path, hypotheses: dict[str, Entry], kind: str
) -> None:
    if kind == "lines" and len(references) != len(hypotheses):
        raise ScoreError(
            f"{reference} has {len(references)} lines, {hypothesis} {len(hypotheses)}: "
            "plain lines are matched by number, so both files need the same number of lines"
        )
    extra = [id for id in hypotheses if id not in references]
    if extra:
        raise ScoreError(
            f"{hypothesis}: {len(extra)} utterances that {reference} lacks, such as '{extra[0]}'; "
            f"its own are such as '{next(iter(references))}'"
        )


def _pair(id: str, reference: Entry, hypothesis: Entry) -> tuple[Utterance, Transcript]:
    values = reference.values
    path, stated = Path(str(values.get("audio_filepath") or "")), values.get("duration")
    duration = float(stated) if isinstance(stated, int | float) and not isinstance(stated, bool) else 0.0
    extra: dict[str, Any] = {key: values[key] for key in ("synthetic", "split_by") if key in values}
    utterance = Utterance(id, path, duration, reference.text, values.get("speaker", ""), extra=extra)
    has_confidence = all(0 <= word.confidence <= 1 for word in hypothesis.words)
    return utterance, Transcript(hypothesis.text, hypothesis.words if has_confidence else (), duration)


def _resolve(
    utterance: Utterance, transcript: Transcript, sentence: Sentence, optional: bool, text: TextConfig, path: Path
) -> tuple[Utterance, Transcript]:
    """The same with the reading of the reference that is nearest to the transcript."""
    try:
        sentence = sentence or parse(utterance.text, optional)
        resolved = resolve(sentence, normalize(transcript.text, text), partial(normalize, config=text))
    except ScoreError as error:
        raise ScoreError(f"{path}: {utterance.id}: {error}") from error
    return replace(utterance, text=resolved), transcript
