"""What is in a corpus: amounts, speakers, lengths, sample rates, words and sentences, and faulty recordings."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from asr.audio.io import load_audio, probe
from asr.data.manifest import Utterance, sound_of, total_hours
from asr.errors import ManifestError
from asr.text.config import TextConfig
from asr.text.normalizer import normalize
from asr.utils.progress import track

MOST_EXAMINED = 2000  # recordings whose samples are read; of a larger corpus, evenly spaced ones
SILENT = 1e-3  # root mean square of the loudest 10 ms, as a share of full scale: -60 dB
LEAST_PEAK = 0.05  # of full scale: below, neighbouring samples are often equal
FLAT = 3  # successive samples at the peak: a waveform touches it with one or two unless it is clipped
STEP = 1.5 / 32768  # of 16-bit samples, and half a step of rounding
CLIPPED_SHARE, CLIPPED_RUNS = 1e-3, 3  # of samples at the peak, and the number of places
FEW_WORDS = 200  # a vocabulary in which rare words matter
FEW_EXAMPLES = 10
MOST_SHARED = 0.5  # of the sentences of dev or test, up to which those that are also in train change WER little
CHUNK = 1 << 10  # texts normalised at a time


@dataclass(frozen=True)
class Survey:
    """The contents of a corpus; texts are normalised."""

    utterances: Sequence[Utterance]
    texts: list[str]
    sample_rates: Counter  # hertz -> examined recordings
    examined: int  # recordings whose samples were read
    clipped: list[str]  # ids
    silent: list[str]  # ids

    @property
    def hours(self) -> float:
        """Hours of audio."""
        return total_hours(self.utterances)

    @cached_property
    def speakers(self) -> Counter:
        """Utterances of each known speaker."""
        return Counter(utterance.speaker for utterance in self.utterances if utterance.speaker)

    @cached_property
    def seconds(self) -> np.ndarray:
        """Durations in seconds, sorted, `(utterances,)`."""
        return np.sort([utterance.duration for utterance in self.utterances])

    @cached_property
    def vocabulary(self) -> Counter:
        """Words with their counts."""
        return Counter(word for text in self.texts for word in text.split())

    @cached_property
    def alphabet(self) -> set[str]:
        """Characters of the texts."""
        return {character for text in self.texts for character in text}

    @cached_property
    def sentences(self) -> Counter:
        """Different texts with their counts."""
        return Counter(self.texts)

    @property
    def new_sentence_share(self) -> float:
        """Different texts per utterance: 1 where no sentence is repeated."""
        return len(self.sentences) / len(self.texts)

    def to_text(self) -> str:
        """The contents in two lines."""
        rates = ", ".join(f"{rate} Hz" for rate in sorted(self.sample_rates))
        count = len(self.speakers)
        speakers = f"{count} speaker{'s' if count > 1 else ''}" if count else "no speakers named"
        return (
            f"{len(self.utterances):,} utterances, {self.hours:.2f} h, {speakers}, "
            f"{self.seconds[0]:.2f} to {self.seconds[-1]:.2f} s (median {np.median(self.seconds):.2f}), {rates}\n"
            f"{self.vocabulary.total():,} words, {len(self.vocabulary):,} different, {len(self.alphabet - {' '})} "
            f"characters; {len(self.sentences):,} different sentences"
        )

    def warnings(self) -> Iterator[str]:
        """What limits a model of this corpus, in plain words."""
        if not self.speakers:
            yield "no utterance names its speaker: whether the model suits new speakers cannot be measured"
        elif len(self.speakers) == 1:
            yield f"one speaker only ({next(iter(self.speakers))}): the model may fail for other voices"
        if self.hours < 1 / 12:
            yield f"{60 * self.hours:.1f} minutes of speech only: expect many errors"
        rare = [f"{word} ({count})" for word, count in self.vocabulary.items() if count < FEW_EXAMPLES]
        if rare and len(self.vocabulary) <= FEW_WORDS:
            yield f"fewer than {FEW_EXAMPLES} examples of {len(rare)} words: {_some(rare)}; record more of them"
        of = "" if self.examined == len(self.utterances) else f" of {self.examined} examined"
        if self.clipped:
            yield f"{len(self.clipped)}{of} recordings are clipped: {_some(self.clipped)}; lower the recording level"
        if self.silent:
            yield f"{len(self.silent)}{of} recordings are silent: {_some(self.silent)}; remove or record them again"


def survey(utterances: Sequence[Utterance], text: TextConfig) -> Survey:
    """Examine a corpus. Raises `AudioError` naming a recording that cannot be read, `ManifestError` an empty text."""
    texts = [normalize(utterance.text, text) for utterance in utterances]
    if empty := [utterance.id for utterance, words in zip(utterances, texts, strict=True) if not words]:
        raise ManifestError(f"'{empty[0]}' and {len(empty) - 1} others have no words; remove or transcribe them")
    step = -(-len(utterances) // MOST_EXAMINED)
    examined = utterances[::step]
    rates: Counter = Counter()
    clipped, silent = [], []
    for utterance in track(examined, "examining", len(examined)):
        rate = probe(sound_of(utterance)).sample_rate
        part = {} if utterance.offset is None else {"offset": utterance.offset, "duration": utterance.duration}
        samples = load_audio(sound_of(utterance), rate, **part).samples
        rates[rate] += 1
        if is_silent(samples, rate):
            silent.append(utterance.id)
        elif is_clipped(samples):
            clipped.append(utterance.id)
    return Survey(utterances, texts, rates, len(examined), clipped, silent)


def shared_sentences(train: Sequence[str], measured: Sequence[str]) -> str:
    """A warning where more than half of the texts that a model is `measured` on are also in train. None for a
    vocabulary of few words, whose sentences recur by nature."""
    sentences, shared, words = set(measured), set(), set[str]()
    for start in range(0, len(train), CHUNK):
        texts = train[start : start + CHUNK]
        shared |= sentences.intersection(texts)
        if len(words) <= FEW_WORDS:
            words.update(word for text in texts for word in text.split())
    share = sum(text in shared for text in measured) / max(1, len(measured))
    if share <= MOST_SHARED or len(words) <= FEW_WORDS:
        return ""
    return f"{share:.0%} of the sentences that WER is measured on are also in train: it says little about others"


def is_silent(samples: np.ndarray, sample_rate: int) -> bool:
    """Whether even the loudest 10 ms of `(samples,)` are more than 60 dB below full scale."""
    frame = max(1, sample_rate // 100)
    power = np.square(samples[: len(samples) // frame * frame].reshape(-1, frame), dtype=np.float64).mean(axis=1)
    return not len(power) or float(power.max()) < SILENT**2


def is_clipped(samples: np.ndarray) -> bool:
    """Whether `(samples,)` stay at their peak for several samples in several places."""
    sides = [side for side in (samples, -samples) if side.max(initial=0.0) >= LEAST_PEAK]
    if not sides:
        return False
    runs = [_runs(side >= side.max() - STEP) for side in sides]
    flat = np.concatenate([lengths[lengths >= FLAT] for lengths in runs])
    return len(flat) >= CLIPPED_RUNS and flat.sum() >= CLIPPED_SHARE * len(samples)


def _runs(at_peak: np.ndarray) -> np.ndarray:
    """Lengths of the stretches of true values in `(samples,)`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], at_peak, [False]]).astype(np.int8)))
    return edges[1::2] - edges[::2]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
