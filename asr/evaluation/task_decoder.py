"""A decoder for the task: after training, the words of the transcripts and, if asked for, an n-gram of their
sentences are written beside the model, and the decoder is tuned on dev. Or it is the base's, as it is."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from asr.config import Recipe
from asr.data.dataset import normalized
from asr.data.manifest import read_manifests, write_manifest
from asr.decoding.config import BeamConfig, DecoderConfig, decoder_file, load_decoder
from asr.evaluation.config import TuneConfig
from asr.evaluation.tuning import keep_weights, tune
from asr.lm.config import LmConfig
from asr.lm.training import train_model
from asr.model.model_file import load_model
from asr.recognition.config import RunConfig
from asr.text.normalizer import is_unspaced
from asr.training.base import base_path
from asr.utils.files import write_atomically

LEXICON, LANGUAGE_MODEL = "lexicon.txt", "sentences.arpa"


def make_task_decoder(recipe: Recipe, model: Path) -> str:
    """Write decoder.toml beside a model, and the files that it names, as `training.decoder` asks; one that exists
    stays. Returns a line on it, empty if there was nothing to do.
    """
    kind = recipe.training.decoder
    if kind == "none" or decoder_file(model).exists():
        return ""
    if kind == "base":
        search = load_decoder(base_path(recipe.base))
    else:
        search = DecoderConfig(lexicon=_lexicon(recipe, model), beam=BeamConfig(open_vocabulary=False))
    if kind == "sentences":
        texts = _texts(recipe, model)
        characters = is_unspaced(texts)
        order = 3 if characters or max(len(text.split()) for text in texts) > 1 else 2
        path = model.with_name(LANGUAGE_MODEL)
        train_model(recipe.data.train, LmConfig(recipe.text.normalizer, characters, order), path)
        search = dataclasses.replace(search, lm=str(path))
    dev = recipe.data.dev[0]
    if len(recipe.data.dev) > 1:
        dev = write_manifest(model.with_name("dev.jsonl"), read_manifests(recipe.data.dev))
    config = TuneConfig(search=search, run=RunConfig(device=recipe.training.device), grid=3, rounds=2, beams=(16, 64))
    # The base's weights suit its own language model, and were chosen on more speech than the dev set of a small corpus.
    tuned = (keep_weights if kind == "base" else tune)(dev, model, config, f'`training.decoder = "{kind}"`')
    return f"decoder: {tuned.path}, dev {tuned.rate} {tuned.chosen.wer:.2%} (greedy {tuned.greedy:.2%})"


def _lexicon(recipe: Recipe, model: Path) -> Path:
    """The lexicon: that of the recipe or of the run, with pronunciations, or a list of the words of train."""
    path = model.with_name(LEXICON)
    if recipe.data.lexicon:
        return recipe.data.lexicon
    if not path.exists():
        words = sorted({word for text in _texts(recipe, model) for word in text.split()})
        write_atomically(path, "".join(f"{word}\n" for word in words))
    return path


def _texts(recipe: Recipe, model: Path) -> Sequence[str]:
    return normalized(read_manifests(recipe.data.train), load_model(model).text)
