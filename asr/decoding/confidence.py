"""Agreement of the search on each word: posteriors over the prefixes that were in the beam when the word ended.

At the end of an utterance the beam's prefixes differ only in the last words and carry no information about the others.
So the search stores snapshots of the beam (`search.SNAPSHOT_FRAMES`), and a word is judged by three of them, `LAGS`,
the last up to 20 frames after it. A prefix agrees if it has the same word, ended at about the same time, as in
frame-wise word posteriors (Wessel et al. 2001); aligning the word sequences instead gave the same confidence for more
work. Prefixes are weighted by the square root of their probability: scores that are sums over frames, as if these were
independent, are overconfident.

A word's confidence (`decoder.WordDecoder`) is the geometric mean of this share and of its tokens' posteriors; the two
complement each other. The normalised cross entropy (0: uninformative, 1: perfect) on librispeech-dev was, with the
letter model of mini_librispeech, its 3-gram and 16, 64 or 256 prefixes, 0.15, 0.19 and 0.18 (their product: 0.18, 0.11,
0.06; the share alone: 0.01, 0.12, 0.13; the posteriors alone: 0.03, 0.04, 0.03).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asr.decoding.alignment import peaks
from asr.decoding.arrays import HELD, NO_WORD, SNAPSHOT_PREFIXES, UNKNOWN_WORD, Beam, Graph, Spelling
from asr.decoding.greedy import Tokens
from asr.decoding.prefixes import spell_word
from asr.lm.trie import search
from asr.text.phones import phone_of
from asr.utils.numba_cache import compiled, kernel

LAGS = (1, 2, 4)  # snapshots after the first one behind a word's end
LEAST_SHARE = 1e-3  # the best hypothesis was in the beam even where no snapshot had room for it
SLACK = 2  # snapshots by which the ends of a word may differ from one prefix to another


class Pooling(NamedTuple):
    """The units of an inventory, grouped by their phones."""

    order: np.ndarray  # (units,) units, those of a phone together
    starts: np.ndarray  # (phones,) where each phone's units begin in it
    phones: np.ndarray  # (units,) the phone of each unit


def pooling_of(units: Sequence[str]) -> Pooling:
    """The units by phone."""
    _, phones = np.unique([phone_of(unit) for unit in units], return_inverse=True)
    order = np.argsort(phones, kind="stable")
    return Pooling(order, np.searchsorted(phones[order], np.arange(phones.max() + 1)), phones)


def phone_peaks(emission: np.ndarray, tokens: Tokens, pooling: Pooling) -> np.ndarray:
    """The log-probability of each token's phone in the frame where it is most certain, `(labels,)`.

    `emission` `(frames, units)` are log-probabilities. Between the contexts of one phone a network may hesitate without
    any doubt about the word.
    """
    # Not a product of matrices: it would wake threads of the linear algebra library, which then spin.
    shares = np.add.reduceat(np.exp(emission[:, pooling.order]), pooling.starts, axis=1)
    phones = np.log(np.maximum(shares, np.finfo(np.float32).tiny))
    return peaks(phones, tokens.starts, tokens.ends, pooling.phones[tokens.indices])


def word_shares(best: int, endings: np.ndarray, beam: Beam, graph: Graph, spelling: Spelling) -> np.ndarray:
    """For each word of `endings[best]` the share, 0..1, of the prefixes' weight that had the word when it ended.

    `endings` `(prefixes,)` are `prefixes.ENDING`; the shares are `(words,)`.
    """
    final = np.empty(len(endings), HELD)
    final["node"], final["weight"] = endings["node"], np.sqrt(np.exp(endings["score"] - endings["score"][best]))
    unfinished = np.full(SNAPSHOT_PREFIXES, UNKNOWN_WORD, np.int32)
    words = np.ascontiguousarray(endings["word"])
    return _word_shares(best, final, words, unfinished, beam, graph, spelling)


@compiled
def _word_shares(best, final, words, unfinished, beam, graph, spelling):
    """Nodes are numbered in the order of their creation, which gives the time: a word's is that of its last token."""
    nodes, moments, taken = beam.nodes, beam.moments, beam.counts[3]
    last = np.int64(len(nodes))  # behind all nodes: the utterance's end
    node, word, end = np.int64(final[best].node), np.int64(words[best]), last
    shares = np.empty(nodes[node].depth + 1)
    place = len(shares)
    while True:
        before, text = spell_word(node, graph, nodes, spelling)
        if word != NO_WORD:
            place -= 1
            first = search(moments, 0, taken, node + 1)
            low = np.int64(moments[first - 1 - SLACK]) if first > SLACK else 0
            high = np.int64(moments[first + SLACK]) if first + SLACK < taken else last
            share = 0.0
            for lag in LAGS:
                is_held = end < last and first + lag < taken
                rivals, rival_words = (beam.held[first + lag], unfinished) if is_held else (final, words)
                share += _share(end, word, text, low, high, rivals, rival_words, graph, nodes, spelling)
            shares[place] = min(1.0, max(LEAST_SHARE, share / len(LAGS)))
        if before == 0:
            return shares[place:]
        node, word, end = np.int64(nodes[before].parent), np.int64(nodes[before].word), before


@kernel
def _share(end, word, text, low, high, rivals, words, graph, nodes, spelling):
    """The share of the rivals' weight that has the word: completed by node `end`, or with its last token among the
    nodes `low` .. `high`. A word that is not complete is identified by its spelling so far."""
    agreeing, whole = 0.0, 0.0
    for i in range(len(rivals)):
        node, other, weight = np.int64(rivals[i].node), np.int64(words[i]), np.float64(rivals[i].weight)
        if node < 0:
            break
        whole += weight
        above = node
        while above > end:
            above = np.int64(nodes[above].parent)
        if above == end:
            agreeing += weight
            continue
        while node >= low:
            before, other_text = spell_word(node, graph, nodes, spelling)
            if node <= high and (other == word if other >= 0 else other != NO_WORD and other_text == text):
                agreeing += weight
                break
            if before == 0:
                break
            node, other = np.int64(nodes[before].parent), np.int64(nodes[before].word)
    return agreeing / whole
