"""Transcripts and references -> WER and CER with intervals, breakdowns and confusions."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from asr.data.manifest import Utterance
from asr.evaluation.alignment import AlignedWord, ErrorCounts, Scored, score
from asr.evaluation.bootstrap import Interval, bootstrap
from asr.evaluation.calibration import Calibration, calibrate, calibrate_segments
from asr.evaluation.config import Alignment
from asr.evaluation.rejection import Rejection
from asr.text.config import TextConfig
from asr.transcript import Transcript

UNKNOWN_SPEAKER = "(unknown)"
DURATION_EDGES = (0, 2, 5, 10, 15, 20)  # seconds; the last bin is open
FEWEST_FOR_INTERVAL = 10  # utterances; resampling fewer is meaningless
KINDS = ("substitution", "deletion", "insertion")


@dataclass(frozen=True)
class Confusion:
    """How often one word was recognised as another.

    As text: `edison -> addison (7)`; `the -> (nothing) (5)` is a deletion, `(nothing) -> a (3)` an insertion.
    """

    word: AlignedWord
    count: int

    def __str__(self) -> str:
        return f"{self.word} ({self.count})"


@dataclass(frozen=True)
class Group:
    """The utterances of one speaker, or those of similar duration."""

    name: str
    utterances: int
    seconds: float  # of audio
    words: ErrorCounts
    interval: Interval | None  # 95%, of the WER; None with fewer than `FEWEST_FOR_INTERVAL` utterances


@dataclass(frozen=True)
class Evaluation:
    """The contents of a report. Rates and intervals are fractions: 0.05 is 5%."""

    model: str
    manifests: tuple[str, ...]
    date: datetime
    text: TextConfig
    alignment: Alignment
    decoder: str  # its options as text
    compute_seconds: float  # NaN: unknown
    scored: tuple[Scored, ...]
    failures: tuple[tuple[str, str], ...]  # (utterance id, reason)
    notes: tuple[str, ...]  # about the input
    words: ErrorCounts
    characters: ErrorCounts
    utterance_interval: Interval | None
    speaker_interval: Interval | None  # None unless two or more speakers are known
    speakers: tuple[Group, ...]  # worst first; empty if no speaker is known
    durations: tuple[Group, ...]  # shortest first; empty if a duration is unknown
    confusions: tuple[Confusion, ...]  # most frequent first
    calibration: Calibration | None  # None if no word has a confidence
    segment_calibration: Calibration | None
    rejection: Rejection | None = None  # None unless the vocabulary is closed and small

    @property
    def complete(self) -> bool:
        """Whether every utterance was scored."""
        return bool(self.scored) and not self.failures

    @property
    def speaker_count(self) -> int:
        """The number of known speakers."""
        return sum(group.name != UNKNOWN_SPEAKER for group in self.speakers)

    @property
    def interval(self) -> Interval | None:
        """95% interval of the WER: over speakers if they are known, since errors cluster by speaker."""
        return self.speaker_interval or self.utterance_interval

    @property
    def audio_seconds(self) -> float:
        """Seconds of audio that were scored; 0 if unknown."""
        return sum(item.utterance.duration for item in self.scored)

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing per second of audio: below 1 is faster than real time. NaN if unknown."""
        return self.compute_seconds / self.audio_seconds if self.audio_seconds else math.nan

    @property
    def synthetic_utterances(self) -> int:
        """The number of scored utterances of synthetic speech (the manifest's `synthetic` key)."""
        return sum(item.utterance.synthetic for item in self.scored)

    @property
    def caveats(self) -> list[str]:
        """What belongs beside the WER wherever it is quoted; often nothing."""
        caveats, count, failed = [], len(self.scored), len(self.failures)
        if self.synthetic_utterances:
            share = f"{self.synthetic_utterances} of {count} utterances"
            caveats.append(f"{share} are synthetic speech: this says nothing about human speech")
        if shared := sum(item.utterance.speaker_in_training for item in self.scored):
            share = f"{shared} of {count} utterances"
            caveats.append(f"{share} are by a speaker of the training set: this says nothing about other speakers")
        if not self.complete:
            share = f"{failed} of {failed + count} utterances"
            caveats.append(f"incomplete: {share} were not recognised and are excluded from all figures")
        return [*caveats, *self.notes]

    def most_confused(self, kind: str, limit: int) -> list[Confusion]:
        """The most frequent confusions of one of `KINDS`."""
        return [confusion for confusion in self.confusions if confusion.word.kind == kind][:limit]

    def worst(self, limit: int) -> list[Scored]:
        """At most `limit` utterances with errors, those with the most word errors first."""
        wrong = [item for item in self.scored if item.words.errors]
        return sorted(wrong, key=lambda item: (-item.words.errors, item.words.reference, item.utterance.id))[:limit]


def evaluate(
    pairs: Sequence[tuple[Utterance, Transcript]],
    *,
    text: TextConfig,
    decoder: str = "greedy",
    model: str,
    manifests: Sequence[str],
    alignment: Alignment = "levenshtein",
    compute_seconds: float = math.nan,
    failures: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    date: datetime | None = None,
    segment_slope: float = 1.0,
) -> Evaluation:
    """Score a model's transcripts of the utterances of some manifests.

    `failures` are (utterance id, reason) of those that could not be recognised: they are in no figure, and the report
    lists them. `date` defaults to now; `segment_slope` is that of `asr.output.segments`.
    """
    scored = score(pairs, text, alignment)
    by_speaker = _group(scored, lambda item: item.utterance.speaker or UNKNOWN_SPEAKER)
    known = by_speaker.keys() - {UNKNOWN_SPEAKER}
    by_duration = _group(sorted(scored, key=lambda item: item.utterance.duration), _duration_bin)
    # Each utterance of an unknown speaker is resampled as a speaker of its own.
    voices = [item.utterance.speaker or ("utterance", item.utterance.id) for item in scored]
    return Evaluation(
        model=model,
        manifests=tuple(manifests),
        date=date or datetime.now().astimezone(),
        text=text,
        alignment=alignment,
        decoder=decoder,
        compute_seconds=compute_seconds,
        scored=tuple(scored),
        failures=tuple(failures),
        notes=tuple(notes),
        words=ErrorCounts.total(item.words for item in scored),
        characters=ErrorCounts.total(item.characters for item in scored),
        utterance_interval=_interval(scored),
        speaker_interval=_interval(scored, voices) if len(known) > 1 else None,
        speakers=tuple(sorted(_summaries(by_speaker), key=_worst_first)) if known else (),
        durations=tuple(_summaries(by_duration)) if all(item.utterance.duration for item in scored) else (),
        confusions=tuple(count_confusions(scored)),
        calibration=calibrate(scored, text),
        segment_calibration=calibrate_segments(scored, text, segment_slope),
    )


def count_confusions(scored: Iterable[Scored]) -> list[Confusion]:
    """Every substitution, deletion and insertion with its count, most frequent first, then in alphabetical order."""
    counts = Counter(word for item in scored for word in item.alignment if word.kind != "equal")
    return [Confusion(word, n) for word, n in sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))]


def _interval(scored: Sequence[Scored], groups: Sequence[Hashable] | None = None) -> Interval | None:
    return bootstrap([item.words.errors for item in scored], [item.words.reference for item in scored], groups)


def _group(scored: Iterable[Scored], name: Callable[[Scored], str]) -> dict[str, list[Scored]]:
    groups = defaultdict(list)
    for item in scored:
        groups[name(item)].append(item)
    return groups


def _duration_bin(item: Scored) -> str:
    low = max(edge for edge in DURATION_EDGES if edge <= item.utterance.duration)
    higher = [edge for edge in DURATION_EDGES if edge > low]
    return f"{low}-{higher[0]} s" if higher else f"{low}+ s"


def _summaries(groups: dict[str, list[Scored]]) -> list[Group]:
    return [
        Group(
            name,
            len(items),
            sum(item.utterance.duration for item in items),
            ErrorCounts.total(item.words for item in items),
            _interval(items) if len(items) >= FEWEST_FOR_INTERVAL else None,
        )
        for name, items in groups.items()
    ]


def _worst_first(group: Group) -> tuple[float, str]:
    return (-group.words.errors / max(1, group.words.reference), group.name)
