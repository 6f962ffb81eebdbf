"""Files of references and hypotheses, made by any recogniser -> an evaluation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from asr.data.manifest import Utterance, decode_record, utterance_id
from asr.errors import ScoreError
from asr.evaluation.config import ScoreConfig
from asr.evaluation.metrics import Evaluation, evaluate
from asr.evaluation.nist_markup import resolve
from asr.text.config import TextConfig
from asr.text.tokenizer import normalize
from asr.transcript import Transcript, Word

KINDS_BY_SUFFIX = {".jsonl": "jsonl", ".json": "jsonl", ".ctm": "ctm", ".txt": "lines", "": "kaldi"}


@dataclass(frozen=True)
class Entry:
    """What a file says of one utterance."""

    text: str
    words: tuple[Word, ...] = ()  # of a file that has confidences
    values: dict[str, Any] = field(default_factory=dict)  # all of a line of JSON


def score_files(reference: Path, hypothesis: Path, config: ScoreConfig) -> Evaluation:
    """Score a file of hypotheses against a file of references, utterance by utterance.

    An utterance that the hypotheses lack is a failure, but for CTM files, which have no line where no word was heard.
    Raises `ScoreError` naming the file that cannot be used, or when the two do not fit each other.
    """
    kind, other = file_kind(reference, config.reference_format), file_kind(hypothesis, config.hypothesis_format)
    if (kind == "lines") != (other == "lines"):
        raise ScoreError(
            f"{reference} is {kind}, {hypothesis} is {other}: only one has names of utterances; name the kinds with "
            "--reference_format and --hypothesis_format if they are others"
        )
    references, hypotheses = read_transcripts(reference, kind, "text"), read_transcripts(hypothesis, other, "pred_text")
    _check_fit(reference, references, hypothesis, hypotheses, kind)
    if other == "ctm":
        hypotheses = {**dict.fromkeys(references, Entry("")), **hypotheses}
    text = TextConfig(normalizer=config.normalizer)
    pairs = [_pair(id, said, hypotheses[id]) for id, said in references.items() if id in hypotheses]
    if config.markup:
        pairs = [_resolve(utterance, transcript, text, reference) for utterance, transcript in pairs]
    return evaluate(
        pairs,
        text=text,
        decoder="not known: scored from files",
        model=hypothesis.name,
        manifests=[reference.name],
        failures=[(id, f"no such utterance in {hypothesis}") for id in references if id not in hypotheses],
    )


def file_kind(path: Path, chosen: str) -> str:
    """How a file is laid out: what the user says, or by its name."""
    if chosen != "auto":
        return chosen
    if path.suffix not in KINDS_BY_SUFFIX:
        raise ScoreError(
            f"{path}: not known by its name; say with --reference_format or --hypothesis_format what it is"
        )
    return KINDS_BY_SUFFIX[path.suffix]


def read_transcripts(path: Path, kind: str, key: str) -> dict[str, Entry]:
    """The utterances of a file by their names; those of `lines` are their numbers from 1.

    JSON lines have their text under `key`, else under `text`. Raises `ScoreError` naming the file and the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ScoreError(f"{path}: {error.strerror}; give the path of a file with transcripts") from error
    except UnicodeDecodeError as error:
        raise ScoreError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); convert it first") from error
    entries: dict[str, Entry] = {}
    for number, (id, entry) in READERS[kind](path, lines, key):
        if id in entries:
            raise ScoreError(f"{path}:{number}: '{id}' again; each utterance may be there once")
        entries[id] = entry
    if not entries:
        raise ScoreError(f"{path}: no transcripts in it, read as '{kind}'")
    return entries


Entries = Iterator[tuple[int, tuple[str, Entry]]]  # with the numbers of their lines


def _read_lines(path: Path, lines: list[str], key: str) -> Entries:
    yield from ((number, (str(number), Entry(line))) for number, line in enumerate(lines, start=1))


def _read_kaldi(path: Path, lines: list[str], key: str) -> Entries:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            id, _, text = line.strip().partition(" ")
            yield number, (id, Entry(text))


def _read_jsonl(path: Path, lines: list[str], key: str) -> Entries:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = decode_record(line)
            text = record.get(key, record.get("text"))
            id = utterance_id(record.get("id"), str(record.get("audio_filepath") or ""), record.get("offset"))
            if not isinstance(text, str) or not id:
                raise ValueError(f"no '{'text' if not isinstance(text, str) else 'id'}'")
            words = tuple(
                Word(str(word["text"]), float(word["start"]), float(word["end"]), float(word["confidence"]))
                for word in record.get("words") or ()
            )
        except (ValueError, TypeError, KeyError) as error:
            raise ScoreError(f"{path}:{number}: {error}; a line needs an id and a text") from error
        yield number, (id, Entry(text, words, record))


def _read_ctm(path: Path, lines: list[str], key: str) -> Entries:
    """Words of a recording by their times; both channels together."""
    recordings: dict[str, list[Word]] = {}
    first: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        columns = line.split()
        if not columns or line.startswith(";;"):
            continue
        try:
            id, _, start, length, text, *rest = columns
            word = Word(text, float(start), float(start) + float(length), float(rest[0]) if rest else float("nan"))
        except ValueError as error:
            raise ScoreError(f"{path}:{number}: not 'recording channel start length word [confidence]'") from error
        recordings.setdefault(id, []).append(word)
        first.setdefault(id, number)
    for id, words in recordings.items():
        words.sort(key=lambda word: word.start)
        sure = all(0 <= word.confidence <= 1 for word in words)
        yield first[id], (id, Entry(" ".join(word.text for word in words), tuple(words) if sure else ()))


READERS: dict[str, Callable[[Path, list[str], str], Entries]] = {
    "lines": _read_lines,
    "kaldi": _read_kaldi,
    "jsonl": _read_jsonl,
    "ctm": _read_ctm,
}


def _check_fit(
    reference: Path, references: dict[str, Entry], hypothesis: Path, hypotheses: dict[str, Entry], kind: str
) -> None:
    if kind == "lines" and len(references) != len(hypotheses):
        raise ScoreError(
            f"{reference} has {len(references)} lines, {hypothesis} {len(hypotheses)}: "
            "lines without names must be as many"
        )
    extra = [id for id in hypotheses if id not in references]
    if extra:
        raise ScoreError(
            f"{hypothesis}: {len(extra)} utterances, such as '{extra[0]}', that {reference} lacks; "
            f"it has such as '{next(iter(references))}'"
        )


def _pair(id: str, said: Entry, heard: Entry) -> tuple[Utterance, Transcript]:
    values = said.values
    path, duration = Path(str(values.get("audio_filepath") or "")), values.get("duration")
    duration = float(duration) if isinstance(duration, int | float) else 0.0
    extra = {key: values[key] for key in ("synthetic",) if key in values}
    utterance = Utterance(id, path, duration, said.text, str(values.get("speaker") or ""), extra=extra)
    return utterance, Transcript(heard.text, heard.words, duration)


def _resolve(
    utterance: Utterance, transcript: Transcript, text: TextConfig, path: Path
) -> tuple[Utterance, Transcript]:
    try:
        said = resolve(utterance.text, normalize(transcript.text, text), partial(normalize, config=text))
    except ScoreError as error:
        raise ScoreError(f"{path}: {utterance.id}: {error}") from error
    return replace(utterance, text=said), transcript
