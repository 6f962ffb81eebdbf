"""Changes to the sound of training utterances: speed, ends, rooms, noise, microphones, codecs, lossy connections.

The changes to an utterance are drawn first, as numbers (`Changes`), and applied later, so that batches can be planned
from durations without reading the sound.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.audio import effects
from asr.audio.config import AugmentConfig
from asr.audio.fading import fade_ends
from asr.audio.io import find_audio, limit_peak, load_audio, probe, resample
from asr.audio.tracks import AudioInfo
from asr.errors import ConfigError

COLOURS = ("white", "pink", "brown")
LEAST_NOISE_SECONDS = 0.1  # read from a noise recording, however short the speech is


@dataclass(frozen=True)
class Changes:
    """The changes to one utterance, in the order in which they are applied; by default none. None: not applied."""

    speed: float = 1.0  # a factor: 1.1 is 10% faster and higher
    trim_decibels: float | None = None  # below the loudest 10 ms: what is quieter at both ends is cut off
    silence_before: float = 0.0  # seconds
    silence_after: float = 0.0  # seconds
    reverberation_seconds: float | None = None  # in which the room's tail decays by 60 dB
    reverberation_decibels: float = 0.0  # the direct sound above the tail
    noise_snr_decibels: float | None = None  # speech above noise
    noise_choice: float = 0.0  # 0 to 1: from white to brown noise, or from the first noise recording to the last
    gain_decibels: float = 0.0
    equalizer_decibels: tuple[float, ...] = ()  # gains at `effects.OCTAVES`
    clipping_decibels: float | None = None  # peaks are cut off this far below the highest
    quiet_decibels: float | None = None  # peak below full scale, before rounding to 16 bits
    band_limit_hertz: float | None = None  # frequencies above are removed
    mp3_kilobits: float | None = None  # per second
    opus_kilobits: float | None = None  # per second
    telephone: str | None = None  # one of TELEPHONE_CODECS
    gap_seconds: float | None = None  # duration of each gap
    gaps_per_second: float = 0.0  # on average

    def to_text(self, noise: str = "noise") -> str:
        """A readable summary: `speed 1.1, pink noise 12 dB below`. `noise` names the kind of noise."""
        room = f"room of {self.reverberation_seconds or 0:.2f} s, its tail {self.reverberation_decibels:.0f} dB below"
        parts = [
            self.speed != 1 and f"speed {self.speed:g}",
            self.trim_decibels is not None and f"ends trimmed {self.trim_decibels:.0f} dB below the peak",
            bool(self.silence_before or self.silence_after)
            and f"silence of {self.silence_before:.2f} s before and {self.silence_after:.2f} s after",
            self.reverberation_seconds is not None and room,
            self.noise_snr_decibels is not None and f"{noise} {self.noise_snr_decibels:.0f} dB below",
            self.gain_decibels != 0 and f"gain {self.gain_decibels:+.1f} dB",
            bool(self.equalizer_decibels) and f"equalizer {' '.join(f'{g:+.0f}' for g in self.equalizer_decibels)} dB",
            self.clipping_decibels is not None and f"clipped {self.clipping_decibels:.0f} dB below the peak",
            self.quiet_decibels is not None and f"recorded {self.quiet_decibels:.0f} dB below full scale",
            self.band_limit_hertz is not None and f"nothing above {self.band_limit_hertz:.0f} Hz",
            self.mp3_kilobits is not None and f"MP3 at {self.mp3_kilobits:.0f} kbit/s",
            self.opus_kilobits is not None and f"Opus at {self.opus_kilobits:.0f} kbit/s",
            self.telephone is not None and f"telephone ({self.telephone})",
            self.gap_seconds is not None and f"gaps of {self.gap_seconds:.2f} s",
        ]
        return ", ".join(part for part in parts if isinstance(part, str)) or "unchanged"


def draw_changes(config: AugmentConfig, random: np.random.Generator) -> Changes:
    """The changes to one copy of an utterance.

    All numbers are drawn whether used or not, so that changing the probability of one change leaves the others as they
    were.
    """
    speed = config.speeds[random.integers(len(config.speeds))]  # first: `CorpusFeatures.durations` draws it alone
    room, noise, narrow, telephone = random.random(4) < (
        config.reverberation_share,
        config.noise_share,
        config.band_limit_share,
        config.telephone_share,
    )
    seconds, tail, snr, choice, hertz, codec, gain = random.random(7).tolist()
    # From a child, so that recipes older than these options draw the same room tails and noise after this.
    child = random.spawn(1)[0]
    clipped, quiet, mp3, opus, gaps = child.random(5) < (
        config.clipping_share,
        config.quiet_share,
        config.mp3_share,
        config.opus_share,
        config.gap_share,
    )
    clipping, peak, mp3_rate, opus_rate, gap = child.random(5).tolist()
    # Likewise for the options that came after those.
    trimmed, silent = child.random(2) < (config.trim_share, config.silence_share)
    threshold, before, after = child.random(3).tolist()
    gains = config.equalizer_decibels * child.uniform(-1, 1, len(effects.OCTAVES))
    return Changes(
        speed=speed,
        trim_decibels=_between(config.trim_decibels, threshold) if trimmed else None,
        silence_before=_between(config.silence_seconds, before) if silent else 0.0,
        silence_after=_between(config.silence_seconds, after) if silent else 0.0,
        reverberation_seconds=_between(config.reverberation_seconds, seconds) if room else None,
        reverberation_decibels=_between(config.reverberation_decibels, tail) if room else 0.0,
        noise_snr_decibels=_between(config.noise_snr_decibels, snr) if noise else None,
        noise_choice=choice if noise else 0.0,
        gain_decibels=config.gain_decibels * (2 * gain - 1),
        equalizer_decibels=tuple(gains.tolist()) if config.equalizer_decibels else (),
        clipping_decibels=_between(config.clipping_decibels, clipping) if clipped else None,
        quiet_decibels=_between(config.quiet_decibels, peak) if quiet else None,
        band_limit_hertz=_between(config.band_limit_hertz, hertz) if narrow else None,
        mp3_kilobits=_between(config.mp3_kilobits, mp3_rate) if mp3 else None,
        opus_kilobits=_between(config.opus_kilobits, opus_rate) if opus else None,
        telephone=list(effects.TELEPHONE_CODECS)[int(codec * len(effects.TELEPHONE_CODECS))] if telephone else None,
        gap_seconds=_between(config.gap_seconds, gap) if gaps else None,
        gaps_per_second=config.gaps_per_second if gaps else 0.0,
    )


def _between(limits: tuple[float, float], share: float) -> float:
    lowest, highest = limits
    return lowest + (highest - lowest) * share


class WaveformAugmenter:
    """Applies changes to sound. One serves a whole run, and it can be pickled for worker processes.

    Raises `ConfigError` when the noise folder is missing or empty or a band limit exceeds half the sample rate, and
    `AudioError` when a noise recording cannot be read from start to end.
    """

    def __init__(self, config: AugmentConfig, sample_rate: int):
        self._sample_rate = sample_rate
        self._noises = _find_noises(config.noise, sample_rate) if config.noise else []
        highest = config.band_limit_hertz[1]
        if config.band_limit_share and highest > sample_rate / 2:
            raise ConfigError(
                f"augment.band_limit_hertz: {highest:g} Hz, but audio at {sample_rate} Hz has nothing above "
                f"{sample_rate // 2} Hz; give a lower limit"
            )

    def __call__(self, samples: np.ndarray, changes: Changes, random: np.random.Generator) -> np.ndarray:
        """The changed sound of `(samples,)` float32: float32, peaks within -1..1, `samples / speed` long unless silence
        is added or the ends are trimmed.

        What `changes` leaves open (the samples of the noise, the room's tail, the places of gaps) comes from `random`.
        Without any change the same array is returned.
        """
        if changes == Changes() or len(samples) == 0:
            return samples
        sound, rate = samples, self._sample_rate
        if changes.speed != 1:
            faster = resample(sound, round(rate * changes.speed), rate)
            sound = effects.fit_length(faster, max(1, round(len(samples) / changes.speed)))
        if changes.trim_decibels is not None:
            sound = effects.trim(sound, changes.trim_decibels, rate)
        if changes.silence_before or changes.silence_after:
            silence = [round(rate * seconds) for seconds in (changes.silence_before, changes.silence_after)]
            sound = np.pad(fade_ends(sound, rate), silence)
        sound = self._recorded(sound, changes, random)
        sound = self._transmitted(sound, changes)
        if changes.gap_seconds is not None:
            sound = effects.cut_gaps(sound, changes.gap_seconds, changes.gaps_per_second, rate, random)
        return limit_peak(sound).astype(np.float32)

    def _recorded(self, sound: np.ndarray, changes: Changes, random: np.random.Generator) -> np.ndarray:
        """`(samples,)` after room, noise and microphone."""
        if changes.reverberation_seconds is not None:
            tail = 10 ** (-changes.reverberation_decibels / 20)
            sound = effects.reverberate(sound, changes.reverberation_seconds, tail, self._sample_rate, random)
        if changes.noise_snr_decibels is not None:
            sound = effects.add_noise(sound, self._noise(len(sound), changes, random), changes.noise_snr_decibels)
        if changes.equalizer_decibels:
            sound = effects.equalize(sound, changes.equalizer_decibels, self._sample_rate)
        sound = sound * 10 ** (changes.gain_decibels / 20)
        if changes.clipping_decibels is not None:
            sound = effects.clip(sound, changes.clipping_decibels)
        if changes.quiet_decibels is not None:
            sound = effects.record_quietly(sound, changes.quiet_decibels)
        return sound

    def _transmitted(self, sound: np.ndarray, changes: Changes) -> np.ndarray:
        """`(samples,)` after band limit and codecs."""
        rate = self._sample_rate
        if changes.band_limit_hertz is not None:
            sound = effects.band_pass(sound, 0.0, changes.band_limit_hertz, rate)
        if changes.mp3_kilobits is not None:
            sound = effects.mp3(sound, changes.mp3_kilobits, rate)
        if changes.opus_kilobits is not None:
            sound = effects.opus(sound, changes.opus_kilobits, rate)
        if changes.telephone is not None:
            sound = effects.telephone(sound, changes.telephone, rate)
        return sound

    @property
    def noise_paths(self) -> list[str]:
        """Paths of the noise recordings."""
        return [noise.path for noise in self._noises]

    def describe(self, changes: Changes) -> str:
        """A readable summary of changes, with the noise named by its colour or file name."""
        if self._noises:
            return changes.to_text(Path(self._chosen(changes).path).name)
        return changes.to_text(f"{COLOURS[round(2 * changes.noise_choice)]} noise")

    def _chosen(self, changes: Changes) -> AudioInfo:
        return self._noises[min(int(changes.noise_choice * len(self._noises)), len(self._noises) - 1)]

    def _noise(self, length: int, changes: Changes, random: np.random.Generator) -> np.ndarray:
        """`(length,)`: generated, or a random part of a noise recording, repeated if too short."""
        if not self._noises:
            return effects.coloured_noise(length, 2 * changes.noise_choice, self._sample_rate, random)
        recording = self._chosen(changes)
        seconds = min(max(length / self._sample_rate, LEAST_NOISE_SECONDS), recording.duration)
        start = random.uniform(0, recording.duration - seconds)
        return np.resize(load_audio(recording.path, self._sample_rate, start, seconds).samples, length)


def _find_noises(folder: Path, sample_rate: int) -> list[AudioInfo]:
    if not folder.is_dir():
        raise ConfigError(f"augment.noise: {folder}: no such folder; give one with noise recordings")
    noises = [probe(path) for path in find_audio(folder)]
    if not noises:
        raise ConfigError(
            f"augment.noise: {folder}: contains no audio files; add some, or omit noise for generated noise"
        )
    for noise in noises:
        # Reading the end reveals a truncated recording before training begins.
        load_audio(noise.path, sample_rate, max(0.0, noise.duration - LEAST_NOISE_SECONDS))
    return noises
