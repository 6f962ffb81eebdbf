"""The test recordings, one by one or several of one speaker joined."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.data.manifest import Utterance, load_utterance, read_manifest
from asr.text.config import TextConfig
from asr.text.normalizer import normalize


@dataclass(frozen=True)
class Sound:
    """A recording with its normalised transcript."""

    samples: np.ndarray  # (samples,) float32
    text: str


def load_sounds(manifest: Path, sample_rate: int, text: TextConfig, join: int = 1) -> list[Sound]:
    """The recordings of a manifest, every `join` successive ones of a speaker joined into one."""
    sounds = []
    for group in group_by_speaker(read_manifest(manifest), join):
        samples = np.concatenate([load_utterance(utterance, sample_rate).samples for utterance in group])
        sounds.append(Sound(samples, " ".join(normalize(utterance.text, text) for utterance in group)))
    return sounds


def group_by_speaker(utterances: Sequence[Utterance], size: int) -> list[list[Utterance]]:
    """Groups of `size` utterances of one speaker; the last group of a speaker may be smaller."""
    by_speaker = defaultdict(list)
    for utterance in utterances:
        by_speaker[utterance.speaker].append(utterance)
    return [own[start : start + size] for own in by_speaker.values() for start in range(0, len(own), size)]
