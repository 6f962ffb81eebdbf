"""Words as bytes -> ids, in the order of first occurrence: a hash table for compiled loops."""

from collections.abc import Iterable

import numpy as np

from asr.utils.numba_cache import compiled

_FULL = 0.5  # share of slots in use above which the table grows
_SPACE, _NEWLINE = 32, 10


class Vocabulary:
    """A growing set of words. The compiled functions of this module work on `table`, `text` and `ends`."""

    def __init__(self, words: Iterable[bytes] = ()):
        self.table = np.full(1 << 12, -1, np.int32)  # slot -> id; open addressing
        self.text = np.empty(1 << 14, np.uint8)  # the words one after the other
        self.ends = np.zeros(1 << 10, np.int64)  # ends[id + 1]: end of the word in `text`; ends[0] is 0
        self.size = 0
        for word in words:
            self.add(word)

    def add(self, word: bytes) -> int:
        """The id of a word, new or old."""
        self.make_room(len(word))
        buffer = np.frombuffer(word, np.uint8)
        id, self.size = intern(buffer, 0, len(word), self.table, self.text, self.ends, self.size)
        return id

    def make_room(self, length: int) -> None:
        """Grow so that one more word of `length` bytes fits, and as much again."""
        if self.size + 2 > len(self.table) * _FULL:
            self.table = np.full(len(self.table) * 4, -1, np.int32)
            rehash(self.table, self.text, self.ends, self.size)
        if self.ends[self.size] + length > len(self.text):
            self.text = np.concatenate([self.text, np.empty(len(self.text) + length, np.uint8)])
        if self.size + 2 > len(self.ends):
            self.ends = np.concatenate([self.ends, np.zeros(len(self.ends), np.int64)])

    def word(self, id: int) -> bytes:
        """The bytes of a word."""
        return self.text[self.ends[id] : self.ends[id + 1]].tobytes()

    def from_id(self, first: int) -> list[bytes]:
        """The words from an id on."""
        content = self.text[: self.ends[self.size]].tobytes()
        ends = self.ends[: self.size + 1].tolist()
        return [content[ends[id] : ends[id + 1]] for id in range(first, self.size)]


@compiled
def slot_of(buffer, start, end, table, text, ends):
    """The slot that holds a word, or the empty one where it belongs. FNV-1a, linear probing."""
    hashed = np.uint64(14695981039346656037)
    for i in range(start, end):
        hashed = (hashed ^ np.uint64(buffer[i])) * np.uint64(1099511628211)
    hashed ^= hashed >> np.uint64(32)
    mask = len(table) - 1
    slot = np.int64(hashed & np.uint64(mask))
    while table[slot] >= 0:
        first = ends[table[slot]]
        if ends[table[slot] + 1] - first == end - start:
            same = True
            for i in range(end - start):
                if text[first + i] != buffer[start + i]:
                    same = False
                    break
            if same:
                break
        slot = (slot + 1) & mask
    return slot


@compiled
def intern(buffer, start, end, table, text, ends, size):
    """The id of a word, added if it is new (there must be room), and the number of words then."""
    slot = slot_of(buffer, start, end, table, text, ends)
    if table[slot] < 0:
        table[slot] = size
        first = ends[size]
        for i in range(end - start):
            text[first + i] = buffer[start + i]
        ends[size + 1] = first + end - start
        size += 1
    return np.int64(table[slot]), size


@compiled
def rehash(table, text, ends, size):
    """Fill an empty table."""
    for id in range(size):
        table[slot_of(text, ends[id], ends[id + 1], table, text, ends)] = id


@compiled
def tokenize(buffer, position, ids, filled, table, text, ends, size):
    """Words between white space -> ids, and -1 at the end of each line that has words.

    Stops at the end of the buffer, which ends in a line end, or where the vocabulary must grow first. Returns the
    position reached, the number of ids filled and the number of words.
    """
    while position < len(buffer):
        byte = buffer[position]
        if byte <= _SPACE:
            if byte == _NEWLINE and filled > 0 and ids[filled - 1] >= 0:
                ids[filled] = -1
                filled += 1
            position += 1
            continue
        start = position
        while buffer[position] > _SPACE:
            position += 1
        no_room = 2 * (size + 2) > len(table) or size + 2 > len(ends) or ends[size] + position - start > len(text)
        if no_room:
            return start, filled, size
        ids[filled], size = intern(buffer, start, position, table, text, ends, size)
        filled += 1
    return position, filled, size
