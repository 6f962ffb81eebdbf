"""The training and dev corpora of a recipe: manifests, read, checked and tokenised."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr.config import Recipe
from asr.data.manifest import Utterance, read_manifests, total_hours
from asr.errors import TrainingError
from asr.text.normalizer import find_tags, normalize
from asr.text.phones import Phones
from asr.text.tokenizer import Tokenizer, count_unknown, frames_needed, name_characters, train_tokenizer


@dataclass(frozen=True)
class Corpus:
    """Utterances with their normalised texts, tokens and, if the network has a phone layer, phones."""

    utterances: list[Utterance]
    texts: list[str]
    tokens: list[list[int]]
    phones: list[list[int]] | None = None
    phone_pieces: tuple[str, ...] = ()  # names of the phones, the blank first

    @property
    def durations(self) -> list[float]:
        """Seconds of each utterance."""
        return [utterance.duration for utterance in self.utterances]

    @property
    def hours(self) -> float:
        """Hours of audio."""
        return total_hours(self.utterances)

    @property
    def speakers(self) -> set[str]:
        """The known speakers."""
        return {utterance.speaker for utterance in self.utterances if utterance.speaker}

    @property
    def synthetic(self) -> bool:
        """Whether any of it is synthetic speech."""
        return any(utterance.synthetic for utterance in self.utterances)

    def digest(self) -> str:
        """16 hexadecimal digits that identify this data in this order."""
        return data_digest(self.utterances, self.texts)


def data_digest(utterances: Sequence[Utterance], texts: Sequence[str]) -> str:
    """16 hexadecimal digits that identify utterances and their normalised texts, wherever the recordings are."""
    lines = (f"{u.id}\t{u.duration}\t{text}" for u, text in zip(utterances, texts, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def load_corpora(
    recipe: Recipe, tokenizer: Tokenizer | None = None, phone_pieces: Sequence[str] = ()
) -> tuple[Corpus, Corpus, Tokenizer]:
    """The training and dev corpora of a recipe, and the tokenizer trained on the former unless one is given.

    `phone_pieces` is the inventory of a network that has one already; without a lexicon its phones have no targets.

    Raises an `AsrError` if a manifest is faulty, a recording is missing, a text is empty or has tags or characters
    outside the alphabet, or an utterance is too long or has more tokens than CTC can emit in its frames.
    """
    for name, paths in (("data.train", recipe.data.train), ("data.dev", recipe.data.dev)):
        if not paths:
            raise TrainingError(f"{name} names no manifest; `asr prepare` writes them")
    utterances = read_manifests(recipe.data.train, check_audio=True)
    texts = [normalize(utterance.text, recipe.text) for utterance in utterances]
    tokenizer = tokenizer or train_tokenizer(texts, recipe.text)
    dev_utterances = read_manifests(recipe.data.dev, check_audio=True)
    dev_texts = [normalize(utterance.text, recipe.text) for utterance in dev_utterances]
    phones = _load_phones(recipe, phone_pieces)
    train = _tokenize(utterances, texts, tokenizer, phones, recipe, recipe.data.train)
    dev = _tokenize(dev_utterances, dev_texts, tokenizer, phones, recipe, recipe.data.dev)
    if phone_pieces:
        train, dev = (replace(corpus, phone_pieces=tuple(phone_pieces)) for corpus in (train, dev))
    return train, dev, tokenizer


def _load_phones(recipe: Recipe, pieces: Sequence[str]) -> Phones | None:
    if pieces and not recipe.data.lexicon:
        return None
    if bool(recipe.model.phone_layer) != bool(recipe.data.lexicon):
        raise TrainingError(
            "model.phone_layer and data.lexicon need each other: give both or neither; `asr lexicon` writes lexicons"
        )
    return Phones.read(recipe.data.lexicon, pieces) if recipe.data.lexicon else None


def _tokenize(
    utterances: list[Utterance],
    texts: list[str],
    tokenizer: Tokenizer,
    phones: Phones | None,
    recipe: Recipe,
    paths: Sequence[Path],
) -> Corpus:
    origin = ", ".join(map(str, paths))
    tags = Counter(tag for utterance in utterances for tag in find_tags(utterance.text, recipe.text))
    if tags:
        shown = ", ".join(f"'{tag}' ({count})" for tag, count in tags.most_common(10))
        raise TrainingError(f"{origin}: tags in the transcripts: {shown}; remove what is no word, or its utterances")
    unknown = count_unknown(texts, {character for piece in tokenizer.pieces for character in piece} | {" "})
    if unknown:
        raise TrainingError(
            f"{origin}: characters that the alphabet lacks: {name_characters(unknown)}; "
            "map them with text.replace, or add them to text.alphabet"
        )
    if phones and (lacking := phones.lacking(texts)):
        words = ", ".join(f"'{word}' ({count})" for word, count in lacking.most_common(10))
        raise TrainingError(
            f"{origin}: {len(lacking)} words that {recipe.data.lexicon} lacks: {words}; "
            "`asr lexicon` adds those of a manifest"
        )
    tokens = [tokenizer.encode(text) for text in texts]
    phone_tokens = [phones.encode(text) for text in texts] if phones else None
    problems = [_problem(*item, recipe) for item in zip(utterances, tokens, phone_tokens or tokens, strict=True)]
    faulty = [(u.id, problem) for u, problem in zip(utterances, problems, strict=True) if problem]
    if faulty:
        kinds = ", ".join(f"{count} with {problem}" for problem, count in Counter(p for _, p in faulty).items())
        raise TrainingError(
            f"{origin}: {kinds}, the first '{faulty[0][0]}'; `asr prepare --recipe` leaves such utterances out"
        )
    return Corpus(utterances, texts, tokens, phone_tokens, tuple(phones.pieces) if phones else ())


def _problem(utterance: Utterance, tokens: list[int], phones: list[int], recipe: Recipe) -> str:
    if not tokens:
        return "an empty text"
    if utterance.duration > recipe.data.max_seconds:
        return f"more than {recipe.data.max_seconds:g} s"
    if max(frames_needed(tokens), frames_needed(phones)) > recipe.output_frames(utterance.duration):
        return "more tokens than output frames"
    return ""
