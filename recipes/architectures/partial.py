"""Words while someone still speaks: how they change as more is heard, and what waiting a little before saying them is
worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import jiwer
import numpy as np
import torch
from sounds import load_sounds
from torch import Tensor

from asr.model.acoustic_model import load_network

HOP = 2  # output frames from one hearing to the next
TOGETHER = 16  # hearings computed at once
EXAMPLE_LOOK = 0.32  # seconds of look-ahead in the example
EXAMPLE_ROWS = 8


@dataclass(frozen=True)
class Shown:
    """What could be read at one moment of the example."""

    seconds: float
    all_of_it: str  # words of everything heard so far, which later sound may change
    settled: str  # words of the frames that have been heard with look-ahead, which stay


@dataclass(frozen=True)
class Partial:
    """A model that hears test recordings bit by bit."""

    looks: list[float]  # seconds of look-ahead
    wer: list[float]  # when each frame is settled after so much look-ahead
    whole_wer: float  # when each recording is heard to its end first
    taken_back: float  # words shown and then changed, for each word of the final text
    reference: str  # of the example
    example: list[Shown]


@torch.inference_mode()
def hear_in_parts(model: torch.nn.Module, features: Tensor, hop: int = HOP) -> tuple[list[np.ndarray], np.ndarray]:
    """`(frames, mels)` heard anew each `hop` output frames from its beginning -> log-probabilities `(output frames
    heard, tokens)` of each hearing, and how many output frames each heard; the last one heard all."""
    factor = model.subsampling.factor
    total = -(-len(features) // factor)
    heard = np.unique([*range(hop, total, hop), total])
    emissions = []
    for start in range(0, len(heard), TOGETHER):
        group = heard[start : start + TOGETHER]
        lengths = torch.from_numpy(np.minimum(group * factor, len(features)))
        batch = features[: int(lengths.max())].expand(len(group), -1, -1)
        rows, frames = model(batch, lengths)
        emissions += [row[:length].numpy() for row, length in zip(rows, frames.tolist(), strict=True)]
    return emissions, heard


def settle(emissions: Sequence[np.ndarray], heard: np.ndarray, look: int) -> np.ndarray:
    """`(output frames, tokens)`: each frame as it was said when the `look` frames after it, or all there are, had
    been heard for the first time."""
    total = int(heard[-1])
    first = np.searchsorted(heard, np.minimum(np.arange(total) + 1 + look, total))
    return np.stack([emissions[hearing][frame] for frame, hearing in enumerate(first)])


def taken_back(texts: Sequence[str]) -> int:
    """Words that were shown and then changed, in texts shown one after the other. A word that goes on is no change.

    >>> taken_back(["for", "forty", "forty two", "fourteen too"])
    2
    """
    changed = 0
    for before, after in pairwise(texts):
        same = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(after))
        changed += len(before[same:].split())
    return changed


def measure_partial(model: Path, test: Path, looks: Sequence[float], utterances: int) -> Partial:
    """Hear test recordings bit by bit; the example is the longest of those that fit on a page."""
    from asr.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(model, "cpu")
    sounds = load_sounds(test, recognizer.sample_rate, recognizer.file.text)
    sounds = sounds[:: max(1, len(sounds) // utterances)][:utterances]
    decode = recognizer.decoder.decode_batch
    frame = recognizer.file.frame_seconds
    network = load_network(recognizer.file)
    references, whole, settled, changes = [], [], [], 0
    example = max(range(len(sounds)), key=lambda index: (len(sounds[index].text) <= 60, len(sounds[index].samples)))
    for index, sound in enumerate(sounds):
        emissions, heard = hear_in_parts(network, torch.from_numpy(recognizer.log_mel(sound.samples)))
        texts = [decoding.text for decoding in decode(emissions)]
        references.append(sound.text)
        whole.append(texts[-1])
        changes += taken_back(texts)
        settled.append([found.text for found in decode([settle(emissions, heard, round(s / frame)) for s in looks])])
        if index == example:
            shown = _example(emissions, heard, texts, decode, frame)
    return Partial(
        list(looks),
        [jiwer.wer(references, list(row)) for row in zip(*settled, strict=True)],
        jiwer.wer(references, whole),
        changes / max(1, sum(len(text.split()) for text in whole)),
        references[example],
        shown,
    )


def _example(emissions, heard, texts, decode, frame: float) -> list[Shown]:
    look = round(EXAMPLE_LOOK / frame)
    settled = settle(emissions, heard, look)
    shown = []
    for hearing in np.linspace(0, len(heard) - 1, EXAMPLE_ROWS + 1).round().astype(int)[1:]:
        frames = heard[hearing] if hearing == len(heard) - 1 else max(0, heard[hearing] - look)
        text = decode([settled[:frames]])[0].text if frames else ""
        shown.append(Shown(float(heard[hearing]) * frame, texts[hearing], text))
    return shown
