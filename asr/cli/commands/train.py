"""Commands that prepare data, and train and tune models."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from asr.cli.arguments import ModelPath, Options, RecipePath
from asr.cli.model_defaults import decoder_defaults, recipe_defaults
from asr.cli.subcommands import Command, Group
from asr.config import Recipe, load_recipe
from asr.data.config import PrepareConfig
from asr.data.corpora import LAYOUTS
from asr.errors import ConfigError, one_line
from asr.evaluation.config import TuneConfig
from asr.utils.config_io import shown_default, validate
from asr.utils.messages import tell
from asr.utils.storage import shown
from asr.visual.config import AugmentPreviewConfig

if TYPE_CHECKING:
    Layout = str  # type checkers accept only names that stand in the source
else:
    Layout = Literal[tuple(sorted(LAYOUTS))]


def prepare(
    layout: Positional[Layout],
    source: Annotated[str, Positional, arg(metavar="SOURCE")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")],
    options: Annotated[PrepareConfig, Options],
) -> int:
    """Turn a corpus into manifests; check every utterance.

    Rejected utterances are listed in rejects.jsonl, with reasons.

    Args:
        layout: Layout of the corpus. 'table': JSON Lines (with NeMo's names), CSV or TSV. 'folder': x.wav beside x.txt.
            The formats of other toolkits are 'lhotse', 'nemo', 'kaldi' and 'huggingface'. 'synthetic': sentences spoken
            by a synthesiser.
        source: The corpus: a folder, or a file for 'table'. For 'synthetic', what to speak: digits, commands, both as
            digits+commands, or random lines of a text file (.txt, .txt.gz, .txt.xz).
        output: Folder for the manifests, rejects.jsonl and summary.json.
    """
    from asr.data.prepare import prepare

    summary = prepare(layout, source, output, validate(options, "options"))
    print(summary.to_text())
    return 1 if summary.rejects > options.max_rejects else 0


def convert(
    manifest: Annotated[Path, Positional, arg(metavar="MANIFEST")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")],
    to: Literal["lhotse", "kaldi", "nemo", "huggingface"],
) -> int:
    """Write a manifest in the format of another toolkit.

    Args:
        manifest: Manifest written by `asr prepare`.
        output: Folder for the files.
        to: 'lhotse': recordings, supervisions and cuts. 'kaldi': a data directory. 'nemo': a manifest with absolute
            paths. 'huggingface': a Parquet file that contains the recordings, for the package `datasets`.
    """
    from asr.data.convert import convert

    for path in convert(manifest, output, to):
        print(one_line(shown(path)))
    return 0


def record(
    prompts: Annotated[Path, Positional, arg(metavar="PROMPTS.txt")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")],
    speaker: str = "me",
) -> int:
    """Record yourself reading sentences, for training.

    It checks level, clipping and length, and lets you repeat a recording. Rerun the same command to resume.

    Args:
        prompts: Text file with a sentence per line.
        output: Folder for the recordings and their texts, as read by `asr init` and `asr train`.
        speaker: Name of the speaker, and of the folder for these recordings in DIR.
    """
    from asr.recognition.microphone import microphone
    from asr.recognition.prompts import RATE, read_prompts, record

    def answer() -> str:
        return sys.stdin.readline() or "q"  # the end of the input quits

    read = read_prompts(prompts, output, speaker)
    count = record(read, lambda: microphone(RATE), RATE, answer, sys.stdout)
    print(f"{count} recorded, {sum(prompt.done for prompt in read)} of {len(read)} in {one_line(str(output))}")
    return 0


def init(
    sources: Annotated[tuple[Path, ...], Positional, arg(metavar="SOURCE", help_behavior_hint="")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="RECIPE.toml")],
) -> int:
    """Write a recipe for a corpus, with the reason for each choice.

    Without dev and test manifests, it splits the corpus. The exit status is 1 if recordings were rejected.

    Args:
        sources: Manifests, of which those named dev* or test* are used as such, or a folder of recordings x.wav beside
            their texts x.txt.
        output: Recipe to write; new manifests go into the folder RECIPE-data beside it.
    """
    from asr.training.start import init

    begun = init(sources, output)
    print(begun.to_text())
    for warning in begun.warnings:
        tell(f"warning: {warning}")
    return 1 if begun.division.rejects else 0


def train(
    source: Annotated[Path, Positional, arg(metavar="RECIPE.toml")],
    options: Annotated[Recipe, Options],
) -> int:
    """Train a model from a recipe, or resume its training.

    Given a folder of recordings or a manifest, it first writes a recipe into the working folder, as `asr init` does.

    Args:
        source: Recipe, manifest, or folder of recordings x.wav beside x.txt. With a recipe, --help shows the recipe's
            values as defaults.
    """
    from asr.data.dataset import require_manifests
    from asr.evaluation.rival import train_best, with_rival
    from asr.training.start import recipe_beside
    from asr.utils.distributed import own_group

    if source.suffix != ".toml":
        if options != Recipe():
            raise ConfigError(f"{source}: options need a recipe; `asr init {source} -o mine.toml` writes one")
        source = recipe_beside(source)
        options = load_recipe(source)
    recipes = with_rival(validate(options, str(source)))
    for name, recipe in zip((source, options.rival), recipes, strict=False):
        require_manifests(recipe, str(name))
    path = train_best(recipes)
    if own_group().leads:
        print(f"model  {path}")
    return 0


def augment(
    recipe: RecipePath,
    sounds: Annotated[tuple[str, ...], Positional, arg(metavar="SOUND", help_behavior_hint="")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")],
    options: Annotated[AugmentPreviewConfig, Options],
) -> int:
    """Preview a recipe's augmentation: examples to hear and to see.

    Args:
        recipe: Recipe. With it, --help shows the recipe's values as defaults.
        sounds: Sound files, folders (searched recursively) or globs.
        output: Folder for the examples: .wav files, and an index.html that plays and shows them.
    """
    from asr.visual.augment_preview import preview_augmentation

    shown = preview_augmentation(load_recipe(recipe), sounds, output, validate(options, "options"))
    for example in shown.examples:
        print(f"{one_line(str(example.path))}: {example.changes}")
    print(f"page  {one_line(str(shown.page))}")
    for reason in shown.failures:
        tell(reason)
    return 1 if shown.failures else 0


def tune(
    manifest: Annotated[Path, Positional, arg(metavar="MANIFEST")],
    model: ModelPath,
    options: Annotated[TuneConfig, Options],
) -> int:
    """Tune the decoder on a dev set; write decoder.toml.

    It chooses language model weight, word bonus and beam by WER, and keeps them beside the model as its defaults.

    Args:
        manifest: Dev set written by `asr prepare`, not the set to report a WER on.
        model: Model file written by `asr train`.
    """
    from asr.evaluation.tuning import tune

    print(tune(manifest, model, validate(options, "options")).to_text())
    return 0


def halve(
    model: Annotated[Path, Positional, arg(metavar="MODEL")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
    precision: Literal["float16", "int8"] = "float16",
) -> int:
    """Make a model file smaller, by float16 or int8 weights.

    Args:
        model: Model file written by `asr train`.
        output: Smaller model file, used like any other.
        precision: Data type of the weights. 'float16': half of the size. 'int8': a quarter; LSTMs compute with such
            weights on a CPU anyway.
    """
    from asr.model.model_file import compress

    compress(model, output, precision)
    print(f"model  {one_line(str(output))}")
    return 0


def export(
    model: Annotated[Path, Positional, arg(metavar="MODEL")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="MODEL.onnx")],
    precision: Literal["float32", "int8"] = "float32",
) -> int:
    """Export a model to ONNX, for this and other programs.

    Args:
        model: Model file written by `asr train`.
        output: ONNX file, used like any other model file.
        precision: Data type of the weights.
    """
    from asr.model.model_file import export

    if output.suffix != ".onnx":
        raise ConfigError(f"--output {output}: must end in .onnx, by which the file is recognised later")
    export(model, output, precision)
    print(f"model  {one_line(str(output))}")
    return 0


def push(
    model: Annotated[Path, Positional, arg(metavar="MODEL")],
    repository: Annotated[str, Positional, arg(metavar="USER/NAME")],
    report: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint=shown_default)] = None,
    private: bool = False,
) -> int:
    """Upload a model to the Hugging Face Hub, with a model card.

    So are decoder.toml, the files named there and punctuation.safetensors. Use it with `--model hf://USER/NAME`.

    Args:
        model: Model file written by `asr train`.
        repository: Repository on the Hub, created if it does not exist.
        report: Folder written by `asr evaluate -o`, whose report.md becomes part of the model card.
        private: Create a private repository.
    """
    from asr.evaluation.hub import push

    print(f"model  {push(model, repository, report, private)}")
    return 0


def _augment_defaults(arguments: Sequence[str]) -> AugmentPreviewConfig:
    return AugmentPreviewConfig(augment=recipe_defaults(arguments).augment)


def _tune_defaults(arguments: Sequence[str]) -> TuneConfig:
    return TuneConfig(search=decoder_defaults(arguments))


GROUP = Group(
    "Train",
    {
        "record": Command(record),
        "prepare": Command(prepare),
        "convert": Command(convert),
        "init": Command(init),
        "train": Command(train, recipe_defaults),
        "augment": Command(augment, _augment_defaults),
        "tune": Command(tune, _tune_defaults),
        "halve": Command(halve),
        "export": Command(export),
        "push": Command(push),
    },
)
