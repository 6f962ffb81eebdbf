"""The training and dev corpora of a recipe: manifests, read, checked and tokenised.

What follows from an utterance's transcript (normalised text, tokens, phones) is computed when it is needed, so that a
corpus takes little more memory than its manifests.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar, overload

import numpy as np

from asr.config import Recipe
from asr.data.batching import Job
from asr.data.manifest import read_manifests, total_hours
from asr.data.utterances import Utterances
from asr.errors import TrainingError
from asr.text.config import TextConfig
from asr.text.normalize_all import normalize_all
from asr.text.normalizer import find_tags, normalize
from asr.text.phones import Phones
from asr.text.tokenizer import (
    CharacterTokenizer,
    Tokenizer,
    count_unknown,
    frames_needed_each,
    name_characters,
    train_tokenizer,
)

S = TypeVar("S")
T = TypeVar("T")

CHUNK = 1 << 10  # utterances checked, or hashed, at a time


class Derived(Sequence[T], Generic[S, T]):
    """`function` of each item of a sequence, computed on access; `of_all`, if given, does the same for many."""

    def __init__(
        self, function: Callable[[S], T], items: Sequence[S], of_all: Callable[[Sequence[S]], list[T]] | None = None
    ):
        self._function, self._items = function, items
        self._of_all = of_all or (lambda items: list(map(function, items)))

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index):
        found = self._items[index]
        return self._of_all(found) if isinstance(index, slice) else self._function(found)

    def __iter__(self) -> Iterator[T]:
        return map(self._function, self._items)


@dataclass(frozen=True)
class Corpus:
    """Utterances with their normalised texts, tokens and, if the network has a phone layer, phones."""

    utterances: Utterances
    texts: Sequence[str]
    tokens: Sequence[list[int]]
    phones: Sequence[list[int]] | None = None
    phone_pieces: tuple[str, ...] = ()  # names of the phones, the blank first

    @property
    def durations(self) -> np.ndarray:
        """Seconds of each utterance, `(utterances,)`."""
        return self.utterances.durations

    @property
    def hours(self) -> float:
        """Hours of audio."""
        return total_hours(self.utterances)

    @property
    def speakers(self) -> set[str]:
        """The known speakers."""
        return set(self.utterances.speakers) - {""}

    @property
    def synthetic(self) -> bool:
        """Whether any of it is synthetic speech."""
        return self.utterances.synthetic

    def job(self, positions: list[int]) -> Job:
        """The batch of these utterances, to be made."""
        tokens = [self.tokens[index] for index in positions]
        utterances = [self.utterances[index] for index in positions]
        phones = [self.phones[index] for index in positions] if self.phones else [[]] * len(positions)
        return Job(positions, utterances, tokens, phones)

    def digest(self) -> str:
        """16 hexadecimal digits that identify this data in this order."""
        return data_digest(self.utterances, self.texts)


def data_digest(utterances: Utterances, texts: Sequence[str]) -> str:
    """16 hexadecimal digits that identify utterances and their normalised texts, wherever the recordings are."""
    digest = hashlib.sha256()
    for start in range(0, len(utterances), CHUNK):
        part = slice(start, start + CHUNK)
        rows = zip(utterances.ids[part], utterances.durations[part].tolist(), texts[part], strict=True)
        lines = "\n".join([f"{id}\t{duration}\t{text}" for id, duration, text in rows])
        digest.update((f"\n{lines}" if start else lines).encode())
    return digest.hexdigest()[:16]


def require_manifests(recipe: Recipe, origin: str) -> None:
    """Raise `TrainingError` for a recipe without training or dev manifests; `origin` names it."""
    for name, paths in (("data.train", recipe.data.train), ("data.dev", recipe.data.dev)):
        if not paths:
            raise TrainingError(f"{origin}: {name} names no manifest; `asr prepare` writes them")


def load_corpora(
    recipe: Recipe, tokenizer: Tokenizer | None = None, phone_pieces: Sequence[str] = ()
) -> tuple[Corpus, Corpus, Tokenizer]:
    """The training and dev corpora of a recipe, and the tokenizer trained on the former unless one is given.

    `phone_pieces` is the inventory of a network that has one already; without a lexicon its phones have no targets.

    Raises an `AsrError` if a manifest is faulty, a recording is missing, a text is empty or has tags or characters
    outside the alphabet, or an utterance is too long or has more tokens than CTC can emit in its frames.
    """
    require_manifests(recipe, "recipe")
    utterances = read_manifests(recipe.data.train, check_audio=True)
    dev_utterances = read_manifests(recipe.data.dev, check_audio=True)
    tokenizer = tokenizer or _tokenizer(utterances, recipe.text)
    phones = _load_phones(recipe, phone_pieces, utterances)
    train = _corpus(utterances, tokenizer, phones, recipe, recipe.data.train)
    dev = _corpus(dev_utterances, tokenizer, phones, recipe, recipe.data.dev)
    if phone_pieces:
        train, dev = (replace(corpus, phone_pieces=tuple(phone_pieces)) for corpus in (train, dev))
    return train, dev, tokenizer


def _tokenizer(utterances: Utterances, config: TextConfig) -> Tokenizer:
    if config.alphabet and config.units == "characters":
        return CharacterTokenizer(config.alphabet)  # `_corpus` names the characters outside it
    return train_tokenizer(normalized(utterances, config), config)


def normalized(utterances: Utterances, config: TextConfig) -> Sequence[str]:
    """The normalised transcripts."""
    return Derived(partial(normalize, config=config), utterances.texts, partial(normalize_all, config=config))


def _load_phones(recipe: Recipe, pieces: Sequence[str], utterances: Utterances) -> Phones | None:
    if pieces and not recipe.data.lexicon:
        return None
    if bool(recipe.model.phone_layer) != bool(recipe.data.lexicon):
        raise TrainingError(
            "model.phone_layer and data.lexicon need each other: give both or neither; `asr lexicon` writes lexicons"
        )
    if not recipe.data.lexicon:
        return None
    phones, least = Phones.read(recipe.data.lexicon, pieces), recipe.data.phone_contexts
    return phones.in_context(normalized(utterances, recipe.text), least) if least and not pieces else phones


def _corpus(
    utterances: Utterances, tokenizer: Tokenizer, phones: Phones | None, recipe: Recipe, paths: Sequence[Path]
) -> Corpus:
    texts = normalized(utterances, recipe.text)
    check = _Check(tokenizer, phones, recipe, ", ".join(map(str, paths)))
    for start in range(0, len(utterances), CHUNK):
        part = slice(start, start + CHUNK)
        check.add(utterances.texts[part], utterances.durations[part])
    check.finish(utterances.ids)
    phone_tokens = Derived(phones.encode, texts) if phones else None
    return Corpus(
        utterances, texts, Derived(tokenizer.encode, texts), phone_tokens, tuple(phones.pieces) if phones else ()
    )


class _Check:
    """What is wrong with transcripts, counted over a corpus."""

    def __init__(self, tokenizer: Tokenizer, phones: Phones | None, recipe: Recipe, origin: str):
        self._tokenizer, self._phones, self._recipe, self._origin = tokenizer, phones, recipe, origin
        self._known = {character for piece in tokenizer.pieces for character in piece}
        self._tags, self._unknown, self._lacking, self._problems = Counter(), Counter(), Counter(), Counter()
        self._checked = 0
        self._first = -1  # position of an utterance with a problem

    def add(self, transcripts: Sequence[str], durations: np.ndarray) -> None:
        """Check the next utterances."""
        texts = normalize_all(transcripts, self._recipe.text)
        self._tags.update(tag for transcript in transcripts for tag in find_tags(transcript, self._recipe.text))
        self._unknown += count_unknown(["".join(texts)], self._known)
        if self._phones:
            self._lacking += self._phones.lacking(texts)
        if self._tags or self._unknown or self._lacking:
            return
        tokens, lengths = self._tokenizer.encode_all(texts)
        needed = frames_needed_each(tokens, lengths)
        if self._phones:
            rows = [self._phones.encode(text) for text in texts]
            flat = np.array([phone for row in rows for phone in row], np.int32)
            needed = np.maximum(needed, frames_needed_each(flat, np.array([len(row) for row in rows], np.int64)))
        # A recording has at least as many output frames as fit into its length: few are left to examine one by one.
        is_short = needed * self._recipe.frame_seconds > durations
        suspects = np.flatnonzero(is_short | (lengths == 0) | (durations > self._recipe.data.max_seconds))
        for index in suspects.tolist():
            if problem := self._problem(float(durations[index]), int(lengths[index]), int(needed[index])):
                self._first = self._checked + index if self._first < 0 else self._first
                self._problems[problem] += 1
        self._checked += len(texts)

    def finish(self, ids: Sequence[str]) -> None:
        """Raises `TrainingError` if anything was wrong."""
        origin = self._origin
        if self._tags:
            shown = ", ".join(f"'{tag}' ({count})" for tag, count in self._tags.most_common(10))
            raise TrainingError(
                f"{origin}: tags in the transcripts: {shown}; remove what is not a word, or its utterances"
            )
        if self._unknown:
            raise TrainingError(
                f"{origin}: characters that the alphabet lacks: {name_characters(self._unknown)}; "
                "map them with text.replace, or add them to text.alphabet"
            )
        if self._lacking:
            words = ", ".join(f"'{word}' ({count})" for word, count in self._lacking.most_common(10))
            raise TrainingError(
                f"{origin}: {len(self._lacking)} words that {self._recipe.data.lexicon} lacks: {words}; "
                "`asr lexicon` adds those of a manifest"
            )
        if self._problems:
            kinds = ", ".join(f"{count} with {problem}" for problem, count in self._problems.items())
            raise TrainingError(
                f"{origin}: {kinds}, the first '{ids[self._first]}'; `asr prepare --recipe` leaves such utterances out"
            )

    def _problem(self, seconds: float, tokens: int, frames: int) -> str:
        if not tokens:
            return "an empty text"
        if seconds > self._recipe.data.max_seconds:
            return f"more than {self._recipe.data.max_seconds:g} s"
        if frames > self._recipe.output_frames(seconds):
            return "more tokens than output frames"
        return ""
