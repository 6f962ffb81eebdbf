"""ARPA files (Doug Paul's format), the exchange format of n-gram models: those of any tool are read.

Log-probabilities are base 10 in the files and natural in memory.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asr.errors import LanguageModelError
from asr.lm.arpa_lines import GROW, HEADING, LOST, MORE, PROBLEMS, Lookup, Rows, format_lines, parse_lines
from asr.lm.interpolation import interpolate
from asr.lm.trie import MISSING_UNKNOWN, UNKNOWN, Trie, build_trie
from asr.lm.vocabulary import Vocabulary
from asr.utils.compressed_text import read_blocks, writing

LONGEST_ORDER = 5
_NOT_BLANK = re.compile(rb"[^\s\0][^\n]*\n")
_DATA = re.compile(rb"^[ \t]*\\data\\[ \t\r]*\n", re.MULTILINE)
_COUNT = re.compile(r"ngram\s*([0-9]+)\s*=\s*([0-9]{1,18})")


@dataclass
class _Level:
    """The n-grams of one order as they are read."""

    context: np.ndarray  # int32, index in the order below; -1: the order below lacks it
    word: np.ndarray  # int32
    logp: np.ndarray  # float32
    backoff: np.ndarray  # float32
    lost: list[tuple[int, list[int]]] = field(default_factory=list)  # (row, words) of those with context -1


def read_arpa(path: str | os.PathLike, advance: Callable[[int], object] | None = None) -> Trie:
    """Read an ARPA file, plain or compressed, up to order 5.

    Text before the header is skipped. A missing <unk> is added with log10 P = -100, and an n-gram's missing context
    with its backed-off probability and back-off weight 1, both as KenLM does. IRSTLM's iARPA files hold the terms of an
    interpolated model, which are summed. Raises `LanguageModelError` with the file and the line.
    """
    return _Reader(Path(path), advance).read()


def read_counts(path: str | os.PathLike) -> list[int]:
    """The number of n-grams of each order that an ARPA file's header states."""
    return _Reader(Path(path)).read_header()


class _Reader:
    def __init__(self, path: Path, advance: Callable[[int], object] | None = None):
        self.path = path
        self.blocks = read_blocks(path, LanguageModelError, advance)
        self.buffer, self.position = np.empty(0, np.uint8), 0
        self.lines_before = 0  # lines of the file before the buffer
        self.block = b""  # what `buffer` views
        self.again = ""  # a line read too early, to be read again
        self.vocabulary = Vocabulary()
        self.levels: list[_Level] = []
        self.first_unigram = 0  # the line it is on
        self.spelt_large = False  # <UNK> rather than <unk>, as some tools write it
        self.is_interpolated = False  # IRSTLM's iARPA

    def read(self) -> Trie:
        counts = self.read_header()
        for order, count in enumerate(counts, start=1):
            heading = self._line()
            if heading != f"\\{order}-grams:":
                raise self._error(f"'\\{order}-grams:' must be here", self.line_number - 1)
            self._section(order, count)
        if self._line() != "\\end\\":
            raise self._error("'\\end\\' must be here", self.line_number - 1)
        trie = self._trie(self._words())
        return interpolate(trie) if self.is_interpolated else trie

    @property
    def line_number(self) -> int:
        """Number of the line that is read next, from 1."""
        return self.lines_before + int(np.count_nonzero(self.buffer[: self.position] == 10)) + 1

    def _error(self, problem: str, line: int) -> LanguageModelError:
        return LanguageModelError(f"{self.path}:{line}: {problem}; is it an ARPA file that arrived whole?")

    def _refill(self) -> bool:
        """The next block once this one is read; whether there is one."""
        if self.position < len(self.buffer):
            return True
        block = next(self.blocks, None)
        if block is None:
            return False
        self.lines_before += int(np.count_nonzero(self.buffer == 10))
        self.block, self.buffer, self.position = block, np.frombuffer(block, np.uint8), 0
        return True

    def _line(self) -> str:
        """The next line that is not blank."""
        line, self.again = self.again, ""
        while not line and self._refill():
            # A file may be nothing but blank lines, gigabytes of them in a small compressed file.
            found = _NOT_BLANK.search(self.block, self.position)
            self.position = len(self.block)
            if found:
                line, self.position = found[0].strip().decode(errors="replace"), found.end()
        if line:
            return line
        raise LanguageModelError(f"{self.path}: cut short at line {self.line_number}; get the file again")

    def read_header(self) -> list[int]:
        """The number of n-grams of each order."""
        if not self._refill():
            raise LanguageModelError(f"{self.path}: the file is empty")
        data = _DATA.search(self.block)
        if not data:
            raise LanguageModelError(f"{self.path}: not an ARPA file: it has no line '\\data\\'")
        kind = self.block[: data.start()].split(maxsplit=1)[:1]
        if kind == [b"qARPA"]:
            raise LanguageModelError(
                f"{self.path}: a quantized model of IRSTLM; convert the model it was made from: compile-lm --text=yes"
            )
        self.is_interpolated = kind == [b"iARPA"]
        self.position = data.end()
        counts = []
        while True:
            line = self._line()
            count = _COUNT.fullmatch(line)
            if not count or int(count[1]) != len(counts) + 1:
                break
            counts.append(int(count[2]))
        if not counts:
            raise self._error("'ngram 1=' and a number must be here", self.line_number - 1)
        if len(counts) > LONGEST_ORDER:
            raise LanguageModelError(f"{self.path}: order {len(counts)}; at most {LONGEST_ORDER} can be used")
        self.again = line  # the heading of the first section
        return counts

    def _section(self, order: int, count: int) -> None:
        """Read the n-grams of one order."""
        first_line = self.line_number
        trie = self._trie()
        capacity = min(count, 1 << 20)
        level = _Level(
            np.empty(capacity, np.int32),
            np.empty(capacity, np.int32),
            np.empty(capacity, np.float32),
            np.zeros(capacity, np.float32),
        )
        vocabulary, rows, ids = self.vocabulary, 0, np.zeros(order, np.int64)
        while self._refill():
            lookup = Lookup(vocabulary.table, vocabulary.text, vocabulary.ends, trie.word, trie.children)
            out = Rows(level.context, level.word, level.logp, level.backoff)
            self.position, rows, vocabulary.size, status = parse_lines(
                self.buffer, self.position, ids, lookup, out, rows, vocabulary.size
            )
            if status == HEADING:
                break
            if status == GROW:
                vocabulary.make_room(self.block.index(b"\n", self.position) - self.position)
                if rows == len(level.word):
                    if rows >= count:
                        raise self._error(f"more {order}-grams than the {count} that the header says", self.line_number)
                    _resize(level, min(count, 2 * rows))
            elif status == LOST:
                level.lost.append((rows - 1, ids.tolist()))
            elif status != MORE:
                raise self._error(PROBLEMS[status], self.line_number)
        else:
            raise LanguageModelError(f"{self.path}: cut short at line {self.line_number}; get the file again")
        if rows != count:
            raise self._error(f"{rows} {order}-grams, but the header says {count}", self.line_number)
        _resize(level, rows)
        if order > 1:
            level.context -= np.int32(trie.starts[order - 1])
            self.levels.append(level)
            if level.lost:
                self._find_lost(level, order)
            self._sort(level, first_line)
        else:
            self.levels.append(level)
            self.first_unigram = first_line
            self._add_unknown(level)

    def _trie(self, words: Sequence[str] = ()) -> Trie:
        """What has been read; without `words`, for looking up contexts."""
        ids, values = np.empty(0, np.int32), np.empty(0, np.float32)
        levels = self.levels or [_Level(ids, ids, values, values)]
        return build_trie(
            list(words),
            [level.context for level in levels],
            [level.word for level in levels],
            [level.logp for level in levels],
            [level.backoff for level in levels[:-1]],
        )

    def _sort(self, level: _Level, first_line: int) -> None:
        """Sort by context, then word, and check that no n-gram is there twice."""
        keys = _keys(level, self.vocabulary.size)
        if np.all(keys[1:] > keys[:-1]):
            return  # as this program writes them
        order = np.argsort(keys)
        keys = keys[order]
        again = np.flatnonzero(keys[1:] == keys[:-1])
        if len(again):
            row = max(order[again[0]], order[again[0] + 1])
            raise self._error("the same n-gram a second time", first_line + int(row))
        level.context, level.word = level.context[order], level.word[order]
        level.logp, level.backoff = level.logp[order], level.backoff[order]

    def _add_unknown(self, level: _Level) -> None:
        vocabulary, known = self.vocabulary, self.vocabulary.from_id(0)
        self.spelt_large = UNKNOWN.encode() not in known and UNKNOWN.upper().encode() in known
        if UNKNOWN.encode() in known or self.spelt_large:
            return
        vocabulary.add(UNKNOWN.encode())
        _resize(level, vocabulary.size)
        level.context[-1], level.word[-1] = 0, vocabulary.size - 1
        level.logp[-1], level.backoff[-1] = MISSING_UNKNOWN, 0

    def _find_lost(self, level: _Level, order: int) -> None:
        """Add the contexts that n-grams of this order lack to the orders below."""
        rows = np.array([row for row, _ in level.lost])
        ids = np.array([words for _, words in level.lost], np.int64)
        level.context[rows] = self._insert(ids[:, :-1], order)

    def _insert(self, grams: np.ndarray, before: int) -> np.ndarray:
        """The index in their order of n-grams `(rows, words)`, added where they are missing; `before` is the order
        that is being read."""
        order = grams.shape[1]
        if order == 1:
            return grams[:, 0]
        context = self._insert(grams[:, :-1], before)
        level, size = self.levels[order - 1], self.vocabulary.size
        old = _keys(level, size)
        wanted = context * size + grams[:, -1]
        new = np.setdiff1d(wanted, old)
        keys = np.concatenate([old, new])
        order_of = np.argsort(keys)
        level.context, level.word = (keys[order_of] // size).astype(np.int32), (keys[order_of] % size).astype(np.int32)
        level.logp = np.append(level.logp, np.full(len(new), np.nan, np.float32))[order_of]
        level.backoff = np.append(level.backoff, np.zeros(len(new), np.float32))[order_of]
        # Indices into this order have changed in the order above.
        place = np.empty(len(keys), np.int32)
        place[order_of] = np.arange(len(keys), dtype=np.int32)
        above = self.levels[order]
        known = above.context >= 0
        above.context[known] = place[above.context[known]]
        return np.searchsorted(keys[order_of], wanted)

    def _words(self) -> list[str]:
        words = []
        for id, word in enumerate(self.vocabulary.from_id(0)):
            try:
                words.append(word.decode())
            except UnicodeDecodeError as error:
                line = self.first_unigram + id
                raise LanguageModelError(f"{self.path}:{line}: not UTF-8; convert the file with iconv") from error
        return [UNKNOWN if self.spelt_large and word == UNKNOWN.upper() else word for word in words]


def _keys(level: _Level, words: int) -> np.ndarray:
    """One integer for each n-gram, int64, in the order of context, then word."""
    return level.context.astype(np.int64) * words + level.word


def _resize(level: _Level, rows: int) -> None:
    kept = min(rows, len(level.word))
    for name in ("context", "word", "logp", "backoff"):
        old = getattr(level, name)
        if len(old) != rows:
            new = np.zeros(rows, old.dtype)
            new[:kept] = old[:kept]
            setattr(level, name, new)


def write_arpa(
    path: str | os.PathLike, trie: Trie, advance: Callable[[int], object] | None = None, decimals: int = 7
) -> None:
    """Write an ARPA file, compressed if its name ends in .gz or .xz. `advance` gets the number of n-grams written.

    Numbers have seven significant digits, and at most `decimals` decimals; a back-off weight of 1 is omitted, as
    all readers assume it.
    """
    vocabulary = [word.encode() for word in trie.words]
    text = np.frombuffer(b"".join(vocabulary), np.uint8)
    ends = np.concatenate([[0], np.cumsum([len(word) for word in vocabulary])]).astype(np.int64)
    longest = trie.order * (max(map(len, vocabulary)) + 1) + 64  # bytes per line
    out = np.empty(max(1 << 22, longest), np.uint8)
    with writing(path) as stream:
        counts = "".join(f"ngram {order}={count}\n" for order, count in enumerate(trie.counts, start=1))
        stream.write(f"\\data\\\n{counts}".encode())
        for order in range(1, trie.order + 1):
            stream.write(f"\n\\{order}-grams:\n".encode())
            node, last = trie.starts[order], trie.starts[order + 1]
            path_to = np.array(trie.starts[: order + 1])  # one node of each order, down to the n-gram
            while node < last:
                before = node
                node, size = format_lines(
                    path_to, node, last, longest, trie.word, trie.logp, trie.backoff, trie.children, text, ends, out,
                    decimals,
                )  # fmt: skip
                stream.write(out[:size].data)
                if advance:
                    advance(node - before)
        stream.write(b"\n\\end\\\n")
