"""A recipe for a corpus: each option chosen by what is in it, with the reason."""

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from asr.config import Recipe
from asr.data.division import Division
from asr.data.manifest import Utterance, relative_path
from asr.data.survey import Survey
from asr.lm.mandarin import is_chinese
from asr.model.model_file import load_model
from asr.pretrained import ENGLISH
from asr.text.config import TextConfig
from asr.text.lexicon_file import read_rows
from asr.text.normalizer import normalize
from asr.text.tokenizer import CharacterTokenizer, Tokenizer, count_unknown, frames_needed, train_tokenizer
from asr.training.length import with_length
from asr.utils.config_io import from_values

ENGLISH_LETTERS = "abcdefghijklmnopqrstuvwxyz' "
SPEEDS = (0.9, 1.0, 1.1)
ENGLISH_SHARE = 0.8  # of the words that the lexicon of the English model has, from which on a corpus is English
MOST_BASE_HOURS = 50  # of English; of another language or alphabet, whose words the base does not know, a tenth
WORD_UNITS, WORD_EXAMPLES = 100, 30  # the largest vocabulary of whole-word units, and the fewest examples of each
BPE_HOURS = 10.0
REPEATED = 0.5  # different sentences per utterance, up to which an n-gram of them is of use
#: Probability of a word that the transcripts lack, up to which there are hardly others: words that occur once, per word
#: (Good 1953). Free text has more, 0.006 even after eight million words, a vocabulary of commands none.
CLOSED = 0.001
SHORT = 1.5  # seconds: one or two words

#: Hours of speech up to which a network has these layers, cells per direction, channels, and peak learning rate.
SIZES = (
    (2.0, {"layers": 2, "width": 128, "channels": 8, "dropout": 0.1}, 3e-3),
    (20.0, {"layers": 3, "width": 256, "channels": 32, "dropout": 0.2}, 1e-3),
    (float("inf"), {"layers": 4, "width": 384, "channels": 32, "dropout": 0.2}, 1e-3),
)


@dataclass(frozen=True)
class Choice:
    """Options of one section that belong together, and the reason of their values."""

    section: str  # empty: above all sections
    values: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class Speech:
    """Utterances and their normalised texts."""

    utterances: list[Utterance]
    texts: list[str]

    @functools.cached_property
    def alphabet(self) -> set[str]:
        """Characters of the texts."""
        return {character for text in self.texts for character in text}

    def too_short(self, recipe: Recipe, tokenizer: Tokenizer, speed: float = 1.0) -> int:
        """Utterances with more tokens than the network has output frames for, played this much faster."""
        needed = [frames_needed(tokenizer.encode(text)) for text in self.texts]
        frames = [recipe.output_frames(utterance.duration / speed) for utterance in self.utterances]
        return sum(least > there for least, there in zip(needed, frames, strict=True))


def choose(survey: Survey, dev: Sequence[Utterance] = (), from_scratch: bool = False) -> list[Choice]:
    """The choices for a training corpus, in the order of the recipe's sections; `dev` must fit the network too.

    With `from_scratch` there is no base, whatever the corpus.
    """
    texts = [normalize(utterance.text, TextConfig()) for utterance in dev]
    corpus = Speech([*survey.utterances, *dev], [*survey.texts, *texts])
    base = Choice("", {"base": ""}, "From scratch.") if from_scratch else _base(survey, corpus)
    if base.values["base"]:
        # The alphabet of another script would be that of train, and lack what only dev has.
        lacks = not _has_english_letters(corpus.alphabet) and corpus.alphabet > survey.alphabet
        units = [_units(survey, corpus.alphabet)] if lacks else []
        return [base, *units, *_short_features(survey), _augmentation(survey), *_training(survey, True)]
    own = [_units(survey, corpus.alphabet), _features(survey), *_short_features(survey)]
    return [base, *own, _augmentation(survey), _frame_rate(corpus, own), _size(survey), *_training(survey, False)]


def rival_reason(survey: Survey, choices: Sequence[Choice]) -> str:
    """Why training from scratch may be better than from the base that was chosen; empty if it hardly is."""
    if not any(choice.values.get("base") for choice in choices):
        return ""
    if _few_words(survey):
        return f"{len(survey.vocabulary)} words with many examples each may be learned just as well from scratch"
    letters = Counter(letter for text in survey.texts for letter in text)
    # Of thousands of characters, most are too rare to be learned together with the sounds.
    if not _has_english_letters(survey.alphabet) and float(np.median(list(letters.values()))) >= WORD_EXAMPLES:
        return "another language may be learned just as well from scratch"
    return ""


def recipe_text(origin: str, survey: Survey, division: Division, choices: Sequence[Choice], path: Path) -> str:
    """The recipe as TOML to be written to `path`, every choice below its reason."""
    folder, model = path.parent, f"{path.stem}-model"
    manifests = {name: [relative_path(each, folder) for each in division.manifests[name]] for name in ("train", "dev")}
    data = Choice("data", manifests, f"{division.reason[0].upper()}{division.reason[1:]}.")
    head = [f"By `asr init {origin}`, {date.today()}.", *survey.to_text().splitlines()]
    top = [choice for choice in choices if not choice.section]
    lines = [*(f"# {line}" for line in head), f"output = {_toml(model)}", ""]
    section = ""
    for choice in [*top, data, *(choice for choice in choices if choice.section)]:
        if choice.section != section:
            section = choice.section
            lines += ["", f"[{section}]"]
        lines += [*_comment(choice.reason), *(f"{name} = {_toml(value)}" for name, value in choice.values.items())]
    return "\n".join(lines) + "\n"


def chosen_recipe(choices: Sequence[Choice]) -> Recipe:
    """The recipe of the choices, without data."""
    values: dict[str, Any] = {}
    for choice in choices:
        (values.setdefault(choice.section, {}) if choice.section else values).update(choice.values)
    return from_values(Recipe, values, "recipe")


@functools.cache
def english_words() -> frozenset[str]:
    """The words of the English model's lexicon."""
    return frozenset(word for word, _ in read_rows(ENGLISH.with_name("lexicon.txt")))


def _base(survey: Survey, corpus: Speech) -> Choice:
    file = load_model(ENGLISH)
    share = (
        sum(count for word, count in survey.vocabulary.items() if word in english_words()) / survey.vocabulary.total()
    )
    same_alphabet = not count_unknown(
        corpus.texts, {character for piece in file.tokenizer.pieces for character in piece}
    )
    english = same_alphabet and share >= ENGLISH_SHARE
    short = corpus.too_short(
        Recipe(features=file.features, model=file.architecture),
        file.tokenizer if same_alphabet else CharacterTokenizer(corpus.alphabet),
    )
    if survey.hours > (MOST_BASE_HOURS if english else MOST_BASE_HOURS / 10):
        return Choice("", {"base": ""}, f"From scratch: {survey.hours:.0f} h of speech are enough for that.")
    if short:
        reason = f"From scratch: {short} utterances are too short for the frame rate of the English model."
        return Choice("", {"base": ""}, reason)
    if english:
        reason = "The words are English, and the shipped model knows English sounds: training starts from it."
        return Choice("", {"base": "english"}, reason)
    if same_alphabet:
        return Choice("", {"base": ""}, "From scratch: the words are not English, although the letters are.")
    reason = "Another alphabet: the acoustic layers start from the English model (Kunze et al. 2017), "
    reason += "Chinese characters are recognised by their sounds." if is_chinese(corpus.texts) else "the output is new."
    return Choice("", {"base": "english"}, reason)


def _units(survey: Survey, alphabet: set[str]) -> Choice:
    counts = survey.vocabulary
    if alphabet > survey.alphabet:
        reason = "Characters, those of dev included."
        return Choice("text", {"units": "characters", "alphabet": "".join(sorted(alphabet))}, reason)
    if _few_words(survey):
        size = len(survey.alphabet) + 1 + sum(len(word) for word in counts)
        reason = f"{len(counts)} words, most with {WORD_EXAMPLES} examples or more: units of whole words."
        return Choice("text", {"units": "bpe", "bpe_size": size}, reason)
    if survey.hours >= BPE_HOURS and len(survey.alphabet) < 100:
        return Choice("text", {"units": "bpe", "bpe_size": 500}, "Byte pairs: enough speech to learn longer units.")
    return Choice("text", {"units": "characters"}, "Characters: too little speech for longer units.")


def _features(survey: Survey) -> Choice:
    if max(survey.sample_rates) <= 8000:
        return Choice("features", {"sample_rate": 8000, "mels": 40}, "All recordings have 8000 Hz or less.")
    return Choice("features", {"sample_rate": 16000, "mels": 80}, "Speech has little above 8 kHz.")


def _short_features(survey: Survey) -> list[Choice]:
    if not _is_short(survey):
        return []
    reason = "A second of average speech counts in each recording's mean: that of one word is mostly its vowel."
    return [Choice("features", {"average_seconds": 1.0}, reason)]


def _augmentation(survey: Survey) -> Choice:
    values: dict[str, Any] = {"copies": 4 if survey.hours < BPE_HOURS else 1, "speeds": list(SPEEDS)}
    values |= {"noise_share": 0.3, "gain_decibels": 6.0}
    reason = "Versions of each recording at other speeds and levels, some with noise; "
    if _is_short(survey):
        values |= {"trim_share": 0.5, "silence_share": 0.4, "equalizer_decibels": 8.0}
        values |= {"time_masks": 1, "frequency_mask_mels": 12}
        reason += "by other microphones, with the ends of the word cut or silence around it; "
        return Choice("augment", values, f"{reason}few masks, since most recordings are shorter than {SHORT:g} s.")
    return Choice("augment", values | {"time_masks": 2, "frequency_mask_mels": 20}, f"{reason}masks as usual.")


def _frame_rate(corpus: Speech, choices: Sequence[Choice]) -> Choice:
    recipe = chosen_recipe(choices)
    tokenizer = train_tokenizer(corpus.texts, recipe.text)
    for subsampling in (4, 3, 2, 1) if recipe.text.units == "bpe" else (3, 2, 1):
        tried = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, subsampling=subsampling))
        if not corpus.too_short(tried, tokenizer, max(SPEEDS)):
            break
    reason = f"{1000 * tried.frame_seconds:.0f} ms per output frame: enough frames for the tokens of every utterance."
    return Choice("model", {"subsampling": subsampling}, reason)


def _size(survey: Survey) -> Choice:
    values = next(values for most, values, _ in SIZES if survey.hours <= most)
    return Choice("model", values, f"A network for {survey.hours:.2f} h of speech.")


def _training(survey: Survey, from_base: bool) -> Iterator[Choice]:
    config = with_length(Recipe().training, 3600 * survey.hours, from_base)
    values = {"updates": config.updates, "batch_seconds": round(config.batch_seconds or 0, 1)}
    third = ": a third of the updates, since training starts from a base" if from_base else ""
    yield Choice("training", values, f"At most {config.epochs} epochs{third}.")
    yield Choice("training", {"patience": config.patience}, "Epochs without a better dev WER before it stops.")
    if not from_base:
        rate = next(rate for most, _, rate in SIZES if survey.hours <= most)
        yield Choice("training", {"learning_rate": rate, "ema": 0.995}, "The smaller the network, the higher the rate.")
    yield _decoder(survey, from_base)


def _decoder(survey: Survey, from_base: bool) -> Choice:
    words = survey.vocabulary
    if survey.new_sentence_share <= REPEATED:
        kind, reason = "sentences", f"{len(survey.sentences)} sentences recur: the decoder uses their words and order."
    elif list(words.values()).count(1) <= CLOSED * words.total():
        kind, reason = (
            "sentences",
            f"{len(words)} words recur: the decoder outputs only these, and prefers their orders.",
        )
    elif from_base and is_chinese(survey.texts):
        reason = "The decoder finds sounds, and among characters of one sound those that the transcripts make likely."
        return Choice("training", {"decoder": "sentences", "phone_weight": 0.8}, reason)
    elif from_base and _has_english_letters(survey.alphabet):
        kind, reason = "base", "Sentences of all kinds: the decoder of the English model."
    else:
        kind, reason = "none", "Sentences of all kinds: greedy. A language model would help (`asr lm train`)."
    return Choice("training", {"decoder": kind}, reason)


def _has_english_letters(alphabet: set[str]) -> bool:
    return alphabet <= set(ENGLISH_LETTERS)


def _is_short(survey: Survey) -> bool:
    return float(np.median(survey.seconds)) < SHORT


def _few_words(survey: Survey) -> bool:
    counts = list(survey.vocabulary.values())
    return len(counts) <= WORD_UNITS and float(np.median(counts)) >= WORD_EXAMPLES


def _comment(text: str) -> Iterator[str]:
    line = "#"
    for word in text.split():
        if len(line) + 1 + len(word) > 118:
            yield line
            line = "#"
        line += f" {word}"
    yield line


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
