"""Rooms, noise and filters, simulated: what both the embedded corpus and the augmentation do to clean speech."""

import io

import numpy as np
import soundfile

from asr.audio.io import limit_peak, resample


def reverberate(
    sound: np.ndarray, seconds: float, tail: float, sample_rate: int, random: np.random.Generator
) -> np.ndarray:
    """`(samples,)` as heard in a room, of the same length: the direct sound, then a tail of noise that falls by 60 dB
    in `seconds` (Moorer 1979). `tail` is its amplitude beside the direct sound's: 0.5 is 6 dB below."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    response = random.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    response *= tail / np.sqrt(np.sum(response**2))
    response[0] = 1.0
    size = fast_length(len(sound) + len(response))
    return np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(response, size), size)[: len(sound)]


def coloured_noise(length: int, slope: float, sample_rate: int, random: np.random.Generator) -> np.ndarray:
    """Noise `(length,)` of power 1 whose spectrum falls as 1 / frequency ** slope: 0 is white, 1 pink, 2 brown."""
    size = fast_length(length)
    spectrum = np.fft.rfft(random.standard_normal(size))
    frequency = np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 50.0)
    noise = np.fft.irfft(spectrum * frequency ** (-slope / 2), size)[:length]
    return noise / np.sqrt(np.mean(noise**2))


def band_pass(sound: np.ndarray, lowest: float, highest: float, sample_rate: int) -> np.ndarray:
    """`(samples,)` with nothing left below `lowest` and above `highest` hertz, without delay. Half the amplitude is
    left at these frequencies, none a tenth beyond them."""
    # The filter rings for a few periods of its lowest edge: room for it, so that the end does not sound in the start.
    size = fast_length(len(sound) + sample_rate // 5)
    frequency = np.fft.rfftfreq(size, 1 / sample_rate)
    gain = _edge(highest / np.maximum(frequency, 1e-9)) * (_edge(frequency / lowest) if lowest else 1.0)
    return np.fft.irfft(np.fft.rfft(sound, size) * gain, size)[: len(sound)]


def _edge(ratio: np.ndarray) -> np.ndarray:
    """A raised cosine from 0 to 1 around ratio 1."""
    return 0.5 - 0.5 * np.cos(np.pi * np.clip((ratio - 0.9) / 0.2, 0, 1))


def fast_length(length: int) -> int:
    """The next power of two: transforms of other lengths can take ten times as long."""
    return 1 << (length - 1).bit_length()


TELEPHONE_RATE = 8000  # hertz
TELEPHONE_BAND = (300.0, 3400.0)  # hertz (ITU-T G.712)
CODECS = {"mu-law": "ULAW", "A-law": "ALAW", "GSM 6.10": "GSM610"}  # libsndfile's names; Opus takes ten times as long


def add_noise(sound: np.ndarray, noise: np.ndarray, snr_decibels: float) -> np.ndarray:
    """`(samples,)` with noise `(samples,)` at this signal-to-noise ratio, both measured from end to end."""
    power = np.mean(np.square(noise, dtype=np.float64))
    if not power:
        return sound
    wanted = np.mean(np.square(sound, dtype=np.float64)) / 10 ** (snr_decibels / 10)
    return sound + noise * np.sqrt(wanted / power)


def telephone(sound: np.ndarray, codec: str, sample_rate: int) -> np.ndarray:
    """`(samples,)` as heard at the other end of a telephone line: a narrow band, and a codec of `CODECS`."""
    line = resample(sound.astype(np.float32), sample_rate, TELEPHONE_RATE)
    if len(line) == 0:
        return np.zeros_like(sound)
    stream = io.BytesIO()
    sent = limit_peak(band_pass(line, *TELEPHONE_BAND, TELEPHONE_RATE))
    soundfile.write(stream, sent, TELEPHONE_RATE, format="WAV", subtype=CODECS[codec])
    stream.seek(0)
    received, _ = soundfile.read(stream, dtype="float32")
    return fit_length(resample(received, TELEPHONE_RATE, sample_rate), len(sound))


def fit_length(sound: np.ndarray, length: int) -> np.ndarray:
    """Cut, or filled with silence, to `length`: resamplers and codecs round to their own steps."""
    return np.pad(sound[:length], (0, max(0, length - len(sound))))
