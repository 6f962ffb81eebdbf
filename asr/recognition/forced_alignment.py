"""Forced alignment: a recording and its text -> when each word and character was spoken.

Text and speech may differ. A word that was not spoken costs `MISSING_NATS` per token and is left out; speech that the
text lacks costs `EXTRA_NATS` per frame and is kept apart from the words beside it. Both are reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from asr.audio.io import probe, read_audio
from asr.decoding.alignment import Slack, align_loosely
from asr.decoding.decoder import words_of
from asr.decoding.greedy import Tokens, greedy
from asr.recognition.alignment_text import TextWord, read_words
from asr.recognition.config import BATCH_SECONDS, AlignConfig
from asr.recognition.pipeline import segments
from asr.recognition.recognizer import Recognizer
from asr.recognition.word_boundaries import STEP, Span, energies, find_boundaries, quiet, speechless_steps
from asr.text.tokenizer import BLANK
from asr.transcript import Transcript, Word
from asr.utils.progress import progress_bar

MISSING_NATS = 5.0  # per token of a word that was not spoken
EXTRA_NATS = 3.0  # below the best token, per frame of speech that the text lacks
OPENING_NATS = 7.0  # per stretch of such speech, so that words of the text stay together
EXTRA_GAP = 1.0  # seconds; stretches of such speech nearer to each other are one, unless a word is between them
LEAST_EXTRA = 2  # letters in such a stretch that keep it apart from the words beside it
EXTRA_LETTERS = 3  # letters in such a stretch for it to be reported: fewer are a slip of the network
MOST_IN_SILENCE = 0.3  # share of tokens that fall on silence, above which the network's times are only rough


@dataclass(frozen=True)
class ExtraSpeech:
    """Speech that the text lacks."""

    start: float  # seconds
    end: float  # seconds
    text: str  # the network's greedy output there
    words: tuple[Span, ...]  # where its words are

    @property
    def letters(self) -> int:
        """How many letters the network outputs there."""
        return len(self.text.replace(" ", ""))


@dataclass(frozen=True)
class Alignment:
    """When the words of a text were spoken, and where text and speech differ."""

    transcript: Transcript  # of the words that were found
    missing: tuple[str, ...]  # runs of words of the text that were not found, and where they should be
    extra: tuple[ExtraSpeech, ...]  # long enough to be reported
    in_silence: float  # share of the tokens that the network outputs in silence

    @property
    def complete(self) -> bool:
        """Whether text and speech are the same."""
        return not self.missing and not self.extra

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should check, in words."""
        found = list(self.missing)
        found += [
            f"not in the text, {each.start:.2f} s to {each.end:.2f} s: '{_short(each.text)}'" for each in self.extra
        ]
        if doubtful := self.transcript.doubtful:
            shown = ", ".join(f"'{word.text}' at {word.start:.2f} s" for word in doubtful[:5])
            found.append(f"doubtful: {shown}" + (f" and {len(doubtful) - 5} more" if len(doubtful) > 5 else ""))
        if self.in_silence > MOST_IN_SILENCE:
            found.append(
                f"the model outputs {self.in_silence:.0%} of its tokens in silence, early or late, so these times are "
                "rough; a model of characters, trained on longer sentences, is more exact"
            )
        return tuple(found)


def align_recording(recognizer: Recognizer, sound: Path, text: Path, config: AlignConfig) -> Alignment:
    """Align a sound file of any length with a text file; words keep their spelling and order.

    Raises `AudioError` or `TextError` naming the file that cannot be used, the latter also where the model's alphabet
    lacks characters of the normalised text.
    """
    model = recognizer.file
    words = read_words(text, model, config.numbers)
    emission, duration = _emission(recognizer, sound)
    with read_audio(sound, recognizer.sample_rate) as audio:
        decibels = energies(audio.pieces, recognizer.sample_rate)
    tokens_only = model.of_tokens(emission)
    slack = _slack(words, tokens_only, model.tokenizer.pieces)
    tokens, is_extra = align_loosely(tokens_only, np.concatenate([word.tokens for word in words]), slack)
    extra = _extra(tokens_only, tokens, is_extra, recognizer)
    in_silence = _in_silence(tokens, decibels, model.frame_seconds)
    speech = _speech(emission, model.tokenizer.pieces) if in_silence <= MOST_IN_SILENCE else np.ones(len(emission))
    speechless = speechless_steps(speech, model.frame_seconds, len(decibels))
    transcript = _transcript(words, tokens, extra, decibels, speechless, duration, recognizer)
    doubtful = tuple(word for word in transcript.words if word.confidence < config.doubtful)
    reported = tuple(each for each in extra if each.letters >= EXTRA_LETTERS)
    missing = _missing(words, tokens, model.frame_seconds)
    found = Alignment(replace(transcript, doubtful=doubtful), missing, reported, in_silence)
    return replace(found, transcript=replace(found.transcript, notes=found.notes))


def _emission(recognizer: Recognizer, sound: Path) -> tuple[np.ndarray, float]:
    """Log-probabilities `(frames, tokens + phones)` of a whole recording, and its length in seconds."""
    source = (str(sound), lambda: read_audio(sound, recognizer.sample_rate))
    parts, samples = [], 0
    with progress_bar("network", probe(sound).duration, audio=True) as advance:
        for segment in segments(recognizer, [source], BATCH_SECONDS, advance):
            if segment.ending and segment.ending.error:
                raise segment.ending.error
            parts.append(segment.emission)
            samples = segment.ending.samples if segment.ending else 0
    return np.concatenate(parts), samples / recognizer.sample_rate


def _speech(emission: np.ndarray, pieces: Sequence[str]) -> np.ndarray:
    """Probability of speech, `(frames,)`: of all tokens but blank and space, or of all phones if that is greater."""
    silent = [BLANK, *(index for index, piece in enumerate(pieces) if piece == " ")]
    speech = 1 - np.exp(emission[:, silent].astype(np.float64)).sum(axis=1)
    phones = emission[:, len(pieces) :]
    return np.maximum(speech, 1 - np.exp(phones[:, BLANK].astype(np.float64))) if phones.shape[1] else speech


def _silence(emission: np.ndarray, pieces: Sequence[str]) -> np.ndarray:
    return emission[:, [BLANK, *(index for index, piece in enumerate(pieces) if piece == " ")]].max(axis=1)


def _slack(words: Sequence[TextWord], emission: np.ndarray, pieces: Sequence[str]) -> Slack:
    lengths = np.array([len(word.tokens) for word in words])
    ends = np.cumsum(lengths)
    skips, following = np.zeros(ends[-1]), np.zeros(ends[-1], np.int64)
    skips[ends - lengths] = MISSING_NATS * lengths
    following[ends - lengths] = ends
    # A blank costs extra speech nothing: only the letters that the text lacks do.
    silence = np.ascontiguousarray(_silence(emission, pieces), np.float32)
    extra = np.maximum(silence, emission.max(axis=1).astype(np.float32) - np.float32(EXTRA_NATS))
    return Slack(silence, extra, OPENING_NATS, skips, following)


def _places(words: Sequence[TextWord]) -> list[slice]:
    """The tokens of each word, among those of all."""
    ends = np.cumsum([len(word.tokens) for word in words]).tolist()
    return [slice(end - len(word.tokens), end) for word, end in zip(words, ends, strict=True)]


def _transcript(
    words: Sequence[TextWord],
    tokens: Tokens,
    extra: Sequence[ExtraSpeech],
    decibels: np.ndarray,
    speechless: np.ndarray,
    duration: float,
    recognizer: Recognizer,
) -> Transcript:
    """The words that were found, with their boundaries in the sound, and their characters."""
    frame = recognizer.file.frame_seconds
    found = [(word, place) for word, place in zip(words, _places(words), strict=True) if _is_found(tokens, place)]
    rough = [(tokens.starts[place][0] * frame, tokens.ends[place][-1] * frame) for _, place in found]
    bounds = _word_bounds(rough, extra, decibels, speechless)
    timed, characters = [], []
    for (word, place), span, edges in zip(found, rough, bounds, strict=True):
        start, end = (round(min(seconds, duration), 3) for seconds in edges)
        confidence = float(np.exp(tokens.log_probabilities[place].mean()))
        timed.append(Word(word.text, start, end, confidence))
        characters += _characters(tokens, place, span, timed[-1], recognizer)
    return Transcript(" ".join(word.text for word in timed), tuple(timed), duration, characters=tuple(characters))


def _word_bounds(
    rough: Sequence[Span], extra: Sequence[ExtraSpeech], decibels: np.ndarray, speechless: np.ndarray
) -> list[Span]:
    """The words' boundaries. Words of extra speech have boundaries too, so that no neighbour takes their sound."""
    others = (span for each in extra if each.letters >= LEAST_EXTRA for span in each.words)
    spans = sorted([*((span, True) for span in rough), *((span, False) for span in others)])
    bounds = find_boundaries([span for span, _ in spans], decibels, speechless)
    return [edges for edges, (_, in_text) in zip(bounds, spans, strict=True) if in_text]


def _is_found(tokens: Tokens, place: slice) -> bool:
    return bool(tokens.ends[place][0] > tokens.starts[place][0])


def _characters(
    tokens: Tokens, place: slice, rough: tuple[float, float], word: Word, recognizer: Recognizer
) -> list[Word]:
    """The characters of a word's tokens: their frames, stretched to the word's boundaries; characters of one token
    share its time evenly."""
    frame, pieces = recognizer.file.frame_seconds, recognizer.file.tokenizer.pieces
    starts, ends = tokens.starts[place] * frame, tokens.ends[place] * frame
    edges = np.array([rough[0], *((ends[:-1] + starts[1:]) / 2), rough[1]])
    edges = word.start + (edges - rough[0]) / (rough[1] - rough[0]) * (word.end - word.start)
    found = []
    for index, score, start, end in zip(
        tokens.indices[place], tokens.log_probabilities[place], edges[:-1], edges[1:], strict=True
    ):
        letters = pieces[index].strip()
        times = np.linspace(start, end, len(letters) + 1).round(4).tolist()
        found += [Word(letter, times[i], times[i + 1], float(np.exp(score))) for i, letter in enumerate(letters)]
    return found


def _missing(words: Sequence[TextWord], tokens: Tokens, frame: float) -> tuple[str, ...]:
    """Runs of words that have no frames, with the time after which they should be."""
    found, after = [], "at the beginning"
    for is_found, run in groupby(zip(words, _places(words), strict=True), lambda pair: _is_found(tokens, pair[1])):
        run = list(run)
        if is_found:
            after = f"after {tokens.ends[run[-1][1]][-1] * frame:.2f} s"
        else:
            text = _short(" ".join(word.text for word, _ in run))
            found.append(f"{len(run)} {'word' if len(run) == 1 else 'words'} not found, {after}: '{text}'")
    return tuple(found)


def _extra(
    emission: np.ndarray, tokens: Tokens, is_extra: np.ndarray, recognizer: Recognizer
) -> tuple[ExtraSpeech, ...]:
    """Stretches between words in which the network outputs letters rather than blanks."""
    pieces, frame = recognizer.file.tokenizer.pieces, recognizer.file.frame_seconds
    speech = is_extra & (emission.argmax(axis=1) != BLANK)
    before = np.zeros(len(emission), np.int64)  # tokens of the text before each frame
    for start, end in zip(tokens.starts, tokens.ends, strict=True):
        before[start:] += end > start
    frames = np.flatnonzero(speech)
    breaks = (np.diff(frames) > EXTRA_GAP / frame) | (np.diff(before[frames]) > 0)
    found = []
    for run in np.split(frames, np.flatnonzero(breaks) + 1) if len(frames) else []:
        part = emission[run[0] : run[-1] + 1]
        best = greedy(part[None], np.array([len(part)]))[0]
        spans = tuple(((run[0] + w.start) * frame, (run[0] + w.end) * frame) for w in words_of(best, pieces))
        text = recognizer.file.tokenizer.decode(best.indices)
        found.append(ExtraSpeech(float(run[0] * frame), float((run[-1] + 1) * frame), text, spans))
    return tuple(found)


def _in_silence(tokens: Tokens, decibels: np.ndarray, frame: float) -> float:
    found = tokens.ends > tokens.starts
    middles = ((tokens.starts + tokens.ends)[found] / 2 * frame / STEP).astype(int)
    return float(quiet(decibels)[middles.clip(0, len(decibels) - 1)].mean()) if len(middles) else 0.0


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"
