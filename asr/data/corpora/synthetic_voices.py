"""The synthesisers of the synthetic corpus with the same methods, and how they vary utterances."""

from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

import numpy as np

from asr.data.config import SyntheticConfig

# espeak-ng's varieties of English.
ACCENTS = (
    "en-us",
    "en-us-nyc",
    "en",  # British
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)
MOST_BLENDED = 3  # voices of Kokoro per speaker


@dataclass(frozen=True)
class EspeakVoice:
    """The voice of an utterance by espeak-ng."""

    speaker: str  # a voice variant
    accent: str
    words_per_minute: int
    pitch: int  # 0 to 99, 50 being the variant's own


@dataclass(frozen=True)
class KokoroVoice:
    """The voice of an utterance by Kokoro."""

    blend: dict[str, float]  # shares of voices, of sum 1; the accent is the first one's
    speed: float

    @property
    def speaker(self) -> str:
        """The voices, the one with the largest share first."""
        return "+".join(self.blend)

    @property
    def accent(self) -> str:
        """The variety of English, by espeak-ng's name."""
        from asr.audio.kokoro import ACCENTS

        return ACCENTS[self.speaker[0]]


Voice = TypeVar("Voice")


class Engine(Protocol[Voice]):
    """A synthesiser, created once per process."""

    BLOCK: ClassVar[int]  # utterances per process
    sample_rate: int  # hertz

    def voices(self) -> list[str]:
        """Names of the voices, which are divided among the subsets."""

    def draw(self, voices: list[str], random: np.random.Generator) -> Voice:
        """A random voice for the next utterance, made of `voices`."""

    def say(self, text: str, voice: Voice) -> np.ndarray:
        """`(samples,)` float32 at `sample_rate`."""


class EspeakEngine:
    """Formant synthesis, about 100 times real time. espeak-ng keeps state between sentences that nothing resets: only
    with a new process per block do recordings not depend on earlier ones."""

    BLOCK: ClassVar[int] = 500

    def __init__(self, config: SyntheticConfig):
        from asr.audio.espeak import Espeak

        self._speaker = Espeak()
        self.sample_rate, self.voices = self._speaker.sample_rate, self._speaker.voices

    def draw(self, voices: list[str], random: np.random.Generator) -> EspeakVoice:
        """A variant, a variety of English, a rate and a pitch."""
        voice, accent = str(random.choice(voices)), str(random.choice(ACCENTS))
        return EspeakVoice(voice, accent, int(random.integers(110, 191)), int(random.integers(30, 71)))

    def say(self, text: str, voice: EspeakVoice) -> np.ndarray:
        """`(samples,)` float32 at `sample_rate`."""
        name = f"{voice.accent}+{voice.speaker}"
        return self._speaker.say(text, name, words_per_minute=voice.words_per_minute, pitch=voice.pitch)


class KokoroEngine:
    """Neural synthesis, about 1.7 times real time on one core."""

    BLOCK: ClassVar[int] = 50

    def __init__(self, config: SyntheticConfig):
        from asr.audio.kokoro import Kokoro

        self._speaker = Kokoro(config.kokoro)
        self.sample_rate, self.voices = self._speaker.sample_rate, self._speaker.voices

    def draw(self, voices: list[str], random: np.random.Generator) -> KokoroVoice:
        """One to three voices with shares from a flat Dirichlet distribution, and a speed."""
        count = min(int(random.integers(1, MOST_BLENDED + 1)), len(voices))
        shares = sorted(random.dirichlet(np.ones(count)).tolist(), reverse=True)
        chosen = random.choice(voices, size=count, replace=False).tolist()
        return KokoroVoice(dict(zip(chosen, shares, strict=True)), round(float(random.uniform(0.8, 1.25)), 3))

    def say(self, text: str, voice: KokoroVoice) -> np.ndarray:
        """`(samples,)` float32 at `sample_rate`."""
        return self._speaker.say(text, voice.blend, voice.speed)


ENGINES: dict[str, type[EspeakEngine] | type[KokoroEngine]] = {"espeak": EspeakEngine, "kokoro": KokoroEngine}
