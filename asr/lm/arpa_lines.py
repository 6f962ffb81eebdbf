"""The lines of ARPA files, `log10 P, words, log10 back-off weight`, parsed and written in compiled loops."""

from typing import NamedTuple

import numpy as np

from asr.lm.trie import search
from asr.lm.vocabulary import intern, slot_of
from asr.utils.numba_cache import compiled, kernel

LN10 = float(np.log(10))
LOG_ZERO = -99.0  # log10 of a probability of 0, as SRILM writes it; other tools write -inf
_LARGEST = 1e9  # of numbers in a file: their sums stay finite

_TAB, _NEWLINE, _SPACE, _PLUS, _MINUS, _POINT, _ZERO, _NINE, _BACKSLASH = b"\t\n +-.09\\"
_E, _LOWER = ord("e"), 32  # a letter's byte | _LOWER is its lower case
_INFINITY = tuple(b"infinity")

# Why the parser of lines stops.
MORE, HEADING, GROW, LOST, _DUPLICATE = range(5)
_NUMBER, _POSITIVE, _FEW, _MANY, _WORD = range(5, 10)
PROBLEMS = {
    _NUMBER: "no number where a log-probability or back-off weight must be",
    _POSITIVE: "a log-probability above 0",
    _FEW: "too few words for this section",
    _MANY: "too many fields for this section",
    _WORD: "a word that the unigrams lack",
    _DUPLICATE: "the same unigram a second time",
}


class Lookup(NamedTuple):
    """Words and the n-grams of lower orders, by which the parser finds contexts."""

    table: np.ndarray  # of `Vocabulary`
    text: np.ndarray
    ends: np.ndarray
    word: np.ndarray  # of `Trie`
    children: np.ndarray


class Rows(NamedTuple):
    """The n-grams of one order, to be filled, `(rows,)` each."""

    context: np.ndarray  # int32 node of the context in the trie of lower orders; -1: it has none
    word: np.ndarray  # int32
    logp: np.ndarray  # float32
    backoff: np.ndarray  # float32


@compiled
def parse_lines(
    buffer: np.ndarray, position: int, ids: np.ndarray, lookup: Lookup, out: Rows, rows: int, words: int
) -> tuple[int, int, int, int]:
    """Read the lines of n-grams of order `len(ids)` until something else comes: see the codes above.

    Returns the position in the buffer (of the faulty line, if there is one), the number of rows filled, the number of
    words, and the code. `ids` has the word ids of the last line.
    """
    while position < len(buffer):
        start = position
        position = _skip_blanks(buffer, position)
        if buffer[position] == _NEWLINE:
            position += 1
            continue
        if buffer[position] == _BACKSLASH:
            return start, rows, words, HEADING
        if rows == len(out.word):
            return start, rows, words, GROW
        logp, position, fine = _number(buffer, position)
        if not fine:
            return start, rows, words, _NUMBER
        if logp > 1e-4:
            return start, rows, words, _POSITIVE
        if len(ids) == 1:
            position, words, code = _new_word(buffer, position, ids, lookup, rows, words)
        else:
            position, code = _known_words(buffer, position, ids, lookup)
        if code != MORE:
            return start, rows, words, code
        backoff, position, fine = _backoff(buffer, position)
        if not fine:
            return start, rows, words, _MANY
        context = _context(ids, lookup)
        out.context[rows], out.word[rows] = context, ids[-1]
        out.logp[rows], out.backoff[rows] = min(logp, 0.0) * LN10, backoff * LN10
        rows += 1
        if context < 0:
            return position, rows, words, LOST
    return position, rows, words, MORE


@kernel
def _skip_blanks(buffer, position):
    while buffer[position] <= _SPACE and buffer[position] != _NEWLINE:
        position += 1
    return position


@kernel
def _next_word(buffer, position):
    """Where the next word of the line begins and ends; nowhere if there is none."""
    first = position = _skip_blanks(buffer, position)
    while buffer[position] > _SPACE:
        position += 1
    return first, position


@kernel
def _new_word(buffer, position, ids, lookup, rows, words):
    """Add the word of a unigram; returns the position after it, the number of words, and a code."""
    table, text, ends = lookup.table, lookup.text, lookup.ends
    first, position = _next_word(buffer, position)
    if position == first:
        return position, words, _FEW
    if 2 * (words + 2) > len(table) or words + 2 > len(ends) or ends[words] + position - first > len(text):
        return position, words, GROW
    ids[0], words = intern(buffer, first, position, table, text, ends, words)
    return position, words, MORE if ids[0] == rows else _DUPLICATE


@kernel
def _known_words(buffer, position, ids, lookup):
    """Find the ids of an n-gram's words; returns the position after them, and a code."""
    for place in range(len(ids)):
        first, position = _next_word(buffer, position)
        if position == first:
            return position, _FEW
        ids[place] = lookup.table[slot_of(buffer, first, position, lookup.table, lookup.text, lookup.ends)]
        if ids[place] < 0:
            return position, _WORD
    return position, MORE


@kernel
def _backoff(buffer, position):
    """The back-off weight at the end of a line, 0 if it has none, the beginning of the next line, and whether nothing
    else was there."""
    position = _skip_blanks(buffer, position)
    value, fine = 0.0, True
    if buffer[position] != _NEWLINE:
        value, position, fine = _number(buffer, position)
        if fine:
            position = _skip_blanks(buffer, position)
    return value, position + 1, fine and buffer[position] == _NEWLINE


@kernel
def _context(ids, lookup):
    """The node of an n-gram's words but the last; -1 if the lower orders lack it."""
    node = np.int64(0)
    for place in range(len(ids) - 1):
        if place == 0:
            node = ids[0] + 1
            continue
        end = np.int64(lookup.children[node + 1])
        node = search(lookup.word, np.int64(lookup.children[node]), end, ids[place])
        if node == end or lookup.word[node] != ids[place]:
            return -1
    return node


@kernel
def _number(buffer, position):
    """A decimal number, the position after it, and whether one was there and ended at white space.

    -inf is `LOG_ZERO`.
    """
    negative = buffer[position] == _MINUS
    if negative or buffer[position] == _PLUS:
        position += 1
    letters = 0
    while letters < len(_INFINITY) and buffer[position + letters] | _LOWER == _INFINITY[letters]:
        letters += 1
    if letters:
        whole = (letters == 3 or letters == len(_INFINITY)) and buffer[position + letters] <= _SPACE
        return LOG_ZERO, position + letters, negative and whole
    mantissa, exponent, digits, after_point = np.uint64(0), 0, 0, False
    while True:
        byte = buffer[position]
        if _ZERO <= byte <= _NINE:
            digits += 1
            if mantissa < np.uint64(10**17):
                mantissa = mantissa * np.uint64(10) + np.uint64(byte - _ZERO)
                exponent -= after_point
            else:
                exponent += not after_point
        elif byte == _POINT and not after_point:
            after_point = True
        else:
            break
        position += 1
    fine = digits > 0
    if fine and buffer[position] | _LOWER == _E:
        power, position, fine = _power(buffer, position + 1)
        exponent += power
    value = np.float64(mantissa) * 10.0 ** np.float64(exponent)
    fine = fine and buffer[position] <= _SPACE and value < _LARGEST  # false for NaN, 0 times infinity
    return -value if negative else value, position, fine


@kernel
def _power(buffer, position):
    """The exponent of a number, the position after it, and whether it has digits."""
    negative = buffer[position] == _MINUS
    if negative or buffer[position] == _PLUS:
        position += 1
    power, first = 0, position
    while _ZERO <= buffer[position] <= _NINE:
        power = min(power * 10 + int(buffer[position] - _ZERO), 1000)
        position += 1
    return -power if negative else power, position, position > first


@compiled
def format_lines(path_to, node, last, longest, word, logp, backoff, children, text, ends, out, decimals):
    """Write lines for the nodes from `node` on while there is room; returns the next node and the bytes used.

    `path_to` has one node per order, down to the n-gram.
    """
    size = 0
    order = len(path_to) - 1
    while node < last and size + longest <= len(out):
        path_to[order] = node
        for k in range(order - 1, 0, -1):
            while children[path_to[k] + 1] <= path_to[k + 1]:
                path_to[k] += 1
        size = _format_number(logp[node] / LN10, out, size, decimals)
        for k in range(1, order + 1):
            out[size] = _TAB if k == 1 else _SPACE
            size += 1
            id = word[path_to[k]]
            for i in range(ends[id], ends[id + 1]):
                out[size] = text[i]
                size += 1
        if node < len(backoff) and backoff[node] != 0:
            out[size] = _TAB
            size = _format_number(backoff[node] / LN10, out, size + 1, decimals)
        out[size] = _NEWLINE
        size += 1
        node += 1
    return node, size


@kernel
def _format_number(value, out, size, most_decimals):
    """Write a number with at most seven significant digits, without an exponent or trailing zeros; returns the new
    size."""
    negative, value = value < 0, abs(value)
    decimals, bound = 7, 1.0
    while value >= bound and decimals > 0:
        decimals, bound = decimals - 1, bound * 10
    scale = 1
    for _ in range(min(decimals, most_decimals)):
        scale *= 10
    scaled = np.int64(value * scale + 0.5)
    if negative and scaled:
        out[size] = _MINUS
        size += 1
    whole, fraction = scaled // scale, scaled % scale
    power = 1
    while power * 10 <= whole:
        power *= 10
    while power > 0:
        out[size] = _ZERO + whole // power % 10
        size += 1
        power //= 10
    if fraction:
        out[size] = _POINT
        size += 1
        while fraction:
            scale //= 10
            out[size] = _ZERO + fraction // scale
            size += 1
            fraction %= scale
    return size
