"""The inner search, compiled by numba: CTC prefix beam search (Graves 2012; Hannun et al. 2014) over arrays.

A *prefix* is a token sequence divided into words: a node of a growing tree, reached by its last token. Each prefix in
the beam has two probabilities: of all alignments so far that end in a blank, and of those that end in its last token.
Both are multiplied by the prefix's *weight* (language model, word bonus, hotwords, look-ahead into the word that has
begun) and divided by the best prefix of the frame, whose logarithm is stored separately: sums are then plain additions
instead of logarithms of sums of exponentials, as in the scaled forward algorithm (Rabiner 1989). Prefixes more than
about 600 nats below the best underflow to zero and leave the beam.

Within a frame an extended prefix can equal only a prefix that is in the beam already with the same parent, so merging
needs no hashing: each prefix adds the probability that arrives from its parent, and the parent then skips that token.
When the beam is full, prefixes that differ only in words older than the language model's context are reduced to the
likeliest (`pruning.recombine`).
"""

import math

import numpy as np

from asr.decoding.arrays import NO_WORD, SNAPSHOT_FRAMES, SNAPSHOT_PREFIXES, Beam, Search, Work
from asr.decoding.extensions import extend
from asr.decoding.pruning import nth_largest, recombine
from asr.decoding.weights import hotword_gain, look_ahead, query_word, word_bias
from asr.text.tokenizer import BLANK
from asr.utils.numba_cache import kernel, uncounted

SNAPSHOT_LEAST = 1e-3  # relative to the best prefix: less probable ones are not in a snapshot


@uncounted
def advance(emission: np.ndarray, first: int, search: Search, beam: Beam, work: Work) -> int:
    """Process the frames of `emission` `(frames, tokens)`, log-probabilities, from `first` on.

    Returns the first frame not processed: the number of frames, unless the tree might run out of room within a frame,
    or the snapshots have none left.
    """
    rules, counts = search.rules, beam.counts
    skip = math.log(rules.blank_skip)
    for frame in range(first, len(emission)):
        if counts[1] + rules.width > len(beam.nodes) or counts[3] == len(beam.moments):
            return frame
        if emission[frame, BLANK] >= skip:
            _pass_blank(beam)
            beam.scale[0] += emission[frame, BLANK]
        else:
            _read_frame(emission, frame, rules, work)
            _stay(beam, work, rules)
            _find_starting(search, work)
            extend(search, beam, work)
            best = _select(search, beam, work)
            if rules.lm_weight > 0.0 and counts[0] == rules.width:
                counts[0] = recombine(beam.slots, beam.nodes, counts[0], rules.histories, work.table)
            beam.scale[0] += work.frame[0].largest + (math.log(best) if best > 0.0 else 0.0)
        counts[2] += 1
        if counts[2] % SNAPSHOT_FRAMES == 0:
            _take_snapshot(beam, work.values)
    return len(emission)


@kernel
def _take_snapshot(beam, values):
    """Store the likeliest prefixes, as many as there is room for.

    Raising the threshold until they fit takes a third of the time of selecting the best.
    """
    slots, count, moment = beam.slots, beam.counts[0], beam.counts[3]
    held, least = beam.held[moment], SNAPSHOT_LEAST
    for slot in range(count):
        values[slot] = slots[slot].blank + slots[slot].label
    while True:
        found = 0
        for slot in range(count):
            found += values[slot] >= least
        if found <= SNAPSHOT_PREFIXES or least > 0.25:
            break
        least *= 2
    kept = 0
    for slot in range(count):
        if values[slot] >= least and kept < SNAPSHOT_PREFIXES:
            held[kept].node, held[kept].weight = slots[slot].node, math.sqrt(values[slot])
            kept += 1
    if kept < SNAPSHOT_PREFIXES:
        held[kept].node = -1
    beam.moments[moment] = beam.counts[1]
    beam.counts[3] += 1


@kernel
def _pass_blank(beam):
    for slot in range(beam.counts[0]):
        beam.slots[slot].blank += beam.slots[slot].label
        beam.slots[slot].label = 0.0


@kernel
def _read_frame(emission, frame, rules, work):
    """Divide the frame's probabilities by the largest, and sort the tokens that may extend a prefix."""
    tokens, state = emission.shape[1], work.frame[0]
    largest = emission[frame, 0]
    for token in range(1, tokens):
        largest = max(largest, emission[frame, token])
    count = 0
    for token in range(tokens):
        work.probability[token] = math.exp(np.float64(emission[frame, token]) - largest)
        work.extending[token] = 0.0
        if token != BLANK and work.probability[token] > rules.floor:
            work.order[count] = token
            count += 1
    _sort(work.order, count, work.probability)
    state.largest, state.active = largest, min(count, rules.top_tokens)
    for place in range(state.active):
        work.extending[work.order[place]] = work.probability[work.order[place]]


@kernel
def _sort(order, count, probability):
    """Sort the first `count` tokens, the most probable first (Shell 1959, with Ciura's gaps)."""
    for gap in (57, 23, 10, 4, 1):
        for place in range(gap, count):
            token, hole = order[place], place
            while hole >= gap and probability[order[hole - gap]] < probability[token]:
                order[hole] = order[hole - gap]
                hole -= gap
            order[hole] = token


@kernel
def _stay(beam, work, rules):
    """Prefixes that get no new token: a blank, a repeat, or the token arriving from a parent that is in the beam.

    Sets the probability that a prefix must exceed to stay in the beam.
    """
    slots, nodes, probability, count = beam.slots, beam.nodes, work.probability, beam.counts[0]
    for i in range(count):
        slots[i].total = slots[i].blank + slots[i].label
        slots[i].child = -1
    best, least = 0.0, math.inf
    for i in range(count):
        here = slots[i]
        token = here.last
        blank, label = here.total * probability[BLANK], 0.0
        if token >= 0:
            label = here.label * probability[token]
            node = nodes[here.node]
            parent = nodes[node.parent].slot
            if parent >= 0:
                source = slots[parent].blank if slots[parent].last == token else slots[parent].total
                label += source * work.extending[token] * node.link
                here.sibling = slots[parent].child
                slots[parent].child = i
        here.next_blank, here.next_label = blank, label
        best = max(best, blank + label)
        least = min(least, blank + label)
    work.frame[0].cutoff = max(best * rules.floor, least if count == len(slots) else 0.0)


@kernel
def _find_starting(search, work):
    """The probabilities of the most probable token, and of the most probable one that begins a word."""
    state = work.frame[0]
    state.likeliest = work.extending[work.order[0]] if state.active else 0.0
    state.starting = 0.0
    for place in range(state.active):
        if search.graph.starts[work.order[place]]:
            state.starting = work.extending[work.order[place]]
            break


@kernel
def _select(search, beam, work):
    """The next beam: the best of staying and extended prefixes, divided by the best one, which is returned."""
    slots, nodes, extensions, values = beam.slots, beam.nodes, work.extensions, work.values
    count, extended, width = beam.counts[0], work.frame[0].extended, search.rules.width
    best = 0.0
    for i in range(count):
        values[i] = slots[i].next_blank + slots[i].next_label
        best = max(best, values[i])
    for c in range(extended):
        values[count + c] = extensions[c].value
        best = max(best, extensions[c].value)
    threshold, ties = best * search.rules.floor, 0
    if count + extended > width:
        nth = nth_largest(values, count + extended, width)
        if nth > threshold:
            threshold, ties = nth, width
            for i in range(count + extended):
                ties -= values[i] > nth
    kept = 0
    for i in range(count):
        node, value = slots[i].node, slots[i].next_blank + slots[i].next_label
        slots[i].sibling = node  # the extensions' parents, whose slots may be taken by then
        if value > threshold or (value == threshold and ties > 0):
            ties -= value == threshold
            nodes[node].slot = kept
            slots[kept].node, slots[kept].last = node, slots[i].last
            slots[kept].blank, slots[kept].label = slots[i].next_blank / best, slots[i].next_label / best
            kept += 1
        else:
            nodes[node].slot = -1
    for c in range(extended):
        value = extensions[c].value
        if value > threshold or (value == threshold and ties > 0):
            ties -= value == threshold
            node = _child(search, beam, np.int64(slots[extensions[c].slot].sibling), extensions[c])
            nodes[node].slot = kept
            slots[kept].node, slots[kept].last = node, extensions[c].token
            slots[kept].blank, slots[kept].label = 0.0, value / best
            kept += 1
    beam.counts[0] = kept
    return best


@kernel
def _child(search, beam, parent, extension):
    """The tree's node for an extended prefix: a new one, or that of a prefix which had left the beam."""
    above = beam.nodes[parent]
    node = np.int64(above.child)
    while node >= 0:
        known = beam.nodes[node]
        if known.token == extension.token and known.word == extension.word and known.lexical == extension.lexical:
            return node
        node = np.int64(known.sibling)
    node = beam.counts[1]
    beam.counts[1] += 1
    token, word = np.int64(extension.token), np.int64(extension.word)
    state, raw, bias, gain, hot = np.int64(above.state), 0.0, 0.0, 0.0, np.int64(above.hot)
    if word != NO_WORD:
        raw, state = query_word(search, state, word)
        bias = word_bias(search.rules, raw, word)
    if search.rules.has_hotwords:
        gain, hot = hotword_gain(search, hot, token, word)
    new = beam.nodes[node]
    new.parent, new.token, new.word, new.lexical = parent, token, word, extension.lexical
    new.state, new.hot, new.depth = state, hot, above.depth + 1
    new.child, new.sibling = -1, above.child
    new.bias, new.lm, new.commit = above.bias + bias + gain, above.lm + raw, math.nan
    new.link = math.exp(bias + gain) * look_ahead(search, extension.lexical) / look_ahead(search, above.lexical)
    above.child = node
    return node
