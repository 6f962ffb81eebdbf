"""What the search has found: the words of the prefixes in the beam, their scores, and room for more prefixes."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from asr.decoding.search import NO_WORD, ROOT, UNKNOWN_WORD, Beam, Graph, Hotwords, Rules, ask, word_bias
from asr.lm.ngram import NgramArrays, query


class Spelling(NamedTuple):
    """The tokens' texts as numbers, by which words outside the lexicon are told apart."""

    code: np.ndarray  # uint64 (tokens,) hash of the token's text
    power: np.ndarray  # uint64 (tokens,) what a hash is multiplied with when the token's text is put before it


class Endings(NamedTuple):
    """Complete hypotheses, `(endings,)` each; several may have the same words."""

    node: np.ndarray  # int32 prefix
    word: np.ndarray  # int32 what its last word is; NO_WORD when no word had begun
    acoustic: np.ndarray  # float64 ln P(tokens | sound), over all alignments
    lm: np.ndarray  # float64 ln P(words), sentence end included
    score: np.ndarray  # float64 weighted sum of both, with bonuses and hotwords
    words: np.ndarray  # uint64 hash of the word sequence


@njit(nogil=True, cache=True)
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
    words = np.empty(room, np.uint64)
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
            words[count] = _hash_words(node, word, graph, nodes, spelling)
            count += 1
    return Endings(node_of[:count], word_of[:count], acoustic[:count], lm_of[:count], score[:count], words[:count])


@njit(nogil=True, cache=True)
def _hash_words(node, word, graph, nodes, spelling):
    """A number for the word sequence: by the lexicon's words, and by the spelling of words that it lacks."""
    result = np.uint64(1469598103934665603)
    prime = np.uint64(1099511628211)
    text, weight = np.uint64(0), np.uint64(1)
    while node > 0:
        token, completed = nodes[node].token, nodes[node].word
        text += spelling.code[token] * weight
        weight *= spelling.power[token]
        if completed != NO_WORD or graph.starts[token]:
            result = _mix(result, word, text, prime)
            word, text, weight = completed, np.uint64(0), np.uint64(1)
        node = nodes[node].parent
    return _mix(result, word, text, prime)


@njit(nogil=True, cache=True)
def _mix(result, word, text, prime):
    if word == NO_WORD:
        return result
    part = text if word == UNKNOWN_WORD else np.uint64(word) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    part ^= part >> np.uint64(31)
    return (result ^ (part * prime)) * prime


@njit(nogil=True, cache=True)
def forget(beam: Beam) -> None:
    """Drop the tree's nodes that lead to no prefix in the beam; the others keep their order."""
    slots, nodes, count = beam.slots, beam.nodes, beam.counts[1]
    place = np.full(count, -1, np.int32)
    place[0] = 0
    for i in range(beam.counts[0]):
        node = slots[i].node
        while place[node] < 0:
            place[node] = 0
            node = nodes[node].parent
    kept = 0
    for node in range(count):
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
    for i in range(beam.counts[0]):
        slots[i].node = place[slots[i].node]
    beam.counts[1] = kept


def trace(nodes: np.ndarray, node: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tokens of a prefix, what each of them completed, and the lexicon's node behind it, `(tokens,)` each."""
    path = []
    while node > 0:
        path.append(node)
        node = nodes["parent"][node]
    found = nodes[path[::-1]]
    return found["token"].astype(np.int64), found["word"], found["lexical"]
