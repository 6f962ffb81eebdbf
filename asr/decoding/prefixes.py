"""What the search has found: the words of the prefixes in the beam, their scores, and room for more prefixes."""

import math
from typing import NamedTuple

import numpy as np

from asr.decoding.arrays import NO_WORD, ROOT, SNAPSHOT_PREFIXES, UNKNOWN_WORD, Beam, Graph, Hotwords, Rules, Spelling
from asr.decoding.search import ask, word_bias
from asr.lm.query import query
from asr.lm.trie import NgramArrays
from asr.utils.numba_cache import compiled, kernel


class Endings(NamedTuple):
    """Complete hypotheses, `(endings,)` each; several may have the same words."""

    node: np.ndarray  # int32 prefix
    word: np.ndarray  # int32 what its last word is; NO_WORD when no word had begun
    acoustic: np.ndarray  # float64 ln P(tokens | sound), over all alignments
    lm: np.ndarray  # float64 ln P(words), sentence end included
    score: np.ndarray  # float64 weighted sum of both, with bonuses and hotwords
    words: np.ndarray  # uint64 hash of the word sequence


@compiled
def endings(graph: Graph, lm: NgramArrays, hotwords: Hotwords, rules: Rules, beam: Beam, spelling: Spelling) -> Endings:
    """End every prefix of the beam here: its last word, the sentence, and hotwords that have only begun.

    In a closed vocabulary a prefix inside a word is no hypothesis.
    """
    slots, nodes = beam.slots, beam.nodes
    room = 1
    for i in range(beam.counts[0]):
        lexical = nodes[slots[i].node].lexical
        room += 1 + (graph.word_begin[lexical + 1] - graph.word_begin[lexical] if lexical >= 0 else 0)
    node_of, word_of = np.empty(room, np.int32), np.empty(room, np.int32)
    acoustic, lm_of, score = np.empty(room), np.empty(room), np.empty(room)
    words, found = np.empty(room, np.uint64), np.empty(64, np.uint64)
    count = 0
    for i in range(beam.counts[0]):
        node = slots[i].node
        lexical = nodes[node].lexical
        first, last = 0, 1
        if lexical > ROOT:
            first, last = graph.word_begin[lexical], graph.word_begin[lexical + 1]
            if first == last and rules.is_open:
                first, last = 0, 1
        for place in range(first, last):
            if lexical == ROOT:
                word = NO_WORD
            elif lexical < 0 or graph.word_begin[lexical] == graph.word_begin[lexical + 1]:
                word = UNKNOWN_WORD
            else:
                word = graph.node_word[place]
            ahead = graph.ahead[lexical] if lexical >= 0 else rules.ahead_unknown
            bias, raw, state = nodes[node].bias, nodes[node].lm, np.int64(nodes[node].state)
            sound = math.log(slots[i].blank + slots[i].label) + beam.scale[0] - bias - math.log(ahead)
            if word != NO_WORD:
                part, state = ask(state, word, graph, lm, rules)
                bias += word_bias(part, word, rules)
                raw += part
            if rules.has_lm and rules.lm_end >= 0:
                part, state = query(lm, state, rules.lm_end)
                bias += rules.lm_weight * part
                raw += part
            if rules.has_hotwords:
                bias += hotwords.last[nodes[node].hot]
            node_of[count], word_of[count] = node, word
            acoustic[count], lm_of[count], score[count] = sound, raw, sound + bias
            if len(found) <= nodes[node].depth:
                found = np.empty(2 * nodes[node].depth + 1, np.uint64)
            words[count] = _hash(found[: _spell_words(node, word, graph, nodes, spelling, found)])
            count += 1
    return Endings(node_of[:count], word_of[:count], acoustic[:count], lm_of[:count], score[:count], words[:count])


@kernel
def _spell_words(node: int, word: int, graph: Graph, nodes: np.ndarray, spelling: Spelling, found: np.ndarray) -> int:
    """A number for each word of a prefix that ends in `word`: by the lexicon's index, or by its spelling where the
    lexicon lacks it. Writes them into `found`, the last word first, and returns how many there are."""
    count = 0
    while True:
        before, text = spell_word(node, graph, nodes, spelling)
        if word != NO_WORD:
            found[count] = (
                text << np.uint64(1) if word == UNKNOWN_WORD else (np.uint64(word) << np.uint64(1)) + np.uint64(1)
            )
            count += 1
        if before == 0:
            return count
        node, word = nodes[before].parent, nodes[before].word


@kernel
def spell_word(node, graph, nodes, spelling):
    """The node of the tree that begins the word in which a prefix ends, 0 if it is the first one, and a number for
    the word's spelling."""
    text, weight = np.uint64(0), np.uint64(1)
    while node > 0:
        token = nodes[node].token
        text += spelling.code[token] * weight
        weight *= spelling.power[token]
        if nodes[node].word != NO_WORD or graph.starts[token]:
            break
        node = np.int64(nodes[node].parent)
    return node, text


@kernel
def _hash(numbers):
    result = np.uint64(1469598103934665603)
    for number in numbers:
        number *= np.uint64(0x9E3779B97F4A7C15)
        result = (result ^ number ^ (number >> np.uint64(31))) * np.uint64(1099511628211)
    return result


@compiled
def forget(beam: Beam) -> None:
    """Drop the tree's nodes that lead to no prefix in the beam or a snapshot; the others keep their order."""
    slots, nodes, count = beam.slots, beam.nodes, beam.counts[1]
    moments, held = beam.moments[: beam.counts[3]], beam.held[: beam.counts[3]]
    place = np.full(count, -1, np.int32)
    place[0] = 0
    for i in range(beam.counts[0]):
        _mark(slots[i].node, nodes, place)
    for prefixes in held:
        for i in range(SNAPSHOT_PREFIXES):
            if prefixes[i].node < 0:
                break
            _mark(prefixes[i].node, nodes, place)
    kept, moment = 0, 0
    for node in range(count):
        while moment < len(moments) and moments[moment] <= node:
            moments[moment] = kept
            moment += 1
        if place[node] < 0:
            continue
        place[node] = kept
        nodes[kept] = nodes[node]
        nodes[kept].child = -1
        if kept:
            parent = place[nodes[kept].parent]
            nodes[kept].parent, nodes[kept].sibling = parent, nodes[parent].child
            nodes[parent].child = kept
        kept += 1
    moments[moment:] = kept
    for i in range(beam.counts[0]):
        slots[i].node = place[slots[i].node]
    for prefixes in held:
        for i in range(SNAPSHOT_PREFIXES):
            if prefixes[i].node < 0:
                break
            prefixes[i].node = place[prefixes[i].node]
    beam.counts[1] = kept


@kernel
def _mark(node, nodes, place):
    while place[node] < 0:
        place[node] = 0
        node = nodes[node].parent


@compiled
def trace(nodes: np.ndarray, node: int) -> np.ndarray:
    """A prefix's nodes from the first token to the last: NODE `(tokens,)`."""
    path = np.empty(nodes[node].depth, nodes.dtype)
    for place in range(len(path) - 1, -1, -1):
        path[place] = nodes[node]
        node = nodes[node].parent
    return path
