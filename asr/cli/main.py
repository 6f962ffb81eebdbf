"""The `asr` command: one short function for each subcommand; nothing is computed here."""

import io
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from asr.cli.model_defaults import decoder_of, recipe_of, with_options
from asr.cli.subcommands import Subcommands
from asr.config import Recipe, load_recipe
from asr.data.config import PrepareConfig
from asr.data.corpora import LAYOUTS
from asr.decoding.config import DecoderConfig
from asr.errors import AsrError, ConfigError, one_line
from asr.evaluation.config import CompareConfig, EvaluateConfig, ScoreConfig, TuneConfig
from asr.lm.config import LmConfig, LmTextConfig
from asr.pretrained import ENGLISH
from asr.recognition.config import AlignConfig, ListenConfig, TranscribeConfig
from asr.utils.config_io import validate
from asr.utils.messages import tell
from asr.visual.config import AugmentPreviewConfig, InspectConfig

Options = arg(name="")
ModelPath = Annotated[Path, arg(aliases=["-m"], metavar="MODEL")]
ModelOrEnglish = Annotated[Path, arg(name="model", aliases=["-m"], metavar="MODEL", help_behavior_hint="")]
OutputFolder = Annotated[Path | None, arg(aliases=["-o"], metavar="DIR")]
Texts = Annotated[tuple[Path, ...], tyro.conf.Positional, arg(metavar="TEXT")]
Layout = Literal[tuple(sorted(LAYOUTS))]


def prepare(
    layout: Positional[Layout],
    source: Annotated[str, tyro.conf.Positional, arg(metavar="SOURCE")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")],
    options: Annotated[PrepareConfig, Options],
) -> int:
    """A corpus -> manifests: check every utterance, list the rejected ones with reasons, count the rest.

    Args:
        layout: How the corpus is laid out. 'table': JSON Lines (NeMo's names), CSV or TSV. 'folder': x.wav beside
            x.txt. 'synthetic': the embedded corpus, spoken by espeak-ng.
        source: The corpus: a folder, or a file for 'table'; for 'synthetic' what to speak: digits, commands,
            digits+commands, or lines of a text file (.txt, .txt.gz, .txt.xz), one sentence a line.
        output: Folder for the manifests, rejects.jsonl and summary.json.
    """
    from asr.data.prepare import prepare

    summary = prepare(layout, source, output, validate(options, "options"))
    print(summary.to_text())
    return 1 if summary.rejects > options.max_rejects else 0


def train(
    recipe: Annotated[Path, tyro.conf.Positional, arg(metavar="RECIPE.toml")],
    options: Annotated[Recipe, Options],
) -> int:
    """A recipe -> a model file. The same command goes on where a stopped run was.

    Args:
        recipe: The recipe. With it, --help shows the recipe's own values as defaults.
    """
    from asr.training.trainer import train
    from asr.utils.distributed import is_leading

    if recipe.suffix != ".toml":
        raise ConfigError(f"{recipe}: not a recipe by its name, which must end in .toml")
    path = train(validate(options, str(recipe)))
    if is_leading():
        print(f"model  {path}")
    return 0


def augment(
    recipe: Annotated[Path, tyro.conf.Positional, arg(metavar="RECIPE.toml")],
    sounds: Annotated[tuple[str, ...], tyro.conf.Positional, arg(metavar="SOUND")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")],
    options: Annotated[AugmentPreviewConfig, Options],
) -> int:
    """What a recipe's augmentation does to recordings, to be heard and seen before training.

    Args:
        recipe: The recipe. With it, --help shows the recipe's own values as defaults.
        sounds: Sound files, folders (walked), or globs.
        output: Folder for the examples as .wav files and index.html, which plays and shows them.
    """
    from asr.visual.augment_preview import preview_augmentation

    shown = preview_augmentation(load_recipe(recipe), sounds, output, validate(options, "options"))
    for example in shown.examples:
        print(f"{one_line(str(example.path))}: {example.changes}")
    print(f"page  {one_line(str(shown.page))}")
    for reason in shown.failures:
        tell(reason)
    return 1 if shown.failures else 0


def transcribe(
    inputs: Annotated[tuple[str, ...], tyro.conf.Positional, arg(metavar="INPUT")],
    options: Annotated[TranscribeConfig, Options],
    model: ModelOrEnglish = ENGLISH,
    output: OutputFolder = None,
) -> int:
    """Sound files -> words. Every input is tried; the status is 0 only if all of them could be read.

    Args:
        inputs: Sound files, folders (walked), globs, or - for standard input.
        model: Model file, as `asr train` writes it. Without it: the English one that comes with the program.
        output: Folder for one file an input and format; names never collide. Without it: standard output.
    """
    from asr.cli.transcribe import transcribe

    return 1 if transcribe(inputs, model, output, validate(options, "options")).failures else 0


def align(
    sound: Annotated[Path, tyro.conf.Positional, arg(metavar="SOUND")],
    text: Annotated[Path, tyro.conf.Positional, arg(metavar="TEXT")],
    options: Annotated[AlignConfig, Options],
    model: ModelOrEnglish = ENGLISH,
    output: OutputFolder = None,
) -> int:
    """A recording and what was said in it -> when each word was said. Differences between the two are told.

    Args:
        sound: Sound file, of any length.
        text: Text file (UTF-8) with the words in the order in which they were said.
        model: Model file, as `asr train` writes it. Without it: the English one that comes with the program.
        output: Folder for one file a format, named as the sound file. Without it: standard output.
    """
    from asr.output.formats import Outputs
    from asr.recognition.forced_alignment import align_recording
    from asr.recognition.recognizer import Recognizer

    options = validate(options, "options")
    name = str(sound)
    outputs = Outputs([name], options.format, output, str(model), {"decoder": "forced alignment"}, [model, text])
    recognizer = Recognizer.load(model, options.device, DecoderConfig(decoder="greedy"))
    found = align_recording(recognizer, sound, text, options)
    for note in found.notes:
        tell(f"{name}: {note}")
    if output:
        for path in outputs.write(name, found.transcript):
            print(one_line(str(path)))
    else:
        print(outputs.text(name, found.transcript), end="")
    return 0 if found.complete else 1


def listen(
    options: Annotated[ListenConfig, Options],
    model: ModelOrEnglish = ENGLISH,
    source: Annotated[Literal["microphone", "-"], tyro.conf.Positional, arg(metavar="SOURCE")] = "microphone",
) -> int:
    """Words while someone speaks: partial ones as they come, and those that stay. Ctrl-C ends it.

    Args:
        model: Model file, as `asr train` writes it. Without it: the English one that comes with the program.
        source: 'microphone', or - for raw samples from standard input: `ffmpeg -i x -f s16le -ac 1 -ar 16000 - |`.
    """
    from asr.recognition.microphone import microphone, raw_samples, show
    from asr.recognition.recognizer import Recognizer
    from asr.recognition.streaming import listen

    options = validate(options, "options")
    recognizer = Recognizer.load(model, options.run.device, options.search, options.run.precision)
    rate = recognizer.sample_rate
    pieces = microphone(rate) if source == "microphone" else raw_samples(sys.stdin.buffer, options.rate, rate)
    tell(show(listen(recognizer, pieces, options), sys.stdout).to_text())
    return 0


def evaluate(
    manifest: Annotated[Path, tyro.conf.Positional, arg(metavar="MANIFEST")],
    options: Annotated[EvaluateConfig, Options],
    model: ModelOrEnglish = ENGLISH,
    output: OutputFolder = None,
) -> int:
    """Word error rate on recordings with known transcripts, with its interval, breakdowns and worst utterances.

    Args:
        manifest: Utterances to score, as `asr prepare` writes them.
        model: Model file, as `asr train` writes it. Without it: the English one that comes with the program.
        output: Folder for report.json, report.md and report.html. Without it: only standard output.
    """
    from asr.evaluation.evaluate_model import assess
    from asr.utils.distributed import is_leading

    assessment = assess(manifest, model, output, validate(options, "options"))
    if is_leading():
        print(assessment.to_text())
        for utterance, reason in assessment.evaluation.failures:
            tell(f"{utterance}: {reason}")
    return 0 if assessment.evaluation.complete else 1


def score(
    reference: Annotated[Path, tyro.conf.Positional, arg(metavar="REF")],
    hypothesis: Annotated[Path, tyro.conf.Positional, arg(metavar="HYP")],
    options: Annotated[ScoreConfig, Options],
    output: OutputFolder = None,
) -> int:
    """Word error rate of any recogniser's transcripts, with the same report as `asr evaluate`.

    Args:
        reference: References: a manifest or other JSON Lines, NIST's CTM, STM or TRN, Kaldi's `text`, or plain lines.
        hypothesis: Hypotheses, likewise.
        output: Folder for report.json, report.md and report.html. Without it: only standard output.
    """
    from asr.evaluation.report import write_report
    from asr.evaluation.terminal import summary_text
    from asr.evaluation.transcript_files import score_files

    evaluation = score_files(reference, hypothesis, validate(options, "options"))
    print(summary_text(evaluation))
    if output:
        print(f"report       {one_line(str(write_report(output, evaluation)[-1]))}")
    return 0 if evaluation.complete else 1


def compare(
    first: Annotated[Path, tyro.conf.Positional, arg(metavar="REPORT_A")],
    second: Annotated[Path, tyro.conf.Positional, arg(metavar="REPORT_B")],
    options: Annotated[CompareConfig, Options],
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="PAGE.html")] = None,
) -> int:
    """Two systems on one test set: how far apart they are, whether by more than chance, and where.

    Args:
        first: report.json of `asr evaluate` or `asr score`.
        second: That of the other system.
        output: The comparison as a page. Without it: only standard output.
    """
    from rich.console import Console

    from asr.evaluation.comparison import compare as compare_reports
    from asr.evaluation.comparison import comparison_page, comparison_text
    from asr.utils.files import write_atomically

    comparison = compare_reports(first, second)
    console = Console(highlight=False, soft_wrap=True)
    console.print(comparison_text(comparison, validate(options, "options").examples), end="")
    if output:
        print(f"\npage         {one_line(str(write_atomically(output, comparison_page(comparison))))}")
    return 1 if comparison.left_out else 0


def tune(
    manifest: Annotated[Path, tyro.conf.Positional, arg(metavar="MANIFEST")],
    model: ModelPath,
    options: Annotated[TuneConfig, Options],
) -> int:
    """Language model weight, word bonus and beam by WER on a dev set -> decoder.toml beside the model.

    Args:
        manifest: The dev set, as `asr prepare` writes it; not the one to report a WER on.
        model: Model file, as `asr train` writes it.
    """
    from asr.evaluation.tuning import tune

    print(tune(manifest, model, validate(options, "options")).to_text())
    return 0


def lm_train(
    texts: Texts,
    output: Annotated[Path, arg(aliases=["-o"], metavar="LM")],
    options: Annotated[LmConfig, Options],
) -> int:
    """Text -> an n-gram language model.

    Args:
        texts: Text files, one sentence a line, or manifests (.jsonl); plain, .gz or .xz.
        output: The model: .arpa, .arpa.gz or .arpa.xz, which other programs read too, or .asrlm, which loads at once.
    """
    from asr.lm.training import train_model

    trained = train_model(texts, validate(options, "options"), output)
    for note in trained.notes:
        tell(note)
    print(f"{trained.to_text()}\nmodel       {one_line(str(output))}")
    return 0


def lm_compile(
    arpa: Annotated[Path, tyro.conf.Positional, arg(metavar="LM.arpa")],
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="LM.asrlm")] = None,
) -> int:
    """Any program's ARPA file -> the compiled form, which loads at once. Done on first use anyway.

    Args:
        arpa: The model: plain, .gz or .xz.
        output: The compiled model. Without it: LM.arpa.asrlm, where it is looked for on use.
    """
    from asr.lm.training import compile_arpa

    print(f"model  {one_line(str(compile_arpa(arpa, output)))}")
    return 0


def lm_perplexity(
    model: Annotated[Path, tyro.conf.Positional, arg(metavar="LM")],
    texts: Texts,
    options: Annotated[LmTextConfig, Options],
) -> int:
    """How well a language model foresees text: lower is better.

    Args:
        model: The model: ARPA or compiled.
        texts: Text files, one sentence a line, or manifests (.jsonl); plain, .gz or .xz.
    """
    from asr.lm.ngram import NgramModel
    from asr.lm.perplexity import measure_perplexity

    print(measure_perplexity(NgramModel.load(model), texts, validate(options, "options")).to_text())
    return 0


def lexicon(
    sources: Annotated[tuple[Path, ...], tyro.conf.Positional, arg(metavar="SOURCE")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="LEXICON")],
) -> int:
    """English words -> their pronunciations, for models of phones: by CMUdict and, where it ends, by espeak-ng.

    Args:
        sources: Where the words are: language models, manifests (.jsonl) or text files, the latter two also .gz or .xz.
        output: The lexicon: lines of a word and its phones, as in CMUdict.
    """
    from asr.lm.pronunciation import make_lexicon

    print(f"{make_lexicon(sources, output).to_text()}\nlexicon     {one_line(str(output))}")
    return 0


def inspect_sound(
    sound: Annotated[Path, tyro.conf.Positional, arg(metavar="SOUND")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="PICTURE")],
    options: Annotated[InspectConfig, Options],
    model: ModelOrEnglish = ENGLISH,
) -> int:
    """What the network does with a recording, in one picture: features, layers, posteriors, words as they come.

    Args:
        sound: Sound file.
        model: Model file, as `asr train` writes it. Without it: the English one that comes with the program.
        output: The picture: .html, which plays the sound too, or .png, which can write the scripts that a font is
            installed for.
    """
    from asr.visual.figure import inspect_sound

    inspection = inspect_sound(sound, model, output, validate(options, "options"))
    print(f"{one_line(inspection.title)}\nheard    {inspection.transcript.text}\npicture  {one_line(str(output))}")
    return 0


def halve(
    model: Annotated[Path, tyro.conf.Positional, arg(metavar="MODEL")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
) -> int:
    """Convert a model's weights to float16, which halves the file.

    Args:
        model: Model file, as `asr train` writes it.
        output: The converted model file, used like any other.
    """
    from asr.model.model_file import convert_to_float16

    convert_to_float16(model, output)
    print(f"model  {one_line(str(output))}")
    return 0


def info(path: Annotated[Path, tyro.conf.Positional, arg(metavar="FILE")]) -> int:
    """What is in a model file, a language model, a manifest or a sound file.

    Args:
        path: The file.
    """
    from asr.cli.info import describe

    print(describe(path))
    return 0


def run(arguments: list[str]) -> int:
    """Run a command line; errors are the caller's."""
    search, recipe = decoder_of(arguments), recipe_of(arguments)
    lm_commands = {"train": lm_train, "compile": lm_compile, "perplexity": lm_perplexity}
    commands = {
        "prepare": prepare,
        "train": with_options(train, recipe),
        "augment": with_options(augment, AugmentPreviewConfig(augment=recipe.augment)),
        "transcribe": with_options(transcribe, TranscribeConfig(search=search)),
        "listen": with_options(listen, ListenConfig(search=search)),
        "align": align,
        "inspect": with_options(inspect_sound, InspectConfig(search=search)),
        "evaluate": with_options(evaluate, EvaluateConfig(search=search)),
        "score": score,
        "compare": compare,
        "tune": with_options(tune, TuneConfig(search=search)),
        "halve": halve,
        "info": info,
        "lexicon": lexicon,
        "lm": Subcommands("N-gram language models: make, compile and measure them.", lm_commands),
    }
    about = "A small speech recogniser: a bidirectional LSTM trained with CTC."
    try:
        return Subcommands(about, commands).run("asr", arguments)
    finally:
        sys.stdout.flush()  # a full disk, or a reader that has left, is an error like others


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; returns the exit status: 0 done, 1 done but not for all inputs, 2 an error, 130 stopped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr has it: file names need not be UTF-8
    try:
        return run(list(sys.argv[1:] if arguments is None else arguments))
    except AsrError as error:
        tell(str(error))
        return error.exit_status
    except BrokenPipeError:
        # The reader of our output has left (`asr ... | head`); there is nobody to tell.
        discard_output()
        return 1
    except OSError as error:
        tell(f"{error.filename or 'output'}: {error.strerror or error}")
        if error.filename is None:
            discard_output()
        return 2
    except KeyboardInterrupt:
        tell("stopped")
        return 130


def discard_output() -> None:
    """Drop what could not be written to standard output, which Python would try again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
