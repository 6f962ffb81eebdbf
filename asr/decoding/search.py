"""The inner search, compiled by numba: CTC prefix beam search (Graves 2012; Hannun et al. 2014) over arrays.

A *prefix* is a token sequence cut into words; it is a node of a growing tree, reached by its last token. Two
probabilities belong to each prefix in the beam: of all alignments so far that end in a blank, and of those that end
in its last token. Both are kept multiplied by the prefix's *weight* (language model, word bonus, hotwords,
look-ahead into the word that has begun) and divided by the best prefix of the frame, the logarithm of which is
kept apart: sums are then exact additions instead of logarithms of sums of exponentials, as in the scaled forward
algorithm (Rabiner 1989). Prefixes more than some 600 nats below the best fall to zero, which is no prefix.

Within a frame an extended prefix can be equal only to one that is in the beam already with the same parent, so
merging needs no hashing: each prefix adds what flows in from its parent, and the parent then leaves that token out.
Where a language model looks back a few words only, and the beam is full, prefixes that differ in older words alone
make room for others (`pruning.recombine`).
"""

import math

import numpy as np

from asr.decoding.arrays import (
    EXTENSION,
    NO_WORD,
    ROOT,
    SNAPSHOT_FRAMES,
    SNAPSHOT_PREFIXES,
    UNKNOWN,
    UNKNOWN_WORD,
    Beam,
    Graph,
    Hotwords,
    Rules,
)
from asr.decoding.pruning import nth_largest, recombine, room_to_recombine, thin
from asr.lm.query import query
from asr.lm.trie import NgramArrays, search
from asr.text.tokenizer import BLANK
from asr.utils.numba_cache import compiled, kernel

SNAPSHOT_LEAST = 1e-3  # relative to the best prefix: what a snapshot leaves out


@compiled
def advance(
    emission: np.ndarray, frame: int, graph: Graph, lm: NgramArrays, hotwords: Hotwords, rules: Rules, beam: Beam
) -> int:
    """Take in the frames of `emission` `(frames, tokens)`, log-probabilities, from `frame` on.

    Returns the first frame not taken in: all are, unless the tree has less room left than a frame may need, or the
    snapshots have none.
    """
    frames, tokens = emission.shape
    slots, nodes, counts = beam.slots, beam.nodes, beam.counts
    probability, extending = np.empty(tokens), np.zeros(tokens)
    order, seen = np.empty(tokens, np.int64), np.zeros(tokens, np.int64)
    extensions = np.empty(4 * rules.width + 64, EXTENSION)
    proposed = np.empty(tokens, EXTENSION)
    values = np.empty(len(extensions) + rules.width)
    table = np.empty(room_to_recombine(rules.width), np.int32)
    skip = math.log(rules.blank_skip)
    gain = math.exp(max(0.0, hotwords.gain.max())) if rules.has_hotwords else 1.0
    while frame < frames and counts[1] + rules.width <= len(nodes) and counts[3] < len(beam.moments):
        if emission[frame, BLANK] >= skip:
            _pass_blank(slots, counts[0])
            beam.scale[0] += emission[frame, BLANK]
        else:
            largest = emission[frame].max()
            active = _read_frame(emission[frame], largest, rules.floor, rules.top_tokens, probability, extending, order)
            cutoff = _stay(slots, nodes, counts[0], rules.floor, probability, extending)
            extended = 0
            if active:
                extended = _extend(
                    graph, lm, hotwords, rules, slots, nodes, counts[0], extending, order[:active], seen, proposed,
                    extensions, values, cutoff, gain,
                )  # fmt: skip
            best = _select(graph, lm, hotwords, rules, slots, nodes, counts, extensions[:extended], values)
            if rules.lm_weight > 0.0 and counts[0] == rules.width:
                counts[0] = recombine(slots, nodes, counts[0], rules.histories, table)
            beam.scale[0] += largest + (math.log(best) if best > 0.0 else 0.0)
        counts[2] += 1
        frame += 1
        if counts[2] % SNAPSHOT_FRAMES == 0:
            _hold(slots, counts, beam.moments, beam.held, values)
    return frame


@kernel
def _hold(slots, counts, moments, held, values):
    """Take a snapshot: the likeliest prefixes, as many as there is room for.

    Raising the threshold until they fit takes a third of the time of selecting the best.
    """
    moment, count, least = counts[3], counts[0], SNAPSHOT_LEAST
    for i in range(count):
        values[i] = slots[i].blank + slots[i].label
    while True:
        found = 0
        for i in range(count):
            found += values[i] >= least
        if found <= SNAPSHOT_PREFIXES or least > 0.25:
            break
        least *= 2
    kept = 0
    for i in range(count):
        if values[i] >= least and kept < SNAPSHOT_PREFIXES:
            held[moment, kept].node, held[moment, kept].weight = slots[i].node, math.sqrt(values[i])
            kept += 1
    if kept < SNAPSHOT_PREFIXES:
        held[moment, kept].node = -1
    moments[moment] = counts[1]
    counts[3] += 1


@kernel
def _pass_blank(slots, count):
    for i in range(count):
        slots[i].blank += slots[i].label
        slots[i].label = 0.0


@compiled
def _read_frame(log_probabilities, largest, floor, top_tokens, probability, extending, order):
    """Probabilities of the frame divided by the largest, and how many tokens may extend a prefix; `order` has them,
    the likeliest first, and `extending` their probabilities, 0 for all others."""
    count = 0
    for token in range(len(log_probabilities)):
        probability[token] = math.exp(log_probabilities[token] - largest)
        extending[token] = 0.0
        if token != BLANK and probability[token] > floor:
            order[count] = token
            count += 1
    if count > 32:
        order[:count] = order[:count][np.argsort(-probability[order[:count]], kind="mergesort")]
    else:
        for i in range(1, count):
            token = order[i]
            j = i
            while j > 0 and probability[order[j - 1]] < probability[token]:
                order[j] = order[j - 1]
                j -= 1
            order[j] = token
    count = min(count, top_tokens)
    for i in range(count):
        extending[order[i]] = probability[order[i]]
    return count


@kernel
def _stay(slots, nodes, count, floor, probability, extending):
    """Prefixes that get no new token: a blank, a repeat, or the token arriving from a parent that is in the beam.

    Returns the probability that a prefix must exceed to stay.
    """
    silence = probability[BLANK]
    for i in range(count):
        slots[i].total = slots[i].blank + slots[i].label
        slots[i].child = -1
    best, least = 0.0, math.inf
    for i in range(count):
        token = slots[i].last
        blank, label = slots[i].total * silence, 0.0
        if token >= 0:
            label = slots[i].label * probability[token]
            node = slots[i].node
            parent = nodes[nodes[node].parent].slot
            if parent >= 0:
                source = slots[parent].blank if slots[parent].last == token else slots[parent].total
                label += source * extending[token] * nodes[node].link
                slots[i].sibling = slots[parent].child
                slots[parent].child = i
        slots[i].next_blank, slots[i].next_label = blank, label
        best = max(best, blank + label)
        least = min(least, blank + label)
    return max(best * floor, least if count == len(slots) else 0.0)


@kernel
def _extend(
    graph, lm, hotwords, rules, slots, nodes, count, extending, order, seen, proposed, extensions, values, cutoff, gain
):
    """Prefixes with one token more, as far as they can stay in the beam; returns how many."""
    starting = 0.0  # the likeliest token that begins a word
    for token in order:
        if graph.starts[token]:
            starting = extending[token]
            break
    likeliest = extending[order[0]]
    bonus = math.exp(rules.word_bonus)
    extended = 0
    for token in order:
        seen[token] = -1
    for i in range(count):
        node = slots[i].node
        total, last, lexical = slots[i].total, slots[i].last, nodes[node].lexical
        inverse = 1.0 / (graph.ahead[lexical] if lexical >= 0 else rules.ahead_unknown)
        words = graph.word_begin[lexical + 1] - graph.word_begin[lexical] if lexical > ROOT else 0
        # Step 0 goes on inside the word; the others begin a new one, after each word that may be complete here.
        for step in range(1 + max(1, words)):
            found = 0
            if step == 0:
                most = total * gain
                if most * likeliest * max(1.0, rules.ahead_unknown * inverse) <= cutoff and not rules.joined:
                    continue
                if lexical >= 0:
                    found = _follow_edges(
                        graph, lm, rules, lexical, nodes[node].state, most, inverse, extending, order, seen, i,
                        cutoff, proposed,
                    )  # fmt: skip
                if rules.is_open:
                    factor = rules.ahead_unknown * inverse
                    for token in order:
                        if most * extending[token] * factor <= cutoff:
                            break
                        if not graph.starts[token] and seen[token] != i:
                            proposed[found].token, proposed[found].lexical = token, UNKNOWN
                            proposed[found].word, proposed[found].value = NO_WORD, extending[token] * factor
                            found += 1
            else:
                word, factor = NO_WORD, 1.0
                if lexical == ROOT:
                    if rules.joined:
                        continue
                elif total * starting * bonus * inverse * gain * gain <= cutoff:
                    continue
                elif words > 0:
                    word = graph.node_word[graph.word_begin[lexical] + step - 1]
                    factor = _commit(node, word, words == 1, inverse, graph, lm, rules, nodes)
                elif rules.is_open:
                    word = UNKNOWN_WORD
                    factor = _commit(node, word, True, inverse, graph, lm, rules, nodes)
                else:
                    continue
                most = total * factor * gain * gain
                for token in order:
                    if most * extending[token] <= cutoff:
                        break
                    if graph.starts[token]:
                        target = graph.start_target[token]
                        if target < 0 and not rules.is_open:
                            continue
                        ahead = graph.ahead[target] if target >= 0 else rules.ahead_unknown
                        proposed[found].token, proposed[found].lexical = token, target
                        proposed[found].word, proposed[found].value = word, extending[token] * factor * ahead
                        found += 1
            for j in range(found):
                token = proposed[j].token
                value = (slots[i].blank if token == last else total) * proposed[j].value
                if rules.has_hotwords:
                    value *= math.exp(_heat(nodes[node].hot, token, proposed[j].word, hotwords, rules)[0])
                if value <= cutoff or _in_beam(slots, nodes, i, proposed[j]):
                    continue
                if extended == len(extensions):
                    cutoff = max(cutoff, thin(extensions, values, rules.width))
                    extended = rules.width
                    if value <= cutoff:
                        continue
                extensions[extended] = proposed[j]
                extensions[extended].slot, extensions[extended].value = i, value
                extended += 1
    return extended


@kernel
def _follow_edges(
    graph, lm, rules, lexical, state, most, inverse, extending, order, seen, i, cutoff, proposed
):  # fmt: skip
    """Propose the tokens that go on inside a word of the lexicon; returns how many.

    Where words are joined, one that nothing can continue is complete at once.
    """
    found = 0
    first, last = graph.edge_begin[lexical], graph.edge_begin[lexical + 1]
    by_edge = last - first <= 4 * len(order)
    for place in range(last - first if by_edge else len(order)):
        if by_edge:
            edge = first + place
            token = graph.edge_token[edge]
        else:
            token = order[place]
            edge = search(graph.edge_token, first, last, token)
            if edge == last or graph.edge_token[edge] != token:
                continue
        seen[token] = i
        target = graph.edge_target[edge]
        value = extending[token] * graph.ahead[target] * inverse
        if rules.joined and graph.edge_begin[target] == graph.edge_begin[target + 1]:
            if value == 0.0:
                continue
            for spot in range(graph.word_begin[target], graph.word_begin[target + 1]):
                word = graph.node_word[spot]
                weight = math.exp(word_bias(ask(state, word, graph, lm, rules)[0], word, rules))
                proposed[found].token, proposed[found].lexical = token, ROOT
                proposed[found].word, proposed[found].value = word, extending[token] * weight * inverse
                found += 1
        elif most * value > cutoff:
            proposed[found].token, proposed[found].lexical = token, target
            proposed[found].word, proposed[found].value = NO_WORD, value
            found += 1
    return found


@kernel
def _in_beam(slots, nodes, i, proposed):
    """Whether prefix i with the proposed token is in the beam already, where `_stay` has dealt with it."""
    child = slots[i].child
    while child >= 0:
        node = slots[child].node
        same_word = nodes[node].word == proposed.word and nodes[node].lexical == proposed.lexical
        if same_word and slots[child].last == proposed.token:
            return True
        child = slots[child].sibling
    return False


@kernel
def _heat(state, token, word, hotwords, rules):
    """Hotword gain and state after a token; where words are joined, the end of a word is told apart."""
    gain = 0.0
    if rules.joined and word != NO_WORD:
        end = hotwords.next.shape[1] - 1
        gain += hotwords.gain[state, end]
        state = hotwords.next[state, end]
    return gain + hotwords.gain[state, token], hotwords.next[state, token]


@kernel
def _select(graph, lm, hotwords, rules, slots, nodes, counts, extensions, values):
    """The next beam: the best of staying and extended prefixes, divided by the best one, which is returned."""
    count, extended = counts[0], len(extensions)
    best = 0.0
    for i in range(count):
        values[i] = slots[i].next_blank + slots[i].next_label
        best = max(best, values[i])
    for c in range(extended):
        values[count + c] = extensions[c].value
        best = max(best, extensions[c].value)
    threshold, ties = best * rules.floor, 0
    if count + extended > rules.width:
        nth = nth_largest(values, count + extended, rules.width)
        if nth > threshold:
            threshold, ties = nth, rules.width
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
            node = _child(slots[extensions[c].slot].sibling, extensions[c], graph, lm, hotwords, rules, nodes, counts)
            nodes[node].slot = kept
            slots[kept].node, slots[kept].last = node, extensions[c].token
            slots[kept].blank, slots[kept].label = 0.0, value / best
            kept += 1
    counts[0] = kept
    return best


@kernel
def _child(parent, extension, graph, lm, hotwords, rules, nodes, counts):
    """The tree's node for an extended prefix: a new one, or that of a prefix which had left the beam."""
    token, word, lexical = extension.token, extension.word, extension.lexical
    node = nodes[parent].child
    while node >= 0:
        if nodes[node].token == token and nodes[node].word == word and nodes[node].lexical == lexical:
            return node
        node = nodes[node].sibling
    node = counts[1]
    counts[1] += 1
    before = nodes[parent].lexical
    ahead_before = graph.ahead[before] if before >= 0 else rules.ahead_unknown
    ahead = graph.ahead[lexical] if lexical >= 0 else rules.ahead_unknown
    state, raw, bias = nodes[parent].state, 0.0, 0.0
    gain, hot = 0.0, nodes[parent].hot
    if word != NO_WORD:
        raw, state = ask(state, word, graph, lm, rules)
        bias = word_bias(raw, word, rules)
    if rules.has_hotwords:
        gain, hot = _heat(hot, token, word, hotwords, rules)
    new = nodes[node]
    new.parent, new.token, new.word, new.lexical, new.state, new.hot = parent, token, word, lexical, state, hot
    new.child, new.sibling, new.depth = -1, nodes[parent].child, nodes[parent].depth + 1
    new.bias, new.lm = nodes[parent].bias + bias + gain, nodes[parent].lm + raw
    new.link, new.commit = math.exp(bias + gain) * ahead / ahead_before, math.nan
    nodes[parent].child = node
    return node


@kernel
def ask(state, word, graph, lm, rules):
    """The language model's logarithm of the probability of a lexicon word or an unknown one, and its next state."""
    if not rules.has_lm:
        return 0.0, np.int64(state)
    return query(lm, state, graph.lm_word[word] if word >= 0 else rules.lm_unknown)


@kernel
def word_bias(raw, word, rules):
    """What a word adds to the logarithm of the weight."""
    return rules.lm_weight * raw + rules.word_bonus + (rules.unknown_penalty if word == UNKNOWN_WORD else 0.0)


@kernel
def _commit(node, word, only, inverse, graph, lm, rules, nodes):
    """The factor of the weight when the begun word ends as `word`; kept with the node if it is its only word."""
    if only and not math.isnan(nodes[node].commit):
        return nodes[node].commit
    factor = math.exp(word_bias(ask(nodes[node].state, word, graph, lm, rules)[0], word, rules)) * inverse
    if only:
        nodes[node].commit = factor
    return factor
