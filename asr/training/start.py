"""`asr init`: recordings -> a recipe and, if they are not split yet, manifests of train, dev and test."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.data.division import Division, divide
from asr.data.manifest import manifest_stem
from asr.data.survey import Survey, shared_sentences, survey
from asr.errors import ConfigError
from asr.text.config import TextConfig
from asr.text.normalize_all import normalize_all
from asr.training.choices import Choice, choose, chosen_recipe, recipe_text, rival_reason
from asr.utils.distributed import own_group
from asr.utils.files import write_atomically
from asr.utils.messages import tell


@dataclass(frozen=True)
class Start:
    """A recipe, and what it was chosen from."""

    recipe: Path
    rival: Path | None  # the recipe from scratch, where it is unclear which is better
    survey: Survey
    division: Division
    warnings: list[str]  # what limits the model, in plain words

    def to_text(self) -> str:
        """Contents of the corpus, files, and the next command."""
        parts = [f"{name} {len(getattr(self.division, name)):,}" for name in ("train", "dev", "test")]
        return "\n".join(
            [
                self.survey.to_text(),
                f"utterances  {', '.join(parts)}",
                f"recipe      {self.recipe}{f', {self.rival}' if self.rival else ''}",
                f"next:       asr train {shlex.quote(str(self.recipe))}",
            ]
        )


def init(sources: Sequence[Path], recipe: Path) -> Start:
    """Write a recipe for the recordings of some manifests, or of a folder with texts.

    Raises `ConfigError` when the recipe exists, `ManifestError` or `AudioError` for recordings that cannot be used.
    """
    if recipe.suffix != ".toml":
        raise ConfigError(f"{recipe}: not a recipe by its name, which must end in .toml")
    if recipe.exists():
        raise ConfigError(f"{recipe}: exists already; choose another --output, or delete it to write a new one")
    if not sources:
        raise ConfigError("no SOURCE: give manifests, or a folder of recordings x.wav beside their texts x.txt")
    division = divide(sources, recipe.with_name(f"{recipe.stem}-data"))
    found, origin = survey(division.train, TextConfig()), " ".join(map(str, sources))
    choices, rival = choose(found, division.dev), None
    if reason := rival_reason(found, choices):
        rival = recipe.with_name(f"{recipe.stem}-scratch.toml")
        own = choose(found, division.dev, from_scratch=True)
        write_atomically(rival, recipe_text(origin, found, division, own, rival))
        choices.append(Choice("", {"rival": rival.name}, f"Unclear: {reason}. Both are trained; dev decides."))
    write_atomically(recipe, recipe_text(origin, found, division, choices, recipe))
    return Start(recipe, rival, found, division, list(_warnings(found, division, choices)))


def _warnings(found: Survey, division: Division, choices: Sequence[Choice]) -> Iterator[str]:
    yield from division.warnings
    # A decoder of sentences is for those that recur.
    if chosen_recipe(choices).training.decoder != "sentences":
        measured = normalize_all([utterance.text for utterance in (*division.dev, *division.test)], TextConfig())
        yield from filter(None, [shared_sentences(found.texts, measured)])
    yield from found.warnings()


def recipe_beside(source: Path) -> Path:
    """The recipe in the working folder for a folder of recordings or a manifest, written unless it is there."""
    stem = source.resolve().stem if source.is_dir() else manifest_stem(source.resolve())
    if not stem:
        raise ConfigError(f"{source}: not a recipe (.toml), manifest (.jsonl) or folder of recordings")
    recipe = Path(f"{stem}.toml")
    if recipe.exists():
        tell(f"training with {recipe}, which was there already; delete it to have a new one written")
        return recipe
    if own_group().size > 1:
        raise ConfigError(f"{source}: several processes need a recipe; `asr init {source} -o {recipe}` writes one")
    start = init([source], recipe)
    tell(f"recipe written: {recipe}")
    for warning in start.warnings:
        tell(f"warning: {warning}")
    return recipe
