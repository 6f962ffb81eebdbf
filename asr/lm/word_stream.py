"""Text as one stream of word ids for recurrent models, each sentence followed by </s>."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from asr.errors import LanguageModelError
from asr.lm.config import LmConfig, LmTextConfig
from asr.lm.corpus import BEGIN_ID, END_ID, UNKNOWN_ID, TextReader
from asr.lm.counting import Text
from asr.lm.recurrent import SENTENCE_END, UNKNOWN_WORD
from asr.lm.training import choose_words
from asr.lm.trie import END, UNKNOWN
from asr.utils.progress import progress_bar

WORDS = 20_000  # vocabulary without --vocab: each word has a vector

PARTS, SHARE, MOST = 20, 0.005, 50_000  # of the text, and words, to hold out


@dataclass(frozen=True)
class WordStream:
    """A text's words, the most frequent first after <unk> and </s>, and their ids in order, int32 `(ids,)`."""

    words: list[str]
    ids: np.ndarray

    @property
    def unknown_share(self) -> float:
        """Share of the text that is <unk>."""
        return float((self.ids == UNKNOWN_WORD).mean())

    @cached_property
    def index(self) -> dict[str, int]:
        """Id of each word."""
        return {word: id for id, word in enumerate(self.words)}

    def encode(self, paths: Sequence[Path], config: LmTextConfig) -> np.ndarray:
        """The ids of another text, int32."""
        return np.concatenate(list(encode_texts(paths, config, self.index)))


def read_stream(paths: Sequence[Path], config: LmConfig) -> WordStream:
    """The stream of some text files or manifests, with the most frequent `config.vocab` words.

    Raises `LanguageModelError` for text that cannot be read or has no words.
    """
    text = Text()
    with progress_bar("reading", sum(path.stat().st_size for path in paths if path.is_file())) as advance:
        reader = TextReader(paths, config.normalizer, config.characters, advance)
        for ids in reader:
            text.append(ids)
    words = choose_words(reader.words, text, config.vocab or WORDS)
    chunks = [_without_begins(chunk) for chunk in text.chunks()]
    if not chunks:
        raise no_words(paths)
    return WordStream([UNKNOWN, END, *words[END_ID + 1 :]], np.concatenate(chunks))


def encode_texts(paths: Sequence[Path], config: LmTextConfig, index: dict[str, int]) -> Iterator[np.ndarray]:
    """The ids of texts in blocks of whole sentences, int32, by a model's index.

    Raises `LanguageModelError` for text that cannot be read or has no words.
    """
    reader = TextReader(paths, config.normalizer, config.characters)
    known = np.array([UNKNOWN_WORD, SENTENCE_END, SENTENCE_END], np.int32)  # of <unk>, <s> and </s>
    for ids in reader:
        new = reader.words[len(known) :]
        known = np.append(known, np.array([index.get(word, UNKNOWN_WORD) for word in new], np.int32))
        yield known[ids[ids != BEGIN_ID]]
    if not reader.spoken_words:
        raise no_words(paths)


def hold_out(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A stream of ids `(words,)` without the ends of its 20 parts, and those ends, `(held,)`: 0.5% of the text, but at
    most 50,000 words."""
    kept, held = [], []
    size = max(1, round(min(SHARE * len(ids), MOST) / PARTS))
    for part in np.array_split(ids, PARTS):
        kept.append(part[:-size])
        held.append(part[-size:])
    return np.concatenate(kept), np.concatenate(held)


def no_words(paths: Sequence[Path]) -> LanguageModelError:
    """The error for text without words."""
    return LanguageModelError(f"{', '.join(map(str, paths))}: no words in it")


def _without_begins(ids: np.ndarray) -> np.ndarray:
    """The reader's ids as those of a stream: <s> has none."""
    ids = ids[ids != BEGIN_ID]
    return np.where(ids == UNKNOWN_ID, UNKNOWN_WORD, ids - 1)
