"""N-gram language models as the decoder queries them, and their compiled form on disk (`.asrlm`).

A compiled model is a safetensors file whose arrays are memory-mapped. The whole file is checked before use, because
damaged links would lead queries outside the arrays. Its CRC-32 takes about 12 ms per million n-grams and loads the
pages that decoding needs.
"""

import contextlib
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from asr.errors import LanguageModelError
from asr.lm.query import find
from asr.lm.trie import BEGIN, END, UNKNOWN, ByOrder, NgramArrays, Trie, freeze, link
from asr.utils.array_file import file_checksum, read_header, write_mapped
from asr.utils.cache_folder import cache_paths
from asr.utils.local_copy import local_copy
from asr.utils.progress import progress_bar

FORMAT_VERSION = 1
KIND = "asr n-gram model"
SUFFIX = ".asrlm"

_TYPES = {"I32": np.dtype("<i4"), "F32": np.dtype("<f4")}
_ARRAYS = {"word": "I32", "logp": "F32", "backoff": "F32", "children": "I32", "suffix": "I32", "next": "I32"}
_MARKUP = re.compile(r"<[^<>]*>")


class NgramModel(ByOrder):
    """A back-off n-gram language model.

    >>> model = NgramModel.load("3gram.arpa")  # doctest: +SKIP
    >>> model.score("the cat".split())  # doctest: +SKIP
    [(-2.31, 2), (-9.87, 1), (-3.02, 2)]
    """

    def __init__(self, arrays: NgramArrays, starts: Iterable[int], words: Iterable[str] | bytes):
        """`words` is the list, or its UTF-8 text with one word per line, which is split on first use."""
        self.arrays = arrays
        self.starts = tuple(starts)  # first node of each order, as in `Trie`
        self._words = words

    @classmethod
    def from_trie(cls, trie: Trie) -> "NgramModel":
        """The model of a trie, in memory."""
        return cls(link(trie), trie.starts, trie.words)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "NgramModel":
        """Read an ARPA file (plain, .gz or .xz) or a compiled model.

        An ARPA file is compiled once, into `NAME.asrlm` beside it or, if that folder is not writable, into the user's
        cache folder; when the ARPA file has changed it is compiled again. Raises `LanguageModelError`.
        """
        return load_model(Path(path))

    @cached_property
    def words(self) -> list[str]:
        """Word of each id."""
        if isinstance(self._words, bytes):
            return self._words.decode().split("\n")
        return list(self._words)

    @property
    def text(self) -> bytes:
        """The words in UTF-8, one per line."""
        return self._words if isinstance(self._words, bytes) else "\n".join(self.words).encode()

    @property
    def spoken_words(self) -> list[str]:
        """The words without <s>, </s>, <unk> and other markup."""
        return [word for word in self.words if not _MARKUP.fullmatch(word)]

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Id of each word."""
        return {word: id for id, word in enumerate(self.words)}

    @cached_property
    def unknown(self) -> int:
        """Id of <unk>, which stands for all words that the model lacks."""
        return self.words.index(UNKNOWN)

    @cached_property
    def begin(self) -> int:
        """State at the start of a sentence."""
        return int(self.arrays.next[self.words.index(BEGIN) + 1]) if BEGIN in self.words else 0

    @cached_property
    def end(self) -> int:
        """Id of </s>, the end of a sentence; -1 when the model has none."""
        return self.words.index(END) if END in self.words else -1

    def score(self, words: Iterable[str]) -> list[tuple[float, int]]:
        """ln P and the order of the n-gram that was found, for each word of a sentence and for its end.

        Models without </s> have no entry for the end. Unknown words are scored as <unk>.
        """
        ids = [self.index.get(word, self.unknown) for word in words] + [self.end] * (self.end >= 0)
        scores, state = [], self.begin
        for id in ids:
            logp, node = find(self.arrays, state, id)
            scores.append((float(logp), int(np.searchsorted(self.starts, node, "right")) - 1))
            state = int(self.arrays.next[node])
        return scores


def save_compiled(path: str | os.PathLike, model: NgramModel, source: dict[str, Any] | None = None) -> None:
    """Write a model; `source` is the `fingerprint` of the ARPA file that it was made from."""
    arrays = model.arrays._asdict() | {"words": np.frombuffer(model.text, np.uint8)}
    checksum, offset, header = 0, 0, {}
    for name, array in arrays.items():
        kind = _ARRAYS.get(name, "U8")
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        checksum, offset = zlib.crc32(array, checksum), offset + array.nbytes
    metadata = {"format_version": FORMAT_VERSION, "starts": list(model.starts), "crc32": checksum, "source": source}
    header["__metadata__"] = {"kind": KIND, "asr": json.dumps(metadata)}
    write_mapped(path, header, arrays)


def is_compiled(path: Path) -> bool:
    """Whether a file is a safetensors file by its first bytes: the length of a header, then the header."""
    with path.open("rb") as stream:
        start = stream.read(9)
    # An ARPA file, compressed or not, would have a header of petabytes.
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < 2**32


def read_metadata(path: Path) -> dict[str, Any]:
    """The header of a compiled model: `format_version`, `starts`, `crc32`, `source`, `arrays`, `data`."""
    damaged = f"{path}: cut short or damaged; compile the model again"
    content, start = read_header(path)
    try:
        header = json.loads(content)
        names = header.pop("__metadata__", None) or {}
        kind = names.get("kind")
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise LanguageModelError(damaged) from error
    if kind != KIND:
        raise LanguageModelError(f"{path}: a safetensors file, but not a language model; `asr lm compile` makes them")
    try:
        metadata = json.loads(names["asr"])
        version = int(metadata["format_version"])
        whole = version > FORMAT_VERSION or _fits(header, metadata["starts"], path.stat().st_size - start)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise LanguageModelError(damaged) from error
    if not whole:
        raise LanguageModelError(damaged)
    if version > FORMAT_VERSION:
        raise LanguageModelError(
            f"{path}: format version {version} is newer than this program's ({FORMAT_VERSION}); upgrade asr"
        )
    return metadata | {"arrays": header, "data": start}


def _fits(header: dict[str, Any], starts: list[int], size: int) -> bool:
    """Whether the arrays are contiguous, have the lengths that follow from the n-gram counts, and fill the file.

    The checksum covers the arrays alone: a wrong length would lead queries outside an array.
    """
    nodes, contexts = starts[-1], starts[-2]
    lengths = {"word": nodes, "logp": nodes, "backoff": contexts, "children": contexts + 1}
    lengths |= {"suffix": contexts, "next": nodes}
    place = 0
    for name, length in lengths.items():
        if header[name]["data_offsets"] != [place, place + 4 * length]:
            return False
        place += 4 * length
    rising = all(type(one) is int and one < other for one, other in pairwise(starts))
    return rising and starts[:2] == [0, 1] and header["words"]["data_offsets"] == [place, size]


def load_compiled(path: str | os.PathLike) -> NgramModel:
    """Map a compiled model into memory. Raises `LanguageModelError` for a file that is damaged or of another kind."""
    path = Path(path)
    metadata = read_metadata(path)
    data = np.memmap(path, np.uint8, "r").view(np.ndarray)[metadata["data"] :]
    if file_checksum(path, metadata["data"]) != metadata["crc32"]:
        raise LanguageModelError(f"{path}: damaged, its checksum is wrong; compile the model again")
    arrays, starts = {}, metadata["starts"]
    for name, kind in _ARRAYS.items():
        first, last = metadata["arrays"][name]["data_offsets"]
        arrays[name] = data[first:last].view(_TYPES[kind])
    if [int(arrays["children"][start]) for start in starts[:-2]] != starts[1:-1]:
        raise LanguageModelError(f"{path}: damaged, its orders are not where the header says; compile the model again")
    first, last = metadata["arrays"]["words"]["data_offsets"]
    return NgramModel(freeze(NgramArrays(**arrays)), starts, data[first:last].tobytes())


def load_model(path: Path) -> NgramModel:
    """A model from its compiled form or from an ARPA file, which is compiled."""
    try:
        path = local_copy(path)
        if is_compiled(path):
            return load_compiled(path)
        return _load_arpa(path)
    except FileNotFoundError as error:
        raise LanguageModelError(f"{path}: no such language model; `asr lm train` makes one from text") from error
    except OSError as error:
        raise LanguageModelError(f"{path}: {error.strerror or error}") from error


def _load_arpa(path: Path) -> NgramModel:
    """The model of an ARPA file, from its compiled file if that is up to date."""
    for cached in cache_paths(path, SUFFIX):
        try:
            if is_compiled(cached) and (source := _current(read_metadata(cached)["source"], path)):
                model = load_compiled(cached)
                if source["modified"] != path.stat().st_mtime_ns:
                    # The same content with another time: stored, so that it is not hashed again each time.
                    with contextlib.suppress(OSError):
                        save_compiled(cached, model, fingerprint(path))
                return model
        except (OSError, LanguageModelError):
            continue  # missing, damaged or of another version: compiled again below
    from asr.lm.arpa import read_arpa

    with progress_bar(f"compiling {path.name}, once", path.stat().st_size) as advance:
        model = NgramModel.from_trie(read_arpa(path, advance))
    source = fingerprint(path)
    for cached in cache_paths(path, SUFFIX):
        try:
            save_compiled(cached, model, source)
            return load_compiled(cached)
        except OSError:
            continue  # not writable, or full: use the model in memory
    return model


def fingerprint(path: Path) -> dict[str, Any]:
    """What identifies a file: its size, modification time and a hash of its content."""
    status = path.stat()
    return {"size": status.st_size, "modified": status.st_mtime_ns, "sha256": _hash(path)}


def _current(source: dict[str, Any] | None, path: Path) -> dict[str, Any] | None:
    """The fingerprint that a compiled model was made from, if `path` still matches it.

    Equal size and modification time are sufficient; otherwise, as after copying, the content decides.
    """
    status = path.stat()
    if source is None or status.st_size != source["size"]:
        return None
    return source if status.st_mtime_ns == source["modified"] or _hash(path) == source["sha256"] else None


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def compiled_path(arpa: Path) -> Path:
    """The path of an ARPA file's compiled form beside it."""
    return arpa.with_name(arpa.name + SUFFIX)
