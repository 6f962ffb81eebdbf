"""A language whose letters are tones: a corpus that a small network learns in seconds."""

from pathlib import Path

import numpy as np
import soundfile

from asr.data.manifest import Utterance, write_manifest

TONES = {"a": 300, "b": 900, "c": 2500}  # hertz


def write_corpus(folder: Path, name: str, count: int, seed: int, words: int = 1) -> Path:
    """`count` utterances of up to `words` words of one to four letters, and their manifest, `folder/name.jsonl`."""
    random = np.random.default_rng(seed)
    utterances = []
    for number in range(count):
        spoken = [
            "".join(random.choice(list(TONES), size=random.integers(1, 5)))
            for _ in range(random.integers(1, words, endpoint=True))
        ]
        parts = [np.zeros(1600)]
        for letter in " ".join(spoken):
            tone = np.sin(2 * np.pi * TONES.get(letter, 0) * np.arange(2400) / 16000)
            parts += [0.5 * tone, np.zeros(800)]
        samples = np.concatenate(parts) + 0.01 * random.standard_normal(sum(map(len, parts)))
        path = folder / f"{name}-{number}.wav"
        soundfile.write(path, samples, 16000)
        utterances.append(Utterance(f"{name}-{number}", path, len(samples) / 16000, " ".join(spoken), name))
    return write_manifest(folder / f"{name}.jsonl", utterances)
