"""Streaming recognition with a bidirectional network.

In every step the network computes the last seconds again. Its output is final for frames that have had their
look-ahead; later output is shown, but may change. A word is committed, and never changed, when two consecutive steps
agree on it (local agreement, Liu et al. 2020) and another word or a pause has followed.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from asr.audio.voice_activity import BLOCK_SECONDS, SpeechDetector, speech_at
from asr.decoding.decoder import DecodedWord
from asr.recognition.config import ListenConfig
from asr.recognition.recognizer import Recognizer
from asr.transcript import Word

PAUSE_SECONDS = 0.6  # without a word, which complete the phrase before
LONGEST_SEGMENT = 20.0  # seconds that are decoded together when there is no pause


@dataclass(frozen=True)
class Update:
    """The result of a step."""

    committed: tuple[Word, ...]  # new final words
    partial: str  # text after the committed words, which may change
    pause: bool  # whether a pause followed the committed words
    received: float  # seconds of audio so far
    computing: float  # seconds that the step took


class LiveRecognizer:
    """The state of one stream."""

    def __init__(self, recognizer: Recognizer, config: ListenConfig):
        self._recognizer, self._step_samples = recognizer, self._to_samples(recognizer, config.step)
        self._history = self._to_samples(recognizer, config.history)
        self._look_ahead = round(config.look_ahead / recognizer.file.frame_seconds)
        self._sound = np.zeros(0, np.float32)  # input of the next step
        self._sound_start = 0  # its first output frame
        self._new = 0  # samples since the last step
        self._final = 0  # output frames that are final
        self._segment: list[np.ndarray] = []  # log-probabilities of final frames since the last pause
        self._segment_start = 0  # its first output frame
        self._agreed: list[str] = []  # the segment's words in the last step
        self._committed = 0  # how many of them have been committed
        self._detector = SpeechDetector(recognizer.sample_rate) if recognizer.voice_activity else None
        self._probabilities = np.zeros(0, np.float32)  # of speech, by block
        self._first_block = 0

    def push(self, samples: np.ndarray) -> Iterator[Update]:
        """Add samples `(samples,)` at the model's rate. Yields an update per complete step."""
        while len(samples):
            taken, samples = np.split(samples, [self._step_samples - self._new])
            self._sound = np.concatenate([self._sound, taken])
            self._new += len(taken)
            if self._detector:
                self._probabilities = np.concatenate([self._probabilities, self._detector.push(taken)])
            if self._new == self._step_samples:
                self._new = 0
                yield self._step(self._look_ahead)

    def finish(self) -> Update:
        """End the stream: all remaining words are committed."""
        return self._step(0, ended=True)

    @staticmethod
    def _to_samples(recognizer: Recognizer, seconds: float) -> int:
        return max(1, round(seconds / recognizer.file.frame_seconds)) * recognizer.frame_samples

    def _step(self, look_ahead: int, ended: bool = False) -> Update:
        started = time.perf_counter()
        emission = self._only_speech(self._recognizer.emissions([self._sound])[0])
        end = self._sound_start + len(emission)
        final = max(self._final, end - look_ahead)
        self._segment.append(emission[self._final - self._sound_start : final - self._sound_start])
        self._final = final
        known = np.concatenate(self._segment)
        words = self._decode(known)
        received = self._sound_seconds()
        committed, pause = self._commit(words, ended)
        tail = self._decode(np.concatenate([known, emission[final - self._sound_start :]]))[self._committed :]
        partial = "" if ended else " ".join(word.text for word in tail)
        timed = tuple(self._timed(word) for word in committed)
        self._cut(words, known, pause)
        self._forget()
        return Update(timed, "" if pause else partial, pause, received, time.perf_counter() - started)

    def _only_speech(self, emission: np.ndarray) -> np.ndarray:
        if not self._detector:
            return emission
        frames = self._sound_start + np.arange(len(emission))
        times = frames * self._recognizer.file.frame_seconds - self._first_block * BLOCK_SECONDS
        return self._recognizer.with_blanks(emission, speech_at(self._probabilities, times))

    def _commit(self, words: list[DecodedWord], ended: bool) -> tuple[list[DecodedWord], bool]:
        """The words of the segment that are committed now, and whether the segment is complete."""
        length, frame = self._final - self._segment_start, self._recognizer.file.frame_seconds
        too_long = length * frame > LONGEST_SEGMENT
        # A single word of this length is a language written without spaces.
        pause = ended or (too_long and len(words) == 1)
        pause = pause or (bool(words) and (length - words[-1].end) * frame >= PAUSE_SECONDS)
        texts = [word.text for word in words]
        agreed = len(words) if pause else len(words) - 1 if too_long else _common(texts[:-1], self._agreed)
        committed = words[self._committed : agreed]
        self._agreed, self._committed = texts, max(self._committed, agreed)
        return committed, pause

    def _cut(self, words: list[DecodedWord], known: np.ndarray, pause: bool) -> None:
        """Begin a new segment after a pause or, when there has been none for long, with the last word."""
        frame = self._recognizer.file.frame_seconds
        if pause or (not words and len(known) * frame >= PAUSE_SECONDS):
            start = len(known)
        elif len(known) * frame > LONGEST_SEGMENT:
            start = words[-1].start
        else:
            return
        self._segment, self._agreed, self._committed = [known[start:]], [], 0
        self._segment_start += start

    def _forget(self) -> None:
        """Drop sound that is older than the history."""
        frames = self._final - self._sound_start - self._history // self._recognizer.frame_samples
        if frames > 0:
            self._sound = self._sound[frames * self._recognizer.frame_samples :]
            self._sound_start += frames
            first = int(self._sound_start * self._recognizer.file.frame_seconds / BLOCK_SECONDS)
            self._probabilities = self._probabilities[first - self._first_block :]
            self._first_block = first

    def _decode(self, emission: np.ndarray) -> list[DecodedWord]:
        return list(self._recognizer.decoder.decode_batch([emission])[0].words) if len(emission) else []

    def _timed(self, word: DecodedWord) -> Word:
        frame = self._recognizer.file.frame_seconds
        start, end = (round((self._segment_start + at) * frame, 3) for at in (word.start, word.end))
        return Word(word.text, start, end, word.confidence)

    def _sound_seconds(self) -> float:
        before = self._sound_start * self._recognizer.frame_samples
        return (before + len(self._sound)) / self._recognizer.sample_rate


def listen(recognizer: Recognizer, pieces: Iterable[np.ndarray], config: ListenConfig) -> Iterator[Update]:
    """The updates of a stream of pieces `(samples,)`, the last one at its end, which may be Ctrl-C."""
    live = LiveRecognizer(recognizer, config)
    try:
        for piece in pieces:
            yield from live.push(piece)
    except KeyboardInterrupt:
        pass
    yield live.finish()


def _common(words: list[str], others: list[str]) -> int:
    """Length of the common prefix."""
    for position, (word, other) in enumerate(zip(words, others, strict=False)):
        if word != other:
            return position
    return min(len(words), len(others))
