"""ARPA files (Doug Paul's format), the exchange format of n-gram models: read any tool's, write what any tool reads.

Log-probabilities are base 10 in the files and natural in memory.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numba import njit

from asr.errors import LanguageModelError
from asr.lm.streams import read_blocks, writing
from asr.lm.trie import MISSING_UNKNOWN, UNKNOWN, Trie, build_trie, search
from asr.lm.vocabulary import Vocabulary, intern, slot_of

LONGEST_ORDER = 5
LN10 = float(np.log(10))

# How the parser of lines ends.
_MORE, _HEADING, _GROW, _LOST, _DUPLICATE = range(5)
_NUMBER, _POSITIVE, _FEW, _MANY, _WORD = range(5, 10)
_PROBLEMS = {
    _NUMBER: "no number where a log-probability or back-off weight must be",
    _POSITIVE: "a log-probability above 0",
    _FEW: "too few words for this section",
    _MANY: "too many fields for this section",
    _WORD: "a word that the unigrams lack",
    _DUPLICATE: "the same unigram a second time",
}


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

    A missing <unk> is added with log10 P = -100, and an n-gram's missing context with the probability that backing
    off gives it and back-off weight 1, both as KenLM does. Raises `LanguageModelError` with the file and the line.
    """
    return _Reader(Path(path), advance).read()


def read_counts(path: str | os.PathLike) -> list[int]:
    """The number of n-grams of each order that an ARPA file's header states."""
    return _Reader(Path(path)).read_header()


class _Reader:
    def __init__(self, path: Path, advance: Callable[[int], object] | None = None):
        self.path = path
        self.blocks = read_blocks(path, advance)
        self.buffer, self.position = np.empty(0, np.uint8), 0
        self.lines_before = 0  # lines of the file before the buffer
        self.block = b""  # what `buffer` views
        self.again = ""  # a line that was read too early
        self.vocabulary = Vocabulary()
        self.levels: list[_Level] = []

    def read(self) -> Trie:
        counts = self.read_header()
        for order, count in enumerate(counts, start=1):
            heading = self._line()
            if heading != f"\\{order}-grams:":
                raise self._error(f"'\\{order}-grams:' must be here", self.line_number - 1)
            self._section(order, count)
        if self._line() != "\\end\\":
            raise self._error("'\\end\\' must be here", self.line_number - 1)
        words = self._words()
        levels = self.levels
        return build_trie(
            words,
            [level.context for level in levels],
            [level.word for level in levels],
            [level.logp for level in levels],
            [level.backoff for level in levels[:-1]],
        )

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
            end = self.block.index(b"\n", self.position)
            line = self.block[self.position : end].strip().decode(errors="replace")
            self.position = end + 1
        if line:
            return line
        raise LanguageModelError(f"{self.path}: cut short at line {self.line_number}; get the file again")

    def read_header(self) -> list[int]:
        """The number of n-grams of each order."""
        if not self._refill():
            raise LanguageModelError(f"{self.path}: the file is empty")
        if self._line() != "\\data\\":
            raise LanguageModelError(f"{self.path}: not an ARPA file, which begins with '\\data\\'")
        counts = []
        while True:
            line = self._line()
            name, _, number = line.replace(" ", "").partition("=")
            if name != f"ngram{len(counts) + 1}" or not number.isdigit():
                break
            counts.append(int(number))
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
            self.position, rows, vocabulary.size, status = _parse(
                self.buffer, self.position, order, ids, trie.word, trie.children, level.context, level.word,
                level.logp, level.backoff, rows, vocabulary.table, vocabulary.text, vocabulary.ends, vocabulary.size,
            )  # fmt: skip
            if status == _HEADING:
                break
            if status == _GROW:
                vocabulary.make_room(1 << 12)
                if rows == len(level.word):
                    if rows >= count:
                        raise self._error(f"more {order}-grams than the {count} that the header says", self.line_number)
                    _resize(level, min(count, 2 * rows))
            elif status == _LOST:
                level.lost.append((rows - 1, ids.tolist()))
            elif status != _MORE:
                raise self._error(_PROBLEMS[status], self.line_number)
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
            self._add_unknown(level)

    def _trie(self) -> Trie:
        """What has been read, for looking up contexts."""
        levels = self.levels or [_Level(*[np.empty(0, np.int32)] * 2, *[np.empty(0, np.float32)] * 2)]
        return build_trie(
            [], [a.context for a in levels], [a.word for a in levels], [a.logp for a in levels],
            [a.backoff for a in levels[:-1]],
        )  # fmt: skip

    def _sort(self, level: _Level, first_line: int) -> None:
        """Sort by context, then word, and check that no n-gram is there twice."""
        keys = level.context * np.int64(self.vocabulary.size) + level.word
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
        vocabulary = self.vocabulary
        if vocabulary.add(UNKNOWN.encode()) < len(level.word):
            return
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
        level, size = self.levels[order - 1], np.int64(self.vocabulary.size)
        old = level.context * size + level.word
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
        words = self.vocabulary.from_id(0)
        try:
            decoded = [word.decode() for word in words]
        except UnicodeDecodeError as error:
            raise LanguageModelError(f"{self.path}: not UTF-8 ('{error.object!r}'); convert it with iconv") from error
        return decoded


def _resize(level: _Level, rows: int) -> None:
    kept = min(rows, len(level.word))
    for name in ("context", "word", "logp", "backoff"):
        old = getattr(level, name)
        if len(old) != rows:
            new = np.zeros(rows, old.dtype)
            new[:kept] = old[:kept]
            setattr(level, name, new)


@njit(cache=True)
def _parse(
    buffer, position, order, ids, trie_word, children, out_context, out_word, out_logp, out_backoff, rows,
    table, text, ends, size,
):  # fmt: skip
    """Read lines `log10 P, words, log10 back-off weight` until something else comes; see the codes above.

    Returns the place reached (of the faulty line, if one is), rows filled, the number of words and the code.
    """
    while position < len(buffer):
        start = position
        while buffer[position] <= 32 and buffer[position] != 10:
            position += 1
        if buffer[position] == 10:
            position += 1
            continue
        if buffer[position] == 92:  # a backslash begins a heading
            return start, rows, size, _HEADING
        if rows == len(out_word):
            return start, rows, size, _GROW
        logp, position, fine = _number(buffer, position)
        if not fine:
            return start, rows, size, _NUMBER
        if logp > 1e-4:
            return start, rows, size, _POSITIVE
        for k in range(order):
            while buffer[position] <= 32 and buffer[position] != 10:
                position += 1
            first = position
            while buffer[position] > 32:
                position += 1
            if position == first:
                return start, rows, size, _FEW
            if order > 1:
                ids[k] = table[slot_of(buffer, first, position, table, text, ends)]
                if ids[k] < 0:
                    return start, rows, size, _WORD
            else:
                if 2 * (size + 2) > len(table) or size + 2 > len(ends) or ends[size] + position - first > len(text):
                    return start, rows, size, _GROW
                ids[0], size = intern(buffer, first, position, table, text, ends, size)
                if ids[0] != rows:
                    return start, rows, size, _DUPLICATE
        while buffer[position] <= 32 and buffer[position] != 10:
            position += 1
        backoff = 0.0
        if buffer[position] != 10:
            backoff, position, fine = _number(buffer, position)
            if not fine:
                return start, rows, size, _MANY
            while buffer[position] <= 32 and buffer[position] != 10:
                position += 1
            if buffer[position] != 10:
                return start, rows, size, _MANY
        position += 1
        node = np.int64(0)
        for k in range(order - 1):
            if k == 0:
                node = ids[0] + 1
                continue
            end = np.int64(children[node + 1])
            node = search(trie_word, np.int64(children[node]), end, ids[k])
            if node == end or trie_word[node] != ids[k]:
                node = -1
                break
        out_context[rows], out_word[rows] = node, ids[order - 1]
        out_logp[rows], out_backoff[rows] = min(logp, 0.0) * LN10, backoff * LN10
        rows += 1
        if node < 0:
            return position, rows, size, _LOST
    return position, rows, size, _MORE


@njit(cache=True)
def _number(buffer, position):
    """A decimal number, the place after it, and whether one was there and ended at white space."""
    negative = buffer[position] == 45
    if negative or buffer[position] == 43:
        position += 1
    mantissa, exponent, digits, after_point = np.uint64(0), 0, 0, False
    while True:
        byte = buffer[position]
        if 48 <= byte <= 57:
            digits += 1
            if mantissa < np.uint64(10**17):
                mantissa = mantissa * np.uint64(10) + np.uint64(byte - 48)
                exponent -= after_point
            else:
                exponent += not after_point
        elif byte == 46 and not after_point:
            after_point = True
        else:
            break
        position += 1
    if digits and (buffer[position] == 101 or buffer[position] == 69):
        position += 1
        minus = buffer[position] == 45
        if minus or buffer[position] == 43:
            position += 1
        power, digits = 0, 0
        while 48 <= buffer[position] <= 57:
            power, digits = min(power * 10 + np.int64(buffer[position] - 48), 1000), digits + 1
            position += 1
        exponent += -power if minus else power
    value = np.float64(mantissa) * 10.0 ** np.float64(exponent)
    return -value if negative else value, position, digits > 0 and buffer[position] <= 32


def write_arpa(path: str | os.PathLike, trie: Trie, advance: Callable[[int], object] | None = None) -> None:
    """Write an ARPA file, compressed if its name ends in .gz or .xz. `advance` is told of n-grams as they are written.

    Numbers have seven significant digits; a back-off weight of 1 is left out, as all readers take it for granted.
    """
    vocabulary = [word.encode() for word in trie.words]
    text = np.frombuffer(b"".join(vocabulary), np.uint8)
    ends = np.concatenate([[0], np.cumsum([len(word) for word in vocabulary])]).astype(np.int64)
    longest = trie.order * (max(map(len, vocabulary)) + 1) + 64  # bytes of a line
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
                node, size = _format(
                    path_to, node, last, longest, trie.word, trie.logp, trie.backoff, trie.children, text, ends, out
                )
                stream.write(out[:size])
                if advance:
                    advance(node - before)
        stream.write(b"\n\\end\\\n")


@njit(cache=True)
def _format(path_to, node, last, longest, word, logp, backoff, children, text, ends, out):
    """Lines for the nodes from `node` on while there is room; returns the next node and the bytes used."""
    size = 0
    order = len(path_to) - 1
    while node < last and size + longest <= len(out):
        path_to[order] = node
        for k in range(order - 1, 0, -1):
            while children[path_to[k] + 1] <= path_to[k + 1]:
                path_to[k] += 1
        size = _format_number(logp[node] / LN10, out, size)
        for k in range(1, order + 1):
            out[size] = 9 if k == 1 else 32
            size += 1
            id = word[path_to[k]]
            for i in range(ends[id], ends[id + 1]):
                out[size] = text[i]
                size += 1
        if node < len(backoff) and backoff[node] != 0:
            out[size] = 9
            size = _format_number(backoff[node] / LN10, out, size + 1)
        out[size] = 10
        size += 1
        node += 1
    return node, size


@njit(cache=True)
def _format_number(value, out, size):
    """Write a number with seven significant digits, without an exponent or closing zeros; returns the new size."""
    if value < 0:
        out[size] = 45
        size += 1
        value = -value
    decimals, bound = 7, 1.0
    while value >= bound and decimals > 0:
        decimals, bound = decimals - 1, bound * 10
    scale = 1
    for _ in range(decimals):
        scale *= 10
    scaled = np.int64(value * scale + 0.5)
    whole, fraction = scaled // scale, scaled % scale
    power = 1
    while power * 10 <= whole:
        power *= 10
    while power > 0:
        out[size] = 48 + whole // power % 10
        size += 1
        power //= 10
    if fraction:
        out[size] = 46
        size += 1
        while fraction:
            scale //= 10
            out[size] = 48 + fraction // scale
            size += 1
            fraction %= scale
    return size
