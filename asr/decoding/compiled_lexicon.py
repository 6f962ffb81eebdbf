"""Lexicons with their trees on disk (`.asrlex`), so that a lexicon is parsed and compiled once.

The file is memory-mapped. It is written beside the lexicon, or the language model whose words make the lexicon, or,
where that folder is not writable, into the user's cache folder. A hash of all that it was made from tells whether it is
up to date.
"""

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asr.decoding.arrays import Graph
from asr.decoding.lexicon import Lexicon
from asr.errors import LexiconError
from asr.lm.ngram import NgramModel
from asr.utils import storage
from asr.utils.array_file import read_array_file, write_array_file
from asr.utils.cache_folder import cache_paths

FORMAT_VERSION = 1  # to be raised when `Lexicon.compile` gives something else
SUFFIX = ".asrlex"

_GRAPH = [name for name in Graph._fields if name != "ahead"]  # which is stored as the look-ahead


def load_lexicon(
    path: Path | None, lm: NgramModel | None, name: str, pieces: Sequence[str], phones: Sequence[str]
) -> Lexicon | None:
    """The lexicon of a file, or without one that of the language model, which comes from the file `name`; compiled.
    None without either. Errors as of `Lexicon.read` and `Lexicon.of_model`."""
    if path:
        return _cached(path, lm, (pieces, phones), lambda: Lexicon.read(path, pieces, phones))
    if lm:
        return _cached(Path(name), lm, (pieces,), lambda: Lexicon.of_model(lm, pieces, name))
    return None


def _cached(path: Path, lm: NgramModel | None, tokens: Sequence, make: Callable[[], Lexicon]) -> Lexicon:
    """A lexicon with its tree, from the compiled file beside `path` if that is up to date."""
    key = _key(path, lm, tokens)
    for cached in cache_paths(path, SUFFIX):
        with contextlib.suppress(OSError, ValueError):  # missing or damaged: compiled again below
            arrays, metadata = read_array_file(cached)
            if metadata.get("key") == key:
                return _from_arrays(arrays, metadata)
    lexicon = make()
    lexicon = replace(lexicon, tree=lexicon.compile(lm))
    for cached in cache_paths(path, SUFFIX):
        with contextlib.suppress(OSError):  # not writable, or full
            write_array_file(cached, _to_arrays(lexicon), _to_metadata(lexicon) | {"key": key})
            break
    return lexicon


def _key(path: Path, lm: NgramModel | None, tokens: Sequence) -> str:
    """A hash of what a compiled lexicon depends on: of the language model its words and unigrams, of a lexicon file
    its content."""
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, *map(list, tokens)]).encode())
    if lm:
        digest.update(lm.text)
        digest.update(lm.arrays.logp[1 : 1 + len(lm.words)].data)
    if len(tokens) > 1:
        try:
            digest.update(storage.read_bytes(path))
        except OSError as error:
            raise LexiconError(f"{path}: {error.strerror}; give a lexicon, one word per line") from error
    return digest.hexdigest()


def _to_arrays(lexicon: Lexicon) -> dict[str, np.ndarray]:
    assert lexicon.tree, "a lexicon is compiled before it is written"
    graph, look_ahead = lexicon.tree
    words = np.frombuffer("\n".join(lexicon.words).encode(), np.uint8)
    own = {"words": words, "symbols": lexicon.symbols, "offsets": lexicon.offsets, "spelled": lexicon.spelled}
    return own | {name: getattr(graph, name) for name in _GRAPH} | {"look_ahead": look_ahead}


def _to_metadata(lexicon: Lexicon) -> dict[str, Any]:
    return {
        "token_symbols": lexicon.token_symbols,
        "joined": lexicon.joined,
        "pronounced": lexicon.pronounced,
        "left_out": lexicon.left_out,
        "left_out_words": lexicon.left_out_words,
    }


def _from_arrays(arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> Lexicon:
    look_ahead = arrays["look_ahead"]
    return Lexicon(
        arrays["words"].tobytes().decode().split("\n"),
        arrays["symbols"],
        arrays["offsets"],
        arrays["spelled"],
        [tuple(symbols) for symbols in metadata["token_symbols"]],
        arrays["starts"],
        metadata["joined"],
        metadata["pronounced"],
        Counter(metadata["left_out"]),
        metadata["left_out_words"],
        tree=(Graph(**{name: arrays[name] for name in _GRAPH}, ahead=look_ahead), look_ahead),
    )
