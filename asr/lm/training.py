"""Text -> language model: read, count, estimate, prune, write; with progress bars on a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.errors import ConfigError, LanguageModelError
from asr.lm import ARPA_NAMES
from asr.lm.arpa import read_arpa, write_arpa
from asr.lm.config import LmConfig
from asr.lm.corpus import UNKNOWN_ID, TextReader
from asr.lm.counting import Text, count_orders
from asr.lm.kneser_ney import FALLBACK, estimate
from asr.lm.ngram import SUFFIX, NgramModel, compiled_path, fingerprint, save_compiled
from asr.lm.pruning import prune_by_entropy
from asr.lm.trie import Trie
from asr.utils.files import is_among
from asr.utils.progress import progress_bar, track

_SPECIAL = 3  # <unk>, <s>, </s>


@dataclass(frozen=True)
class TrainedModel:
    """A model and the size of its text."""

    trie: Trie
    words: int  # in the text, sentence ends not counted
    sentences: int
    unknown: int  # words of the text that --vocab left out
    notes: list[str]  # for the user
    unit: str = "words"  # or characters

    def to_text(self) -> str:
        """Rows of names and values."""
        rows = [
            ("text", f"{self.words:,} {self.unit} in {self.sentences:,} sentences"),
            ("vocabulary", f"{len(self.trie.words) - _SPECIAL:,} {self.unit}"),
        ]
        if self.unknown:
            rows.append(("unknown", f"{self.unknown:,} {self.unit} of the text ({self.unknown / self.words:.2%})"))
        rows += [(f"{order}-grams", f"{count:,}") for order, count in enumerate(self.trie.counts, start=1)]
        return "\n".join(f"{name:<11} {value}" for name, value in rows)


def train_model(paths: Sequence[Path], config: LmConfig, output: Path | None = None) -> TrainedModel:
    """Train a model on text files or manifests and, if `output` is given, write it: ARPA or, by its name, compiled.

    Raises `ConfigError` for options that exclude each other and `LanguageModelError` for unusable text.
    """
    _check(paths, config, output)
    text = Text()
    with progress_bar("reading", sum(path.stat().st_size for path in paths if path.is_file())) as advance:
        reader = TextReader(paths, config.normalizer, config.characters, advance)
        for ids in reader:
            text.append(ids)
    words = choose_words(reader.words, text, config.vocab)
    sentences = int(text.counts[1]) if len(text.counts) else 0
    if not sentences:
        raise LanguageModelError(f"{', '.join(map(str, paths))}: no words in it")
    levels = count_orders(text, config.order, track)
    total, unknown = text.size - 2 * sentences, int(text.counts[UNKNOWN_ID])
    notes = []
    if reader.tags:
        notes.append(f"{reader.tags} tags, such as <unk> or [noise], were dropped from the text")
    while len(levels[-1].word) == 0:
        notes.append(f"no {len(levels)}-grams in this text: the model's order is {len(levels) - 1}")
        levels.pop()
    result = estimate(words, levels, config.prune)
    if result.fallbacks:
        orders = ", ".join(map(str, result.fallbacks))
        notes.append(
            f"order {orders}: too few different n-grams to estimate Kneser-Ney discounts; "
            f"using {', '.join(map(str, FALLBACK))} instead"
        )
    trie = result.trie
    if config.entropy:
        # Each word of the text, and each sentence end, is predicted from one context of every order.
        share = result.occurrences / (total + sentences)
        trie = prune_by_entropy(trie, share, config.entropy)
    if output:
        write_model(output, trie, config.decimals)
    return TrainedModel(trie, total, sentences, unknown, notes, config.unit)


def compile_arpa(arpa: Path, output: Path | None = None) -> Path:
    """Write the compiled form of an ARPA file; without `output`, where `NgramModel.load` looks for it."""
    output = output or compiled_path(arpa)
    if not output.name.endswith(SUFFIX):
        raise ConfigError(f"{output}: not a compiled model by its name, which must end in {SUFFIX}")
    with progress_bar("reading", arpa.stat().st_size if arpa.is_file() else 0) as advance:
        model = NgramModel.from_trie(read_arpa(arpa, advance))
    save_compiled(output, model, fingerprint(arpa))
    return output


def write_model(path: Path, trie: Trie, decimals: int) -> None:
    """Write a model as ARPA or, by its name, in compiled form with unrounded numbers."""
    if path.name.endswith(SUFFIX):
        save_compiled(path, NgramModel.from_trie(trie))
        return
    with progress_bar("writing", sum(trie.counts)) as advance:
        write_arpa(path, trie, advance, decimals)


def _check(paths: Sequence[Path], config: LmConfig, output: Path | None) -> None:
    prune = config.prune
    if not paths:
        raise LanguageModelError("no TEXT: name text files or manifests")
    if output and not output.name.endswith((*ARPA_NAMES, SUFFIX)):
        raise ConfigError(f"{output}: not a model by its name; end it in {', '.join(ARPA_NAMES)} or {SUFFIX}")
    if output and is_among(output, paths):
        raise ConfigError(f"{output}: is also a TEXT and would be overwritten; choose another --output")
    if len(prune) > config.order:
        raise ConfigError(f"--prune has {len(prune)} values, --order is {config.order}: give at most one per order")
    if prune and prune[0]:
        raise ConfigError(
            f"--prune begins with {prune[0]}, but unigrams are never pruned: begin with 0, or use --vocab"
        )
    if list(prune) != sorted(prune):
        raise ConfigError(f"--prune {' '.join(map(str, prune))} goes down: no value may be below the one before it")


def choose_words(words: list[str], text: Text, size: int) -> list[str]:
    """Order words by frequency, most frequent first, which keeps frequent words close together in memory; words beyond
    the first `size` become <unk> (0: keep all)."""
    if len(text.counts) == 0:
        return words
    counts = np.zeros(len(words), np.int64)
    counts[: len(text.counts)] = text.counts
    ranked = _SPECIAL + np.argsort(-counts[_SPECIAL:], kind="stable")
    kept = ranked[:size] if size else ranked
    new_ids = np.full(len(words), UNKNOWN_ID)
    new_ids[:_SPECIAL] = range(_SPECIAL)
    new_ids[kept] = np.arange(_SPECIAL, _SPECIAL + len(kept))
    text.relabel(new_ids)
    return words[:_SPECIAL] + [words[id] for id in kept]
