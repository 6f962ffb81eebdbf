"""Rooms, noise and filters, simulated: what both the embedded corpus and the augmentation do to clean speech."""

import numpy as np


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
