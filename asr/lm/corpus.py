"""Text files -> sentences of word ids.

Text is split at white space first and each distinct piece is normalized once: real text has about a hundred times fewer
of them than words, and the normalizers treat pieces between white space independently.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from asr.data.manifest import manifest_stem, read_manifest
from asr.errors import LanguageModelError, ManifestError
from asr.lm.trie import BEGIN, END, UNKNOWN
from asr.lm.vocabulary import Vocabulary, tokenize
from asr.text.normalizer import NORMALIZERS, TAG
from asr.utils.compressed_text import read_blocks
from asr.utils.numba_cache import compiled

#: Ids of the words that every model has; those of the text follow.
UNKNOWN_ID, BEGIN_ID, END_ID = 0, 1, 2
ROWS = 1 << 16  # of a Parquet table or shard in a block


class _Line(msgspec.Struct):
    text: str


class _Ids(dict):
    """Ids of normalized words, assigned at the first lookup."""

    def __missing__(self, word: str) -> int:
        self[word] = id = len(self)
        return id


class TextReader:
    """Sentences as word ids: `for ids in reader` gives int32 blocks of `<s> words </s>`, whole sentences each.

    Files are text, one sentence per line, or manifests (.jsonl), whose field `text` is used; either may be compressed
    with gzip, xz or Zstandard, and manifests may be Parquet tables or shards. Lines without words are skipped. With
    `characters`, each character is a word of its own and spaces are dropped: for languages that are written without
    them. Tags such as `<unk>` and `[noise]`, of which `basic` would make words, are dropped and counted in `tags`.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        normalizer: str = "basic",
        characters: bool = False,
        advance: Callable[[int], object] | None = None,
    ):
        self.paths, self.normalizer, self.characters, self._advance = paths, normalizer, characters, advance
        self._ids = _Ids({UNKNOWN: UNKNOWN_ID, BEGIN: BEGIN_ID, END: END_ID})
        self.tags = 0  # dropped so far

    @property
    def words(self) -> list[str]:
        """Word of each id, so far."""
        return list(self._ids)

    @property
    def spoken_words(self) -> list[str]:
        """The words of the text, so far."""
        return self.words[END_ID + 1 :]

    def __iter__(self) -> Iterator[np.ndarray]:
        self._raw = Vocabulary()  # pieces between white space
        self._offsets, self._expansions = [0], []  # the word ids of each piece: from offset to offset
        self._tags_of: dict[int, int] = {}  # by piece
        self.tags = 0
        encode = self._encode_characters if self.characters else self._encode_words
        for path in self.paths:
            lines_before = 0
            for block in self._blocks(path):
                yield encode(block, path, lines_before)
                lines_before += block.count(b"\n")

    def _blocks(self, path: Path) -> Iterator[bytes]:
        is_manifest, number = bool(manifest_stem(path)), 0
        if path.suffix in (".parquet", ".tar"):
            texts = read_manifest(path).texts
            for start in range(0, len(texts), ROWS):
                yield "".join(f"{' '.join(text.split())}\n" for text in texts[start : start + ROWS]).encode()
            return
        for block in read_blocks(path, LanguageModelError, self._advance):
            if not is_manifest:
                yield block
                continue
            texts = []
            for line in block.splitlines():
                number += 1
                try:
                    texts.append(" ".join(msgspec.json.decode(line, type=_Line).text.split()) if line.strip() else "")
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise ManifestError(f"{path}:{number}: no readable text: {error}") from error
            yield ("\n".join(texts) + "\n").encode()

    def _encode_words(self, block: bytes, path: Path, lines_before: int) -> np.ndarray:
        buffer, raw = np.frombuffer(block, np.uint8), self._raw
        pieces = np.empty(len(block), np.int32)  # lines of one character give two ids
        position = filled = 0
        while True:
            position, filled, raw.size = tokenize(
                buffer, position, pieces, filled, raw.table, raw.text, raw.ends, raw.size
            )
            if position == len(block):
                break
            raw.make_room(max(1 << 10, block.find(b"\n", position) - position))
        for piece in raw.from_id(len(self._offsets) - 1):
            try:
                text, tags = self._drop_tags(piece.decode())
                words = self._normalize(text).split()
            except UnicodeDecodeError as error:
                raise self._error(path, lines_before, block, piece, "not UTF-8; convert it with iconv") from error
            if BEGIN in words or END in words:
                raise self._error(path, lines_before, block, piece, f"{BEGIN} and {END} cannot be words; remove them")
            if tags:
                self._tags_of[len(self._offsets) - 1] = tags
            self._expansions.extend(self._ids[word] for word in words)
            self._offsets.append(len(self._expansions))
        self.tags += sum(int(np.count_nonzero(pieces[:filled] == id)) * n for id, n in self._tags_of.items())
        offsets, expansions = np.array(self._offsets), np.array(self._expansions, np.int32)
        return _expand(pieces[:filled], offsets, expansions)

    def _encode_characters(self, block: bytes, path: Path, lines_before: int) -> np.ndarray:
        sentences = []
        for line in block.split(b"\n"):
            try:
                text, tags = self._drop_tags(line.decode())
                text = "".join(self._normalize(text).split())
            except UnicodeDecodeError as error:
                raise self._error(path, lines_before, block, line, "not UTF-8; convert it with iconv") from error
            self.tags += tags
            if text:
                sentences += [BEGIN_ID, *map(self._ids.__getitem__, text), END_ID]
        return np.array(sentences, np.int32)

    def _drop_tags(self, text: str) -> tuple[str, int]:
        """Text without its tags, and their number."""
        if self.normalizer != "basic" or not ("<" in text or "[" in text):
            return text, 0
        return TAG.subn(" ", text)

    def _normalize(self, text: str) -> str:
        if self.normalizer == "none" or (text.isascii() and (text.isalnum() and text.islower())):
            return text
        return NORMALIZERS[self.normalizer](text)

    def _error(self, path: Path, lines_before: int, block: bytes, piece: bytes, problem: str) -> LanguageModelError:
        line = lines_before + block.count(b"\n", 0, block.find(piece)) + 1
        return LanguageModelError(f"{path}:{line}: {problem}")


@compiled
def _expand(pieces, offsets, expansions):
    """Sentences of word ids from pieces with -1 at line ends."""
    size, line = 0, 0
    for piece in pieces:
        if piece >= 0:
            line += offsets[piece + 1] - offsets[piece]
        else:
            size, line = size + (line + 2 if line else 0), 0
    out = np.empty(size, np.int32)
    filled, first = 0, 0
    for i in range(len(pieces)):
        if pieces[i] >= 0:
            continue
        line = 0
        for piece in pieces[first:i]:
            for k in range(offsets[piece], offsets[piece + 1]):
                line += 1
                out[filled + line] = expansions[k]
        if line:
            out[filled], out[filled + line + 1] = BEGIN_ID, END_ID
            filled += line + 2
        first = i + 1
    return out
