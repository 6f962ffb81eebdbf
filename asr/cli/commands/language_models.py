"""Commands that make language models, lexicons and punctuation models."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from asr.cli.arguments import Options, Texts
from asr.cli.subcommands import Command, CommandLine, Group
from asr.errors import ConfigError, one_line
from asr.lm import is_recurrent
from asr.lm.config import LmTrainConfig, PerplexityConfig, SampleConfig, check_kind
from asr.punctuation.config import PunctuationConfig
from asr.utils.config_io import shown_default, validate
from asr.utils.messages import tell


def lm_train(
    texts: Texts,
    output: Annotated[Path, arg(aliases=["-o"], metavar="LM")],
    options: Annotated[LmTrainConfig, Options],
) -> int:
    """Train a language model on text: n-grams or a recurrent network.

    Args:
        texts: Text files with a sentence per line, or manifests (.jsonl); plain, .gz or .xz.
        output: Model file. For n-grams .arpa, .arpa.gz or .arpa.xz, which other programs can read, or .asrlm, which
            loads fast. For a recurrent network .safetensors.
    """
    options = validate(options, "options")
    check_kind(options)
    if options.kind != "ngram":
        from asr.training.language_model import train_recurrent

        print(f"{train_recurrent(texts, options, output).to_text()}\nmodel       {one_line(str(output))}")
        return 0
    from asr.lm.training import train_model

    trained = train_model(texts, options, output)
    for note in trained.notes:
        tell(note)
    print(f"{trained.to_text()}\nmodel       {one_line(str(output))}")
    return 0


def lm_compile(
    arpa: Annotated[Path, Positional, arg(metavar="LM.arpa")],
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="LM.asrlm", help_behavior_hint=shown_default)] = None,
) -> int:
    """Compile an ARPA file so that it loads fast.

    Otherwise it is compiled on first use.

    Args:
        arpa: ARPA file of any program: plain, .gz or .xz.
        output: Compiled model. Without it, LM.arpa.asrlm, where other commands look for it.
    """
    from asr.lm.training import compile_arpa

    print(f"model  {one_line(str(compile_arpa(arpa, output)))}")
    return 0


def lm_perplexity(
    model: Annotated[Path, Positional, arg(metavar="LM")],
    texts: Texts,
    options: Annotated[PerplexityConfig, Options],
) -> int:
    """Measure the perplexity of text under a language model.

    Args:
        model: Language model: ARPA, compiled or recurrent.
        texts: Text files with a sentence per line, or manifests (.jsonl); plain, .gz or .xz.
    """
    options = validate(options, "options")
    _check_context(options, model)
    if is_recurrent(model):
        from asr.lm.recurrent import RecurrentModel
        from asr.lm.recurrent_perplexity import measure_recurrent

        print(measure_recurrent(RecurrentModel.load(model), texts, options).to_text())
        return 0
    from asr.lm.ngram import NgramModel
    from asr.lm.perplexity import measure_perplexity

    print(measure_perplexity(NgramModel.load(model), texts, options).to_text())
    return 0


def _check_context(options: PerplexityConfig, model: Path) -> None:
    if not is_recurrent(model) and (options.carry or options.context):
        option = "carry" if options.carry else "context"
        raise ConfigError(f"--{option} is for recurrent models, and {model} is not one by its name: leave it out")
    if options.carry and options.context:
        raise ConfigError("--carry keeps all context, --context limits it: leave out one of them")


def lm_sample(
    model: Annotated[Path, Positional, arg(metavar="LM")],
    options: Annotated[SampleConfig, Options],
) -> int:
    """Sample text from a language model.

    Args:
        model: Language model: ARPA, compiled or recurrent.
    """
    from asr.lm.sampling import load_source, sample

    print(sample(load_source(model), validate(options, "options")))
    return 0


def lexicon(
    sources: Annotated[tuple[Path, ...], Positional, arg(metavar="SOURCE", help_behavior_hint="")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="LEXICON")],
) -> int:
    """Look up pronunciations of words, for phone models.

    Those of English come from CMUdict and, for words it lacks, from espeak-ng. Chinese characters are in pinyin.

    Args:
        sources: Language models, manifests (.jsonl) or texts with the words; the latter two also .gz or .xz.
        output: Lexicon with a word and its phones per line, as in CMUdict.
    """
    from asr.lm.pronunciation import make_lexicon

    print(f"{make_lexicon(sources, output).to_text()}\nlexicon     {one_line(str(output))}")
    return 0


def punctuate_train(
    texts: Texts,
    output: Annotated[Path, arg(aliases=["-o"], metavar="PUNCTUATION")],
    options: Annotated[PunctuationConfig, Options],
) -> int:
    """Train a punctuation model on punctuated text, or resume training.

    The model predicts capital letters and the marks after words. Logs and checkpoints are in the folder
    PUNCTUATION-run.

    Args:
        texts: Text files with a paragraph per line; plain, .gz or .xz.
        output: Model file (.safetensors).
    """
    from asr.training.punctuation import train_punctuation

    print(f"model  {one_line(str(train_punctuation(texts, output, validate(options, 'options'))))}")
    return 0


def punctuate_evaluate(
    model: Annotated[Path, Positional, arg(metavar="PUNCTUATION")],
    texts: Texts,
) -> int:
    """Measure a punctuation model on punctuated text: F1 per mark.

    Args:
        model: Model file written by `asr punctuate train`.
        texts: Text files with a paragraph per line; plain, .gz or .xz.
    """
    from asr.punctuation.evaluate import evaluate_punctuation

    print(evaluate_punctuation(model, texts).to_text())
    return 0


PUNCTUATE = CommandLine(
    "Train and measure punctuation models.",
    (Group("Commands", {"train": Command(punctuate_train), "evaluate": Command(punctuate_evaluate)}),),
)
LM = CommandLine(
    "Train, compile and measure language models, and sample from them.",
    (
        Group(
            "Commands",
            {
                "train": Command(lm_train),
                "compile": Command(lm_compile),
                "perplexity": Command(lm_perplexity),
                "sample": Command(lm_sample),
            },
        ),
    ),
)
GROUP = Group("Language models", {"lm": LM, "lexicon": Command(lexicon), "punctuate": PUNCTUATE})
