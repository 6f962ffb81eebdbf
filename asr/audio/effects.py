"""Simulated recorders, rooms, noise, microphones, codecs and connections, for augmentation and synthetic corpora."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import soundfile

from asr.audio.io import limit_peak, resample

TELEPHONE_RATE = 8000  # hertz
TELEPHONE_BAND = (300.0, 3400.0)  # hertz (ITU-T G.712)
TELEPHONE_CODECS = {"mu-law": "ULAW", "A-law": "ALAW", "GSM 6.10": "GSM610"}  # libsndfile's names

MOST_TRIMMED = 0.25  # of a recording, at either end

OCTAVES = tuple(125.0 * 2**octave for octave in range(7))  # hertz: 125 to 8000

LOSSY_RATE = 16000  # hertz: wideband speech, a rate that MP3 and Opus both know
MP3_KILOBITS, OPUS_KILOBITS = (8.0, 160.0), (6.0, 256.0)  # per second: libsndfile's compression levels 1 and 0


def trim(sound: np.ndarray, decibels: float, sample_rate: int) -> np.ndarray:
    """`(samples,)` without what is quieter at both ends than `decibels` below the loudest 10 ms, but at most
    `MOST_TRIMMED` at either end."""
    frame = sample_rate // 100
    powers = np.square(sound[: len(sound) // frame * frame].reshape(-1, frame), dtype=np.float64).mean(axis=1)
    loud = np.flatnonzero(powers >= powers.max(initial=0.0) * 10 ** (-decibels / 10))
    if len(loud) == 0:
        return sound
    most = int(MOST_TRIMMED * len(sound))
    return sound[min(loud[0] * frame, most) : max((loud[-1] + 1) * frame, len(sound) - most)]


def equalize(sound: np.ndarray, decibels: Sequence[float], sample_rate: int) -> np.ndarray:
    """`(samples,)` with these gains at `OCTAVES`, interpolated by octave between them, without delay."""
    size = fast_length(len(sound) + sample_rate // 20)  # the filter rings for some periods of the lowest octave
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 1.0)
    return _filtered(sound, 10 ** (np.interp(np.log2(hertz), np.log2(OCTAVES), decibels) / 20), size)


def reverberate(
    sound: np.ndarray, seconds: float, tail: float, sample_rate: int, random: np.random.Generator
) -> np.ndarray:
    """`(samples,)` as recorded in a room, of the same length: the direct sound, then a tail of noise that decays by
    60 dB in `seconds` (Moorer 1979). `tail` is its amplitude relative to the direct sound: 0.5 is 6 dB below."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    response = random.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    response *= tail / np.sqrt(np.sum(response**2))
    response[0] = 1.0
    size = fast_length(len(sound) + len(response))
    return np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(response, size), size)[: len(sound)]


def coloured_noise(length: int, slope: float, sample_rate: int, random: np.random.Generator) -> np.ndarray:
    """Noise `(length,)` of power 1 whose power density falls as 1 / frequency ** slope: 0 is white, 1 pink, 2 brown."""
    size = fast_length(length)
    spectrum = np.fft.rfft(random.standard_normal(size))
    frequency = np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 50.0)
    noise = np.fft.irfft(spectrum * frequency ** (-slope / 2), size)[:length]
    return noise / np.sqrt(np.mean(noise**2))


def add_noise(sound: np.ndarray, noise: np.ndarray, snr_decibels: float) -> np.ndarray:
    """`(samples,)` with noise `(samples,)` at this signal-to-noise ratio, both measured over their whole length."""
    power = np.mean(np.square(noise, dtype=np.float64))
    if not power:
        return sound
    wanted = np.mean(np.square(sound, dtype=np.float64)) / 10 ** (snr_decibels / 10)
    return sound + noise * np.sqrt(wanted / power)


def clip(sound: np.ndarray, decibels: float) -> np.ndarray:
    """`(samples,)` with its peaks cut off `decibels` below the highest, as by an overdriven microphone input."""
    limit = np.abs(sound).max() * 10 ** (-decibels / 20)
    return np.clip(sound, -limit, limit)


def record_quietly(sound: np.ndarray, decibels: float) -> np.ndarray:
    """`(samples,)` with its peak `decibels` below full scale, rounded to 16 bits: the rounding error becomes audible
    once the level is raised again."""
    peak = np.abs(sound).max()
    return np.round(sound * (32767 * 10 ** (-decibels / 20) / peak)) / 32768 if peak else sound


def band_pass(sound: np.ndarray, lowest: float, highest: float, sample_rate: int) -> np.ndarray:
    """`(samples,)` without frequencies below `lowest` and above `highest` hertz, without delay. The amplitude is halved
    at these frequencies and zero a tenth beyond them."""
    # The filter rings for a few periods of its lowest edge: padding keeps the end from wrapping around to the start.
    size = fast_length(len(sound) + sample_rate // 5)
    frequency = np.fft.rfftfreq(size, 1 / sample_rate)
    gain = _edge(highest / np.maximum(frequency, 1e-9)) * (_edge(frequency / lowest) if lowest else 1.0)
    return _filtered(sound, gain, size)


def _filtered(sound: np.ndarray, gains: np.ndarray, size: int) -> np.ndarray:
    """`(samples,)` with its spectrum, of a transform of this size, multiplied by `gains` `(size // 2 + 1,)`."""
    return np.fft.irfft(np.fft.rfft(sound, size) * gains, size)[: len(sound)]


def _edge(ratio: np.ndarray) -> np.ndarray:
    """A raised cosine from 0 to 1 around ratio 1."""
    return 0.5 - 0.5 * np.cos(np.pi * np.clip((ratio - 0.9) / 0.2, 0, 1))


def mp3(sound: np.ndarray, kilobits: float, sample_rate: int) -> np.ndarray:
    """`(samples,)` after MP3 at `kilobits` per second, 16 to 160, without delay."""
    # At a constant low rate LAME has no room for the header that states its delay of 1105 samples.
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "AVERAGE"}
    return _code(sound, sample_rate, LOSSY_RATE, None, options | {"compression_level": _level(kilobits, *MP3_KILOBITS)})


def opus(sound: np.ndarray, kilobits: float, sample_rate: int) -> np.ndarray:
    """`(samples,)` after Opus at `kilobits` per second, 6 to 256, without delay."""
    options = {"format": "OGG", "subtype": "OPUS", "compression_level": _level(kilobits, *OPUS_KILOBITS)}
    return _code(sound, sample_rate, LOSSY_RATE, None, options)


def telephone(sound: np.ndarray, codec: str, sample_rate: int) -> np.ndarray:
    """`(samples,)` after a telephone line: the band of `TELEPHONE_BAND` through one of `TELEPHONE_CODECS`."""
    options = {"format": "WAV", "subtype": TELEPHONE_CODECS[codec]}
    return _code(sound, sample_rate, TELEPHONE_RATE, TELEPHONE_BAND, options)


def _level(kilobits: float, lowest: float, highest: float) -> float:
    """libsndfile's compression level for a bit rate: 0 is its highest, 1 its lowest."""
    return (highest - kilobits) / (highest - lowest)


def _code(
    sound: np.ndarray,
    sample_rate: int,
    codec_rate: int,
    band: tuple[float, float] | None,
    options: dict[str, Any],
) -> np.ndarray:
    """`(samples,)` encoded and decoded by libsndfile at `codec_rate` hertz, limited to `band` in hertz before that.
    `options` are those of `soundfile.write`."""
    sent = resample(sound.astype(np.float32), sample_rate, codec_rate)
    if len(sent) == 0:
        return np.zeros_like(sound)
    if band:
        sent = band_pass(sent, *band, codec_rate)
    stream = io.BytesIO()
    soundfile.write(stream, limit_peak(sent), codec_rate, **options)
    stream.seek(0)
    received, _ = soundfile.read(stream, dtype="float32")
    return fit_length(resample(received, codec_rate, sample_rate), len(sound))


def cut_gaps(
    sound: np.ndarray, seconds: float, per_second: float, sample_rate: int, random: np.random.Generator
) -> np.ndarray:
    """`(samples,)` with gaps of zeros at random places, each of `seconds`: at least one, on average `per_second`."""
    sound = sound.copy()
    count = max(1, random.poisson(per_second * len(sound) / sample_rate))
    for start in random.integers(len(sound), size=count):
        sound[start : start + round(seconds * sample_rate)] = 0
    return sound


def fit_length(sound: np.ndarray, length: int) -> np.ndarray:
    """`(samples,)` truncated or zero-padded to `length`: resamplers and codecs round to their own steps."""
    return np.pad(sound[:length], (0, max(0, length - len(sound))))


def fast_length(length: int) -> int:
    """The next power of two: transforms of other lengths can take ten times as long."""
    return 1 << (length - 1).bit_length()
