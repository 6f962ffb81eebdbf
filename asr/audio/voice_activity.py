"""Where there is speech in a recording: Silero VAD, a small recurrent network, run by ONNX Runtime.

Recall comes first: a recogniser that drops a word is worse than one that tries a noise.
"""

from functools import cache
from typing import Any

import numpy as np
import soxr

from asr.pretrained import SILERO
from asr.utils.onnx_session import one_thread_session

RATE = 16000  # hertz
BLOCK = 512  # samples of each probability
BLOCK_SECONDS = BLOCK / RATE
OVERLAP = 64  # samples before a block that the network takes with it

POSSIBLE = 0.1  # probability from which a block may be speech
MARGIN_SECONDS = 0.5  # on both sides of it
CERTAIN = 0.3  # mean probability over CERTAIN_BLOCKS that a stretch of such blocks must reach somewhere
CERTAIN_BLOCKS = 8
SHORT_SECONDS = 2.0  # shorter clips are repeated to this length: the network needs a second to settle
LEVEL = 10 ** (-25 / 20)  # root mean square to which recordings are amplified: the network misses faint speech
DIGITAL_SILENCE = 1e-4  # of the highest amplitude (-80 dB): quieter than any room


def find_sound(samples: np.ndarray) -> slice:
    """The part of a recording `(samples,)` between the digital silence at its beginning and end."""
    amplitudes = np.abs(samples)
    loud = amplitudes > DIGITAL_SILENCE * amplitudes.max(initial=0)
    if not loud.any():
        return slice(0, 0)
    return slice(int(loud.argmax()), len(loud) - int(loud[::-1].argmax()))


class SpeechDetector:
    """Probabilities of speech in sound that comes in pieces."""

    def __init__(self, sample_rate: int):
        self._resampler = soxr.ResampleStream(sample_rate, RATE, 1) if sample_rate != RATE else None
        self._held = np.zeros(OVERLAP, np.float32)
        self._hidden = self._cell = np.zeros((1, 1, 128), np.float32)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Probability of speech in each further block of 512 samples at 16 kHz, `(blocks,)`, after `(samples,)`."""
        if self._resampler:
            samples = self._resampler.resample_chunk(samples)
        self._held = np.concatenate([self._held, samples])
        blocks = (len(self._held) - OVERLAP) // BLOCK
        if blocks == 0:
            return np.zeros(0, np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self._held, OVERLAP + BLOCK)[: blocks * BLOCK : BLOCK]
        inputs = {"input": windows, "h": self._hidden, "c": self._cell}
        probabilities, self._hidden, self._cell = _network().run(["speech_probs", "hn", "cn"], inputs)
        self._held = self._held[blocks * BLOCK :]
        return probabilities


def find_speech(samples: np.ndarray, sample_rate: int, times: np.ndarray) -> np.ndarray:
    """Whether there is speech in a recording `(samples,)` at each of `times` in seconds, `(times,)` bool."""
    if not len(samples):
        return np.zeros(len(times), bool)
    amplified = (samples * (LEVEL / max(_loudness(samples), 1e-5))).astype(np.float32)
    short = len(samples) < SHORT_SECONDS * sample_rate
    if short:
        amplified = np.tile(amplified, -(-round(SHORT_SECONDS * sample_rate) // len(samples)))
    padding = np.zeros(round(2 * BLOCK_SECONDS * sample_rate), np.float32)  # completes the last block
    probabilities = SpeechDetector(sample_rate).push(np.concatenate([amplified, padding]))
    if short:
        return np.full(len(times), probabilities.max() >= POSSIBLE)
    return speech_at(probabilities, times)


def speech_at(probabilities: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Whether there is speech at each of `times`, in seconds since the first block of `probabilities` `(blocks,)`.

    Speech is a stretch of blocks within `MARGIN_SECONDS` of a possible one, if it is certain anywhere in it.
    """
    speech = np.zeros(len(probabilities) + 1, bool)  # the last block stands for audio that has not arrived
    possible = np.flatnonzero(probabilities >= POSSIBLE)
    margin = round(MARGIN_SECONDS / BLOCK_SECONDS)
    kernel = np.ones(CERTAIN_BLOCKS) / CERTAIN_BLOCKS
    for stretch in np.split(possible, np.flatnonzero(np.diff(possible) > 2 * margin) + 1):
        if len(stretch) and np.convolve(probabilities[stretch[0] : stretch[-1] + 1], kernel).max() >= CERTAIN:
            speech[max(0, stretch[0] - margin) : stretch[-1] + margin + 1] = True
    return speech[np.minimum(times / BLOCK_SECONDS, len(probabilities)).astype(int)]


def _loudness(samples: np.ndarray) -> float:
    """Root mean square of `(samples,)`, weighted by energy, so that the silence around speech does not count."""
    energies = np.add.reduceat(np.square(samples, dtype=np.float64), np.arange(0, len(samples), BLOCK)) / BLOCK
    total = energies.sum()
    return float(np.sqrt(energies @ energies / total)) if total else 0.0


@cache
def _network() -> Any:
    return one_thread_session(str(SILERO))
