"""Prefixes with one token more: tokens that continue the word that has begun, and tokens that begin the next one."""

import math

import numpy as np

from asr.decoding.arrays import NO_WORD, ROOT, UNKNOWN, UNKNOWN_WORD
from asr.decoding.pruning import thin
from asr.decoding.weights import hotword_gain, look_ahead, word_weight
from asr.lm.trie import search as find
from asr.utils.numba_cache import kernel


@kernel
def extend(search, beam, work):
    """Collect in `work.extensions` the extended prefixes that can stay in the beam."""
    graph, slots, nodes, frame = search.graph, beam.slots, beam.nodes, work.frame[0]
    frame.extended = 0
    for place in range(frame.active):
        work.seen[work.order[place]] = -1
    for slot in range(beam.counts[0]):
        _keep(search, beam, work, slot, _continue_word(search, beam, work, slot))
        lexical = np.int64(nodes[slots[slot].node].lexical)
        words = graph.word_begin[lexical + 1] - graph.word_begin[lexical] if lexical > ROOT else 0
        for place in range(max(1, words)):
            _keep(search, beam, work, slot, _start_word(search, beam, work, slot, place))


@kernel
def _continue_word(search, beam, work, slot):
    """Propose the tokens that continue the word which a prefix has begun; returns how many."""
    rules, frame, node = search.rules, work.frame[0], beam.nodes[beam.slots[slot].node]
    most = beam.slots[slot].total * search.hotwords.most
    inverse = 1.0 / look_ahead(search, node.lexical)
    unknown = rules.ahead_unknown * inverse
    if most * frame.likeliest * max(1.0, unknown) <= frame.cutoff:
        return 0
    found = 0
    if node.lexical >= 0:
        found = _follow_edges(search, work, slot, node, most, inverse)
    if rules.is_open:
        for place in range(frame.active):
            token = work.order[place]
            if most * work.extending[token] * unknown <= frame.cutoff:
                break
            if not search.graph.starts[token] and work.seen[token] != slot:
                found = _propose(work, found, token, UNKNOWN, NO_WORD, work.extending[token] * unknown)
    return found


@kernel
def _follow_edges(search, work, slot, node, most, inverse):
    """Propose the tokens that the lexicon allows next; returns how many.

    Where words are joined, one that nothing can continue is complete at once.
    """
    graph, frame, found = search.graph, work.frame[0], 0
    first, last = np.int64(graph.edge_begin[node.lexical]), np.int64(graph.edge_begin[node.lexical + 1])
    by_edge = last - first <= 4 * frame.active
    for place in range(last - first if by_edge else frame.active):
        if by_edge:
            edge = first + place
            token = np.int64(graph.edge_token[edge])
        else:
            token = work.order[place]
            edge = find(graph.edge_token, first, last, token)
            if edge == last or graph.edge_token[edge] != token:
                continue
        work.seen[token] = slot
        if most * work.extending[token] <= frame.cutoff:
            continue
        target = np.int64(graph.edge_target[edge])
        value = work.extending[token] * graph.ahead[target] * inverse
        if most * value <= frame.cutoff:
            continue
        if search.rules.joined and graph.edge_begin[target] == graph.edge_begin[target + 1]:
            for spot in range(graph.word_begin[target], graph.word_begin[target + 1]):
                word = np.int64(graph.node_word[spot])
                weight = work.extending[token] * word_weight(search, work, node.state, word) * inverse
                found = _propose(work, found, token, ROOT, word, weight)
        else:
            found = _propose(work, found, token, target, NO_WORD, value)
    return found


@kernel
def _start_word(search, beam, work, slot, place):
    """Propose the tokens that begin a word after the `place`-th of the words that may be complete here; returns how
    many."""
    graph, rules, frame = search.graph, search.rules, work.frame[0]
    node = beam.nodes[beam.slots[slot].node]
    most = beam.slots[slot].total * search.hotwords.most * search.hotwords.most
    word, factor = NO_WORD, 1.0
    if node.lexical == ROOT:
        if rules.joined:
            return 0
    else:
        inverse = 1.0 / look_ahead(search, node.lexical)
        if most * frame.starting * math.exp(rules.word_bonus) * inverse <= frame.cutoff:
            return 0
        words = 0
        if node.lexical > ROOT:
            words = graph.word_begin[node.lexical + 1] - graph.word_begin[node.lexical]
        if words > 0:
            word = np.int64(graph.node_word[graph.word_begin[node.lexical] + place])
        elif rules.is_open:
            word = UNKNOWN_WORD
        else:
            return 0
        if words <= 1:
            if math.isnan(node.commit):
                node.commit = word_weight(search, work, node.state, word) * inverse
            factor = node.commit
        else:
            factor = word_weight(search, work, node.state, word) * inverse
    found = 0
    for place in range(frame.active):
        token = work.order[place]
        if most * factor * work.extending[token] <= frame.cutoff:
            break
        target = np.int64(graph.start_target[token])
        if graph.starts[token] and (target >= 0 or rules.is_open):
            weight = work.extending[token] * factor * look_ahead(search, target)
            found = _propose(work, found, token, target, word, weight)
    return found


@kernel
def _propose(work, found, token, lexical, word, value):
    proposed = work.proposed[found]
    proposed.token, proposed.lexical, proposed.word, proposed.value = token, lexical, word, value
    return found + 1


@kernel
def _keep(search, beam, work, slot, found):
    """Add the proposed extensions of a prefix to `work.extensions` unless they are too improbable.

    A full list is thinned to the best, which raises the cutoff.
    """
    slots, frame, extensions = beam.slots, work.frame[0], work.extensions
    hot = np.int64(beam.nodes[slots[slot].node].hot)
    for place in range(found):
        proposed = work.proposed[place]
        value = proposed.value * (slots[slot].blank if proposed.token == slots[slot].last else slots[slot].total)
        if search.rules.has_hotwords:
            value *= math.exp(hotword_gain(search, hot, np.int64(proposed.token), np.int64(proposed.word))[0])
        if value <= frame.cutoff or _in_beam(beam, slot, proposed):
            continue
        if frame.extended == len(extensions):
            frame.cutoff = max(frame.cutoff, thin(extensions, work.values, search.rules.width))
            frame.extended = search.rules.width
            if value <= frame.cutoff:
                continue
        kept = extensions[frame.extended]
        kept.slot, kept.token, kept.lexical, kept.word = slot, proposed.token, proposed.lexical, proposed.word
        kept.value = value
        frame.extended += 1


@kernel
def _in_beam(beam, slot, proposed):
    """Whether a prefix with the proposed token is in the beam already, where its probability has been added."""
    child = beam.slots[slot].child
    while child >= 0:
        node = beam.nodes[beam.slots[child].node]
        if node.token == proposed.token and node.word == proposed.word and node.lexical == proposed.lexical:
            return True
        child = beam.slots[child].sibling
    return False
