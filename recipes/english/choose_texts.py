"""Recordings with several possible texts -> a manifest with the likeliest text of each.

    python choose_texts.py speech/barista-train.jsonl -o chosen/barista-train.jsonl

Each line of the manifest has a list of `candidates`. The shipped model scores the phones of each one by CTC (Graves et
al. 2006), by the first pronunciation of every word, and the best one becomes the line's `text`.
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from asr.data.manifest import Utterance, load_utterance, read_manifest, write_manifest
from asr.errors import AsrError, ConfigError
from asr.lm.pronunciation import Pronouncer
from asr.model.ctc_loss import CtcLoss
from asr.model.model_file import load_model
from asr.pretrained import ENGLISH
from asr.recognition.scorer import Scorer
from asr.text.phones import Phones
from asr.utils.messages import tell
from asr.utils.progress import track


@dataclass(frozen=True)
class Options:
    """Choose the text of each utterance among its candidates."""

    #: Utterances with `candidates`.
    manifest: Annotated[Path, tyro.conf.Positional]
    #: Manifest to write.
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    #: Model file with a phone layer.
    model: Path = ENGLISH


def main(options: Options) -> None:
    """Score, choose, write."""
    file = load_model(options.model)
    if not file.phones:
        raise ConfigError(f"{options.model}: has no phone layer; give a model trained with one")
    pronouncer, scorer, chosen, changed = Pronouncer(), Scorer(file, "cpu", "auto"), [], 0
    utterances = read_manifest(options.manifest, check_audio=True)
    words = {word for utterance in utterances for text in texts_of(utterance) for word in text.split()}
    phones = Phones({word: pronouncer.pronounce(word)[1] for word in words}, file.phones)
    for utterance in track(utterances, "choosing texts", len(utterances)):
        samples = load_utterance(utterance, scorer.sample_rate).samples
        emission = scorer.emissions([samples])[0][:, len(file.tokenizer.pieces) :]
        text = min(texts_of(utterance), key=lambda each: loss(emission, phones.encode(each)))
        changed += text != utterance.text
        chosen.append(dataclasses.replace(utterance, text=text))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(options.output, chosen)
    tell(f"{options.output}: {len(chosen)} utterances, {changed} with another text than before")


def texts_of(utterance: Utterance) -> list[str]:
    """The texts that an utterance may have."""
    return utterance.extra.get("candidates") or [utterance.text]


def loss(emission: np.ndarray, phones: Sequence[int]) -> float:
    """CTC loss in nats of one reference; `emission` is `(frames, phones)` log-probabilities."""
    lengths = torch.tensor([len(emission)]), torch.tensor([len(phones)])
    return CtcLoss.apply(torch.from_numpy(emission)[None], torch.tensor(phones), *lengths).item()


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, description=__doc__))
    except AsrError as error:
        sys.exit(f"error: {error}")
