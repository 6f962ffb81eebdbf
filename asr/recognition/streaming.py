"""Streaming recognition with a bidirectional network.

In every step the network computes the last seconds again. Its output is final for frames that have had their
look-ahead, once the stream is long enough; the search takes each of these once, and a copy of it goes on to the last
frame. A word is committed, and never changed, when its frames are final, two consecutive steps agree on it (local
agreement, Liu et al. 2020), and another word or a gap follows. Where there is no speech, neither network nor search has
work to do. With a punctuation model, committed words are written a few words later.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from asr.audio.features import LogMel
from asr.audio.voice_activity import BLOCK_SECONDS, SpeechDetector, speech_at
from asr.decoding.decoder import DecodedWord
from asr.recognition.config import ListenConfig
from asr.recognition.recognizer import Recognizer
from asr.transcript import Word

LEVEL_SECONDS = 8.0  # of past audio over which features are normalized
AVERAGE_SECONDS = 2.0  # of average speech that count besides: at the beginning of a stream there is little else
START_SECONDS = 3.5  # of a stream until anything is final: of less sound the network makes more errors
GAP_SECONDS = 0.3  # without a word, after which the word before is complete
PAUSE_SECONDS = 0.6  # without a word, which complete the phrase before
LONGEST_SEGMENT = 20.0  # seconds that are decoded together when there is no pause


@dataclass(frozen=True)
class Update:
    """The result of a step."""

    committed: tuple[Word, ...]  # new final words, as written
    partial: str  # text after them, which may change
    pause: bool  # whether a pause followed the committed words
    received: float  # seconds of audio so far
    computing: float  # seconds that the step took


class LiveRecognizer:
    """The state of one stream."""

    def __init__(self, recognizer: Recognizer, config: ListenConfig):
        self._recognizer, self._step_samples = recognizer, self._to_samples(recognizer, config.step)
        self._log_mel = _log_mel(recognizer)
        self._history = round(config.history / recognizer.file.frame_seconds)
        self._kept = max(self._history, round(LEVEL_SECONDS / recognizer.file.frame_seconds))
        self._look_ahead = round(config.look_ahead / recognizer.file.frame_seconds)
        self._start = round(START_SECONDS / recognizer.file.frame_seconds)
        self._sound = np.zeros(0, np.float32)  # input of the next step
        self._sound_start = 0  # its first output frame
        self._new = 0  # samples since the last step
        self._final = 0  # output frames that are final
        self._segment: list[np.ndarray] = []  # log-probabilities of final frames since the last pause
        self._decoding = recognizer.decoder.stream()  # of the segment
        self._segment_start = 0  # its first output frame
        self._committed = 0  # where the last committed word ends in it, in frames
        self._agreed: list[str] = []  # the words after that in the last step, to the last frame
        self._writer = recognizer.write.live()
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
        first = max(self._sound_start, self._final - self._history)
        emission = self._emission(first)
        if first + len(emission) < self._start and not ended:
            look_ahead = len(emission)
        final = max(self._final, first + len(emission) - look_ahead)
        self._segment.append(emission[self._final - first : final - first])
        self._decoding.push(self._segment[-1])
        self._final = final
        words = list(self._decoding.words())
        whole = words if ended else self._whole_words(emission[final - first :])
        settled = self._settled(whole, first + len(emission) - self._segment_start)
        committed, pause = self._commit(words, settled, ended)
        following = [] if pause else [self._timed(word) for word in self._open(whole)]
        written = self._writer.add([self._timed(word) for word in committed], following, pause)
        partial = self._recognizer.join([*self._writer.waiting, *following])
        received = self._sound_seconds()
        self._agreed = [word.text for word in self._open(whole)]
        self._cut(words or settled, pause)
        self._forget()
        return Update(written, partial, pause, received, time.perf_counter() - started)

    def _emission(self, first: int) -> np.ndarray:
        """Log-probabilities of the output frames from `first` on."""
        recognizer, skipped = self._recognizer, first - self._sound_start
        hops = recognizer.file.architecture.subsampling
        features = 1 + len(self._sound) * hops // recognizer.frame_samples - skipped * hops
        speech = np.ones(-(-features // hops), bool)
        if self._detector:
            times = (first + np.arange(len(speech))) * recognizer.file.frame_seconds
            speech = speech_at(self._probabilities, times - self._first_block * BLOCK_SECONDS)
        emission = recognizer.blanks(len(speech))
        if speech.any():
            found = recognizer.log_probabilities([self._log_mel(self._sound)[skipped * hops :]])[0]
            emission[speech] = found[speech]
        return emission

    def _whole_words(self, emission: np.ndarray) -> list[DecodedWord]:
        """The words of the segment with those of the last frames, which are not final."""
        decoding = self._decoding.fork()
        decoding.push(emission)
        return list(decoding.words())

    def _settled(self, whole: list[DecodedWord], end: int) -> list[DecodedWord]:
        """Those words whose frames are final and after which there is another word or a gap."""
        followed = len(whole)
        if whole and (end - whole[-1].end) * self._recognizer.file.frame_seconds < GAP_SECONDS:
            followed -= 1
        return [word for word in whole[:followed] if word.end <= self._final - self._segment_start]

    def _commit(
        self, words: list[DecodedWord], settled: list[DecodedWord], ended: bool
    ) -> tuple[list[DecodedWord], bool]:
        """The words of the segment that are committed now, and whether the segment is complete."""
        length, frame = self._final - self._segment_start, self._recognizer.file.frame_seconds
        too_long = length * frame > LONGEST_SEGMENT
        # A single word of this length is a language written without spaces.
        pause = ended or (too_long and len(words) == 1)
        pause = pause or (bool(words) and (length - words[-1].end) * frame >= PAUSE_SECONDS)
        if pause or too_long:
            committed = self._open(words)[: None if pause else -1]
        else:
            committed = self._open(settled)
            committed = committed[: _common([word.text for word in committed], self._agreed)]
        if committed:
            self._committed = committed[-1].end
        return committed, pause

    def _open(self, words: list[DecodedWord]) -> list[DecodedWord]:
        """Those words of the segment that come after the committed ones. Their number may have changed since then."""
        return [word for word in words if word.start + word.end > 2 * self._committed]

    def _cut(self, words: list[DecodedWord], pause: bool) -> None:
        """Begin a new segment after a pause or, when there has been none for long, with the last word."""
        length, frame = self._final - self._segment_start, self._recognizer.file.frame_seconds
        if pause or (not words and length * frame >= PAUSE_SECONDS):
            start = length
        elif length * frame > LONGEST_SEGMENT:
            start = words[-1].start
        else:
            return
        self._segment, self._committed = [np.concatenate(self._segment)[start:]], max(0, self._committed - start)
        self._segment_start += start
        self._decoding = self._recognizer.decoder.stream()
        self._decoding.push(self._segment[0])

    def _forget(self) -> None:
        """Drop sound that no later step needs."""
        frames = self._final - self._sound_start - self._kept
        if frames > 0:
            self._sound = self._sound[frames * self._recognizer.frame_samples :]
            self._sound_start += frames
            first = int(self._sound_start * self._recognizer.file.frame_seconds / BLOCK_SECONDS)
            self._probabilities = self._probabilities[first - self._first_block :]
            self._first_block = first

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


def _log_mel(recognizer: Recognizer) -> LogMel:
    """The model's features, normalized as whole recordings are as far as a stream allows."""
    features = recognizer.file.features
    if features.normalization != "utterance":
        return LogMel(features)
    return LogMel(replace(features, average_seconds=max(features.average_seconds, AVERAGE_SECONDS)))


def _common(words: list[str], others: list[str]) -> int:
    """Length of the common prefix."""
    for position, (word, other) in enumerate(zip(words, others, strict=False)):
        if word != other:
            return position
    return min(len(words), len(others))
