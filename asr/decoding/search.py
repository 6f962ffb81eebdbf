"""The inner search, compiled by numba: CTC prefix beam search (Graves 2012; Hannun et al. 2014) over arrays.

A *prefix* is a token sequence cut into words; it is a node of a growing tree, reached by its last token. Two
probabilities belong to each prefix in the beam: of all alignments so far that end in a blank, and of those that end
in its last token. Both are kept multiplied by the prefix's *weight* (language model, word bonus, hotwords,
look-ahead into the word that has begun) and divided by the best prefix of the frame, the logarithm of which is
kept apart: sums are then exact additions instead of logarithms of sums of exponentials, as in the scaled forward
algorithm (Rabiner 1989). Prefixes more than some 600 nats below the best fall to zero, which is no prefix.

Within a frame an extended prefix can be equal only to one that is in the beam already with the same parent, so
merging needs no hashing: each prefix adds what flows in from its parent, and the parent then leaves that token out.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from asr.lm.ngram import NgramArrays, query
from asr.text import BLANK

ROOT = 0  # lexicon node: no word has begun
UNKNOWN = -1  # lexicon node: inside a word that the lexicon lacks
NO_WORD = -1  # what a token completed: nothing
UNKNOWN_WORD = -2  # what a token completed: a word that the lexicon lacks


class Graph(NamedTuple):
    """A lexicon as a tree over tokens. Node 0 is the root, between words."""

    edge_begin: np.ndarray  # int32 (nodes + 1,) a node's edges are edge_begin[node] .. edge_begin[node + 1] - 1
    edge_token: np.ndarray  # int32 (edges,) ascending within a node
    edge_target: np.ndarray  # int32 (edges,)
    word_begin: np.ndarray  # int32 (nodes + 1,) the words that are complete at a node
    node_word: np.ndarray  # int32 (complete words,) lexicon word
    starts: np.ndarray  # uint8 (tokens,) 1 where the token begins a new word, or is the space before one
    start_target: np.ndarray  # int32 (tokens,) the node where a token that begins a word leads; UNKNOWN if none
    lm_word: np.ndarray  # int32 (words,) the language model's index of each lexicon word
    ahead: np.ndarray  # float64 (nodes,) weight of the likeliest word below the node, 1 at the root


class Hotwords(NamedTuple):
    """Phrases as an automaton over tokens (Aho & Corasick 1975); the last column is the end of a word."""

    next: np.ndarray  # int32 (states, tokens + 1)
    gain: np.ndarray  # float64 (states, tokens + 1), nats, negative where a partial match fails
    last: np.ndarray  # float64 (states,) gain at the end of the utterance
    begin: int  # state at its beginning


class Rules(NamedTuple):
    """What the search obeys. Weights are natural logarithms unless said otherwise."""

    width: int  # prefixes kept in each frame
    floor: float  # prefixes below this share of the best one's probability are dropped
    top_tokens: int  # tokens of a frame that may extend a prefix; all when it is not smaller than their number
    blank_skip: float  # frames whose blank is at least this probable pass as pure blanks; above 1: none
    lm_weight: float
    word_bonus: float
    unknown_penalty: float
    ahead_unknown: float  # weight (not a logarithm) of a word that the lexicon lacks, while it lasts
    lm_unknown: int  # the language model's index of <unk>
    lm_end: int  # its index of </s>, -1 if it has none
    has_lm: bool
    is_open: bool  # words that the lexicon lacks may be written
    joined: bool  # words follow one another without a token between them
    has_hotwords: bool


class Nodes(NamedTuple):
    """The tree of prefixes, `(capacity,)` each; node 0 is the empty prefix."""

    parent: np.ndarray  # int32
    token: np.ndarray  # int32
    word: np.ndarray  # int32 the lexicon word that this token completed, NO_WORD or UNKNOWN_WORD
    lexical: np.ndarray  # int32 node of the lexicon
    state: np.ndarray  # int32 language model state before the word that has begun
    hot: np.ndarray  # int32 hotword state
    slot: np.ndarray  # int32 place in the beam, -1 outside
    child: np.ndarray  # int32 the latest child, -1 if none
    sibling: np.ndarray  # int32 the child of the same parent before this one, -1 if none
    bias: np.ndarray  # float64 logarithm of the weight without look-ahead
    lm: np.ndarray  # float64 language model's logarithm of the completed words' probability
    link: np.ndarray  # float64 weight divided by the parent's
    commit: np.ndarray  # float64 factor of the weight when the begun word ends here; NaN until it is asked for
    commit_state: np.ndarray  # int32
    commit_lm: np.ndarray  # float64


class Beam(NamedTuple):
    """The prefixes in the beam, `(width,)` each, and counts."""

    node: np.ndarray  # int32
    blank: np.ndarray  # float64 weighted probability of alignments that end in a blank
    label: np.ndarray  # float64 of those that end in the last token
    counts: np.ndarray  # int64 (3,) prefixes in the beam, nodes in the tree, frames seen
    scale: np.ndarray  # float64 (1,) logarithm of what the probabilities have been divided by


def new_nodes(capacity: int) -> Nodes:
    """An empty tree."""
    kinds = [np.int32] * 9 + [np.float64] * 4 + [np.int32, np.float64]
    return Nodes(*(np.empty(capacity, kind) for kind in kinds))


def new_beam(width: int) -> Beam:
    """An empty beam."""
    return Beam(
        np.empty(width, np.int32), np.empty(width), np.empty(width), np.zeros(3, np.int64), np.zeros(1, np.float64)
    )


@njit(nogil=True, cache=True)
def begin(nodes: Nodes, beam: Beam, lm_state: int, hot_state: int) -> None:
    """The beam before the first frame: the empty prefix."""
    _set_node(nodes, 0, -1, -1, NO_WORD, ROOT, lm_state, hot_state, 0.0, 0.0, 1.0)
    nodes.slot[0] = 0
    beam.node[0], beam.blank[0], beam.label[0] = 0, 1.0, 0.0
    beam.counts[0], beam.counts[1], beam.counts[2] = 1, 1, 0
    beam.scale[0] = 0.0


@njit(nogil=True, cache=True)
def advance(
    emission: np.ndarray,
    frame: int,
    graph: Graph,
    lm: NgramArrays,
    hotwords: Hotwords,
    rules: Rules,
    nodes: Nodes,
    beam: Beam,
) -> int:
    """Take in the frames of `emission` `(frames, tokens)`, log-probabilities, from `frame` on.

    Returns the first frame not taken in: all are, unless the tree has less room left than a frame may need.
    """
    frames, tokens = emission.shape
    room = 4 * rules.width + 64
    work = Work(
        np.empty(tokens),
        np.empty(tokens),
        np.empty(tokens, np.int64),
        np.zeros(tokens, np.int64),
        np.empty(rules.width),
        np.empty(rules.width),
        np.empty(rules.width),
        np.empty(rules.width, np.int32),
        np.empty(rules.width, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.empty(room),
        np.empty(room + rules.width),
        np.zeros(3, np.int64),
        np.zeros(1),
    )
    while frame < frames and beam.counts[1] + rules.width <= len(nodes.parent):
        if _all_blank(emission[frame], beam, rules):
            frame += 1
            continue
        _read_frame(emission[frame], rules, beam, work)
        _stay(nodes, beam, rules, work)
        _extend(graph, lm, hotwords, rules, nodes, beam, work)
        _select(graph, lm, hotwords, rules, nodes, beam, work)
        beam.counts[2] += 1
        frame += 1
    return frame


class Work(NamedTuple):
    """Room for one frame's work."""

    probability: np.ndarray  # float64 (tokens,) of the frame, divided by its largest
    extending: np.ndarray  # float64 (tokens,) the same, 0 for tokens that may not extend a prefix
    order: np.ndarray  # int64 (tokens,) tokens that may extend, the likeliest first
    seen: np.ndarray  # int64 (tokens,) mark of the prefix for which the lexicon has an edge with this token
    total: np.ndarray  # float64 (width,) before the frame
    blank: np.ndarray  # float64 (width,) after the frame
    label: np.ndarray  # float64 (width,) after the frame
    child: np.ndarray  # int32 (width,) a child in the beam, -1 if none
    sibling: np.ndarray  # int32 (width,) another child of the same parent
    from_slot: np.ndarray  # int32 (room,) extended prefixes: parent,
    token: np.ndarray  # int32 (room,) token,
    lexical: np.ndarray  # int32 (room,) lexicon node,
    word: np.ndarray  # int32 (room,) completed word,
    value: np.ndarray  # float64 (room,) and weighted probability
    scores: np.ndarray  # float64 (room + width,) for selection
    counts: np.ndarray  # int64 (3,) tokens that may extend, extended prefixes, marks given
    cutoff: np.ndarray  # float64 (1,) what is not above it cannot stay in the beam


@njit(nogil=True, cache=True, inline="always")
def _all_blank(log_probabilities, beam, rules):
    if log_probabilities[BLANK] < math.log(rules.blank_skip):
        return False
    for i in range(beam.counts[0]):
        beam.blank[i] += beam.label[i]
        beam.label[i] = 0.0
    beam.scale[0] += log_probabilities[BLANK]
    beam.counts[2] += 1
    return True


@njit(nogil=True, cache=True)
def _read_frame(log_probabilities, rules, beam, work):
    """Probabilities of the frame, and which tokens may extend a prefix, the likeliest first."""
    tokens = len(log_probabilities)
    largest = log_probabilities.max()
    beam.scale[0] += largest
    count = 0
    for token in range(tokens):
        work.probability[token] = math.exp(log_probabilities[token] - largest)
        work.extending[token] = 0.0
        if token != BLANK and work.probability[token] > rules.floor:
            work.order[count] = token
            count += 1
    if count > 32:
        order = work.order[:count][np.argsort(-work.probability[work.order[:count]], kind="mergesort")]
        work.order[:count] = order
    else:
        for i in range(1, count):
            token = work.order[i]
            j = i
            while j > 0 and work.probability[work.order[j - 1]] < work.probability[token]:
                work.order[j] = work.order[j - 1]
                j -= 1
            work.order[j] = token
    count = min(count, rules.top_tokens)
    for i in range(count):
        work.extending[work.order[i]] = work.probability[work.order[i]]
    work.counts[0] = count


@njit(nogil=True, cache=True)
def _stay(nodes, beam, rules, work):
    """Prefixes that get no new token: a blank, a repeat, or the token arriving from a parent that is in the beam."""
    count = beam.counts[0]
    silence = work.probability[BLANK]
    for i in range(count):
        work.total[i] = beam.blank[i] + beam.label[i]
        work.child[i] = -1
    best, least = 0.0, math.inf
    for i in range(count):
        node = beam.node[i]
        token = nodes.token[node]
        blank, label = work.total[i] * silence, 0.0
        if token >= 0:
            label = beam.label[i] * work.probability[token]
            parent = nodes.parent[node]
            slot = nodes.slot[parent]
            if slot >= 0:
                source = beam.blank[slot] if nodes.token[parent] == token else work.total[slot]
                label += source * work.extending[token] * nodes.link[node]
                work.sibling[i] = work.child[slot]
                work.child[slot] = i
        work.blank[i], work.label[i] = blank, label
        best = max(best, blank + label)
        least = min(least, blank + label)
    work.cutoff[0] = max(best * rules.floor, least if count == rules.width else 0.0)


@njit(nogil=True, cache=True)
def _extend(graph, lm, hotwords, rules, nodes, beam, work):
    """Prefixes with one token more, as far as they can stay in the beam."""
    work.counts[1] = 0
    active = work.counts[0]
    if not active:
        return
    starting = 0.0  # the likeliest token that begins a word
    for i in range(active):
        if graph.starts[work.order[i]]:
            starting = work.extending[work.order[i]]
            break
    likeliest = work.extending[work.order[0]]
    gain = math.exp(hotwords.gain.max()) if rules.has_hotwords else 1.0
    bonus = math.exp(rules.word_bonus)
    for i in range(beam.counts[0]):
        node = beam.node[i]
        lexical = nodes.lexical[node]
        inverse = 1.0 / (graph.ahead[lexical] if lexical >= 0 else rules.ahead_unknown)
        most = work.total[i] * gain
        if most * likeliest * max(1.0, rules.ahead_unknown * inverse) > work.cutoff[0] or rules.joined:
            _continue_word(i, inverse, gain, graph, lm, hotwords, rules, nodes, beam, work)
        if lexical == ROOT:
            if not rules.joined and most * starting > work.cutoff[0]:
                _start_word(i, NO_WORD, 1.0, gain, graph, hotwords, rules, nodes, beam, work)
        elif most * starting * bonus * inverse * gain > work.cutoff[0]:
            first, last = 0, 0
            if lexical >= 0:
                first, last = graph.word_begin[lexical], graph.word_begin[lexical + 1]
            for place in range(first, last):
                word = graph.node_word[place]
                factor, _, _ = _commit(node, word, last - first == 1, inverse, graph, lm, rules, nodes)
                _start_word(i, word, factor, gain, graph, hotwords, rules, nodes, beam, work)
            if first == last and rules.is_open:
                factor, _, _ = _commit(node, UNKNOWN_WORD, True, inverse, graph, lm, rules, nodes)
                _start_word(i, UNKNOWN_WORD, factor, gain, graph, hotwords, rules, nodes, beam, work)


@njit(nogil=True, cache=True)
def _continue_word(i, inverse, gain, graph, lm, hotwords, rules, nodes, beam, work):
    """Tokens inside a word: along the lexicon's edges, or, if that is allowed, out of the lexicon."""
    lexical = nodes.lexical[beam.node[i]]
    active = work.counts[0]
    if lexical >= 0:
        first, last = graph.edge_begin[lexical], graph.edge_begin[lexical + 1]
        work.counts[2] += 1
        mark = work.counts[2]
        if last - first <= 4 * active:
            for edge in range(first, last):
                token = graph.edge_token[edge]
                work.seen[token] = mark
                if work.extending[token] > 0.0:
                    _follow(i, token, graph.edge_target[edge], inverse, graph, lm, hotwords, rules, nodes, beam, work)
        else:
            for place in range(active):
                token = work.order[place]
                edge = first + np.searchsorted(graph.edge_token[first:last], token)
                if edge < last and graph.edge_token[edge] == token:
                    work.seen[token] = mark
                    _follow(i, token, graph.edge_target[edge], inverse, graph, lm, hotwords, rules, nodes, beam, work)
        if not rules.is_open:
            return
    else:
        mark = -1
    factor = rules.ahead_unknown * inverse
    for place in range(active):
        token = work.order[place]
        if work.total[i] * work.extending[token] * factor * gain <= work.cutoff[0]:
            break
        if not graph.starts[token] and work.seen[token] != mark:
            _propose(i, token, UNKNOWN, NO_WORD, factor, hotwords, rules, nodes, beam, work)


@njit(nogil=True, cache=True, inline="always")
def _follow(i, token, target, inverse, graph, lm, hotwords, rules, nodes, beam, work):
    """One edge of the lexicon. A word that nothing can continue is complete at once where words are joined."""
    node = beam.node[i]
    complete = rules.joined and graph.edge_begin[target] == graph.edge_begin[target + 1]
    if not complete:
        _propose(i, token, target, NO_WORD, graph.ahead[target] * inverse, hotwords, rules, nodes, beam, work)
        return
    for place in range(graph.word_begin[target], graph.word_begin[target + 1]):
        word = graph.node_word[place]
        raw, _ = ask(nodes.state[node], word, graph, lm, rules)
        factor = math.exp(rules.lm_weight * raw + rules.word_bonus) * inverse
        _propose(i, token, ROOT, word, factor, hotwords, rules, nodes, beam, work)


@njit(nogil=True, cache=True)
def _start_word(i, word, factor, gain, graph, hotwords, rules, nodes, beam, work):
    """Tokens that begin a new word after `word`, whose end multiplies the weight by `factor`."""
    for place in range(work.counts[0]):
        token = work.order[place]
        if work.total[i] * work.extending[token] * factor * gain * gain <= work.cutoff[0]:
            break
        if graph.starts[token]:
            target = graph.start_target[token]
            if target >= 0:
                ahead = graph.ahead[target]
            elif rules.is_open:
                ahead = rules.ahead_unknown
            else:
                continue
            _propose(i, token, target, word, factor * ahead, hotwords, rules, nodes, beam, work)


@njit(nogil=True, cache=True, inline="always")
def _propose(i, token, lexical, word, factor, hotwords, rules, nodes, beam, work):
    """Note prefix i with `token` if it can stay in the beam and is not in it already."""
    node = beam.node[i]
    source = beam.blank[i] if nodes.token[node] == token else work.total[i]
    value = source * work.extending[token] * factor
    if rules.has_hotwords:
        value *= math.exp(_heat(nodes.hot[node], token, word, hotwords, rules)[0])
    if value <= work.cutoff[0]:
        return
    other = work.child[i]
    while other >= 0:
        twin = beam.node[other]
        if nodes.token[twin] == token and nodes.word[twin] == word and nodes.lexical[twin] == lexical:
            return
        other = work.sibling[other]
    count = work.counts[1]
    if count == len(work.value):
        count = _thin(rules, work)
        if value <= work.cutoff[0]:
            work.counts[1] = count
            return
    work.from_slot[count], work.token[count] = i, token
    work.lexical[count], work.word[count], work.value[count] = lexical, word, value
    work.counts[1] = count + 1


@njit(nogil=True, cache=True)
def _heat(state, token, word, hotwords, rules):
    """Hotword gain and state after a token; where words are joined, the end of a word is told apart."""
    end = hotwords.next.shape[1] - 1
    gain = 0.0
    lasting = rules.joined and word != NO_WORD
    if lasting:
        gain += hotwords.gain[state, end]
        state = hotwords.next[state, end]
    gain += hotwords.gain[state, token]
    return gain, hotwords.next[state, token]


@njit(nogil=True, cache=True)
def _thin(rules, work):
    """Keep the best extended prefixes when there is no room for more; what is left out could not have stayed."""
    count = work.counts[1]
    work.scores[:count] = work.value[:count]
    threshold = _nth_largest(work.scores, count, rules.width)
    work.cutoff[0] = max(work.cutoff[0], threshold)
    kept = 0
    for c in range(count):
        if work.value[c] >= threshold and kept < rules.width:
            work.from_slot[kept], work.token[kept] = work.from_slot[c], work.token[c]
            work.lexical[kept], work.word[kept], work.value[kept] = work.lexical[c], work.word[c], work.value[c]
            kept += 1
    return kept


@njit(nogil=True, cache=True)
def _select(graph, lm, hotwords, rules, nodes, beam, work):
    """The next beam: the best of staying and extended prefixes, divided by the best one."""
    count, extended = beam.counts[0], work.counts[1]
    best = 0.0
    for i in range(count):
        work.scores[i] = work.blank[i] + work.label[i]
        best = max(best, work.scores[i])
    for c in range(extended):
        work.scores[count + c] = work.value[c]
        best = max(best, work.value[c])
    threshold = best * rules.floor
    ties = rules.width
    if count + extended > rules.width:
        nth = _nth_largest(work.scores, count + extended, rules.width)
        if nth > threshold:
            threshold = nth
            above = 0
            for i in range(count + extended):
                above += work.scores[i] > nth
            ties = rules.width - above
    if best <= 0.0:  # no prefix is possible any more
        for i in range(count):
            nodes.slot[beam.node[i]] = -1
        beam.counts[0] = 0
        return
    kept = 0
    for i in range(count):
        node, score = beam.node[i], work.blank[i] + work.label[i]
        if score > threshold or (score == threshold and ties > 0):
            ties -= score == threshold
            nodes.slot[node] = kept
            beam.node[kept] = node
            beam.blank[kept], beam.label[kept] = work.blank[i] / best, work.label[i] / best
            work.sibling[i] = node
            kept += 1
        else:
            nodes.slot[node] = -1
            work.sibling[i] = node
    for c in range(extended):
        score = work.value[c]
        if score > threshold or (score == threshold and ties > 0):
            ties -= score == threshold
            parent = work.sibling[work.from_slot[c]]
            node = _child(parent, c, graph, lm, hotwords, rules, nodes, beam, work)
            nodes.slot[node] = kept
            beam.node[kept], beam.blank[kept], beam.label[kept] = node, 0.0, score / best
            kept += 1
    beam.counts[0] = kept
    beam.scale[0] += math.log(best)


@njit(nogil=True, cache=True)
def _child(parent, c, graph, lm, hotwords, rules, nodes, beam, work):
    """The tree's node for an extended prefix: a new one, or that of a prefix which had left the beam."""
    token, word, lexical = work.token[c], work.word[c], work.lexical[c]
    node = nodes.child[parent]
    while node >= 0:
        if nodes.token[node] == token and nodes.word[node] == word and nodes.lexical[node] == lexical:
            return node
        node = nodes.sibling[node]
    node = beam.counts[1]
    beam.counts[1] += 1
    before = nodes.lexical[parent]
    ahead_before = graph.ahead[before] if before >= 0 else rules.ahead_unknown
    ahead = graph.ahead[lexical] if lexical >= 0 else rules.ahead_unknown
    state, raw, bias, gain, hot = nodes.state[parent], 0.0, 0.0, 0.0, 0
    if word != NO_WORD:
        raw, state = ask(state, word, graph, lm, rules)
        bias = word_bias(raw, word, rules)
    if rules.has_hotwords:
        gain, hot = _heat(nodes.hot[parent], token, word, hotwords, rules)
    link = math.exp(bias + gain) * ahead / ahead_before
    _set_node(
        nodes,
        node,
        parent,
        token,
        word,
        lexical,
        state,
        hot,
        nodes.bias[parent] + bias + gain,
        nodes.lm[parent] + raw,
        link,
    )
    nodes.sibling[node] = nodes.child[parent]
    nodes.child[parent] = node
    return node


@njit(nogil=True, cache=True, inline="always")
def _set_node(nodes, node, parent, token, word, lexical, state, hot, bias, lm, link):
    nodes.parent[node], nodes.token[node], nodes.word[node] = parent, token, word
    nodes.lexical[node], nodes.state[node], nodes.hot[node] = lexical, state, hot
    nodes.slot[node], nodes.child[node], nodes.sibling[node] = -1, -1, -1
    nodes.bias[node], nodes.lm[node], nodes.link[node], nodes.commit[node] = bias, lm, link, math.nan


@njit(nogil=True, cache=True)
def ask(state, word, graph, lm, rules):
    """The language model's logarithm of the probability of a lexicon word or an unknown one, and its next state."""
    if not rules.has_lm:
        return 0.0, state
    return query(lm, state, graph.lm_word[word] if word >= 0 else rules.lm_unknown)


@njit(nogil=True, cache=True, inline="always")
def word_bias(raw, word, rules):
    return rules.lm_weight * raw + rules.word_bonus + (rules.unknown_penalty if word == UNKNOWN_WORD else 0.0)


@njit(nogil=True, cache=True)
def _commit(node, word, only, inverse, graph, lm, rules, nodes):
    """The factor of the weight when the begun word ends as `word`, the next state, and the language model's part."""
    if only and not math.isnan(nodes.commit[node]):
        return nodes.commit[node], nodes.commit_state[node], nodes.commit_lm[node]
    raw, state = ask(nodes.state[node], word, graph, lm, rules)
    factor = math.exp(word_bias(raw, word, rules)) * inverse
    if only:
        nodes.commit[node], nodes.commit_state[node], nodes.commit_lm[node] = factor, state, raw
    return factor, state, raw


@njit(nogil=True, cache=True)
def _nth_largest(values, count, n):
    """The n-th largest of the first `count` values, which are put into another order (Hoare 1961)."""
    low, high, wanted = 0, count - 1, n - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    return values[wanted]
