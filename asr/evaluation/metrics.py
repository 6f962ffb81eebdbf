"""Scoring: transcripts against references -> WER and CER with intervals, breakdowns and confusions."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import starmap, zip_longest

import jiwer
import numpy as np

from asr.data.manifest import Utterance
from asr.text.config import TextConfig
from asr.text.tokenizer import normalize
from asr.transcript import Transcript

NOTHING = "(nothing)"
UNKNOWN_SPEAKER = "(not known)"
DURATION_EDGES = (0, 2, 5, 10, 15, 20)  # seconds; the last bin is open
FEWEST_FOR_INTERVAL = 10  # utterances; resampling fewer says little about a speaker or a duration
CONFIDENCE_BINS = 10  # of equal width, from 0 to 1
MOST_CERTAIN = 0.999  # confidence beyond it, or beyond its like near 0, counts as this in the cross entropy
KINDS = ("substitution", "deletion", "insertion")

Interval = tuple[float, float]


@dataclass(frozen=True)
class ErrorCounts:
    """The fewest edits from reference to hypothesis (Levenshtein 1966), in words or in characters."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    reference: int = 0  # words or characters in the reference

    @property
    def errors(self) -> int:
        """All edits together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """WER or CER: errors over reference length. Insertions can lift it over 1; NaN where nothing was said."""
        return self.errors / self.reference if self.reference else math.nan

    @classmethod
    def total(cls, counts: Iterable["ErrorCounts"]) -> "ErrorCounts":
        """The sum of several: a corpus's rate is that of its total, never a mean of rates."""
        counts = list(counts)
        return cls(*(sum(getattr(count, name) for count in counts) for name in cls.__dataclass_fields__))


@dataclass(frozen=True)
class AlignedWord:
    """A word of the reference and what was heard in its place; the empty string is no word."""

    reference: str
    hypothesis: str

    @property
    def kind(self) -> str:
        """'equal', 'substitution', 'deletion' or 'insertion'."""
        if self.reference == self.hypothesis:
            return "equal"
        if not self.hypothesis:
            return "deletion"
        return "substitution" if self.reference else "insertion"

    def __str__(self) -> str:
        return f"{self.reference or NOTHING} -> {self.hypothesis or NOTHING}"


@dataclass(frozen=True)
class Confusion:
    """How often one word was taken for another.

    As text: `edison -> addison (7)`; `the -> (nothing) (5)` is a deletion, `(nothing) -> a (3)` an insertion.
    """

    word: AlignedWord
    count: int

    def __str__(self) -> str:
        return f"{self.word} ({self.count})"


@dataclass(frozen=True)
class Scored:
    """One utterance with what was heard, aligned word by word. Reference and hypothesis are normalised."""

    utterance: Utterance
    transcript: Transcript
    reference: str
    hypothesis: str
    alignment: tuple[AlignedWord, ...]
    words: ErrorCounts
    characters: ErrorCounts


@dataclass(frozen=True)
class Group:
    """The utterances of one speaker or of similar duration, together."""

    name: str
    utterances: int
    seconds: float  # of audio
    words: ErrorCounts
    interval: Interval | None  # 95%, of the WER; needs `FEWEST_FOR_INTERVAL` utterances


@dataclass(frozen=True)
class ConfidenceBin:
    """The words whose confidence lies in one stretch."""

    low: float
    high: float  # which belongs to the next bin, but for 1
    words: int
    confidence: float  # mean of the words'; NaN without any
    correct: float  # share of the words that are right; NaN without any


@dataclass(frozen=True)
class Calibration:
    """How near the confidence of the words that were heard is to their chance of being right.

    A word is right if the alignment has it opposite the same word of the reference.
    """

    bins: tuple[ConfidenceBin, ...]  # `CONFIDENCE_BINS`, from unsure to sure
    words: int
    correct: int
    expected_error: float  # mean distance of confidence and share of right words over the bins (Guo et al. 2017)
    cross_entropy: float  # normalised (NIST): 1 knows which words are right, 0 only how many; NaN if all or none are
    left_out: int  # utterances in which normalisation joins, splits or drops words, which have a confidence each


@dataclass(frozen=True)
class Evaluation:
    """Everything that a report says. Rates and intervals are fractions: 0.05 is 5%."""

    model: str
    manifests: tuple[str, ...]
    date: datetime
    text: TextConfig
    decoder: str  # how log-probabilities became words, as text
    compute_seconds: float  # NaN: not known
    scored: tuple[Scored, ...]
    failures: tuple[tuple[str, str], ...]  # (utterance id, reason)
    words: ErrorCounts
    characters: ErrorCounts
    utterance_interval: Interval | None
    speaker_interval: Interval | None  # None unless two or more speakers are known
    speakers: tuple[Group, ...]  # worst first; empty when no speaker is known
    durations: tuple[Group, ...]  # shortest first
    confusions: tuple[Confusion, ...]  # most frequent first
    calibration: Calibration | None  # None where no word has a confidence

    @property
    def complete(self) -> bool:
        """Whether every utterance was scored."""
        return bool(self.scored) and not self.failures

    @property
    def speaker_count(self) -> int:
        """How many speakers are known."""
        return sum(group.name != UNKNOWN_SPEAKER for group in self.speakers)

    @property
    def interval(self) -> Interval | None:
        """95% interval of the WER: over speakers where they are known, since errors cluster by speaker."""
        return self.speaker_interval or self.utterance_interval

    @property
    def audio_seconds(self) -> float:
        """Seconds of audio that were scored; 0 where it is not known."""
        return sum(item.utterance.duration for item in self.scored)

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing for each second of audio: below 1 is faster than speech. NaN if not known."""
        return self.compute_seconds / self.audio_seconds if self.audio_seconds else math.nan

    @property
    def synthetic_utterances(self) -> int:
        """How many scored utterances a synthesizer spoke (the manifest's `synthetic` key)."""
        return sum(item.utterance.synthetic for item in self.scored)

    @property
    def caveats(self) -> list[str]:
        """What must be said with the WER wherever it is quoted; often nothing."""
        caveats, count, failed = [], len(self.scored), len(self.failures)
        if self.synthetic_utterances:
            share = f"{self.synthetic_utterances} of {count} utterances"
            caveats.append(f"{share} are synthetic speech by espeak-ng: this says nothing about human speech")
        if not self.complete:
            share = f"{failed} of {failed + count} utterances"
            caveats.append(f"incomplete: {share} were not recognised and are in none of the figures")
        return caveats

    def most_confused(self, kind: str, limit: int) -> list[Confusion]:
        """The most frequent confusions of one of `KINDS`."""
        return [confusion for confusion in self.confusions if confusion.word.kind == kind][:limit]

    def worst(self, limit: int) -> list[Scored]:
        """The utterances with most word errors, at most `limit`; none without errors."""
        wrong = [item for item in self.scored if item.words.errors]
        return sorted(wrong, key=lambda item: (-item.words.errors, item.words.reference, item.utterance.id))[:limit]


def evaluate(
    pairs: Sequence[tuple[Utterance, Transcript]],
    *,
    text: TextConfig,
    decoder: str = "greedy",
    model: str,
    manifests: Sequence[str],
    compute_seconds: float = math.nan,
    failures: Sequence[tuple[str, str]] = (),
    date: datetime | None = None,
) -> Evaluation:
    """Score what a model heard in some manifests' utterances.

    `failures` are the (utterance id, reason) that could not be recognised: they are in no figure, and the report
    says so. `date` is now unless given.
    """
    scored = score(pairs, text)
    by_speaker = _group(scored, lambda item: item.utterance.speaker or UNKNOWN_SPEAKER)
    known = by_speaker.keys() - {UNKNOWN_SPEAKER}
    by_duration = _group(sorted(scored, key=lambda item: item.utterance.duration), _duration_bin)
    # Nobody knows who an unnamed speaker is: each such utterance is resampled as a speaker of its own.
    voices = [item.utterance.speaker or ("utterance", item.utterance.id) for item in scored]
    return Evaluation(
        model=model,
        manifests=tuple(manifests),
        date=date or datetime.now().astimezone(),
        text=text,
        decoder=decoder,
        compute_seconds=compute_seconds,
        scored=tuple(scored),
        failures=tuple(failures),
        words=ErrorCounts.total(item.words for item in scored),
        characters=ErrorCounts.total(item.characters for item in scored),
        utterance_interval=_interval(scored),
        speaker_interval=_interval(scored, voices) if len(known) > 1 else None,
        speakers=tuple(sorted(_summaries(by_speaker), key=_worst_first)) if known else (),
        durations=tuple(_summaries(by_duration)) if all(item.utterance.duration for item in scored) else (),
        confusions=tuple(count_confusions(scored)),
        calibration=calibrate(scored, text),
    )


def score(pairs: Sequence[tuple[Utterance, Transcript]], text: TextConfig) -> list[Scored]:
    """Normalise both sides in the same way and align them by jiwer, words and characters (spaces included).

    A reference that normalises to nothing is scored too: each word heard there is an insertion.
    """
    references = [normalize(utterance.text, text) for utterance, _ in pairs]
    hypotheses = [normalize(transcript.text, text) for _, transcript in pairs]
    words = jiwer.process_words(references, hypotheses)
    characters = jiwer.process_characters(references, hypotheses)
    return [
        Scored(
            *pair,
            references[i],
            hypotheses[i],
            tuple(_align(words.references[i], words.hypotheses[i], words.alignments[i])),
            _count(words.alignments[i]),
            _count(characters.alignments[i]),
        )
        for i, pair in enumerate(pairs)
    ]


def bootstrap(
    errors: Sequence[int],
    words: Sequence[int],
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    rounds: int = 1000,
) -> Interval | None:
    """95% percentile interval (low, high) of the WER by the bootstrap (Bisani & Ney 2004).

    `errors` and reference `words` of each utterance are redrawn with replacement; with `groups` (a speaker for
    each utterance) whole groups are. The same seed gives the same interval. None where redrawing says nothing:
    fewer than two groups, no reference words, or no errors.
    """
    rates = redraw(errors, words, groups, seed, rounds)
    if rates is None:
        return None
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(low), float(high)


def redraw(
    errors: Sequence[int], words: Sequence[int], groups: Sequence[Hashable] | None, seed: int, rounds: int
) -> np.ndarray | None:
    """The WER in each round of `bootstrap`, `(rounds,)`; None as there. Errors may be differences of errors."""
    index: dict[Hashable, int] = {}
    rows = [index.setdefault(group, len(index)) for group in (range(len(errors)) if groups is None else groups)]
    size = len(index)
    counts = np.zeros((size, 2))  # (groups, errors and words)
    np.add.at(counts, rows, np.column_stack([errors, words]))
    if size < 2 or not counts.any(axis=0).all():
        return None
    generator = np.random.default_rng(seed)
    block = max(1, 1_000_000 // size)  # all rounds at once would take gigabytes for a large corpus
    drawn = [
        counts[generator.integers(size, size=(min(block, rounds - start), size))].sum(axis=1)
        for start in range(0, rounds, block)
    ]
    totals = np.concatenate(drawn)  # (rounds, 2)
    totals = totals[totals[:, 1] > 0]
    return totals[:, 0] / totals[:, 1]


def count_confusions(scored: Iterable[Scored]) -> list[Confusion]:
    """Every substitution, deletion and insertion with its count, most frequent first, then by the alphabet."""
    counts = Counter(word for item in scored for word in item.alignment if word.kind != "equal")
    return [Confusion(word, n) for word, n in sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))]


def calibrate(scored: Iterable[Scored], text: TextConfig) -> Calibration | None:
    """How far the words' confidence can be trusted; None if there are no words to judge by."""
    confidence, correct, left_out = [], [], 0
    for item in scored:
        heard = [word.hypothesis == word.reference for word in item.alignment if word.hypothesis]
        # The alignment's words are normalised, confidence belongs to those that were heard: they must be the same.
        if [normalize(word.text, text) for word in item.transcript.words] != item.hypothesis.split():
            left_out += 1
            continue
        confidence += [word.confidence for word in item.transcript.words]
        correct += heard
    if not confidence:
        return None
    sure, right = np.clip(confidence, 0.0, 1.0), np.array(correct)
    place = np.minimum((sure * CONFIDENCE_BINS).astype(int), CONFIDENCE_BINS - 1)
    bins = [
        ConfidenceBin(
            number / CONFIDENCE_BINS,
            (number + 1) / CONFIDENCE_BINS,
            int(inside.sum()),
            float(sure[inside].mean()) if inside.any() else math.nan,
            float(right[inside].mean()) if inside.any() else math.nan,
        )
        for number, inside in enumerate(place == number for number in range(CONFIDENCE_BINS))
    ]
    error = sum(each.words * abs(each.confidence - each.correct) for each in bins if each.words) / len(sure)
    return Calibration(tuple(bins), len(sure), int(right.sum()), error, _cross_entropy(sure, right), left_out)


def _cross_entropy(sure: np.ndarray, right: np.ndarray) -> float:
    """Normalised cross entropy (Siu et al. 1997) of confidences `(words,)` with which words are right, `(words,)`."""
    share = right.mean()
    if share in (0.0, 1.0):
        return math.nan
    certain = np.clip(sure, 1 - MOST_CERTAIN, MOST_CERTAIN)
    entropy = -(share * math.log(share) + (1 - share) * math.log(1 - share))
    return float(1 + np.log(np.where(right, certain, 1 - certain)).mean() / entropy)


def _align(reference: list[str], hypothesis: list[str], chunks: list[jiwer.AlignmentChunk]) -> Iterator[AlignedWord]:
    for chunk in chunks:
        said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        heard = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        yield from starmap(AlignedWord, zip_longest(said, heard, fillvalue=""))


def _count(chunks: list[jiwer.AlignmentChunk]) -> ErrorCounts:
    lengths = Counter()
    for chunk in chunks:
        lengths[chunk.type] += max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
    substitutions, deletions = lengths["substitute"], lengths["delete"]
    return ErrorCounts(substitutions, deletions, lengths["insert"], lengths["equal"] + substitutions + deletions)


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
