"""Fine-tuning: a recipe whose `base` is a trained model takes features, architecture, tokenizer and phones from it."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.config import Recipe
from asr.data.dataset import normalized
from asr.data.manifest import read_manifest
from asr.lm.mandarin import is_chinese
from asr.lm.pronunciation import make_lexicon
from asr.model.model_file import load_model
from asr.pretrained import ENGLISH
from asr.text.config import TextConfig
from asr.text.tokenizer import Tokenizer, count_unknown


@dataclass(frozen=True)
class Base:
    """What a run takes from its base in addition to sections of the recipe."""

    path: Path
    phones: tuple[str, ...]  # empty: those of the lexicon
    tokenizer: Tokenizer | None  # None: the transcripts have another alphabet
    notes: tuple[str, ...]  # printed at the start


def base_path(base: str) -> Path:
    """The model file that a recipe's `base` names: 'english' is the one that comes with the program."""
    return ENGLISH if base == "english" else Path(base)


def with_base(recipe: Recipe) -> tuple[Recipe, Base | None]:
    """The recipe with the features, the architecture and, where its alphabet suffices, the text rules of its base.

    A base with phones gets a lexicon for the transcripts' words in the run folder, unless the recipe names one.
    Raises an `AsrError` when the base or a manifest cannot be read.
    """
    if not recipe.base:
        return recipe, None
    path = base_path(recipe.base)
    file = load_model(path)
    rules = dataclasses.replace(file.text, replace={**file.text.replace, **recipe.text.replace})
    manifests = [*recipe.data.train, *recipe.data.dev]
    spelled = {character for piece in file.tokenizer.pieces for character in piece} | {" "}
    same_alphabet = not count_unknown(_texts(manifests, rules), spelled)
    text = rules if same_alphabet else recipe.text
    features = file.features
    if recipe.features.average_seconds:  # a change of the input that a network can be trained to
        features = dataclasses.replace(features, average_seconds=recipe.features.average_seconds)
    recipe = dataclasses.replace(recipe, features=features, model=file.architecture, text=text)
    notes = [] if same_alphabet else [f"{path} has another alphabet: a new output layer on its acoustic layers"]
    chinese = not same_alphabet and is_chinese({word for each in _texts(manifests, text) for word in each.split()})
    if file.phones and (same_alphabet or chinese) and not recipe.data.lexicon:
        lexicon = recipe.output / "lexicon.txt"
        made = make_lexicon(manifests, lexicon)
        notes.append(f"lexicon: {lexicon} ({len(made.found)} {'characters' if chinese else 'words'})")
        recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, lexicon=lexicon))
    # Of another alphabet without a lexicon, the phones have no targets.
    phones = () if recipe.data.lexicon and not same_alphabet else file.phones
    return recipe, Base(path, phones, file.tokenizer if same_alphabet else None, tuple(notes))


def _texts(manifests: Sequence[Path], rules: TextConfig) -> Iterator[str]:
    return (text for path in manifests for text in normalized(read_manifest(path), rules))
