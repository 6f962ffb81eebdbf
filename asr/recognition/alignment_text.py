"""The text of a forced alignment: words as they are written, each with its tokens."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from asr.errors import TextError
from asr.model.model_file import ModelFile
from asr.text.normalizer import normalize
from asr.text.numbers import number_speller
from asr.text.tokenizer import count_unknown, name_characters
from asr.utils.files import read_text

SHOWN_WORDS = 5  # in an error about characters that the model does not know


@dataclass(frozen=True)
class TextWord:
    """A word of the text."""

    text: str  # as it is written
    tokens: list[int]


def read_words(path: Path, model: ModelFile, numbers: str = "none") -> list[TextWord]:
    """The words of a text file with their tokens. A word that normalisation removes, such as a dash, stays with the
    word before it, or after it at the beginning. `numbers` is the language in which digits are spelled out, or 'none'.

    Raises `TextError` naming the file, and with counts all characters that the model's alphabet lacks.
    """
    written = read_text(path, TextError, "give the path of a text file").split()
    spell = number_speller(numbers)
    normal = [normalize(spell(each), model.text) for each in written]
    _check_characters(path, written, normal, model, numbers)
    words: list[TextWord] = []
    before = ""
    for each, spoken in zip(written, normal, strict=True):
        if spoken:
            tokens = [token for part in spoken.split() for token in model.tokenizer.encode(part)]
            words.append(TextWord(before + each, tokens))
            before = ""
        elif words:
            words[-1] = replace(words[-1], text=f"{words[-1].text} {each}")
        else:
            before += f"{each} "
    if not words:
        raise TextError(f"{path}: no words in it")
    return words


def _check_characters(path: Path, written: list[str], normal: list[str], model: ModelFile, numbers: str) -> None:
    known = {character for piece in model.tokenizer.pieces for character in piece} | {" "}
    unknown = count_unknown(normal, known)
    if not unknown:
        return
    places = [word for word, spoken in zip(written, normal, strict=True) if count_unknown([spoken], known)]
    spell = any(character.isdigit() for character in unknown) and numbers == "none"
    remedy = "; --numbers en spells out numbers in English" if spell else ""
    lacking = f"the model's alphabet lacks {name_characters(unknown)}, in {_shown(places)}"
    raise TextError(f"{path}: {lacking}; write these words as they are spoken{remedy}")


def _shown(words: Iterable[str]) -> str:
    different = list(dict.fromkeys(words))
    more = f" and {len(different) - SHOWN_WORDS} more" if len(different) > SHOWN_WORDS else ""
    return ", ".join(f"'{word}'" for word in different[:SHOWN_WORDS]) + more
