"""The lines of ARPA files, `log10 P, words, log10 back-off weight`, parsed and written in compiled loops."""

import numpy as np

from asr.lm.trie import search
from asr.lm.vocabulary import intern, slot_of
from asr.utils.numba_cache import compiled

LN10 = float(np.log(10))
_LARGEST = 1e9  # of numbers in a file: sums of more than that say nothing, and end in infinity

# How the parser of lines ends.
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


@compiled
def parse_lines(
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
            return start, rows, size, HEADING
        if rows == len(out_word):
            return start, rows, size, GROW
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
                    return start, rows, size, GROW
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
            return position, rows, size, LOST
    return position, rows, size, MORE


@compiled
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
    fine = digits > 0 and buffer[position] <= 32 and value < _LARGEST  # which NaN, 0 times infinity, is not
    return -value if negative else value, position, fine


@compiled
def format_lines(path_to, node, last, longest, word, logp, backoff, children, text, ends, out, decimals):
    """Lines for the nodes from `node` on while there is room; returns the next node and the bytes used."""
    size = 0
    order = len(path_to) - 1
    while node < last and size + longest <= len(out):
        path_to[order] = node
        for k in range(order - 1, 0, -1):
            while children[path_to[k] + 1] <= path_to[k + 1]:
                path_to[k] += 1
        size = _format_number(logp[node] / LN10, out, size, decimals)
        for k in range(1, order + 1):
            out[size] = 9 if k == 1 else 32
            size += 1
            id = word[path_to[k]]
            for i in range(ends[id], ends[id + 1]):
                out[size] = text[i]
                size += 1
        if node < len(backoff) and backoff[node] != 0:
            out[size] = 9
            size = _format_number(backoff[node] / LN10, out, size + 1, decimals)
        out[size] = 10
        size += 1
        node += 1
    return node, size


@compiled
def _format_number(value, out, size, most_decimals):
    """Write a number with seven significant digits at most, without an exponent or closing zeros; returns the new
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
        out[size] = 45
        size += 1
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
