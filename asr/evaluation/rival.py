"""A recipe and its rival: both are trained, and the model with fewer errors on dev, decoder included, is the result."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from asr.config import Recipe, load_recipe
from asr.data.dataset import normalized
from asr.data.manifest import read_manifest
from asr.decoding.config import decoder_file
from asr.errors import ConfigError
from asr.evaluation.task_decoder import make_task_decoder
from asr.evaluation.terminal import percent
from asr.model.model_file import load_model
from asr.text.normalizer import is_unspaced
from asr.training.trainer import train
from asr.utils.distributed import own_group
from asr.utils.messages import tell


def with_rival(recipe: Recipe) -> list[Recipe]:
    """The recipe, and its rival if it names one. Raises `ConfigError` when that names one too."""
    if not recipe.rival:
        return [recipe]
    rival = load_recipe(recipe.rival)
    if rival.rival or rival.output == recipe.output:
        raise ConfigError(f"{recipe.rival}: a rival needs an output of its own and has no rival itself")
    return [recipe, rival]


def train_best(recipes: Sequence[Recipe]) -> Path:
    """Train by each recipe, make the decoders, and return the model with the fewest errors on dev, the first of equals.

    Errors are those of `train` and `make_task_decoder`. The leading process alone makes decoders.
    """
    leads, models = own_group().leads, []
    for recipe in recipes:
        models.append(train(recipe))
        if leads and (note := make_task_decoder(recipe, models[-1])):
            tell(note)
    if len(models) == 1 or not leads:
        return models[0]
    rates = [dev_error(model) for model in models]
    best = models[rates.index(min(rates))]
    compared = ", ".join(f"{percent(rate)} ({model})" for rate, model in zip(rates, models, strict=True))
    tell(f"errors on dev: {compared}; chosen: {best}")
    return best


def train_best_on(recipes: Sequence[Recipe], folder: Path, train: Path, dev: Path | None = None) -> Path:
    """`train_best` with another training manifest and, if given, another for dev, in folders below `folder`."""
    contest = []
    for name, recipe in zip(("model", "rival"), recipes, strict=False):
        data = dataclasses.replace(recipe.data, train=(train,), dev=(dev,) if dev else recipe.data.dev)
        whole = with_whole_alphabet(recipe, [train, *data.dev])
        contest.append(dataclasses.replace(whole, data=data, output=folder / name))
    return train_best(contest)


def with_whole_alphabet(recipe: Recipe, manifests: Sequence[Path]) -> Recipe:
    """The recipe with the characters of all manifests, where its alphabet would be that of train: a part of a corpus
    may lack characters that dev has."""
    if recipe.text.units != "characters" or recipe.text.alphabet:
        return recipe
    texts = (text for path in manifests for text in normalized(read_manifest(path), recipe.text))
    alphabet = {character for text in texts for character in text}
    return dataclasses.replace(recipe, text=dataclasses.replace(recipe.text, alphabet="".join(sorted(alphabet))))


def dev_error(model: Path) -> float:
    """The dev WER of a model with its decoder, if one was tuned, or else greedy (CER in a script without spaces)."""
    tuned = decoder_file(model).with_suffix(".json")
    if tuned.exists():
        return min(trial["wer"] for trial in json.loads(tuned.read_bytes())["trials"])
    file = load_model(model)
    return float(file.training["dev_cer" if is_unspaced(file.tokenizer.pieces) else "dev_wer"])
