"""Forced alignment: a recording and what was said in it -> when each word and character was said.

Text and speech need not be the same. A word that the network does not hear costs `MISSING_NATS` for each of its tokens
and is left out; speech that the text lacks costs `EXTRA_NATS` a frame instead of being stretched over the words beside
it. Both are reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asr.audio.io import probe, read_audio
from asr.decoding.alignment import Slack, align
from asr.decoding.greedy import Tokens, greedy
from asr.errors import TextError
from asr.recognition.config import AlignConfig
from asr.recognition.pipeline import segments
from asr.recognition.recognizer import Recognizer
from asr.recognition.word_boundaries import STEP, energies, find_boundaries, quiet
from asr.text.normalizer import normalize
from asr.text.tokenizer import BLANK
from asr.transcript import Transcript, Word
from asr.utils.files import read_text
from asr.utils.progress import progress_bar

MISSING_NATS = 5.0  # for each token of a word that was not said
EXTRA_NATS = 3.0  # below the best token, for a frame of speech that the text lacks
EXTRA_GAP = 1.0  # seconds; stretches of such speech nearer to each other are one
EXTRA_LETTERS = 3  # that the network writes in such a stretch, or more: else it is a slip of the network
MOST_IN_SILENCE = 0.3  # share of tokens that fall on silence; above it, a model does not tell when it hears what


@dataclass(frozen=True)
class Spoken:
    """A word of the text and its tokens."""

    text: str  # as it is written
    tokens: list[int]


@dataclass(frozen=True)
class Alignment:
    """When the words of a text were said, and where text and speech differ."""

    transcript: Transcript  # of the words that were found
    missing: tuple[str, ...]  # runs of words of the text that were not heard, with where they should have been
    extra: tuple[str, ...]  # speech that the text lacks, with when and what it sounded like
    in_silence: float  # share of the tokens that the network writes where nothing is to be heard

    @property
    def complete(self) -> bool:
        """Whether text and speech are the same."""
        return not self.missing and not self.extra

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should look at, in words."""
        doubtful, found = self.transcript.doubtful, [*self.missing, *self.extra]
        if doubtful:
            shown = ", ".join(f"'{word.text}' at {word.start:.2f} s" for word in doubtful[:5])
            found.append(f"doubtful: {shown}" + (f" and {len(doubtful) - 5} more" if len(doubtful) > 5 else ""))
        if self.in_silence > MOST_IN_SILENCE:
            found.append(
                f"the model writes {self.in_silence:.0%} of its tokens in silence, early or late, so these times are "
                "rough; a model of characters, trained on longer sentences, keeps nearer to the sound"
            )
        return tuple(found)


def align_recording(recognizer: Recognizer, sound: Path, text: Path, config: AlignConfig) -> Alignment:
    """Align a sound file of any length with a text file; words keep their spelling, in the text's order.

    Raises `AudioError` or `TextError` naming the file that cannot be used, the latter also where the model's alphabet
    lacks a character after its normalisation.
    """
    spoken = read_words(text, recognizer)
    emission, duration = _listen(recognizer, sound)
    with read_audio(sound, recognizer.sample_rate) as audio:
        decibels = energies(audio.pieces, recognizer.sample_rate)
    gap = _gap(emission, recognizer.file.tokenizer.pieces)
    tokens = align(emission, np.concatenate([word.tokens for word in spoken]), _slack(spoken, gap))
    transcript = _transcript(spoken, tokens, decibels, duration, recognizer)
    doubtful = tuple(word for word in transcript.words if word.confidence < config.doubtful)
    found = Alignment(
        replace(transcript, doubtful=doubtful),
        _missing(spoken, tokens, recognizer.file.frame_seconds),
        _extra(emission, tokens, gap, recognizer),
        _in_silence(tokens, decibels, recognizer.file.frame_seconds),
    )
    return replace(found, transcript=replace(found.transcript, notes=found.notes))


def read_words(path: Path, recognizer: Recognizer) -> list[Spoken]:
    """The words of a text file with their tokens. What normalisation leaves nothing of, such as a dash, stays with
    the word before it, or after it at the beginning."""
    written = read_text(path, TextError, "give the path of a text file").split()
    words: list[Spoken] = []
    before = ""
    for each in written:
        normal = normalize(each, recognizer.file.text)
        if normal:
            try:
                tokens = [t for part in normal.split() for t in recognizer.file.tokenizer.encode(part)]
            except TextError as error:
                raise TextError(f"{path}: '{each}': {error}; write it as it is said") from error
            words.append(Spoken(before + each, tokens))
            before = ""
        elif words:
            words[-1] = replace(words[-1], text=f"{words[-1].text} {each}")
        else:
            before += f"{each} "
    if not words:
        raise TextError(f"{path}: no words in it")
    return words


def _listen(recognizer: Recognizer, sound: Path) -> tuple[np.ndarray, float]:
    """Log-probabilities `(frames, tokens)` of a whole recording, heard in windows, and its seconds."""
    source = (str(sound), lambda: read_audio(sound, recognizer.sample_rate))
    parts, samples = [], 0
    with progress_bar("network", probe(sound).duration, audio=True) as advance:
        for segment in segments(recognizer, [source], 120.0, advance):
            if segment.ending and segment.ending.error:
                raise segment.ending.error
            parts.append(recognizer.file.of_tokens(segment.emission))
            samples = segment.ending.samples if segment.ending else 0
    return np.concatenate(parts), samples / recognizer.sample_rate


def _gap(emission: np.ndarray, pieces: Sequence[str]) -> np.ndarray:
    """Log-probability of each frame between words, `(frames,)`: blank, a space, or at a price any speech."""
    return np.maximum(_silence(emission, pieces), emission.max(axis=1) - EXTRA_NATS)


def _silence(emission: np.ndarray, pieces: Sequence[str]) -> np.ndarray:
    return emission[:, [BLANK, *(index for index, piece in enumerate(pieces) if piece == " ")]].max(axis=1)


def _slack(spoken: Sequence[Spoken], gap: np.ndarray) -> Slack:
    lengths = np.array([len(word.tokens) for word in spoken])
    ends = np.cumsum(lengths)
    skips, following = np.zeros(ends[-1]), np.zeros(ends[-1], np.int64)
    skips[ends - lengths] = MISSING_NATS * lengths
    following[ends - lengths] = ends
    return Slack(np.ascontiguousarray(gap, np.float32), skips, following)


def _places(spoken: Sequence[Spoken]) -> list[slice]:
    """The tokens of each word, among those of all."""
    ends = np.cumsum([len(word.tokens) for word in spoken]).tolist()
    return [slice(end - len(word.tokens), end) for word, end in zip(spoken, ends, strict=True)]


def _transcript(
    spoken: Sequence[Spoken], tokens: Tokens, decibels: np.ndarray, duration: float, recognizer: Recognizer
) -> Transcript:
    """The words that were found, with the boundaries that the sound has, and their characters."""
    frame = recognizer.file.frame_seconds
    found = [(word, place) for word, place in zip(spoken, _places(spoken), strict=True) if _heard(tokens, place)]
    rough = [(tokens.starts[place][0] * frame, tokens.ends[place][-1] * frame) for _, place in found]
    words, characters = [], []
    for (word, place), span, bounds in zip(found, rough, find_boundaries(rough, decibels), strict=True):
        start, end = (round(min(seconds, duration), 3) for seconds in bounds)
        confidence = float(np.exp(tokens.log_probabilities[place].mean()))
        words.append(Word(word.text, start, end, confidence))
        characters += _characters(tokens, place, span, words[-1], recognizer)
    return Transcript(" ".join(word.text for word in words), tuple(words), duration, characters=tuple(characters))


def _heard(tokens: Tokens, place: slice) -> bool:
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


def _missing(spoken: Sequence[Spoken], tokens: Tokens, frame: float) -> tuple[str, ...]:
    """Runs of words that have no frames, told with the times of the words around them."""
    heard = [_heard(tokens, place) for place in _places(spoken)]
    places, told, first = _places(spoken), [], 0
    for number in range(len(spoken) + 1):
        if number < len(spoken) and not heard[number]:
            continue
        if number > first:
            words = " ".join(word.text for word in spoken[first:number])
            after = f"after {tokens.ends[places[first - 1]][-1] * frame:.2f} s" if first else "at the beginning"
            told.append(f"{_count(number - first)} not heard, {after}: '{_short(words)}'")
        first = number + 1
    return tuple(told)


def _extra(emission: np.ndarray, tokens: Tokens, gap: np.ndarray, recognizer: Recognizer) -> tuple[str, ...]:
    """Stretches between words in which the network hears speech rather than silence."""
    pieces, frame = recognizer.file.tokenizer.pieces, recognizer.file.frame_seconds
    speech = gap > _silence(emission, pieces)
    for start, end in zip(tokens.starts, tokens.ends, strict=True):
        speech[start:end] = False
    frames = np.flatnonzero(speech)
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > EXTRA_GAP / frame) + 1) if len(frames) else []
    told = []
    for run in runs:
        part = emission[run[0] : run[-1] + 1]
        heard = recognizer.file.tokenizer.decode(greedy(part[None], np.array([len(part)]))[0].indices)
        if len(heard.replace(" ", "")) >= EXTRA_LETTERS:
            told.append(f"not in the text, {run[0] * frame:.2f} s to {(run[-1] + 1) * frame:.2f} s: '{_short(heard)}'")
    return tuple(told)


def _in_silence(tokens: Tokens, decibels: np.ndarray, frame: float) -> float:
    heard = tokens.ends > tokens.starts
    middles = ((tokens.starts + tokens.ends)[heard] / 2 * frame / STEP).astype(int)
    return float(quiet(decibels)[middles.clip(0, len(decibels) - 1)].mean()) if len(middles) else 0.0


def _count(words: int) -> str:
    return "1 word" if words == 1 else f"{words} words"


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"
