"""WER of a model on the same recordings in noise, in rooms, over the telephone, and at other tempos.

    python benchmarks/conditions.py MANIFEST...

prints a Markdown table with one column per manifest. `asr.audio.augment` makes the changes, the same ones in each run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jiwer
import numpy as np
import tyro
from report import processor, table
from terminal import log, start

from asr.audio.augment import Changes, WaveformAugmenter
from asr.audio.config import AugmentConfig
from asr.data.manifest import load_utterance, read_manifest
from asr.pretrained import ENGLISH
from asr.punctuation.config import PLAIN
from asr.recognition.recognizer import Recognizer
from asr.text.normalizer import normalize

PINK = 0.5  # of the generated noises, from white to brown
AT_ONCE = 16  # recordings per batch

CONDITIONS = {
    "as recorded": Changes(),
    "pink noise 20 dB below": Changes(noise_snr_decibels=20, noise_choice=PINK),
    "pink noise 10 dB below": Changes(noise_snr_decibels=10, noise_choice=PINK),
    "pink noise 5 dB below": Changes(noise_snr_decibels=5, noise_choice=PINK),
    "room of 0.4 s, near (tail 10 dB below)": Changes(reverberation_seconds=0.4, reverberation_decibels=10),
    "room of 0.8 s, far (tail as loud)": Changes(reverberation_seconds=0.8, reverberation_decibels=0),
    "telephone (mu-law)": Changes(telephone="mu-law"),
    "telephone (GSM 6.10)": Changes(telephone="GSM 6.10"),
    "a fifth slower and lower": Changes(speed=0.8),
    "a fifth faster and higher": Changes(speed=1.2),
}


@dataclass(frozen=True)
class Options:
    """WER by condition."""

    #: Manifests of utterances with transcripts.
    manifests: Annotated[tuple[Path, ...], tyro.conf.Positional]
    #: Model file; the decoder is that of the decoder.toml beside it.
    model: Path = ENGLISH
    #: Use every n-th utterance only.
    every: int = 1


def main(options: Options) -> None:
    """Measure and print."""
    recognizer = Recognizer.load(options.model, "cpu", writing=PLAIN)
    augmenter = WaveformAugmenter(AugmentConfig(), recognizer.sample_rate)
    rows: dict[str, list[str]] = {condition: [] for condition in CONDITIONS}
    for manifest in options.manifests:
        utterances = read_manifest(manifest)[:: options.every]
        sounds = [load_utterance(utterance, recognizer.sample_rate).samples for utterance in utterances]
        references = [normalize(utterance.text, recognizer.file.text) for utterance in utterances]
        for condition, changes in CONDITIONS.items():
            log(f"{manifest.stem}, {condition}")
            changed = [augmenter(sound, changes, np.random.default_rng(number)) for number, sound in enumerate(sounds)]
            hypotheses = [
                found.text
                for first in range(0, len(changed), AT_ONCE)
                for found in recognizer.recognize(changed[first : first + AT_ONCE])
            ]
            rows[condition].append(f"{jiwer.wer(references, hypotheses):.2%}")
    print(f"{processor()}; every {options.every}. utterance\n" if options.every > 1 else f"{processor()}\n")
    names = [manifest.stem for manifest in options.manifests]
    print(table(("condition", *names), [(condition, *values) for condition, values in rows.items()]))


if __name__ == "__main__":
    start(main, Options, __doc__)
