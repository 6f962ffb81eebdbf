"""Partial hypotheses: how they change as more of a recording arrives, and how much a little look-ahead helps."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import jiwer
import numpy as np
import torch
from sounds import load_sounds
from torch import Tensor

from asr.decoding.config import DecoderConfig
from asr.model.acoustic_model import load_network

HOP = 2  # output frames from one beginning of the recording to the next
TOGETHER = 16  # beginnings computed at once
EXAMPLE_LOOK = 0.32  # seconds of look-ahead in the example
EXAMPLE_ROWS = 8


@dataclass(frozen=True)
class Shown:
    """The text shown at one moment of the example."""

    seconds: float
    all_of_it: str  # words of everything so far, which later sound may change
    settled: str  # words of the frames whose look-ahead has arrived, which stay


@dataclass(frozen=True)
class Partial:
    """Incremental recognition of test recordings by one model."""

    looks: list[float]  # seconds of look-ahead
    wer: list[float]  # with that much look-ahead per frame
    whole_wer: float  # with the whole recording
    taken_back: float  # revised words per word of the final text
    reference: str  # of the example
    example: list[Shown]


@torch.inference_mode()
def run_incrementally(model: torch.nn.Module, features: Tensor, hop: int = HOP) -> tuple[list[np.ndarray], np.ndarray]:
    """Run the model on longer and longer beginnings of `(frames, mels)`, `hop` output frames apart.

    Returns log-probabilities `(output frames, tokens)` of each beginning, and its number of output frames; the last
    beginning is the whole.
    """
    factor = model.subsampling.factor
    total = -(-len(features) // factor)
    counts = np.unique([*range(hop, total, hop), total])
    emissions = []
    for start in range(0, len(counts), TOGETHER):
        group = counts[start : start + TOGETHER]
        lengths = torch.from_numpy(np.minimum(group * factor, len(features)))
        batch = features[: int(lengths.max())].expand(len(group), -1, -1)
        rows, frames = model(batch, lengths)
        emissions += [row[:length].numpy() for row, length in zip(rows, frames.tolist(), strict=True)]
    return emissions, counts


def settle(emissions: Sequence[np.ndarray], counts: np.ndarray, look: int) -> np.ndarray:
    """Log-probabilities `(output frames, tokens)`: each frame from the first beginning that has the `look` frames after
    it, or all there are."""
    total = int(counts[-1])
    first = np.searchsorted(counts, np.minimum(np.arange(total) + 1 + look, total))
    return np.stack([emissions[index][frame] for frame, index in enumerate(first)])


def taken_back(texts: Sequence[str]) -> int:
    """Number of words shown and later revised, in a sequence of texts. A word that grows longer is not revised.

    >>> taken_back(["for", "forty", "forty two", "fourteen too"])
    2
    """
    changed = 0
    for before, after in pairwise(texts):
        same = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(after))
        changed += len(before[same:].split())
    return changed


def measure_partial(model: Path, test: Path, looks: Sequence[float], utterances: int) -> Partial:
    """Recognise test recordings incrementally by greedy decoding; the example is the longest that fits on a page."""
    from asr.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(model, "cpu", DecoderConfig(decoder="greedy"))
    sounds = load_sounds(test, recognizer.sample_rate, recognizer.file.text)
    sounds = sounds[:: max(1, len(sounds) // utterances)][:utterances]
    decode = recognizer.decoder.decode_batch
    frame = recognizer.file.frame_seconds
    network = load_network(recognizer.file)
    references, whole, settled, changes = [], [], [], 0
    example = max(range(len(sounds)), key=lambda index: (len(sounds[index].text) <= 60, len(sounds[index].samples)))
    for index, sound in enumerate(sounds):
        emissions, counts = run_incrementally(network, torch.from_numpy(recognizer.log_mel(sound.samples)))
        texts = [decoding.text for decoding in decode(emissions)]
        references.append(sound.text)
        whole.append(texts[-1])
        changes += taken_back(texts)
        settled.append([found.text for found in decode([settle(emissions, counts, round(s / frame)) for s in looks])])
        if index == example:
            shown = _example(emissions, counts, texts, decode, frame)
    return Partial(
        list(looks),
        [jiwer.wer(references, list(row)) for row in zip(*settled, strict=True)],
        jiwer.wer(references, whole),
        changes / max(1, sum(len(text.split()) for text in whole)),
        references[example],
        shown,
    )


def _example(emissions, counts, texts, decode, frame: float) -> list[Shown]:
    look = round(EXAMPLE_LOOK / frame)
    settled = settle(emissions, counts, look)
    shown = []
    for index in np.linspace(0, len(counts) - 1, EXAMPLE_ROWS + 1).round().astype(int)[1:]:
        frames = counts[index] if index == len(counts) - 1 else max(0, counts[index] - look)
        text = decode([settled[:frames]])[0].text if frames else ""
        shown.append(Shown(float(counts[index]) * frame, texts[index], text))
    return shown
