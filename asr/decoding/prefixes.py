"""Results of the search: the words and scores of the prefixes in the beam; and making room for more prefixes."""

import math

import numpy as np

from asr.decoding.arrays import NO_WORD, ROOT, SNAPSHOT_PREFIXES, UNKNOWN_WORD, Beam, Graph, Search, Spelling
from asr.decoding.weights import look_ahead, query_word, word_bias
from asr.lm.query import query
from asr.utils.numba_cache import compiled, kernel

#: A complete hypothesis; several may have the same words.
ENDING = np.dtype(
    [
        ("node", np.int32),  # prefix
        ("word", np.int32),  # its last word; NO_WORD when no word had begun
        ("acoustic", np.float64),  # ln P(tokens | sound), over all alignments
        ("lm", np.float64),  # ln P(words), sentence end included
        ("score", np.float64),  # weighted sum of both, with bonuses and hotwords
        ("words", np.uint64),  # hash of the word sequence
    ]
)


@compiled
def endings(search: Search, beam: Beam, spelling: Spelling) -> np.ndarray:
    """End every prefix of the beam here: its last word, the sentence, and hotwords that have only begun.

    In a closed vocabulary a prefix inside a word is not a hypothesis. Returns ENDING `(endings,)`.
    """
    graph, slots, nodes = search.graph, beam.slots, beam.nodes
    room, depth = 0, 0
    for i in range(beam.counts[0]):
        node = nodes[slots[i].node]
        depth = max(depth, node.depth)
        room += max(1, graph.word_begin[node.lexical + 1] - graph.word_begin[node.lexical] if node.lexical >= 0 else 1)
    found, words = np.empty(room, ENDING), np.empty(depth + 1, np.uint64)
    count = 0
    for i in range(beam.counts[0]):
        lexical = np.int64(nodes[slots[i].node].lexical)
        first = last = np.int64(0)
        if lexical > ROOT:
            first, last = np.int64(graph.word_begin[lexical]), np.int64(graph.word_begin[lexical + 1])
        if first < last:
            for place in range(first, last):
                _end(search, beam, i, np.int64(graph.node_word[place]), found[count])
                count += 1
        elif lexical == ROOT or search.rules.is_open:
            _end(search, beam, i, np.int64(NO_WORD if lexical == ROOT else UNKNOWN_WORD), found[count])
            count += 1
    for ending in found[:count]:
        spelled = _spell_words(np.int64(ending.node), np.int64(ending.word), graph, nodes, spelling, words)
        ending.words = _hash(words, spelled)
    return found[:count]


@kernel
def _end(search, beam, slot, word, ending):
    """End a prefix with a word, NO_WORD or UNKNOWN_WORD, and the sentence with it."""
    rules, here, node = search.rules, beam.slots[slot], beam.nodes[beam.slots[slot].node]
    bias, raw, state = node.bias, node.lm, np.int64(node.state)
    ending.node, ending.word = here.node, word
    ending.acoustic = (
        math.log(here.blank + here.label) + beam.scale[0] - bias - math.log(look_ahead(search, node.lexical))
    )
    if word != NO_WORD:
        part, state = query_word(search, state, word)
        bias += word_bias(rules, part, word)
        raw += part
    if rules.has_lm and rules.lm_end >= 0:
        part, state = query(search.lm, state, np.int64(rules.lm_end))
        bias += rules.lm_weight * part
        raw += part
    if rules.has_hotwords:
        bias += search.hotwords.last[node.hot]
    ending.lm, ending.score = raw, ending.acoustic + bias


@kernel
def _spell_words(node: int, word: int, graph: Graph, nodes: np.ndarray, spelling: Spelling, found: np.ndarray) -> int:
    """Number the words of a prefix that ends in `word`, by the lexicon's index or else by spelling.

    Writes the numbers into `found`, the last word first, and returns how many there are.
    """
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
    """The node that begins the last word of a prefix, 0 if it is the first word, and a hash of the word's spelling."""
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
def _hash(numbers, count):
    result = np.uint64(1469598103934665603)
    for place in range(count):
        number = numbers[place] * np.uint64(0x9E3779B97F4A7C15)
        result = (result ^ number ^ (number >> np.uint64(31))) * np.uint64(1099511628211)
    return result


@compiled
def forget(beam: Beam) -> None:
    """Drop the tree's nodes that lead to no prefix in the beam or a snapshot; the others keep their order."""
    slots, nodes, count = beam.slots, beam.nodes, beam.counts[1]
    moments, held = beam.moments[: beam.counts[3]], beam.held[: beam.counts[3]]
    place = np.empty(count, np.int32)
    for node in range(count):
        place[node] = 0 if node == 0 else -1
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
    for later in range(moment, len(moments)):
        moments[later] = kept
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
