"""Changes to the sound of training utterances: tempo, rooms, noise, narrow bands, the telephone.

What is done to an utterance is drawn first, as numbers (`Changes`), and done later, so that a plan of batches knows how
long an utterance will be without its sound.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.audio.config import AugmentConfig
from asr.audio.effects import CODECS, add_noise, band_pass, coloured_noise, fit_length, reverberate, telephone
from asr.audio.io import AudioInfo, find_audio, limit_peak, load_audio, probe, resample
from asr.errors import ConfigError

COLOURS = ("white", "pink", "brown")
LEAST_NOISE_SECONDS = 0.1  # read of a recording, however short the speech is


@dataclass(frozen=True)
class Changes:
    """What is done to the sound of one utterance, in this order; as it stands, nothing."""

    speed: float = 1.0  # 1.1: a tenth faster and higher
    reverberation_seconds: float | None = None  # until the room's tail has fallen by 60 dB; None: no room
    reverberation_decibels: float = 0.0  # the direct sound above the tail
    noise_snr_decibels: float | None = None  # speech above noise; None: no noise
    noise_choice: float = 0.0  # which noise, from 0 to 1: from white to brown, or from the first recording to the last
    gain_decibels: float = 0.0
    band_limit_hertz: float | None = None  # nothing is left above
    telephone: str | None = None  # a codec, one of CODECS

    def to_text(self, noise: str = "noise") -> str:
        """The changes for a person: `1.1 times as fast, pink noise 12 dB below`. `noise` says which noise it is."""
        parts = []
        if self.speed != 1:
            parts.append(f"{self.speed:g} times as fast")
        if self.reverberation_seconds is not None:
            parts.append(
                f"room of {self.reverberation_seconds:.2f} s, its tail {self.reverberation_decibels:.0f} dB below"
            )
        if self.noise_snr_decibels is not None:
            parts.append(f"{noise} {self.noise_snr_decibels:.0f} dB below")
        if self.gain_decibels:
            parts.append(f"gain {self.gain_decibels:+.1f} dB")
        if self.band_limit_hertz is not None:
            parts.append(f"nothing above {self.band_limit_hertz:.0f} Hz")
        if self.telephone is not None:
            parts.append(f"telephone ({self.telephone})")
        return ", ".join(parts) or "unchanged"


def draw_changes(config: AugmentConfig, random: np.random.Generator) -> Changes:
    """What is done to one copy of an utterance.

    Everything is drawn whether it is used or not: another share of one change leaves the others as they were.
    """
    speed = config.speeds[random.integers(len(config.speeds))]
    room, noise, narrow, telephone = random.random(4) < (
        config.reverberation_share,
        config.noise_share,
        config.band_limit_share,
        config.telephone_share,
    )
    seconds, tail, snr, choice, hertz, codec, gain = random.random(7).tolist()
    return Changes(
        speed=speed,
        reverberation_seconds=_between(config.reverberation_seconds, seconds) if room else None,
        reverberation_decibels=_between(config.reverberation_decibels, tail) if room else 0.0,
        noise_snr_decibels=_between(config.noise_snr_decibels, snr) if noise else None,
        noise_choice=choice if noise else 0.0,
        gain_decibels=config.gain_decibels * (2 * gain - 1),
        band_limit_hertz=_between(config.band_limit_hertz, hertz) if narrow else None,
        telephone=list(CODECS)[int(codec * len(CODECS))] if telephone else None,
    )


def _between(limits: tuple[float, float], share: float) -> float:
    lowest, highest = limits
    return lowest + (highest - lowest) * share


class WaveformAugmenter:
    """Does the changes; made once for a run, and can be sent to worker processes.

    Raises `ConfigError` when the noise folder is missing or empty or a band is wider than the sound, `AudioError` when
    a noise recording cannot be read from its start to its end.
    """

    def __init__(self, config: AugmentConfig, sample_rate: int):
        self._sample_rate = sample_rate
        self._noises = _find_noises(config.noise, sample_rate) if config.noise else []
        highest = config.band_limit_hertz[1]
        if config.band_limit_share and highest > sample_rate / 2:
            raise ConfigError(
                f"augment.band_limit_hertz: {highest:g} Hz is no limit for sound at {sample_rate} Hz, which ends "
                f"at {sample_rate // 2} Hz; give a lower one"
            )

    def __call__(self, samples: np.ndarray, changes: Changes, random: np.random.Generator) -> np.ndarray:
        """`(samples,)` float32 -> the changed sound, float32, `samples / speed` long; peaks within -1..1.

        What `changes` leave open (the noise's samples, the room's tail) comes from `random`. Without any change it is
        the array that was given.
        """
        if changes == Changes() or len(samples) == 0:
            return samples
        sound, rate = samples, self._sample_rate
        if changes.speed != 1:
            faster = resample(sound, round(rate * changes.speed), rate)
            sound = fit_length(faster, max(1, round(len(samples) / changes.speed)))
        if changes.reverberation_seconds is not None:
            tail = 10 ** (-changes.reverberation_decibels / 20)
            sound = reverberate(sound, changes.reverberation_seconds, tail, rate, random)
        if changes.noise_snr_decibels is not None:
            sound = add_noise(sound, self._noise(len(sound), changes, random), changes.noise_snr_decibels)
        sound = sound * 10 ** (changes.gain_decibels / 20)
        if changes.band_limit_hertz is not None:
            sound = band_pass(sound, 0.0, changes.band_limit_hertz, rate)
        if changes.telephone is not None:
            sound = telephone(sound, changes.telephone, rate)
        return limit_peak(sound).astype(np.float32)

    @property
    def noise_paths(self) -> list[str]:
        """The noise recordings."""
        return [noise.path for noise in self._noises]

    def describe(self, changes: Changes) -> str:
        """The changes for a person, the noise by its colour or its file's name."""
        if self._noises:
            return changes.to_text(Path(self._chosen(changes).path).name)
        return changes.to_text(f"{COLOURS[round(2 * changes.noise_choice)]} noise")

    def _chosen(self, changes: Changes) -> AudioInfo:
        return self._noises[min(int(changes.noise_choice * len(self._noises)), len(self._noises) - 1)]

    def _noise(self, length: int, changes: Changes, random: np.random.Generator) -> np.ndarray:
        """`(length,)`: generated, or a random part of a recording, repeated when it is too short."""
        if not self._noises:
            return coloured_noise(length, 2 * changes.noise_choice, self._sample_rate, random)
        recording = self._chosen(changes)
        seconds = min(max(length / self._sample_rate, LEAST_NOISE_SECONDS), recording.duration)
        start = random.uniform(0, recording.duration - seconds)
        return np.resize(load_audio(recording.path, self._sample_rate, start, seconds).samples, length)


def _find_noises(folder: Path, sample_rate: int) -> list[AudioInfo]:
    if not folder.is_dir():
        raise ConfigError(f"augment.noise: {folder}: no such folder; give one with recordings of noise")
    noises = [probe(path) for path in find_audio(folder)]
    if not noises:
        raise ConfigError(
            f"augment.noise: {folder}: no sound files in it; put some there, or leave noise out for generated noise"
        )
    for noise in noises:
        # A recording that was cut short shows at its end, and must show before training begins.
        load_audio(noise.path, sample_rate, max(0.0, noise.duration - LEAST_NOISE_SECONDS))
    return noises
